"""Statistics group by group: right, honest about small groups, and about the gap that was picked."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_summary import clinic_rows, refuse

from fundoscope.evaluation import subgroups as subgroups_module
from fundoscope.evaluation.cases import Cases, cases_of
from fundoscope.evaluation.statistics.agreement import agreement_statistics, confusions
from fundoscope.evaluation.statistics.detection import aurocs, hit_rates
from fundoscope.evaluation.statistics.interval import INTERVALS, Statistics, patient_intervals, proportion_interval
from fundoscope.evaluation.statistics.reliability import calibration_errors
from fundoscope.evaluation.subgroups import (
    DME_STATISTICS,
    FEW_PATIENTS,
    STATISTICS,
    statistics_by_group,
    statistics_of,
    subgroups,
)
from fundoscope.evaluation.summary import summarise


@pytest.fixture
def rows(rng) -> pd.DataFrame:
    """Two photographs of each of 120 patients of two sites."""
    return clinic_rows(rng, 240).assign(site=["north" if k // 2 % 2 else "south" for k in range(240)])


def test_each_group_measured_alone_is_what_the_group_says(rows):
    (found,) = subgroups(cases_of(rows), resamples=100)

    for group in found.groups:
        alone = summarise(cases_of(rows[rows["site"] == group.value]), resamples=100).intervals
        for name, own in {
            "quadratic_kappa": "quadratic_kappa",
            "accuracy": "accuracy",
            "referable_auroc": "referable_auroc",
            "sensitivity": "decision_sensitivity",
            "specificity": "decision_specificity",
            "calibration_error": "calibration_error",
        }.items():
            assert group.intervals[name].estimate == pytest.approx(alone[own].estimate, abs=1e-12), name
            assert (
                group.intervals[name].low <= alone[own].estimate <= group.intervals[name].high
                or name == "calibration_error"
            )
    assert [(each.photographs, each.patients) for each in found.groups] == [(120, 60), (120, 60)]


def test_the_largest_gap_is_a_difference_of_the_two_groups_furthest_apart(rows):
    (found,) = subgroups(cases_of(rows), resamples=100)

    values = {each.value: each.intervals["accuracy"].estimate for each in found.groups}
    gap = found.gaps["accuracy"]
    assert gap.interval.estimate == pytest.approx(max(values.values()) - min(values.values()))
    assert values[gap.highest] == max(values.values())
    assert gap.interval.low < gap.interval.estimate < gap.interval.high
    assert gap.among == 2


def test_a_site_that_is_graded_badly_stands_out_and_a_random_one_does_not(rows, rng):
    bad = (rows["site"] == "south").to_numpy()
    spoilt = rows.copy()
    spoilt.loc[bad, "predicted_grade"] = (rows.loc[bad, "predicted_grade"] + rng.integers(1, 5, bad.sum())) % 5

    (found,), (fair,) = (subgroups(cases_of(each), resamples=199) for each in (spoilt, rows))

    assert found.gaps["accuracy"].highest == "north"
    assert found.gaps["accuracy"].interval.low > 0
    assert found.gaps["accuracy"].p_chance == pytest.approx(1 / 200)
    assert fair.gaps["accuracy"].p_chance > 0.05


def test_the_largest_of_many_chance_gaps_is_no_finding_though_its_interval_leaves_out_nought(rng):
    """Eight groups dealt out by chance: the picked pair looks apart more often than it should, the p-value does not."""
    apart, found = 0, []
    for run in range(8):
        rows = clinic_rows(np.random.default_rng(run), 600).assign(site=[f"s{k // 2 % 8}" for k in range(600)])
        gap = subgroups(cases_of(rows), resamples=99)[0].gaps["accuracy"]
        apart += gap.interval.low > 0
        found.append(gap.p_chance)

    assert apart >= 3
    assert sum(p <= 0.05 for p in found) <= 3


def test_a_group_too_small_says_so_and_is_in_no_gap(rows):
    tiny = rows.assign(site=["tiny" if k < 2 * (FEW_PATIENTS - 1) else "large" for k in range(240)])

    (found,) = subgroups(cases_of(tiny), resamples=100)

    small = {each.value: each.too_small for each in found.groups}
    assert small == {"tiny": tuple(STATISTICS), "large": ()}
    assert found.gaps == {}


def test_a_group_without_disease_has_no_sensitivity_but_a_specificity(rows):
    healthy = rows[(rows["grade"] < 2) | (rows["site"] == "north")].reset_index(drop=True)

    (found,) = subgroups(cases_of(healthy), resamples=100)

    south = next(each for each in found.groups if each.value == "south")
    assert south.too_small == ("referable_auroc", "sensitivity")
    assert math.isnan(south.intervals["sensitivity"].estimate)
    assert set(found.gaps) == {"quadratic_kappa", "accuracy", "specificity", "calibration_error"}


def test_a_group_with_nobody_missed_is_not_sure_to_miss_nobody(rows):
    perfect = rows.assign(decision=["refer" if grade >= 2 else "rescreen" for grade in rows["grade"]])

    group = subgroups(cases_of(perfect), resamples=100)[0].groups[0]

    ill = perfect[(perfect["site"] == group.value) & (perfect["grade"] >= 2)]["patient"].nunique()
    assert group.intervals["sensitivity"].estimate == group.intervals["sensitivity"].high == 1
    assert group.intervals["sensitivity"].low == pytest.approx(proportion_interval(ill, ill, method="wilson")[0])


def test_without_decisions_the_rates_are_those_of_the_grade(rows):
    bare = rows.drop(columns="decision")

    (found,) = subgroups(cases_of(bare), resamples=100)

    north = bare[bare["site"] == "north"]
    ill = north[north["grade"] >= 2]
    found_ill = next(each for each in found.groups if each.value == "north").intervals["sensitivity"].estimate
    assert found_ill == pytest.approx((ill["predicted_grade"] >= 2).mean())


def test_what_was_refused_is_left_out_unless_asked_for(rows):
    refused = refuse(rows, [0, 1])

    (without,), (with_them,) = (
        subgroups(cases_of(refused), resamples=100, include_ungradable=each) for each in (False, True)
    )

    assert sum(each.photographs for each in without.groups) == 238
    assert sum(each.photographs for each in with_them.groups) == 240


def test_the_answer_is_plain_json_with_these_keys(rows):
    (found,) = subgroups(cases_of(rows.assign(site=["a"] * 238 + ["b"] * 2)), resamples=100)

    answer = json.loads(json.dumps(found.to_dict(), allow_nan=False))

    assert set(answer) == {"column", "unknown", "groups", "gaps", "shifts"}
    assert set(answer["groups"][0]) == {
        *("value", "photographs", "patients", "referable_patients", "other_patients", "too_small", "statistics")
    }
    assert set(answer["groups"][1]["statistics"]["accuracy"]) == {"estimate", "low", "high", "undefined"}


def test_the_gap_as_json_names_both_groups(rows):
    answer = subgroups(cases_of(rows), resamples=100)[0].to_dict()

    assert set(answer["gaps"]["accuracy"]) == {
        *("highest", "lowest", "among", "p_chance", "estimate", "low", "high", "undefined")
    }


def photograph_by_photograph(cases: Cases, inside: list[np.ndarray], pair: tuple[int, int]) -> Statistics:
    """`STATISTICS` of each group, each from the weights of its own photographs: what sums over patients must equal."""
    ill, score = cases.reference >= 2, cases.score("referable")
    decision = np.array(cases.decision, dtype=object)

    def of_group(weights: np.ndarray, counted: np.ndarray) -> dict[str, np.ndarray]:
        graded, scored = counted & (cases.answered >= 0), counted & ~np.isnan(score)
        sure, decided = (
            counted & ~np.isnan(cases.probabilities[:, 0]),
            counted & np.isin(decision, ["refer", "rescreen"]),
        )
        agreed = agreement_statistics(confusions(weights[:, graded], cases.reference[graded], cases.answered[graded]))
        hit, cleared = hit_rates(weights[:, decided], ill[decided], decision[decided] == "refer")
        return {
            "quadratic_kappa": agreed["quadratic_kappa"],
            "accuracy": agreed["accuracy"],
            "referable_auroc": aurocs(weights[:, scored], ill[scored], score[scored]),
            "sensitivity": hit,
            "specificity": cleared,
            "calibration_error": calibration_errors(weights[:, sure], cases.probabilities[sure], cases.reference[sure]),
        }

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        each = [of_group(weights, counted) for counted in inside]
        found = {f"{at} {name}": values for at, of in enumerate(each) for name, values in of.items()}
        return found | {f"gap {name}": each[pair[0]][name] - each[pair[1]][name] for name in STATISTICS}

    return statistics


@pytest.mark.parametrize("method", INTERVALS)
def test_over_patients_and_photograph_by_photograph_all_intervals_are_one(rows, rng, method: str):
    """Groups that cut through patients, photographs without scores, refused ones, and a group of nobody."""
    patchy = refuse(rows, [0, 1, 7])
    patchy.loc[10:14, ["p_referable", *(f"p{k}" for k in range(5))]] = np.nan
    cases = cases_of(patchy)
    counted, codes = cases.counted(include_ungradable=True), rng.integers(0, 3, len(rows))
    inside = [counted & (codes == at) for at in range(4)]

    quick, slow = (
        patient_intervals(
            statistics, cases.patients, rng=np.random.default_rng(4), resamples=200, level=0.9, method=method
        )
        for statistics in (
            statistics_by_group([statistics_of(cases, each) for each in inside], dict.fromkeys(STATISTICS, (2, 0))),
            photograph_by_photograph(cases, inside, (2, 0)),
        )
    )

    assert quick.keys() == slow.keys()
    assert len(quick) == 5 * len(STATISTICS)
    for name, ours in quick.items():
        theirs = slow[name]
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (theirs.estimate, theirs.low, theirs.high), abs=1e-10, nan_ok=True
        ), name
        assert ours.undefined == theirs.undefined, name


def test_however_many_shuffles_come_at_once_chance_is_the_same(rows, monkeypatch):
    found = []
    for block in (1, 10**6):
        monkeypatch.setattr(subgroups_module, "PATIENT_BLOCK", block)
        found.append(subgroups(cases_of(rows), resamples=100)[0].to_dict()["gaps"])

    assert found[0] == found[1]


def test_where_dme_is_known_groups_have_figures_of_referable_or_dme_beside_the_others(rows, rng):
    dme = pd.array([None if value < 0 else value for value in rng.integers(-1, 3, len(rows))], dtype="Int64")
    cases = cases_of(rows.assign(dme=dme))

    (plain,), (with_dme,) = (subgroups(each, resamples=100) for each in (cases_of(rows), cases))

    assert list(plain.statistics) == list(STATISTICS)
    assert list(with_dme.statistics) == [*STATISTICS, *DME_STATISTICS]
    assert set(with_dme.to_dict()["groups"][0]["statistics"]) == set(with_dme.statistics)
    for before, group in zip(plain.groups, with_dme.groups, strict=True):
        assert {name: str(group.intervals[name]) for name in STATISTICS} == {
            name: str(interval) for name, interval in before.intervals.items()
        }
        alone = summarise(cases_of(cases.rows[cases.rows["site"] == group.value]), resamples=100)
        for name, same in (
            ("referable_or_dme_auroc", "referable_or_dme_auroc"),
            ("sensitivity_or_dme", "decision_referable_or_dme_sensitivity"),
            ("specificity_or_dme", "decision_referable_or_dme_specificity"),
        ):
            assert group.intervals[name].estimate == pytest.approx(alone.intervals[same].estimate), name
        low, _ = alone.wilson["decision_referable_or_dme_sensitivity"]
        assert group.intervals["sensitivity_or_dme"].low <= low + 1e-12
    assert with_dme.gaps["accuracy"] == plain.gaps["accuracy"]
    assert 0 < with_dme.gaps["sensitivity_or_dme"].p_chance <= 1


@pytest.mark.parametrize("dme", [2, None])
def test_a_group_without_photographs_known_to_be_negative_is_too_small_for_its_specificity(rows, dme):
    """All are positive by `dme`, or below the grade nobody's `dme` is known."""
    values = [dme if site == "south" else 0 for site in rows["site"]]

    north, south = subgroups(cases_of(rows.assign(dme=pd.array(values, dtype="Int64"))), resamples=100)[0].groups

    assert "specificity_or_dme" in south.too_small
    assert "referable_or_dme_auroc" in south.too_small
    assert "specificity" not in south.too_small
    assert "specificity_or_dme" not in north.too_small
