"""Sentences about what changed, and the numbers in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.clinic.monitoring.reasons import notes, order_of, rate_changed, system_changed, window_changed
from fundoscope.clinic.monitoring.window import TABLE_ORDER, Window, window_of
from fundoscope.tables import check_predictions


def window(name: str, scores: list[float], decisions: list[str] | None = None, **columns: object) -> Window:
    """A patient for each score, a day apart; referred from 0.5 where no decisions are given."""
    count = len(scores)
    rows = pd.DataFrame(
        {
            "image": [f"{name}{at}.jpg" for at in range(count)],
            "patient": [f"{name}{at}" for at in range(count)],
            "taken": [f"2026-01-{at + 1:02}" for at in range(count)],
            "p_referable": scores,
            "decision": decisions or ["refer" if score >= 0.5 else "rescreen" for score in scores],
            **columns,
        }
    )
    path = Path(f"{name}.csv")
    return window_of(check_predictions(rows, path=path), path=path)


BEFORE = window("then", [0.1, 0.4, 0.6, 0.9])


def changes(now: Window, before: Window = BEFORE, *, threshold: float | None = None, releases=()) -> list[str]:
    protocol = None if threshold is None else {"threshold": threshold}
    return list(system_changed(before, now, protocol=protocol, releases=frozenset(releases)))


def test_the_same_system_gives_no_reason():
    assert changes(window("now", [0.2, 0.7])) == []
    assert changes(window("now", [0.2, 0.7]), threshold=0.5) == []
    assert changes(window("now", [0.2, 0.7], release="a@1"), releases=["a@1", "b@2"]) == []


def test_another_release_is_named_with_the_one_expected():
    signed = window("now", [0.2, 0.7, 0.8], release=["a@1", "b@2", None])

    assert changes(signed, releases=["a@1"]) == [
        "Another release answered: the protocol or the reference is of a@1, some of now.csv is of b@2.",
        "Some rows of now.csv do not say which release answered: the protocol is of a@1.",
    ]
    assert changes(signed, window("then", [0.1, 0.9], release="a@1")) == [
        "Another release answered: the protocol or the reference is of a@1, some of now.csv is of b@2."
    ]


def test_a_reference_out_of_fold_does_not_say_which_release_is_expected():
    folded = window("then", [0.1, 0.9], release="study", fold=[0, 1])

    assert changes(window("now", [0.2, 0.7], release="a@1"), folded) == []
    assert len(changes(window("now", [0.2, 0.7], release="a@1"), folded, releases=["b@2"])) == 1


def test_decisions_against_the_protocols_threshold_are_counted():
    now = window("now", [0.2, 0.55, 0.58, 0.9], ["rescreen", "rescreen", "rescreen", "refer"])

    assert changes(now, threshold=0.5) == [
        "The threshold was changed: 2 of 4 photographs were decided otherwise than at the protocol's threshold of 0.5."
    ]
    assert changes(now, threshold=0.6) == []


@pytest.mark.parametrize(
    ("scores", "decisions", "reasons"),
    [
        ([0.2, 0.55], ["rescreen", "refer"], []),
        (
            [0.65, 0.8],
            ["rescreen", "refer"],
            ["The threshold was changed: it lay between 0.4 and 0.6 and lies between 0.65 and 0.8 now."],
        ),
        (
            [0.3, 0.35],
            ["refer", "refer"],
            ["The threshold was changed: it lay between 0.4 and 0.6 and lies at or below 0.3 now."],
        ),
        (
            [0.7, 0.8],
            ["rescreen", "rescreen"],
            ["The threshold was changed: it lay between 0.4 and 0.6 and lies above 0.8 now."],
        ),
        # Not decided at one threshold: there is none to compare.
        ([0.7, 0.8], ["refer", "rescreen"], []),
    ],
)
def test_without_a_protocol_thresholds_are_compared_by_the_scores_they_lie_between(scores, decisions, reasons):
    assert changes(window("now", scores, decisions)) == reasons


def test_grades_bring_their_own_cut_and_no_threshold_can_have_changed():
    rows = pd.DataFrame({"image": ["a.jpg", "b.jpg"], "grade": [0, 3], "decision": ["refer", "rescreen"]})
    graded = window_of(check_predictions(rows, path=Path("now.csv")), path=Path("now.csv"))

    assert graded.fixed == 2
    assert changes(graded, threshold=2.0) == []


def test_an_alarm_of_a_chart_names_rate_patient_day_and_how_seldom_it_comes_by_chance():
    now = window("now", [0.2, 0.7, 0.8])
    chart = {"way": "up", "rate": 0.25, "alarm": {"number": 3, "day": "2026-01-03"}, "false_alarm_after": 8123.4}

    assert rate_changed(chart, now) == (
        "More patients are referred than in the reference (25.0%): the alarm came at patient 3 of 3 (by the column "
        "taken, 2026-01-03); by chance this chart sounds once in 8,123 patients."
    )
    # The chart of falls counts patients who are not referred, so its rate is theirs.
    fall = chart | {"way": "down", "rate": 0.9, "alarm": {"number": 2, "day": None}}
    assert rate_changed(fall, now).startswith(
        "Fewer patients are referred than in the reference (10.0%): the alarm came at patient 2 of 3 (by the column "
        "taken); by"
    )


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (
            {"name": "ungradable", "before": 0.031, "now": 0.2, "corrected": 0.0012},
            "Gradability changed: 20.0% of the patients have an eye that cannot be graded, 3.1% had in the reference "
            "(p 0.0012 after Holm's correction; Fisher's exact test).",
        ),
        (
            {"name": "score", "before": 0.1234, "now": 0.4567, "corrected": 0.03},
            "The distribution of the scores has changed: median 0.457, in the reference 0.123 (p 0.03 after Holm's "
            "correction; Kolmogorov-Smirnov test).",
        ),
        (
            {"name": "features", "squared": 0.0456, "permutations": 999, "corrected": 0.001},
            "The feature distribution has changed (another camera, other settings, other patients): squared maximum "
            "mean discrepancy 0.0456, about 0 where nothing changed (p 0.001 after Holm's correction; kernel "
            "two-sample test, 999 permutations of patients).",
        ),
    ],
)
def test_a_test_that_found_a_change_gives_both_values_and_its_corrected_p(test, words):
    assert window_changed(test) == words


def test_what_ordered_the_patients_is_a_column_or_the_table():
    assert order_of("graded_at") == "the column graded_at"
    assert order_of(TABLE_ORDER) == "the order of the table"


def test_patients_of_both_tables_patients_without_a_name_and_rates_not_watched_are_noted():
    before = window("then", [0.1, 0.9], patient=["anna", "berta"])
    now = window("now", [0.1, 0.9, 0.3], patient=["berta", None, "carl"])
    charts = [{"way": "up", "cusum": None}, {"way": "down", "cusum": {"limit": 3}}]

    assert list(notes(before, now, charts)) == [
        "1 patients are named in both tables; they were compared as if they were different patients.",
        "A rise of the referral rate is not monitored: at the reference's rate no chart keeps to this rate of false "
        "alarms.",
        "1 photographs name no patient; each was counted as one.",
    ]
    assert list(notes(BEFORE, window("now", [0.1]), charts[1:])) == []
