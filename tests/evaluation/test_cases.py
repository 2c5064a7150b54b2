"""Macular oedema beside the grade: who is positive, who is unknown, and the figures, against loops and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_summary import clinic_rows, evaluation_of, refuse

from fundoscope.evaluation.cases import Cases, cases_of
from fundoscope.evaluation.curves import compute_curves
from fundoscope.evaluation.report import words
from fundoscope.evaluation.statistics.interval import patient_interval
from fundoscope.evaluation.statistics.rates import effective_cases, wilson
from fundoscope.evaluation.summary import Summary, summarise

QUESTIONS = {"referable_or_dme": 2, "sight_threatening_or_dme": 3}


@pytest.fixture
def rows(rng: np.random.Generator) -> pd.DataFrame:
    """120 photographs, among them every grade with every `dme`, blank included; two are ungradable."""
    rows = clinic_rows(rng)
    dme = pd.array([None if value < 0 else value for value in rng.integers(-1, 3, len(rows))], dtype="Int64")
    return refuse(rows.assign(dme=dme), [3, 40])


@pytest.fixture
def summary(rows: pd.DataFrame) -> Summary:
    return summarise(cases_of(rows), resamples=200, seed=4, method="percentile")


def answer_of(row: pd.Series, cut: int) -> bool | None:
    """Whether a photograph is positive, as a person would say it; None: unknown."""
    if row["grade"] >= cut or (not pd.isna(row["dme"]) and row["dme"] == 2):
        return True
    return None if pd.isna(row["dme"]) else False


def known(rows: pd.DataFrame, name: str) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose answer is known, and the answers."""
    answers = [answer_of(row, QUESTIONS[name]) for _, row in rows.iterrows()]
    inside = [answer is not None for answer in answers]
    return rows[inside].reset_index(drop=True), np.array([answer for answer in answers if answer is not None])


@pytest.mark.parametrize(
    ("grade", "dme", "referable", "threatening"),
    [
        (0, 2, True, True),
        (0, 1, False, False),
        (1, 0, False, False),
        (1, None, None, None),
        (2, None, True, None),
        (2, 0, True, False),
        (3, None, True, True),
    ],
)
def test_a_blank_dme_is_unknown_unless_the_grade_is_positive_by_itself(grade, dme, referable, threatening):
    rows = pd.DataFrame({"image": ["a", "b"], "grade": pd.array([grade, 0]), "dme": pd.array([dme, 0], dtype="Int64")})
    cases = cases_of(rows.assign(predicted_grade=pd.array([0, 0])))

    for name, wanted in zip(QUESTIONS, (referable, threatening), strict=True):
        reference = cases.or_dme(name)
        assert bool(reference.known[0]) is (wanted is not None), name
        assert bool(reference.positive[0]) is bool(wanted), name
        assert bool(reference.present[0]) is (dme == 1), name


@pytest.mark.parametrize("name", QUESTIONS)
def test_auroc_and_average_precision_are_scikit_learns_on_the_photographs_that_are_known(rows, summary, name):
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    graded, positive = known(rows[rows["status"] == "graded"], name)
    score = graded[[f"p{k}" for k in range(QUESTIONS[name], 5)]].sum(axis=1)

    assert summary.intervals[f"{name}_auroc"].estimate == pytest.approx(metrics.roc_auc_score(positive, score))
    assert summary.intervals[f"{name}_average_precision"].estimate == pytest.approx(
        metrics.average_precision_score(positive, score)
    )
    answered = (graded["predicted_grade"] >= QUESTIONS[name]).to_numpy(bool)
    assert summary.intervals[f"{name}_f1"].estimate == pytest.approx(metrics.f1_score(positive, answered))
    assert summary.intervals[f"{name}_sensitivity"].estimate == pytest.approx(answered[positive].mean())


@pytest.mark.parametrize("name", QUESTIONS)
def test_rates_of_the_decision_and_their_intervals_are_those_of_the_slow_loop(rows, summary, name):
    decided, positive = known(rows[rows["decision"] != "cannot grade"], name)
    everyone, positive_of_all = known(rows, name)
    including = (everyone["decision"] != "rescreen").to_numpy(bool)

    for rate, side in (("sensitivity", positive), ("specificity", ~positive)):
        refer = (decided["decision"] == "refer").to_numpy(bool)
        right = refer if rate == "sensitivity" else ~refer
        ours = summary.intervals[f"decision_{name}_{rate}"]
        slow = patient_interval(
            lambda sides, rights: float(rights[sides == 1].mean()) if (sides == 1).any() else math.nan,
            side.astype(int),
            right,
            pd.factorize(decided["patient"])[0],
            rng=np.random.default_rng(4),
            resamples=200,
        )
        # Of a rate the wider of the bootstrap's interval and Wilson's.
        patients = pd.factorize(decided["patient"])[0]
        low, high = wilson(slow.estimate, effective_cases(right[side], patients[side]), level=0.95)
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (slow.estimate, min(slow.low, low), max(slow.high, high))
        ), rate
        assert (
            summary.wilson[f"decision_{name}_{rate}"][0] < ours.estimate < summary.exact[f"decision_{name}_{rate}"][1]
        )
    assert summary.intervals[f"decision_cannot_grade_as_refer_{name}_sensitivity"].estimate == pytest.approx(
        including[positive_of_all].mean()
    )


def test_photographs_are_counted_as_positive_negative_and_left_out(rows, summary):
    for name, cut in QUESTIONS.items():
        answers = [answer_of(row, cut) for _, row in rows.iterrows()]
        assert summary.or_dme[name] == {
            "positive": answers.count(True),
            "negative": answers.count(False),
            "unknown": answers.count(None),
            "negative_with_dme_present": int(((rows["grade"] < cut) & (rows["dme"] == 1)).sum()),
        }
        decisions = summary.decisions[name]
        assert sum(decisions.values()) == answers.count(True)
        assert sum(summary.decisions[f"not_{name}"].values()) == answers.count(False)


def test_figures_of_the_grade_alone_stay_what_they_are(rows, summary):
    without = summarise(cases_of(rows.drop(columns="dme")), resamples=200, seed=4, method="percentile")

    for name, interval in without.intervals.items():
        ours = summary.intervals[name]
        assert (ours.estimate, ours.low, ours.high) == pytest.approx(
            (interval.estimate, interval.low, interval.high), nan_ok=True
        ), name
    assert not [name for name in without.intervals if "dme" in name]
    assert without.or_dme == {}
    assert set(without.decisions) == {"referable", "not_referable"}


def test_a_column_of_blanks_knows_nothing(rows):
    blank = cases_of(rows.assign(dme=pd.array([None] * len(rows), dtype="Int64")))

    assert blank.dme is None
    with pytest.raises(ValueError, match="dme must be known of a photograph at least"):
        blank.or_dme("referable_or_dme")
    assert summarise(blank, resamples=100).or_dme == {}


def test_what_cannot_be_computed_says_why(rows):
    grades = rows[["image", "patient", "grade", "dme", "predicted_grade"]]
    positive = rows.assign(dme=pd.array([2] * len(rows), dtype="Int64"))

    of_grades = summarise(cases_of(grades), resamples=100)
    assert of_grades.missing["referable_or_dme_auroc"] == "the predictions have no probability of the grade"
    assert of_grades.missing["decision_referable_or_dme_sensitivity"] == "the predictions have no decision"
    assert not math.isnan(of_grades.intervals["referable_or_dme_sensitivity"].low)
    assert summarise(cases_of(positive), resamples=100).missing["referable_or_dme_auroc"] == "no negative photograph"


def test_delong_is_computed_beside_the_bootstrap(summary):
    for name in QUESTIONS:
        low, high = summary.delong[f"{name}_auroc"]
        assert low < summary.intervals[f"{name}_auroc"].estimate < high


def test_curves_are_there_where_dme_is_known_and_end_at_the_same_auroc(rows):
    cases: Cases = cases_of(rows)
    curves = compute_curves(cases, cases.counted(include_ungradable=False), resamples=100)

    assert set(curves.roc) == set(curves.precision_recall) == {"any", "referable", "sight_threatening", *QUESTIONS}
    assert set(curves.reliability) == {"any", "referable", "sight_threatening"}
    graded, positive = known(rows[rows["status"] == "graded"], "referable_or_dme")
    assert curves.prevalence["referable_or_dme"] == pytest.approx(positive.mean())
    assert len(graded) < 118


def test_every_sentence_and_row_names_its_reference(rows):
    evaluation = evaluation_of(rows, with_subgroups=False, with_curves=False)
    unknown = evaluation.summary.or_dme["referable_or_dme"]["unknown"]

    line, other = words.dme_lines(evaluation.summary)

    assert line.startswith("Referable or DME: grade >= 2 or dme 2; ")
    assert line.endswith(
        f", {unknown} unknown (dme blank, grade below 2) and left out: sensitivities may be optimistic."
    )
    assert "with dme 1: present, not known to be referable" in other
    shown = words.rows_of(evaluation.summary)
    assert shown["referable_or_dme_auroc"] == "AUROC, referable or DME (grade >= 2 or dme 2)"
    assert shown["decision_sight_threatening_or_dme_sensitivity"].endswith("sight-threatening or DME")
    assert any(
        text.startswith("Decisions, not sight-threatening or DME: ")
        for text in words.decision_lines(evaluation.summary)
    )
    assert line in words.count_lines(evaluation)


def test_a_table_with_more_decimals_gives_the_figures_of_the_one_that_was_written(rng):
    """Ties are ties whatever the rounding: scores that differ below the sixth decimal, or in the order of a sum."""
    rows = clinic_rows(rng, 200)
    grid = rng.choice([0.1, 0.2, 0.3, 0.4], size=(200, 5))
    shares = grid / grid.sum(axis=1, keepdims=True)
    whole = rows.assign(**{f"p{at}": shares[:, at] + rng.uniform(-2e-8, 2e-8, 200) for at in range(5)})
    whole["p_referable"] = whole[["p4", "p2", "p3"]].sum(axis=1)
    stored = whole.round({"p_referable": 6, **{f"p{at}": 6 for at in range(5)}})

    figures = [summarise(cases_of(table), resamples=100).to_dict()["statistics"] for table in (whole, stored)]

    assert figures[0] == figures[1]
    assert len(np.unique(cases_of(whole).score("referable"))) < 200


def test_a_probability_that_rounds_to_0_stays_above_0():
    rows = pd.DataFrame({"grade": [0, 3], "image": ["a", "b"], "p_referable": [0.0, 2e-9]})

    assert cases_of(rows).p_referable.tolist() == [0.0, 1e-6]
