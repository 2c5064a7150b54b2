"""Figures of the validation photographs of a supervised fit, for the log and to stop or keep the best weights by."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float, Int, Shaped

from fundoscope.decide.heads import expected_grade, probabilities
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
    """Figures by name; of the evaluation wing's with intervals these are the plain estimates.

    Grade: quadratic kappa and mean absolute error of the rounded expected grade. Classes: unweighted kappa and
    accuracy of the likeliest. Signs: mean AUROC of those that are there and absent among the photographs.
    """
    if target.kind == "signs":
        return {"val/auroc": _mean_auroc(raw, reference)}
    if target.kind == "classes":
        answers = raw.argmax(axis=1)
        return {"val/kappa": kappa(reference, answers, power=0), "val/accuracy": float((answers == reference).mean())}
    answers = np.clip(np.rint(expected_grade(probabilities(head, raw))), 0, GRADES - 1).astype(np.int64)
    return {"val/kappa": kappa(reference, answers, power=2), "val/mae": float(np.abs(answers - reference).mean())}


def kappa(reference: Int[np.ndarray, " photo"], answers: Int[np.ndarray, " photo"], *, power: int) -> float:
    """Cohen's kappa of any classes, by distance to a power (0: right or wrong); 0 where it is undefined."""

    def apart(difference: Int[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        return np.asarray(np.abs(difference) ** float(power) if power else difference != 0, dtype=np.float64)

    chance = apart(np.subtract.outer(reference, answers)).mean()
    return float(1 - apart(reference - answers).mean() / chance) if chance else 0.0


def _mean_auroc(raw: Float[np.ndarray, "photo sign"], reference: Shaped[np.ndarray, "photo sign"]) -> float:
    """0.5 where no sign is both there and absent."""
    areas = []
    for score, sign in zip(raw.T, reference.T, strict=True):
        is_known = ~np.isnan(sign)
        positive = sign[is_known] == 1
        if positive.any() and not positive.all():
            areas.append(float(aurocs(np.ones((1, len(positive))), positive, score[is_known])[0]))
    return float(np.mean(areas)) if areas else 0.5
