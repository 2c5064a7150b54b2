"""A speck is compact, stands out of the mean, and is there in most photographs and in all parts of them."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.photo.artefacts.find import MeasuredSpeck, count_by_chance, depths_of, find_specks, specks_of_mean
from fundoscope.photo.artefacts.make import windows_of

SIZE = (120, 160)


@pytest.fixture
def noise(rng) -> np.ndarray:
    """Planes of 40 photographs without anything in them, as steps."""
    return rng.normal(0, 8, size=(40, *SIZE))


def spot(row: float, column: float, radius: float, depth: float, *, along: float = 1.0) -> np.ndarray:
    """A Gaussian spot with half its depth at the radius, stretched along the columns, as steps."""
    rows, columns = np.indices(SIZE) + 0.5
    squared = (rows - row) ** 2 + ((columns - column) / along) ** 2
    return -400 * depth * np.exp(-np.log(2) * squared / radius**2)


def as_stack(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), -127, 127).astype(np.int8)


def test_dark_and_bright_spots_are_found_with_their_sign(noise):
    stack = as_stack(noise + spot(60, 50, 2.5, 0.15) + spot(40, 110, 2.0, -0.15))

    bright, dark = find_specks(stack, windows_of(40))

    assert (dark.row, dark.column) == pytest.approx((60, 50), abs=0.5)
    assert (bright.row, bright.column) == pytest.approx((40, 110), abs=0.5)
    assert (np.sign(dark.depth), np.sign(bright.depth)) == (1, -1)
    assert dark.radius == pytest.approx(2.5, abs=0.6)
    assert dark.stability == 1.0


@pytest.mark.parametrize(
    "shape",
    [
        {"row": 60.0, "column": 50.0, "radius": 2.0, "depth": 0.2, "along": 6.0},
        {"row": 60.0, "column": 50.0, "radius": 16.0, "depth": 0.2},
        {"row": 60.0, "column": 50.0, "radius": 2.5, "depth": 0.012},
        {"row": 60.0, "column": 2.0, "radius": 2.5, "depth": 0.2},
    ],
    ids=["a vessel", "a disc or a fovea", "too faint to show", "the rim"],
)
def test_what_is_long_large_faint_or_at_the_rim_is_no_speck(noise, shape):
    assert find_specks(as_stack(noise + spot(**shape)), windows_of(40)) == []


def test_what_few_photographs_show_strongly_is_no_speck(noise):
    """Vessels of a third of the patients may cross at one place."""
    strong = noise.copy()
    strong[::3] += spot(60, 50, 2.5, 0.3)

    assert find_specks(as_stack(strong), windows_of(40)) == []


@pytest.mark.parametrize(("there", "stability"), [(slice(0, 30), None), (slice(10, 40), 0.75)])
def test_what_is_gone_in_the_last_window_is_left_out_and_what_came_later_kept(noise, there, stability):
    noise[there] += spot(60, 50, 2.5, 0.2)

    specks = find_specks(as_stack(noise), windows_of(40))

    assert [speck.stability for speck in specks] == ([] if stability is None else [stability])


def test_moved_photographs_have_no_specks(noise):
    stack = as_stack(noise + spot(60, 50, 2.5, 0.2))

    assert count_by_chance(stack, windows_of(40)) == 0
    assert len(find_specks(stack, windows_of(40))) == 1


def test_known_specks_are_measured_again(noise):
    stack = as_stack(noise + spot(60, 50, 2.5, 0.2) + spot(40, 110, 2.0, -0.15))
    known = [MeasuredSpeck(row=row, column=column, radius=2.0, depth=depth) for row, column, depth in
             ((60.0, 50.0, 0.2), (40.0, 110.0, -0.15), (90.0, 90.0, 0.2))]  # fmt: skip

    there, bright, gone = depths_of(stack, known)

    assert there > 0.1
    assert bright > 0.06
    assert gone < 0.03


def test_a_mean_that_shows_nothing_has_no_specks():
    assert specks_of_mean(np.full(SIZE, np.nan, np.float32)) == []
