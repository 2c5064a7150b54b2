"""Turn scores into probabilities that come true: vector scaling, Platt's curve, isotonic regression, cut by cut.

`calibrate.fit_temperature` has one number and needs least data; what stands here bends more and needs more. All of
it is fitted on *held-out* photographs (`held_out.HeldOut`), or each fold by the others (`cross_fit_predict`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import isotonic_regression
from scipy.special import expit, log_softmax, logit

from fundoscope.arrays import Grades, Probabilities, RawOutput, Scores
from fundoscope.decide.calibrate import LIKELIHOOD_FLOOR
from fundoscope.decide.heads import cut_probabilities, softmax_probabilities
from fundoscope.grades import GRADES
from fundoscope.records import is_number

Answers = Bool[np.ndarray, " photo"]
"""True where the reference says yes."""

PENALTY: Final = 1e-3
"""How hard vector scaling is held to the logits as they are; see `fit_vector_scaling`."""

LARGEST_PARAMETER: Final = 1e12
"""Largest parameter of a calibrator, of either sign: with the logits of any network none of its products overflow."""

Fitted = TypeVar("Fitted")


@dataclass(frozen=True, slots=True)
class VectorScaling:
    """Each logit by a factor of its own, plus an offset (Guo et al., ICML 2017, section 4.2); then the softmax."""

    kind: ClassVar[str] = "vector scaling"
    factors: tuple[float, ...]
    """One for each grade; all 1/T and offsets 0 is a temperature T."""
    offsets: tuple[float, ...]
    """In logits; they sum to 0."""

    def __post_init__(self) -> None:
        _check_numbers("factors", self.factors, GRADES)
        _check_numbers("offsets", self.offsets, GRADES)

    def apply(self, logits: RawOutput) -> Probabilities:
        """Return probabilities of the five grades from the logits of a softmax head, (photo, 5)."""
        return softmax_probabilities(logits * np.array(self.factors) + np.array(self.offsets), 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"kind": self.kind, "factors": list(self.factors), "offsets": list(self.offsets)}


@dataclass(frozen=True, slots=True)
class Platt:
    """A sigmoid of the score (Platt 1999); its slope is never below 0, so that no patient passes another."""

    kind: ClassVar[str] = "platt"
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        _check_numbers("slope and intercept", (self.slope, self.intercept), 2)
        if self.slope < 0:
            raise ValueError(f"slope must not be below 0, got {self.slope}")

    def apply(self, scores: Scores) -> Scores:
        """Return the probability of yes from scores on the scale of the fit (log-odds, cut logits)."""
        return np.asarray(expit(self.slope * scores + self.intercept))

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"kind": self.kind, "slope": self.slope, "intercept": self.intercept}


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising line through knots, level beyond the outer ones; equal values are joined by a plateau."""

    kind: ClassVar[str] = "isotonic"
    scores: tuple[float, ...]
    """Where the knots are, rising."""
    shares: tuple[float, ...]
    """Probability of yes at each, never falling, in [0, 1]."""

    def __post_init__(self) -> None:
        if not self.scores:
            raise ValueError("at least one knot is needed, got none")
        _check_numbers("scores of knots", self.scores, len(self.scores))
        _check_numbers("shares of knots", self.shares, len(self.scores))
        if (np.diff(self.scores) <= 0).any():
            raise ValueError("scores of knots must rise, got some that do not")
        if (np.diff(self.shares) < 0).any() or not 0 <= self.shares[0] <= self.shares[-1] <= 1:
            raise ValueError("shares of knots must lie between 0 and 1 and never fall, got others")

    def apply(self, scores: Scores) -> Scores:
        """Return the probability of yes."""
        return np.asarray(np.interp(scores, self.scores, self.shares))

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"kind": self.kind, "scores": list(self.scores), "shares": list(self.shares)}


@dataclass(frozen=True, slots=True)
class CutCalibration:
    """A curve of its own for each cut of CORAL or a cumulative head: P(grade > 0), ..., P(grade > 3)."""

    kind: ClassVar[str] = "cut by cut"
    cuts: tuple[Platt | Isotonic, ...]

    def __post_init__(self) -> None:
        if len(self.cuts) != GRADES - 1:
            raise ValueError(f"{GRADES - 1} cuts are needed, got {len(self.cuts)}")

    def apply(self, logits: RawOutput) -> Probabilities:
        """Return probabilities of the five grades from cut logits (photo, 4).

        Where curves of their own put a later cut above an earlier one it is lowered to that, as the heads do.
        """
        above = np.stack([cut.apply(logits[:, at]) for at, cut in enumerate(self.cuts)], axis=1)
        return cut_probabilities(np.asarray(logit(above)), 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {"kind": self.kind, "cuts": [cut.to_dict() for cut in self.cuts]}


Calibrator = VectorScaling | Platt | Isotonic | CutCalibration


def fit_vector_scaling(logits: RawOutput, grades: Grades, *, penalty: float = PENALTY) -> VectorScaling:
    """Fit vector scaling: the factors and offsets of maximum likelihood.

    Least mean negative log-likelihood + penalty / 2 * (sum of (factor - 1)^2 + sum of offset^2). The penalty makes
    the answer one, and finite where the logits separate the grades; on 1,000 photographs the default is a normal
    prior of standard deviation 1. Convex, so by Newton's method; no chance, no order of the photographs.

    Args:
        logits: *Held-out* logits of a softmax head (photo, 5), never those of photographs that were trained on.
        grades: Reference grade of each photograph, 0 to 4.
        penalty: Above 0.

    Raises:
        ValueError: If there are no photographs, numbers differ, a value is not finite, a grade is not 0 to 4 or the
            penalty not above 0.
    """
    _check_fit(logits, len(grades))
    if logits.shape[1] != GRADES:
        raise ValueError(f"logits must have {GRADES} columns, got {logits.shape[1]}")
    if grades.min() < 0 or grades.max() >= GRADES:
        raise ValueError(f"grades must be 0 to {GRADES - 1}, got {int(grades.min())} to {int(grades.max())}")
    if not penalty > 0:
        raise ValueError(f"penalty must be above 0, got {penalty}")
    wanted = np.eye(GRADES)[grades]
    start = np.concatenate([np.ones(GRADES), np.zeros(GRADES)])

    def loss(point: _Point) -> tuple[float, _Point, _Matrix]:
        logs = log_softmax(logits * point[:GRADES] + point[GRADES:], axis=1)
        shares = np.exp(logs)
        away = point - start
        slope = np.concatenate([((shares - wanted) * logits).mean(axis=0), (shares - wanted).mean(axis=0)])
        bend = (shares[:, :, None] * (np.eye(GRADES) - shares[:, None, :])) / len(logits)
        mixed = np.einsum("nk,nkl->kl", logits, bend)
        curve = np.block(
            [[np.einsum("nk,nkl,nl->kl", logits, bend, logits), mixed], [mixed.T, bend.sum(axis=0)]]
        ) + penalty * np.eye(2 * GRADES)
        value = -float((wanted * logs).sum(axis=1).mean()) + penalty / 2 * float(away @ away)
        return value, slope + penalty * away, curve

    parameters = _newton(loss, start)
    return VectorScaling(tuple(parameters[:GRADES].tolist()), tuple(parameters[GRADES:].tolist()))


def fit_platt(scores: Scores, positive: Answers, *, smoothed: bool = True) -> Platt:
    """Fit Platt scaling: the sigmoid of maximum likelihood.

    Args:
        scores: Of *held-out* photographs; best a logit (`log_odds` of a probability), where the truth is near a line.
        positive: True where the reference says yes.
        smoothed: Platt's targets (yes + 1) / (yes + 2) and 1 / (no + 2) in place of 1 and 0, which keep the sigmoid
            finite where the scores separate yes from no. Without, it is plain logistic regression.

    Returns:
        A level line where the scores rank worse than chance: turned round they would be of another model.

    Raises:
        ValueError: If numbers differ, a score is not finite, either answer does not occur, or (unless smoothed) the
            scores separate them.
    """
    _check_answers(scores, positive)
    yes, no = int(positive.sum()), int((~positive).sum())
    low, high = (1 / (no + 2), (yes + 1) / (yes + 2)) if smoothed else (0.0, 1.0)
    if not smoothed and scores[positive].min() >= scores[~positive].max():
        raise ValueError("scores must overlap for a sigmoid without smoothing, got some that separate yes from no")
    wanted = np.where(positive, high, low)
    level = float(logit(wanted.mean()))
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    rows = np.stack([(scores - middle) / spread, np.ones(len(scores))], axis=1)

    def loss(point: _Point) -> tuple[float, _Point, _Matrix]:
        line = rows @ point
        shares = expit(line)
        curve = (rows * (shares * (1 - shares))[:, None]).T @ rows / len(rows)
        value = float((np.logaddexp(0, line) - wanted * line).mean())
        return value, rows.T @ (shares - wanted) / len(rows), curve

    slope, intercept = _newton(loss, np.array([0.0, level])).tolist()
    if slope <= 0:
        return Platt(0.0, level)
    return Platt(slope / spread, intercept - slope * middle / spread)


def fit_isotonic(scores: Scores, positive: Answers) -> Isotonic:
    """Fit isotonic regression by pooling adjacent violators (Zadrozny & Elkan 2002).

    It may answer 0 or 1 beyond the outer knots: exact on the photographs it saw, too sure of new ones. Some hundred
    photographs of either answer are wanted; with fewer, `fit_platt`.

    Args and errors: as `fit_platt`.
    """
    _check_answers(scores, positive)
    values, owner = np.unique(scores, return_inverse=True)
    counts = np.bincount(owner).astype(np.float64)
    shares = np.bincount(owner, weights=positive.astype(np.float64)) / counts
    level = np.clip(isotonic_regression(shares, weights=counts).x, 0.0, 1.0)
    # Of a plateau its two ends are enough.
    step = np.diff(level) != 0
    keep = np.concatenate([[True], step]) | np.concatenate([step, [True]])
    return Isotonic(tuple(values[keep].tolist()), tuple(level[keep].tolist()))


CURVES: Final[dict[str, Callable[[Scores, Answers], Platt | Isotonic]]] = {"platt": fit_platt, "isotonic": fit_isotonic}
"""Ways to calibrate one yes-or-no question, by name."""


def fit_cut_calibration(logits: RawOutput, grades: Grades, *, curve: str = "platt") -> CutCalibration:
    """Fit a curve of `CURVES` for each question `grade > k`.

    Args:
        logits: *Held-out* cut logits (photo, 4): column k is the logit of `grade > k`.
        grades: Reference grade of each photograph, 0 to 4.
        curve: A name in `CURVES`.

    Raises:
        ValueError: As `fit_platt`, if a cut has all photographs on one side, or `curve` is no name in `CURVES`.
    """
    if curve not in CURVES:
        raise ValueError(f"curve must be one of {', '.join(CURVES)}, got {curve!r}")
    _check_fit(logits, len(grades))
    if logits.shape[1] != GRADES - 1:
        raise ValueError(f"cut logits must have {GRADES - 1} columns, got {logits.shape[1]}")
    return CutCalibration(tuple(CURVES[curve](logits[:, cut], grades > cut) for cut in range(GRADES - 1)))


def log_odds(shares: Scores) -> Scores:
    """Compute ln(p / (1 - p)), with p kept `LIKELIHOOD_FLOOR` away from 0 and 1."""
    return np.asarray(logit(np.clip(shares, LIKELIHOOD_FLOOR, 1 - LIKELIHOOD_FLOOR)))


def calibrator_from_dict(values: Mapping[str, Any]) -> Calibrator:
    """Read back what any calibrator's `to_dict` wrote.

    Raises:
        ValueError: If the kind is unknown, a key is missing or unknown, or a value is not allowed.
    """
    keys = _KEYS.get(str(values.get("kind")))
    if keys is None:
        raise ValueError(f"kind of a calibrator must be one of {', '.join(_KEYS)}, got {values.get('kind')!r}")
    if set(values) != {"kind", *keys}:
        raise ValueError(f"a calibrator needs the keys kind, {', '.join(keys)}, got {', '.join(sorted(values))}")
    match values["kind"]:
        case VectorScaling.kind:
            return VectorScaling(*(_numbers(values[key]) for key in keys))
        case Platt.kind:
            return Platt(*_numbers([values[key] for key in keys]))
        case Isotonic.kind:
            return Isotonic(*(_numbers(values[key]) for key in keys))
        case _:
            return CutCalibration(tuple(_curve(cut) for cut in values["cuts"]))


def cross_fit_predict(
    fit: Callable[[Any, Any], Fitted],
    apply: Callable[[Fitted, Any], Shaped[np.ndarray, " photo *value"]],
    scores: Shaped[np.ndarray, " photo *score"],
    labels: Shaped[np.ndarray, " photo"],
    folds: Int[np.ndarray, " photo"],
) -> Shaped[np.ndarray, " photo *value"]:
    """Predict each fold by what was fitted on the other folds, so that no prediction depends on its own label.

    Args:
        fit: Called as `fit(scores, labels)` on the other folds.
        apply: Called as `apply(fitted, scores)` on the fold.
        scores: What is calibrated, one row for each photograph.
        labels: Its reference: grades, or answers of yes and no.
        folds: Number of each photograph's fold. A patient's photographs belong in one fold.

    Raises:
        ValueError: If numbers differ or there are fewer than two folds.
    """
    names = np.unique(folds)
    if not len(scores) == len(labels) == len(folds):
        raise ValueError(
            "every photograph needs scores, a label and a fold, "
            f"got {len(scores)} scores, {len(labels)} labels and {len(folds)} folds"
        )
    if len(names) < 2:
        raise ValueError(f"at least 2 folds are needed, got {len(names)}")
    answers = [apply(fit(scores[folds != fold], labels[folds != fold]), scores[folds == fold]) for fold in names]
    together = np.concatenate(answers)
    order = np.concatenate([np.flatnonzero(folds == fold) for fold in names])
    result = np.empty_like(together)
    result[order] = together
    return result


_Point = Float[np.ndarray, " parameter"]
_Matrix = Float[np.ndarray, "parameter parameter"]

_KEYS: Final = {
    VectorScaling.kind: ("factors", "offsets"),
    Platt.kind: ("slope", "intercept"),
    Isotonic.kind: ("scores", "shares"),
    CutCalibration.kind: ("cuts",),
}


def _newton(loss: Callable[[_Point], tuple[float, _Point, _Matrix]], start: _Point) -> _Point:
    """Minimise a smooth convex loss by Newton's method; steps that would raise it are halved."""
    point = start
    value, slope, curve = loss(point)
    for _ in range(100):
        if np.abs(slope).max() < 1e-13:
            break
        step = np.linalg.lstsq(curve, slope)[0]
        size = 1.0
        while size > 1e-9:
            ahead = loss(point - size * step)
            if ahead[0] <= value - 1e-4 * size * float(slope @ step) + 1e-15 * max(1.0, value):
                break
            size /= 2
        else:
            break
        point = point - size * step
        value, slope, curve = ahead
    return point


def _curve(values: Mapping[str, Any]) -> Platt | Isotonic:
    curve = calibrator_from_dict(values)
    if not isinstance(curve, Platt | Isotonic):
        raise ValueError(f"a cut's curve must be one of {', '.join(CURVES)}, got {curve.kind}")
    return curve


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or not all(map(is_number, values)):
        raise ValueError(f"a calibrator's numbers must be a list of numbers, got {values!r}")
    return tuple(float(value) for value in values)


def _check_numbers(name: str, values: tuple[float, ...], count: int) -> None:
    # Written so that NaN is none of them.
    if len(values) != count or not all(abs(value) <= LARGEST_PARAMETER for value in values):
        raise ValueError(f"{name} must be {count} numbers up to {LARGEST_PARAMETER:g}, got {values}")


def _check_fit(scores: Float[np.ndarray, " photo *output"], labels: int) -> None:
    if len(scores) == 0:
        raise ValueError("held-out photographs are needed, got none")
    if len(scores) != labels:
        raise ValueError(f"every photograph needs one label, got {len(scores)} photographs and {labels} labels")
    if not np.isfinite(scores).all():
        raise ValueError(f"held-out scores must be finite, got {int((~np.isfinite(scores)).sum())} that are not")


def _check_answers(scores: Scores, positive: Answers) -> None:
    _check_fit(scores, len(positive))
    if positive.all() or not positive.any():
        raise ValueError(f"photographs of yes and of no are needed, got {int(positive.sum())} yes of {len(positive)}")
