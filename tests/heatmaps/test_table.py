"""Tables of all maps: what a row holds, means over photographs, and differences on the same photographs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.interval import patient_interval
from fundoscope.heatmaps.baselines import centre_blob, chance_scores, uniform_map
from fundoscope.heatmaps.lesions import lesion_table
from fundoscope.heatmaps.scores import off_target_share, rank_map, upsample
from fundoscope.heatmaps.table import CHANCE, NONE, Scene, differences, map_table, summarise
from fundoscope.photo.fov import Field

SIDE = 48
FIELD = Field(24.0, 24.0, 22.0, 1.0).mask(SIDE, SIDE)


def scene(rng, image="a.jpg", patient=None):
    """Microaneurysms and one haemorrhage, no exudate, and a disc."""
    small, large, disc = (np.zeros((SIDE, SIDE), bool) for _ in range(3))
    for row, column in rng.integers(10, 36, size=(4, 2)):
        small[row, column] = True
    large[12:18, 20:25] = True
    disc[20:26, 36:42] = True
    lesions = {"ma": small & ~large, "he": large, "ex": np.zeros_like(small)}
    return Scene(image=image, field=FIELD, lesions=lesions, disc=disc, patient=patient)


@pytest.fixture(scope="module")
def clinic():
    """A good method, a poor one, and a blob, on eight photographs of four patients."""
    rng = np.random.default_rng(11)
    tables = []
    for number in range(8):
        one = scene(rng, f"{number}.jpg", patient=f"p{number // 2}")
        every = np.any(list(one.lesions.values()), axis=0)
        noise = rng.random((SIDE, SIDE)) * FIELD
        maps = {"good": noise + every, "poor": noise, "centre": centre_blob(FIELD)}
        tables.append(map_table(one, maps))
    return pd.concat(tables, ignore_index=True)


def test_a_row_holds_what_each_measure_says_by_itself(rng):
    one, relevance = scene(rng), rng.random((7, 7))

    table = map_table(one, {"cam": relevance}).set_index(["method", "lesions"])
    row = table.loc[("cam", "ma")]

    laid = upsample(relevance, SIDE, SIDE)
    each = rank_map(laid, FIELD).scores(one.lesions["ma"], left_out=one.lesions["he"])
    found = lesion_table(laid, {"ma": one.lesions["ma"], "he": one.lesions["he"]}, FIELD)
    assert row[list(each.to_dict())].to_dict() == pytest.approx(each.to_dict())
    assert row["covered"] == pytest.approx(found.loc[found["type"] == "ma", "covered"].mean())
    assert table.loc[("cam", "any"), "found"] == pytest.approx(found["found"].mean())
    assert row["outside"] == pytest.approx(off_target_share(laid, FIELD).outside)
    assert [kind for _, kind in table.index] == ["any", "ma", "he", "0.01 to 0.08 %", "above 0.08 %"] * 2


def test_rows_of_a_size_are_of_the_lesions_of_that_size_with_the_others_left_out(rng):
    """Here every microaneurysm is smaller than 0.08 % of the field, and the haemorrhage is not."""
    table = map_table(scene(rng), {"cam": rng.random((7, 7))}).set_index(["method", "lesions"])

    for method in ("cam", CHANCE):
        for kind, size in (("ma", "0.01 to 0.08 %"), ("he", "above 0.08 %")):
            pd.testing.assert_series_equal(table.loc[(method, kind)], table.loc[(method, size)], check_names=False)


def test_the_energy_of_the_types_adds_up_to_the_energy_of_all(rng):
    table = map_table(scene(rng), {"cam": rng.random((7, 7))})
    energy = table[table["method"] == "cam"].set_index("lesions")["energy"]

    assert energy["ma"] + energy["he"] == pytest.approx(energy["any"])


def test_the_row_of_chance_is_the_closed_form_and_the_uniform_map_earns_it(rng):
    one = scene(rng)

    table = map_table(one, {"uniform": uniform_map(FIELD)}).set_index(["method", "lesions"])

    closed = chance_scores(one.lesions["he"], FIELD, left_out=one.lesions["ma"]).to_dict()
    assert table.loc[(CHANCE, "he"), list(closed)].to_dict() == pytest.approx(closed)
    both = [*closed, "covered", "outside", "disc"]
    assert table.loc[("uniform", "he"), both].to_dict() == pytest.approx(table.loc[(CHANCE, "he"), both].to_dict())


def test_a_photograph_without_lesions_is_scored_by_where_relevance_strays_only(rng):
    healthy = Scene(image="h.jpg", field=FIELD, lesions={"ma": ~FIELD})

    table = map_table(healthy, {"cam": np.ones((4, 4)), "nothing": np.zeros((4, 4))})

    assert table["lesions"].tolist() == [NONE] * 3
    assert "auroc" not in table
    assert table["empty"].tolist() == [0, 0, 1]
    assert table["outside"].tolist() == pytest.approx([0, (~FIELD).mean(), np.nan], nan_ok=True)


def test_the_mean_and_its_interval_are_those_of_drawing_patients(clinic):
    table = clinic
    part = table[(table["method"] == "poor") & (table["lesions"] == "any")]

    summary = summarise(table, resamples=300, seed=5).set_index(["method", "lesions", "score"])

    row = summary.loc[("poor", "any", "auroc")]
    slow = patient_interval(
        lambda _, scores: float(scores.mean()),
        np.zeros(8, np.int64),
        part["auroc"].to_numpy(),
        part["patient"].to_numpy(),
        rng=np.random.default_rng(5),
        resamples=300,
    )
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((slow.estimate, slow.low, slow.high))
    assert (row["photographs"], row["patients"]) == (8, 4)
    assert set(summary.index.get_level_values("score")) >= {"pointing", "found", "outside", "empty"}


def test_the_difference_on_the_same_photographs_is_narrower_than_either_mean(clinic):
    table = clinic

    paired = differences(table, "poor", scores=["auroc"], resamples=200).set_index(["method", "lesions"])
    alone = summarise(table, scores=["auroc"], resamples=200).set_index(["method", "lesions"])

    good = paired.loc[("good", "any")]
    assert good["mean"] == pytest.approx(alone.loc[("good", "any"), "mean"] - alone.loc[("poor", "any"), "mean"])
    assert good["low"] > 0
    assert good["baseline"] == "poor"
    assert "poor" not in paired.index
    assert (CHANCE, "he") in paired.index


def test_pairs_are_matched_by_name_not_by_the_order_of_rows(clinic):
    table = clinic
    mixed = table.sample(frac=1, random_state=3)

    first, second = (
        differences(each, CHANCE, scores=["mass"], resamples=20).set_index(["method", "lesions"])["mean"].sort_index()
        for each in (table, mixed)
    )

    pd.testing.assert_series_equal(first, second)


def test_a_photograph_without_a_value_is_left_out_of_that_mean_and_of_its_pairs(clinic):
    table = clinic.copy()
    table.loc[(table["image"] == "0.jpg") & (table["method"] == "good"), "auroc"] = np.nan

    row = summarise(table, scores=["auroc"], resamples=50).set_index(["method", "lesions"]).loc[("good", "any")]
    pair = differences(table, "poor", scores=["auroc"], resamples=50).set_index(["method", "lesions"])

    assert row["photographs"] == pair.loc[("good", "any"), "photographs"] == 7
    assert pair.loc[("centre", "any"), "photographs"] == 8


def test_photographs_whose_patient_is_unknown_count_as_patients_of_their_own(clinic):
    table = clinic.assign(patient=None)

    row = summarise(table, scores=["mass"], resamples=50).iloc[0]

    assert row["patients"] == row["photographs"] == 8


def test_further_scores_join_the_summary(clinic):
    table = clinic.assign(road_gap=0.25)

    summary = summarise(table, scores=["road_gap"], resamples=20)

    assert (summary["mean"] == 0.25).all()
    assert summary["low"].isna().all(), "values that do not vary say nothing of how certain their mean is"


def test_wrong_tables_are_refused_with_what_to_do(rng, clinic):
    table = clinic

    with pytest.raises(BadTable, match=r"lesions is missing; put together what `map_table` returns"):
        summarise(table.drop(columns="lesions"))
    with pytest.raises(BadTable, match=r"expected one row for each photograph, method and kind of lesion, got 0.jpg"):
        summarise(pd.concat([table, table]))
    with pytest.raises(BadTable, match=r"baseline 'vessels': expected a method of the table, which holds chance, good"):
        differences(table, "vessels")
    with pytest.raises(ValueError, match=r"maps must hold at least one method's map of a.jpg, got none"):
        map_table(scene(rng), {})
    with pytest.raises(ValueError, match=r"maps must not name a method 'chance'"):
        map_table(scene(rng), {CHANCE: np.ones((3, 3))})
