"""How the statistics of an evaluation are called, on the console and on its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fundoscope.evaluation.statistics.interval import Interval

ROWS: Final = {
    "quadratic_kappa": "quadratic kappa",
    "linear_kappa": "linear kappa",
    "unweighted_kappa": "unweighted kappa",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, mean of the grades (macro)",
    "weighted_f1": "F1, weighted by how often a grade occurs",
    "mean_absolute_error": "mean absolute error (grades)",
    "mean_squared_error": "mean squared error (grades)",
    "off_by_one": "exactly one grade off",
    "within_one": "at most one grade off",
    "any_auroc": "AUROC, any retinopathy (grade >= 1)",
    "referable_auroc": "AUROC, referable (grade >= 2)",
    "sight_threatening_auroc": "AUROC, sight-threatening (grade >= 3)",
    "auroc_one_vs_rest": "AUROC, one grade against the rest, mean",
    "auroc_one_vs_one": "AUROC, one grade against another, mean",
    "any_average_precision": "average precision, any retinopathy",
    "referable_average_precision": "average precision, referable",
    "sight_threatening_average_precision": "average precision, sight-threatening",
    **{
        f"referable_{kind}_at_{other}_{rate}": f"best {kind}, referable, where {other} is {rate} %"
        for kind, other in (("sensitivity", "specificity"), ("specificity", "sensitivity"))
        for rate in (80, 90, 95)
    },
    "referable_sensitivity": "sensitivity of the grade, referable",
    "referable_specificity": "specificity of the grade, referable",
    "referable_f1": "F1 of the grade, referable",
    "calibration_error": "calibration error of the likeliest grade (ECE)",
    "calibration_error_equal_mass": "the same, bins of equally many photographs",
    "calibration_error_classwise": "the same, mean over every grade's own probability",
    "brier": "Brier score of the five probabilities (0 to 2)",
    "log_loss": "log loss",
    "referable_brier": "Brier score, referable (0 to 1)",
    "referable_brier_reliability": "  its reliability (0 is calibrated)",
    "referable_brier_resolution": "  its resolution (more is better)",
    "referable_brier_uncertainty": "  its uncertainty (of the photographs)",
    "decision_sensitivity": "sensitivity of the decision, gradable ones",
    "decision_specificity": "specificity of the decision, gradable ones",
    "decision_cannot_grade_as_refer_sensitivity": "sensitivity, cannot grade counted as refer",
    "decision_cannot_grade_as_refer_specificity": "specificity, cannot grade counted as refer",
    "referable_ppv_at_prevalence": "PPV of the grade at the prevalence given",
    "referable_npv_at_prevalence": "NPV of the grade at the prevalence given",
    "decision_ppv_at_prevalence": "PPV of the decision at the prevalence given",
    "decision_npv_at_prevalence": "NPV of the decision at the prevalence given",
}
"""What is told of a table of predictions, in order, and how it is called."""

METHOD_WORDS: Final = {"percentile": "percentile", "bca": "BCa"}
"""How the methods of `interval.INTERVALS` are called."""


def interval_words(interval: Interval, *, sign: str = "") -> str:
    """Estimate and bounds to three decimals; `sign` is + where a plus is to be written."""
    # The command line reads this module's words before it knows whether it will need more.
    from fundoscope import pages

    return pages.interval_words(interval.estimate, interval.low, interval.high, style=f"{sign}z.3f")


def human_line(human: Mapping[str, Any]) -> str:
    """`summary.HUMAN` as a sentence: said beside every kappa."""
    return (
        f"For comparison, {human['what']}: quadratic kappa {human['quadratic_kappa']}, linear {human['linear_kappa']}, "
        f"unweighted {human['unweighted_kappa']}, exact agreement {human['accuracy']:.1%}."
    )
