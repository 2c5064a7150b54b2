"""Figures of the validation photographs of a supervised fit, for the log and to stop or keep the best weights by."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

from fundoscope.decide.heads import expected_grade, probabilities
from fundoscope.decide.kappa import kappa
from fundoscope.evaluation.statistics.detection import aurocs
from fundoscope.grades import GRADES
from fundoscope.training.batches.targets import Target
from fundoscope.training.objectives.objective import Monitor

MONITORS: Final = {
    "grade": Monitor("val/kappa", "max"),
    "classes": Monitor("val/kappa", "max"),
    "signs": Monitor("val/auroc", "max"),
}
"""The figure that the best weights are kept by, by what is learnt."""

Counts = Float[np.ndarray, "answer reference"]


def figures(
    target: Target, head: str, raw: Float[np.ndarray, "photo output"], reference: Shaped[np.ndarray, "photo ..."]
) -> dict[str, float]:
    """Return figures by name: the estimates that `evaluation` gives with intervals.

    Grade: quadratic kappa and mean absolute error of the rounded expected grade. Classes: unweighted kappa and
    accuracy of the likeliest. Signs: mean AUROC of those that are there and absent among the photographs.
    """
    if target.kind == "signs":
        return {"val/auroc": _mean_auroc(raw, reference)}
    if target.kind == "classes":
        answers = raw.argmax(axis=1)
        agreement = _kappa(reference, answers, weights="unweighted", classes=raw.shape[1])
        return {"val/kappa": agreement, "val/accuracy": float((answers == reference).mean())}
    answers = np.clip(np.rint(expected_grade(probabilities(head, raw))), 0, GRADES - 1).astype(np.int64)
    agreement = _kappa(reference, answers, weights="quadratic", classes=GRADES)
    return {"val/kappa": agreement, "val/mae": float(np.abs(answers - reference).mean())}


def _kappa(
    reference: Int[np.ndarray, " photo"], answers: Int[np.ndarray, " photo"], *, weights: str, classes: int
) -> float:
    """Return Cohen's kappa; 0 where it is undefined, so that no fit is stopped or kept by it."""
    return float(np.nan_to_num(kappa(reference, answers, weights=weights, classes=classes)))


def _mean_auroc(raw: Float[np.ndarray, "photo sign"], reference: Shaped[np.ndarray, "photo sign"]) -> float:
    """0.5 where no sign is both there and absent."""
    areas = []
    for score, sign in zip(raw.T, reference.T, strict=True):
        is_known = ~np.isnan(sign)
        positive = sign[is_known] == 1
        if positive.any() and not positive.all():
            areas.append(float(aurocs(np.ones((1, len(positive))), positive, score[is_known])[0]))
    return float(np.mean(areas)) if areas else 0.5
