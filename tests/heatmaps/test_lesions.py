"""Lesion by lesion: sizes, whether a map finds them, and the cells of a grid that they lie in."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.heatmaps.lesions import (
    SIZES,
    by_size,
    cell_summary,
    components,
    lesion_cells,
    lesion_table,
    size_names,
)

FIELD = np.ones((60, 60), bool)


def marked(*boxes):
    """A mask with boxes (top, left, height, width)."""
    mask = np.zeros((60, 60), bool)
    for top, left, height, width in boxes:
        mask[top : top + height, left : left + width] = True
    return mask


def test_lesions_that_touch_at_a_corner_are_one_and_their_size_is_a_share_of_the_field():
    field = FIELD.copy()
    field[:, 30:] = False

    found = components(marked((2, 2, 2, 2), (4, 4, 3, 1), (20, 20, 1, 1), (40, 40, 5, 5)), field)

    assert found.area_px.tolist() == [7, 1]
    assert found.shares == pytest.approx(np.array([7, 1]) / 1800)
    assert len(components(marked(), FIELD).area_px) == 0


def test_masks_by_size_are_the_same_lesions_once_each():
    lesions = marked((2, 2, 1, 1), (10, 10, 2, 3), (30, 30, 6, 6))

    parts = by_size(lesions, FIELD)

    assert list(parts) == ["0.01 to 0.08 %", "above 0.08 %"]
    np.testing.assert_array_equal(np.sum(list(parts.values()), axis=0), lesions)
    assert [int(part.sum()) for part in parts.values()] == [1, 42]


def test_every_size_up_to_the_whole_field_has_one_name():
    shares = np.array([1e-6, 0.00002, 0.0001, 0.0008, 0.3, 1.0])

    names = size_names(shares)

    assert names == [list(SIZES)[at] for at in (0, 1, 2, 3, 3, 3)]
    assert size_names(np.array([0.5]), sizes={"tiny": (0.0, 0.1)}) == [""]


def test_chance_covers_the_flagged_share_of_every_lesion_whatever_its_size(rng):
    lesions = {"small": marked((3, 3, 2, 2), (50, 8, 2, 2)), "large": marked((20, 20, 12, 12))}
    maps = [rng.random((60, 60)) for _ in range(30)]

    tables = [lesion_table(each, lesions, FIELD, flagged=0.1).groupby("type")["covered"].mean() for each in maps]

    assert np.mean([each["large"] for each in tables]) == pytest.approx(0.1, abs=0.015)
    assert np.mean([each["small"] for each in tables]) == pytest.approx(0.1, abs=0.05)


def test_the_threshold_lets_exactly_the_stated_share_of_healthy_pixels_pass():
    lesions = marked((0, 0, 1, 10))
    relevance = np.arange(3600.0).reshape(60, 60)
    relevance[0, :10] = [3600] * 4 + [3420] + [1] * 5

    # Of 3590 healthy pixels 179.5 may pass: those above 3420, and half of what equals it.
    table = lesion_table(relevance, {"ex": lesions}, FIELD, flagged=0.05)

    assert table["covered"].tolist() == [0.45]
    assert table["found"].tolist() == [1]
    assert lesion_table(relevance, {"ex": lesions}, FIELD, overlap=0.5)["found"].tolist() == [0]


def test_a_perfect_map_finds_every_lesion_and_an_empty_or_even_one_none():
    lesions = {"ma": marked((2, 2, 1, 1), (10, 10, 2, 2)), "he": marked((30, 30, 9, 9)), "se": marked()}
    every = np.any(list(lesions.values()), axis=0)

    perfect, nothing, even = (
        lesion_table(each, lesions, FIELD) for each in (every.astype(float), np.zeros((60, 60)), np.ones((60, 60)))
    )

    assert perfect["type"].tolist() == ["ma", "ma", "he"]
    assert perfect["found"].all()
    assert nothing["covered"].tolist() == [0, 0, 0]
    assert even["covered"].tolist() == pytest.approx([0.05] * 3)
    assert not even["found"].any()


def slow_cells(mask, grid):
    """Of one lesion: cells touched, largest share in one, share of that cell it fills; pixel by pixel."""
    counts: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], int] = {}
    for row in range(60):
        for column in range(60):
            cell = int((row + 0.5) * grid[0] / 60), int((column + 0.5) * grid[1] / 60)
            sizes[cell] = sizes.get(cell, 0) + 1
            counts[cell] = counts.get(cell, 0) + int(mask[row, column])
    best = max(counts, key=lambda cell: counts[cell])
    return sum(count > 0 for count in counts.values()), counts[best] / mask.sum(), counts[best] / sizes[best]


@pytest.mark.parametrize("grid", [(7, 7), (12, 12), (5, 9)])
def test_how_a_lesion_lies_in_cells_is_what_counting_pixels_says(grid):
    lesion = marked((7, 11, 9, 4))

    (row,) = lesion_cells({"he": lesion}, FIELD, grids=[grid]).to_dict("records")

    assert (row["cells"], row["in_cell"], row["of_cell"]) == pytest.approx(slow_cells(lesion, grid))
    assert row["grid"] == f"{grid[0]}x{grid[1]}"
    assert row["share"] == row["canvas_share"] == 36 / 3600
    assert row["alone"] == 1


def test_the_studys_argument_in_numbers():
    """A lesion of 0.08 % of the picture fills 4 % of a cell of 7 x 7, not 1.6 %, if the picture is all field."""
    side = 700
    field = np.ones((side, side), bool)
    lesion = np.zeros_like(field)
    lesion[310:330, 310:329] = True
    lesion[310:322, 329] = True

    (row,) = lesion_cells({"ma": lesion}, field, grids=[(7, 7)]).to_dict("records")

    assert row["share"] == pytest.approx(0.0008)
    assert row["of_cell"] == pytest.approx(0.0008 * 49)
    assert row["in_cell"] == 1


def test_lesions_share_cells_with_others_and_the_summary_takes_medians():
    lesions = {"ma": marked((1, 1, 1, 1), (5, 5, 1, 1), (33, 33, 1, 1)), "he": marked((2, 3, 1, 2), (50, 50, 3, 3))}

    table = lesion_cells(lesions, FIELD, grids=[(6, 6), (2, 2)])
    summary = cell_summary(table).set_index(["grid", "type"])

    assert table.loc[table["grid"] == "6x6", "alone"].tolist() == [0.25, 0.25, 1.0, 0.5, 1.0]
    assert summary.loc[("6x6", "any"), "lesions"] == 5
    assert summary.loc[("6x6", "ma"), "of_cell"] == pytest.approx(0.01)
    assert summary.loc[("2x2", "he"), "share"] == pytest.approx(np.median([2, 9]) / 3600)
    assert summary.loc[("2x2", "he"), "share_high"] == pytest.approx(np.quantile([2, 9], 0.75) / 3600)


def test_wrong_use_is_refused_with_what_to_do(rng):
    relevance = rng.random((60, 60))
    lesions = {"ma": marked((1, 1, 1, 1))}

    with pytest.raises(ValueError, match=r"ma must be of the map's size 50 x 60, got 60 x 60; bring the map"):
        lesion_table(relevance[:50], lesions, FIELD[:50])
    with pytest.raises(ValueError, match=r"lesions must have at least one type, got none; leave out"):
        lesion_table(relevance, {}, FIELD)
    with pytest.raises(ValueError, match=r"flagged must be a share above 0 and up to 1, got 1.5"):
        lesion_table(relevance, lesions, FIELD, flagged=1.5)
    with pytest.raises(ValueError, match=r"overlap must be a share above 0 and up to 1, got 0"):
        lesion_table(relevance, lesions, FIELD, overlap=0.0)
    with pytest.raises(ValueError, match=r"field must have lesion-free pixels, got none"):
        lesion_table(relevance, {"ma": FIELD}, FIELD)
    with pytest.raises(ValueError, match=r"grid must have 1 to 60 rows and 1 to 60 columns"):
        lesion_cells(lesions, FIELD, grids=[(61, 7)])
    with pytest.raises(ValueError, match=r"lesions must be of the map's size"):
        components(marked()[:5], FIELD)
