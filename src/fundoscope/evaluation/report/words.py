"""Names and sentences of an evaluation, the same on the console, on its page and in its checklists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from fundoscope import pages
from fundoscope.evaluation.evaluate import Evaluation
from fundoscope.evaluation.mistakes import Mistakes
from fundoscope.evaluation.patients.figures import PatientFigures
from fundoscope.evaluation.statistics.interval import FEW_PATIENTS, Interval
from fundoscope.evaluation.statistics.reliability import BINS
from fundoscope.evaluation.summary import Summary
from fundoscope.grades import OR_DME, REFERABLE_DME
from fundoscope.tables.pair import Reference

DME_WORDS: Final = {"referable_or_dme": "referable or DME", "sight_threatening_or_dme": "sight-threatening or DME"}
"""What the questions of `grades.OR_DME` are called."""

ROWS: Final = {
    "quadratic_kappa": "quadratic kappa",
    "linear_kappa": "linear kappa",
    "unweighted_kappa": "unweighted kappa",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, mean of the grades (macro)",
    "weighted_f1": "F1, weighted by the frequency of the grades",
    "mean_absolute_error": "mean absolute error (grades)",
    "mean_squared_error": "mean squared error (grades)",
    "off_by_one": "exactly one grade off",
    "within_one": "at most one grade off",
    "any_auroc": "AUROC, any retinopathy (grade >= 1)",
    "referable_auroc": "AUROC, referable (grade >= 2)",
    "referable_or_dme_auroc": "AUROC, referable or DME (grade >= 2 or dme 2)",
    "sight_threatening_auroc": "AUROC, sight-threatening (grade >= 3)",
    "sight_threatening_or_dme_auroc": "AUROC, sight-threatening or DME (grade >= 3 or dme 2)",
    "auroc_one_vs_rest": "AUROC, one grade against the rest, mean",
    "auroc_one_vs_one": "AUROC, one grade against another, mean",
    "any_average_precision": "average precision, any retinopathy",
    "referable_average_precision": "average precision, referable",
    "referable_or_dme_average_precision": "average precision, referable or DME",
    "sight_threatening_average_precision": "average precision, sight-threatening",
    "sight_threatening_or_dme_average_precision": "average precision, sight-threatening or DME",
    **{
        f"{question}_{kind}_at_{other}_{rate}": words.format(kind=kind, other=other, rate=rate)
        for kind, other in (("sensitivity", "specificity"), ("specificity", "sensitivity"))
        for rate in (80, 90, 95)
        for question, words in (
            ("referable", "best {kind}, referable, where {other} is {rate} %"),
            ("referable_or_dme", "  the same, referable or DME"),
        )
    },
    "referable_sensitivity": "sensitivity of the grade, referable",
    "referable_specificity": "specificity of the grade, referable",
    "referable_f1": "F1 of the grade, referable",
    "sight_threatening_sensitivity": "sensitivity of the grade, sight-threatening",
    "sight_threatening_specificity": "specificity of the grade, sight-threatening",
    **{
        f"{question}_{statistic}": f"{label} of the grade, {words}"
        for question, words in DME_WORDS.items()
        for statistic, label in (("sensitivity", "sensitivity"), ("specificity", "specificity"), ("f1", "F1"))
    },
    "set_coverage": "prediction sets that hold the reference grade",
    "set_size": "grades in a prediction set, mean",
    "calibration_error": "calibration error of the most probable grade (ECE)",
    "calibration_error_equal_mass": "the same, bins of equal counts",
    "calibration_error_classwise": "the same, mean over the grades (classwise)",
    "brier": "Brier score of the five probabilities (0 to 2)",
    "log_loss": "log loss",
    "referable_brier": "Brier score, referable (0 to 1)",
    "referable_brier_reliability": "  its reliability (0 is calibrated)",
    "referable_brier_resolution": "  its resolution (more is better)",
    "referable_brier_uncertainty": "  its uncertainty (of the photographs)",
    "referable_calibration_in_the_large": "P(referable), mean less observed share (0 is calibrated)",
    "referable_calibration_slope": "calibration slope of P(referable) (1 is calibrated)",
    "referable_calibration_error": "calibration error of P(referable) (ECE)",
    "decision_sensitivity": "sensitivity of the decision, referable",
    "decision_specificity": "specificity of the decision, referable",
    **{
        f"decision_{question}_{rate}": f"{rate} of the decision, {words}"
        for question, words in DME_WORDS.items()
        for rate in ("sensitivity", "specificity")
    },
    "decision_cannot_grade_as_refer_sensitivity": "sensitivity, referable, cannot grade as refer",
    "decision_cannot_grade_as_refer_specificity": "specificity, referable, cannot grade as refer",
    **{
        f"decision_cannot_grade_as_refer_referable_or_dme_{rate}": f"{rate}, referable or DME, cannot grade as refer"
        for rate in ("sensitivity", "specificity")
    },
    "referable_ppv_at_prevalence": "PPV of the grade, referable, at the given prevalence",
    "referable_npv_at_prevalence": "NPV of the grade, referable, at the given prevalence",
    "decision_ppv_at_prevalence": "PPV of the decision, referable, at the given prevalence",
    "decision_npv_at_prevalence": "NPV of the decision, referable, at the given prevalence",
}
"""Statistics of an evaluation in the order of its tables, and what they are called there."""

HEADLINES: Final = ("quadratic_kappa", "referable_auroc", "decision_sensitivity", "decision_specificity")
"""The figures of the page's head and of the checklists, as far as they are defined."""

METHOD_WORDS: Final = {
    "auto": f"BCa (fewer than {FEW_PATIENTS} patients) or percentile",
    "percentile": "percentile",
    "bca": "BCa",
}
"""What the methods of `interval.INTERVALS` are called."""

GAP_NOTE: Final = (
    "The largest of several gaps was selected, so that its interval is too narrow. Its p-value is not affected: it is "
    "the share of random assignments of patients to groups with a gap of this size between any two groups."
)
"""How to read the largest gap between subgroups."""

INDEPENDENT: Final = ", as if photographs were independent"


def interval_words(interval: Interval, *, sign: str = "") -> str:
    """Format estimate and bounds to three decimals; `sign` is + where a plus is to be written."""
    return pages.interval_words(interval.estimate, interval.low, interval.high, style=f"{sign}z.3f")


def statistic_words(summary: Summary, name: str) -> tuple[str, str]:
    """Format a statistic: its estimate, and its bounds or the reason why there are none."""
    interval = summary.intervals[name]
    reason = summary.missing.get(name, "")
    if math.isnan(interval.estimate):
        return "n/a", reason
    if math.isnan(interval.low):
        return f"{interval.estimate:.3f}", reason
    bounds = f"{interval.low:.3f} to {interval.high:.3f}"
    if interval.undefined:
        bounds += f" (undefined on {interval.undefined} of {summary.resamples} resamples)"
    return f"{interval.estimate:.3f}", bounds


def rows_of(summary: Summary) -> dict[str, str]:
    """Return those of `ROWS` that a summary has, by the name of the statistic."""
    return {name: words for name, words in ROWS.items() if name in summary.intervals}


def human_line(human: Mapping[str, Any]) -> str:
    """Describe `summary.HUMAN`, to stand beside every kappa."""
    return (
        f"For comparison, {human['what']}: quadratic kappa {human['quadratic_kappa']}, linear {human['linear_kappa']}, "
        f"unweighted {human['unweighted_kappa']}, exact agreement {human['accuracy']:.1%}."
    )


def title(evaluation: Evaluation) -> str:
    """Name both tables and what of the manifest is evaluated."""
    data = evaluation.pair.data
    return f"{data['predictions']} against {data['manifest']} ({selection_words(evaluation.pair.reference)})"


def selection_words(reference: Reference) -> str:
    """Name what of a manifest is evaluated."""
    split = f"split {reference.split}" if reference.split else "all splits"
    return split + (", only patients of no other split" if reference.unseen_patients else "")


def count_lines(evaluation: Evaluation) -> list[str]:
    """Count the photographs, and those that the figures are computed on."""
    counts, data = evaluation.summary.counts, evaluation.pair.data
    return [
        f"{counts['photographs']} photographs of {counts['patients']} patients; {quality_words(evaluation.summary)}.",
        f"Grades are compared on {counts['with_grade']} photographs, probabilities on {counts['with_probabilities']}, "
        f"of {counts['measured_patients']} patients.",
        f"Without a match: {data['only_predicted']} predictions, {data['only_listed']} photographs of the manifest; "
        f"without a reference grade: {counts['without_reference_grade']}.",
        *file_name_lines(data),
        *dme_lines(evaluation.summary),
        *without_patient_lines(evaluation.summary),
    ]


def file_name_lines(data: Mapping[str, str | int]) -> list[str]:
    """Say how many predictions were found by the file's name alone."""
    count = data.get("joined_by_file_name_alone", 0)
    return [f"{count} predictions name the photograph without its folder or its suffix."] if count else []


def quality_words(summary: Summary) -> str:
    """Count ungradable and unreadable photographs."""
    effect = (
        "counted where they have probabilities" if summary.include_ungradable else "not counted in grades and AUROC"
    )
    return f"{summary.counts['ungradable']} ungradable ({effect}), {summary.counts['unreadable']} unreadable"


def without_patient_lines(summary: Summary) -> list[str]:
    """Warn of photographs without a patient; empty if there are none."""
    count = summary.counts["without_patient"]
    words = f"{count} photographs have no patient and count as one patient each: intervals are too narrow where they "
    return [words + "show the same person."] if count else []


def dme_lines(summary: Summary) -> list[str]:
    """Define the references that count macular oedema, and count their photographs; empty where `dme` is not known."""
    return [_dme_line(question, counts) for question, counts in summary.or_dme.items()]


def _dme_line(question: str, counts: Mapping[str, int]) -> str:
    cut, words = OR_DME[question], DME_WORDS[question]
    present = counts["negative_with_dme_present"]
    line = (
        f"{words[0].upper()}{words[1:]}: grade >= {cut} or dme {REFERABLE_DME}; {counts['positive']} photographs are "
        f"positive, {counts['negative']} negative"
    )
    line += f" ({present} with dme 1: present, not known to be referable)" if present else ""
    line += f", {counts['unknown']} unknown (dme blank, grade below {cut}) and left out"
    # Photographs that oedema alone makes positive are among those left out, and are the harder ones to refer.
    return line + (": sensitivities may be optimistic." if counts["unknown"] else ".")


def interval_line(summary: Summary) -> str:
    """Describe the intervals."""
    return (
        f"Intervals: {summary.level:.0%}, {METHOD_WORDS[summary.method]} bootstrap by patient, {summary.resamples} "
        f"resamples, seed {summary.seed}; those of curves are always percentiles. Of rates: "
        "the wider of it and Wilson's. "
        f"ECE: {BINS} bins of equal width, without an interval, as chance alone raises it."
    )


def other_interval_lines(summary: Summary) -> list[str]:
    """List the intervals that are no bootstrap: DeLong's of AUROCs, exact and Wilson's of the decision's rates."""
    kinds = (
        ("DeLong", summary.delong, f" ({summary.delong_method})"),
        ("Clopper-Pearson", summary.exact, INDEPENDENT),
        ("Wilson", summary.wilson, INDEPENDENT),
    )
    return [
        f"{kind} interval of {ROWS[name]}{remark}: {low:.3f} to {high:.3f}."
        for kind, bounds, remark in kinds
        for name, (low, high) in bounds.items()
        if not math.isnan(low)
    ]


def decision_lines(summary: Summary) -> list[str]:
    """Count the decisions among the photographs that the reference calls referable, and among the others."""
    return [
        f"Decisions, {_side_words(side)}: "
        + "; ".join(f"{decision} {count}" for decision, count in counts.items() if count)
        for side, counts in summary.decisions.items()
        if any(count for decision, count in counts.items() if decision != "none")
    ]


PATIENT_RATES: Final = {
    "": "cannot grade as refer",
    "_graded": "patients without an answer left out",
    "_or_dme": "referable or DME, cannot grade as refer",
}
"""Suffixes of the rates in `PatientFigures.intervals`, and what is counted."""


def patient_lines(figures: PatientFigures | None) -> list[str]:
    """Report the figures of patients; empty where no photograph names its patient."""
    if figures is None:
        return []
    counts, intervals = figures.counts, figures.intervals
    lines = [
        f"Patients, by the worst eye: {counts['patients']}, {counts['referable']} referable; "
        f"{counts['without_reference']} left out, as an eye has no reference grade and no other is referable; "
        f"{counts['ungraded_eye']} with an eye that was not graded or has no prediction; {counts['one_eye']} with one "
        "eye only, or an eye that is not known."
    ]
    lines += [
        f"Patients, decision ({words}): sensitivity {interval_words(intervals[f'sensitivity{suffix}'])}, specificity "
        f"{interval_words(intervals[f'specificity{suffix}'])}."
        for suffix, words in PATIENT_RATES.items()
        if f"sensitivity{suffix}" in intervals
    ]
    labels = {"referable_auroc": "AUROC, referable", "quadratic_kappa": "quadratic kappa"}
    named = [f"{words} {interval_words(intervals[name])}" for name, words in labels.items() if name in intervals]
    lines += [f"Patients all of whose eyes were graded: {'; '.join(named)}."] if named else []
    return lines + [
        f"Decisions, patients, {side.replace('_', ' ')}: "
        + "; ".join(f"{decision} {count}" for decision, count in of_side.items() if count)
        for side, of_side in figures.decisions.items()
        if any(of_side.values())
    ]


def _side_words(side: str) -> str:
    question = side.removeprefix("not_")
    words = DME_WORDS.get(question, question.replace("_", " "))
    return words if question == side else f"not {words}"


def mistake_line(mistakes: Mistakes) -> str:
    """Count the wrong grades by their distance from the reference."""
    words = f"{sum(mistakes.off_by)} of {mistakes.photographs} grades differ from the reference"
    if any(mistakes.off_by):
        counts = ", ".join(
            f"{count} by {distance} grade{'s' if distance > 1 else ''}"
            for distance, count in enumerate(mistakes.off_by, 1)
            if count
        )
        words += f": {counts} ({sum(mistakes.too_low)} too low, {sum(mistakes.too_high)} too high)"
    if mistakes.suspects is not None:
        words += f"; the audit doubts the labels of {sum(mistakes.suspects)} of them, and {mistakes.doubted} in all"
    return words + "."
