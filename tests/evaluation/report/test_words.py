"""Sentences of an evaluation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from tests.evaluation.test_summary import clinic_rows, evaluation_of, refuse

from fundoscope.evaluation.mistakes import Mistakes
from fundoscope.evaluation.report import words


@pytest.fixture(scope="module")
def evaluation():
    rows = refuse(clinic_rows(np.random.default_rng(3), 60), [3])
    rows.loc[:9, "patient"] = None
    return evaluation_of(rows, with_subgroups=False, with_curves=False)


def test_the_title_names_both_tables_and_the_selection(evaluation):
    assert words.title(evaluation) == "a.csv against b.csv (split test, only patients of no other split)"
    everything = replace(evaluation.pair.reference, split=None, unseen_patients=False)
    assert words.selection_words(everything) == "all splits"


def test_photographs_are_counted_with_those_left_out_and_those_without_a_patient(evaluation):
    assert words.count_lines(evaluation) == [
        "60 photographs of 35 patients; 1 ungradable (not counted in grades and AUROC), 0 unreadable.",
        "Grades are compared on 59 photographs, probabilities on 59, of 34 patients.",
        "Without a match: 0 predictions, 0 photographs of the manifest; without a reference grade: 0.",
        "10 photographs have no patient and count as one patient each: intervals are too narrow where they show the "
        "same person.",
    ]


def test_wrong_grades_are_counted_by_distance_and_direction():
    some = Mistakes(photographs=9, too_low=(1, 0, 1, 0), too_high=(2, 0, 0, 0), suspects=None, doubted=None, worst=())
    none = replace(some, too_low=(0,) * 4, too_high=(0,) * 4)
    doubted = replace(none, suspects=(0,) * 4, doubted=3)

    assert words.mistake_line(some) == (
        "4 of 9 grades differ from the reference: 3 by 1 grade, 1 by 3 grades (2 too low, 2 too high)."
    )
    assert words.mistake_line(none) == "0 of 9 grades differ from the reference."
    assert words.mistake_line(doubted).endswith("; the audit doubts the labels of 0 of them, and 3 in all.")


def test_a_statistic_without_an_interval_has_the_reason_in_its_place(evaluation):
    summary = evaluation.summary
    kappa = summary.intervals["quadratic_kappa"]
    without = replace(
        summary,
        intervals={
            "kappa": replace(kappa, low=math.nan, high=math.nan),
            "auroc": replace(kappa, estimate=math.nan, low=math.nan),
            "f1": replace(kappa, undefined=2),
        },
        missing={"kappa": "one patient", "auroc": "no scores"},
    )

    assert words.statistic_words(summary, "quadratic_kappa")[1] == f"{kappa.low:.3f} to {kappa.high:.3f}"
    assert words.statistic_words(without, "kappa") == (f"{kappa.estimate:.3f}", "one patient")
    assert words.statistic_words(without, "auroc") == ("n/a", "no scores")
    assert words.statistic_words(without, "f1")[1].endswith("(undefined on 2 of 100 resamples)")


def test_every_other_interval_is_listed_unless_it_is_undefined(evaluation):
    summary = evaluation.summary
    low, high = summary.wilson["decision_sensitivity"]

    lines = words.other_interval_lines(replace(summary, delong=summary.delong | {"any_auroc": (math.nan, math.nan)}))

    assert len(lines) == 2 + 2 + 2
    assert (
        "Wilson interval of sensitivity of the decision, referable, as if photographs were "
        f"independent: {low:.3f} to {high:.3f}."
    ) in lines
