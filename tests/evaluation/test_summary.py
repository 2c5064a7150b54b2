"""What `fundoscope evaluate` says: right, complete, and honest about what it cannot say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.decide.kappa import kappa
from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate_pair
from fundoscope.evaluation.measures import rates
from fundoscope.evaluation.statistics.interval import patient_interval, proportion_interval
from fundoscope.evaluation.statistics.rates import wilson
from fundoscope.evaluation.summary import Summary, summarise
from fundoscope.tables.pair import Pair, Reference


def clinic_rows(rng: np.random.Generator, photographs: int = 120) -> pd.DataFrame:
    """Two photographs of each patient, graded well but not perfectly, as `tables.join` gives them."""
    grades = rng.permutation(np.arange(photographs) % 5)
    shares = rng.dirichlet(np.ones(5), photographs)
    shares[np.arange(photographs), grades] += 0.6
    shares /= shares.sum(axis=1, keepdims=True)
    rows = pd.DataFrame({f"p{k}": shares[:, k] for k in range(5)})
    referable = shares[:, 2:].sum(axis=1)
    return rows.assign(
        image=[f"{k}.jpg" for k in range(photographs)],
        patient=[f"p{k // 2}" for k in range(photographs)],
        grade=pd.array(grades, dtype="Int64"),
        predicted_grade=pd.array(shares.argmax(axis=1), dtype="Int64"),
        p_referable=referable,
        status="graded",
        decision=np.where(referable >= 0.5, "refer", "rescreen"),
    )


def refuse(rows: pd.DataFrame, which: list[int]) -> pd.DataFrame:
    """The same with some photographs ungradable; they keep their probabilities."""
    rows = rows.copy()
    rows.loc[which, "status"] = "ungradable"
    rows.loc[which, "decision"] = "cannot grade"
    rows.loc[which, "predicted_grade"] = pd.NA
    return rows


def evaluation_of(rows: pd.DataFrame, *, listed: pd.DataFrame | None = None, **options) -> Evaluation:
    """Evaluate rows as if they were two tables that had been read and joined."""
    chosen = rows if listed is None else listed
    data = {"predictions": "a.csv", "predictions_sha256": "a" * 64, "manifest": "b.csv", "manifest_sha256": "b" * 64}
    pair = Pair(
        predictions=Path("a.csv"),
        reference=Reference(Path("b.csv"), chosen, chosen, "test", unseen_patients=True),
        rows=rows,
        predicted=tuple(rows["image"]),
        data=data | {"only_predicted": 0, "only_listed": 0},
    )
    return evaluate_pair(pair, EvaluationOptions(**{"resamples": 100, **options}))


def quick(rows: pd.DataFrame, **options) -> Summary:
    return summarise(cases_of(rows), resamples=200, **options)


def test_the_kappa_and_its_interval_are_those_of_the_slow_loop(rng):
    rows = clinic_rows(rng)

    ours = quick(rows, seed=4, level=0.9, method="percentile").intervals["quadratic_kappa"]

    slow = patient_interval(
        kappa,
        rows["grade"].to_numpy(int),
        rows["predicted_grade"].to_numpy(int),
        pd.factorize(rows["patient"])[0],
        rng=np.random.default_rng(4),
        resamples=200,
        level=0.9,
    )
    assert (ours.estimate, ours.low, ours.high) == pytest.approx((slow.estimate, slow.low, slow.high))


def test_the_aurocs_are_scikit_learns(rng):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    rows = clinic_rows(rng)

    found = quick(rows).intervals

    for name, cut in (("any", 1), ("referable", 2), ("sight_threatening", 3)):
        score = rows[[f"p{k}" for k in range(cut, 5)]].sum(axis=1)
        assert found[f"{name}_auroc"].estimate == pytest.approx(metrics.roc_auc_score(rows["grade"] >= cut, score))


def test_every_figure_asked_for_is_there_with_an_interval(rng):
    summary = quick(clinic_rows(rng))

    per_grade = [f"grade{k}_{rate}" for k in range(5) for rate in ("sensitivity", "specificity", "precision", "f1")]
    for name in (
        *("quadratic_kappa", "linear_kappa", "unweighted_kappa", "accuracy", "mean_absolute_error", "off_by_one"),
        *("any_auroc", "referable_auroc", "sight_threatening_auroc"),
        *("decision_sensitivity", "decision_specificity", *per_grade),
        *("balanced_accuracy", "mean_squared_error", "macro_f1", "weighted_f1", "referable_f1"),
        *("auroc_one_vs_rest", "auroc_one_vs_one", "any_average_precision", "referable_sensitivity_at_specificity_90"),
        *("sight_threatening_specificity_at_sensitivity_95", "log_loss", "brier", "referable_brier"),
        *("referable_calibration_in_the_large", "referable_calibration_slope"),
    ):
        interval = summary.intervals[name]
        assert interval.low <= interval.high, name
        assert not math.isnan(interval.estimate), name
    # Rates that are 1 at the best threshold do not vary: none of them claims certainty.
    certain = {name for name, interval in summary.intervals.items() if "_at_s" in name and interval.estimate == 1}
    biased = (*(f"calibration_error{kind}" for kind in ("", "_classwise", "_equal_mass")),)
    biased += ("referable_brier_reliability", "referable_brier_resolution", "referable_calibration_error")
    assert sorted(set(summary.missing) - certain) == sorted(biased)
    for name in biased:
        assert not math.isnan(summary.intervals[name].estimate)
        assert math.isnan(summary.intervals[name].low)
        assert summary.missing[name].startswith("no interval: chance raises it")
    assert sum(summary.support) == 120
    assert sum(map(sum, summary.confusion)) == 120


def test_refused_photographs_that_are_referred_are_counted_as_such_and_not_as_graded(rng):
    rows = clinic_rows(rng)
    referable = rows.index[rows["grade"] >= 2][:3].tolist()
    refused = refuse(rows, referable)
    refused.loc[referable, "decision"] = "cannot grade, refer"

    summary, otherwise = quick(refused), quick(refuse(rows, referable))

    assert summary.decisions["referable"]["cannot grade, refer"] == 3
    assert summary.decisions["referable"]["cannot grade"] == 0
    assert summary.counts["with_grade"] == 117
    # Of those graded nothing changes, and ungradable was taken for referred before.
    assert summary.to_dict()["statistics"] == otherwise.to_dict()["statistics"]


def test_photographs_that_cannot_be_graded_are_counted_and_shown_but_no_grade_is_made_up_for_them(rng):
    rows = clinic_rows(rng)
    referable = rows.index[rows["grade"] >= 2][:3].tolist()
    healthy = rows.index[rows["grade"] < 2][:2].tolist()

    summary = quick(refuse(rows, referable + healthy))

    assert summary.counts["ungradable"] == 5
    assert summary.counts["with_grade"] == 115
    assert summary.decisions["referable"]["cannot grade"] == 3
    assert summary.decisions["not_referable"]["cannot grade"] == 2
    without = quick(rows.drop(index=referable + healthy).reset_index(drop=True))
    for name in ("quadratic_kappa", "referable_auroc", "decision_sensitivity", "calibration_error"):
        assert summary.intervals[name].estimate == pytest.approx(without.intervals[name].estimate)


def test_counting_cannot_grade_as_refer_raises_sensitivity_and_lowers_specificity_by_those_cases(rng):
    rows = clinic_rows(rng)
    referable = rows.index[rows["grade"] >= 2][:3].tolist()
    healthy = rows.index[rows["grade"] < 2][:2].tolist()

    summary = quick(refuse(rows, referable + healthy))

    sides = summary.decisions
    found = summary.intervals
    yes, no = sides["referable"], sides["not_referable"]
    assert found["decision_sensitivity"].estimate == pytest.approx(yes["refer"] / (yes["refer"] + yes["rescreen"]))
    assert found["decision_cannot_grade_as_refer_sensitivity"].estimate == pytest.approx(
        (yes["refer"] + 3) / sum(yes.values())
    )
    assert found["decision_cannot_grade_as_refer_specificity"].estimate == pytest.approx(
        no["rescreen"] / sum(no.values())
    )


def test_including_the_ungradable_measures_their_likeliest_grade(rng):
    rows = clinic_rows(rng)

    whole = quick(rows)
    included = quick(refuse(rows, [0, 1, 2]), include_ungradable=True)

    assert included.counts["with_grade"] == 120
    assert included.intervals["quadratic_kappa"] == whole.intervals["quadratic_kappa"]
    assert included.intervals["referable_auroc"] == whole.intervals["referable_auroc"]


def test_an_unreadable_photograph_is_in_no_figure_but_in_the_count(rng):
    rows = clinic_rows(rng)
    broken = rows.copy()
    broken.loc[0, [f"p{k}" for k in range(5)]] = np.nan
    broken.loc[0, "p_referable"] = np.nan
    broken["predicted_grade"] = broken["predicted_grade"].where(broken.index != 0)
    broken.loc[0, ["status", "decision"]] = ["unreadable", "cannot grade"]

    summary = quick(broken)

    assert summary.counts["unreadable"] == 1
    assert summary.counts["photographs"] == 120
    assert summary.counts["with_grade"] == 119
    assert (
        summary.intervals["decision_cannot_grade_as_refer_sensitivity"]
        == quick(rows.iloc[1:].reset_index(drop=True)).intervals["decision_cannot_grade_as_refer_sensitivity"]
    )


def test_rows_without_a_reference_grade_are_counted_and_left_out(rng):
    rows = clinic_rows(rng)
    rows.loc[[0, 1], "grade"] = pd.NA

    summary = quick(rows)

    assert summary.counts["without_reference_grade"] == 2
    assert summary.counts["photographs"] == 118
    assert summary.counts["patients"] == 59


def test_a_foreign_table_of_grades_alone_gets_what_can_be_computed(rng):
    summary = quick(clinic_rows(rng)[["image", "patient", "grade", "predicted_grade"]])

    assert not math.isnan(summary.intervals["quadratic_kappa"].low)
    assert not math.isnan(summary.intervals["referable_sensitivity"].low)
    assert summary.missing["referable_auroc"] == "the predictions have no probability of it"
    assert summary.missing["calibration_error"] == "the predictions have no p0 to p4"
    assert summary.missing["decision_sensitivity"] == "the predictions have no decision"


def test_a_foreign_score_alone_gets_its_auroc(rng):
    rows = clinic_rows(rng)

    summary = quick(rows[["image", "patient", "grade", "p_referable"]])

    assert summary.intervals["referable_auroc"] == quick(rows).intervals["referable_auroc"]
    assert summary.missing["any_auroc"] == "the predictions have no probability of it"
    assert summary.missing["quadratic_kappa"] == "the predictions have no grade"


def test_probabilities_without_a_grade_answer_the_likeliest(rng):
    rows = clinic_rows(rng)

    summary = quick(rows.drop(columns=["predicted_grade", "status"]))

    assert summary.intervals["accuracy"] == quick(rows).intervals["accuracy"]


def test_a_grade_that_does_not_occur_is_said_and_does_not_stop_the_rest(rng):
    rows = clinic_rows(rng)
    rows = rows[(rows["grade"] < 2)].reset_index(drop=True)

    summary = quick(rows)

    assert summary.missing["grade4_sensitivity"] == "no photograph of grade 4 (proliferative)"
    assert summary.missing["referable_auroc"] == "no photograph of grade 2 or above"
    assert summary.missing["decision_sensitivity"] == "undefined on these photographs"
    assert not math.isnan(summary.intervals["mean_absolute_error"].low)


def test_of_a_rare_grade_rates_have_wilsons_interval_and_all_else_says_why_it_has_none(rng):
    rows = clinic_rows(rng)
    rows["grade"] = pd.array([4] + [0, 1] * 59 + [0], dtype="Int64")

    summary = quick(rows)

    found = summary.intervals["grade4_sensitivity"]
    assert (found.low, found.high) == pytest.approx(proportion_interval(int(found.estimate), 1, method="wilson"))
    assert not math.isnan(summary.intervals["referable_auroc"].estimate)
    assert summary.missing["referable_auroc"].startswith("no interval: undefined on ")
    assert summary.missing["referable_auroc"].endswith(" of 200 resamples of patients")


def test_one_patient_alone_is_one_case_of_a_rate_and_all_else_has_no_interval(rng):
    summary = quick(clinic_rows(rng).assign(patient="one"))

    found = summary.intervals["accuracy"]
    assert (found.low, found.high) == pytest.approx(wilson(found.estimate, 1.0, level=0.95))
    assert not math.isnan(summary.intervals["quadratic_kappa"].estimate)
    assert summary.missing["quadratic_kappa"] == "no interval: fewer than two patients"


def test_photographs_without_patient_count_as_one_each_and_are_counted(rng):
    rows = clinic_rows(rng)
    rows.loc[[0, 1, 2], "patient"] = None

    counts = quick(rows).counts

    assert (counts["without_patient"], counts["patients"]) == (3, 62)


def test_nothing_at_all_is_no_crash(rng):
    summary = quick(clinic_rows(rng).iloc[:0])

    assert all(math.isnan(interval.estimate) for interval in summary.intervals.values())
    json.dumps(summary.to_dict(), allow_nan=False)


def test_the_json_is_stable_and_holds_no_nan(rng):
    summary = quick(refuse(clinic_rows(rng), [0]))

    answer = json.loads(json.dumps(summary.to_dict(), allow_nan=False))

    assert answer["schema"] == 1
    assert list(answer) == [
        *("schema", "interval", "level", "resamples", "seed", "include_ungradable", "ece_bins", "counts", "support"),
        *("confusion", "decisions", "statistics", "human", "confusion_shares", "prevalence", "delong", "signs"),
        "or_dme",
    ]
    entry = answer["statistics"]["decision_sensitivity"]
    assert set(entry) == {
        *("estimate", "low", "high", "undefined", "exact_low", "exact_high", "wilson_low", "wilson_high")
    }
    assert set(answer["statistics"]["any_auroc"]) == {
        *("estimate", "low", "high", "undefined", "delong_low", "delong_high")
    }
    assert answer["delong"].startswith("Obuchowski")
    assert answer["confusion_shares"][1][2] == answer["confusion"][1][2] / answer["support"][1]
    assert entry["exact_low"] < entry["estimate"] < entry["exact_high"]
    assert (answer["human"]["quadratic_kappa"], answer["human"]["accuracy"]) == (0.554, 0.598)
    assert answer["human"]["photographs"] == 1593


def test_the_same_seed_gives_the_same_answer_and_another_another(rng):
    rows = clinic_rows(rng)

    assert quick(rows, seed=1).to_dict() == quick(rows, seed=1).to_dict()
    assert quick(rows, seed=1).intervals != quick(rows, seed=2).intervals


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_photographing_every_eye_again_changes_no_interval(rng, method):
    """Copies of a patient's photographs add no patient: not one figure moves but the counts."""
    rows = clinic_rows(rng, 80)
    twice = pd.concat([rows, rows.assign(image="again/" + rows["image"])], ignore_index=True)

    once, again = (quick(each, method=method).to_dict()["statistics"] for each in (rows, twice))

    everyone = np.ones(80, dtype=bool)
    of_rates = rates(cases_of(rows), everyone, everyone)
    for name, entry in once.items():
        for key in ("estimate", "low", "high", "delong_low", "delong_high"):
            if name in of_rates and key in ("low", "high"):
                # Where patients' photographs differ more than strangers' no more cases are counted than photographs.
                assert entry["low"] - 1e-9 <= again[name]["low"] <= again[name]["high"] <= entry["high"] + 1e-9, name
            else:
                assert again[name].get(key) == pytest.approx(entry.get(key), abs=1e-9), (name, key)


def test_predictive_values_are_told_at_the_prevalence_asked_for_only(rng):
    rows = clinic_rows(rng)

    asked, not_asked = quick(rows, prevalence=0.1), quick(rows)

    of = {name: interval.estimate for name, interval in asked.intervals.items()}
    hit, alarm = 0.1 * of["decision_sensitivity"], 0.9 * (1 - of["decision_specificity"])
    assert of["decision_ppv_at_prevalence"] == pytest.approx(hit / (hit + alarm))
    assert asked.to_dict()["prevalence"] == 0.1
    assert not any("prevalence" in name for name in not_asked.intervals)


def test_delong_is_clustered_exactly_where_patients_repeat(rng):
    rows = clinic_rows(rng)

    assert quick(rows).delong_method.startswith("Obuchowski 1997")
    assert quick(rows.assign(patient=rows["image"])).delong_method.startswith("DeLong 1988")


def test_bca_says_why_it_has_no_interval(rng):
    """The only referable patient cannot be left out."""
    rows = clinic_rows(rng)
    rows["grade"] = pd.array([0, 1] * 59 + [2, 2], dtype="Int64")

    found = quick(rows, method="bca")

    assert found.missing["referable_auroc"].startswith("no interval: undefined on ")
    assert not math.isnan(found.intervals["accuracy"].low)


def test_prediction_sets_are_counted_where_there_are_any(rng):
    rows = clinic_rows(rng)
    held = [k % 10 > 0 for k in range(120)]
    sets = [
        f"{grade}" if inside else f"{(grade + 1) % 5} {(grade + 2) % 5}"
        for grade, inside in zip(rows["grade"], held, strict=True)
    ]
    with_sets = rows.assign(grades_set=[None, *sets[1:]])

    found = quick(with_sets).intervals

    assert found["set_coverage"].estimate == pytest.approx(sum(held[1:]) / 119)
    assert found["set_coverage"].low < 0.9 < found["set_coverage"].high
    assert found["set_size"].estimate == pytest.approx(sum(len(each.split()) for each in sets[1:]) / 119)
    assert "set_coverage" not in quick(rows).intervals
