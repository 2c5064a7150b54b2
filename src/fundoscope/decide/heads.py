"""From a head's raw output to the probabilities of the five grades: the one implementation.

Whatever was trained, exported or graded passes through `probabilities`; `training` only
adds losses. A head is a name, the number of its outputs, and a function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit, log_expit, ndtr

from fundoscope.arrays import Probabilities, RawOutput, Scores
from fundoscope.grades import GRADES, REFERABLE

REGRESSION_CUTS: Final = tuple(k + 0.5 for k in range(GRADES - 1))
"""Where a regression value passes from one grade to the next: 0.5, 1.5, 2.5, 3.5."""

SEPARATION: Final = 0.001
"""Share of the probability on its side of the referable cut that every grade of a head with cuts keeps."""

IMPOSSIBLE: Final = 1e-12
"""No probability is nearer to 0 or 1."""


def softmax_probabilities(raw: RawOutput, temperature: float) -> Probabilities:
    """Convert five logits, unnormalised, divided by the temperature."""
    logits = raw / temperature
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def regression_probabilities(raw: RawOutput, temperature: float) -> Probabilities:
    """Convert one value on the scale of the grades, as the mean of a normal distribution.

    The temperature is the distribution's standard deviation, in grades. The mass between two
    neighbouring cuts is the grade's; the outer grades take the tails.
    """
    return _from_exceedances(ndtr((raw - np.array(REGRESSION_CUTS)) / temperature))


def cut_probabilities(raw: RawOutput, temperature: float, referral: Scores | None = None) -> Probabilities:
    """Convert four cut logits: column k is the logit of `grade > k` (Cao, Mirjalili, Raschka 2020).

    P(grade = k) = s[k-1] - s[k] with s[-1] = 1 and s[4] = 0. CORAL's one shared weight vector
    gives falling s by itself; where independent cuts give a rising pair, the later cut is lowered to the
    earlier one (cumulative minimum), so that no probability is negative, and each falls by a share of `SEPARATION`
    at least, so that none is 0.

    Args:
        raw: Cut logits (photo, 4).
        temperature: Divides them.
        referral: Logit of referable disease of each photograph, calibrated, in place of the second cut's. The earlier
            cut is raised to it where it lies below, the later ones lowered.
    """
    above = expit(raw / temperature)
    if referral is not None:
        at = REFERABLE - 1  # column k is P(grade > k)
        above[:, at] = expit(referral)
        above[:, :at] = np.maximum(above[:, :at], above[:, at, None])
    return _from_exceedances(_falling(above))


def conditional_probabilities(raw: RawOutput, temperature: float) -> Probabilities:
    """CORN's four logits: column k is the logit of `grade > k` *given* `grade > k - 1` (Shi, Cao, Raschka 2021).

    P(grade > k) is the product of the first k + 1 sigmoids, so it cannot rise with the cut. The temperature
    divides the logit of that product, as it does for the other cut heads: divided one by one, the factors
    would put photographs into another order.
    """
    log_above = np.cumsum(log_expit(raw), axis=1)
    with np.errstate(divide="ignore"):  # a cut that is certain has an infinite logit
        logits = log_above - np.log(-np.expm1(log_above))
    return _from_exceedances(_falling(expit(logits / temperature)))


@dataclass(frozen=True, slots=True)
class Head:
    """How one kind of raw output is read."""

    outputs: int
    """Number of raw values for each photograph."""
    read: Callable[[RawOutput, float], Probabilities]
    """Called as `read(raw, temperature)`."""


HEADS: Final[dict[str, Head]] = {
    "softmax": Head(GRADES, softmax_probabilities),
    "regression": Head(1, regression_probabilities),
    "coral": Head(GRADES - 1, cut_probabilities),
    "cumulative": Head(GRADES - 1, cut_probabilities),
    "corn": Head(GRADES - 1, conditional_probabilities),
    "prototype": Head(GRADES, softmax_probabilities),
}


CUT_HEADS: Final = tuple(name for name, head in HEADS.items() if head.read is cut_probabilities)
"""Heads whose raw outputs are logits of `grade > k`, each of its own."""


def probabilities(
    head: str, raw: RawOutput, *, temperature: float = 1.0, referral: Scores | None = None
) -> Probabilities:
    """Compute the probability of each grade, in double precision.

    Args:
        head: A name in `HEADS`.
        raw: The head's output, one row for each photograph; every value finite.
        temperature: Above 0. Softmax, prototype scores and cut logits: 1 leaves the logits as they are, more
            makes the answer less sure. Regression: the standard deviation in grades.
        referral: Logit of referable disease of each photograph, which then replaces the second cut (`CUT_HEADS` only;
            `readout.Readout`).

    Raises:
        ValueError: If the head is unknown, the shape does not fit it, the temperature is not above
            0, a value is not finite, or a referral score is given for a head without cuts.

    Example:
        >>> probabilities("softmax", np.zeros((1, 5))).round(2)
        array([[0.2, 0.2, 0.2, 0.2, 0.2]])
    """
    outputs = outputs_of(head)
    if raw.shape[1] != outputs:
        raise ValueError(f"raw output of a {head} head must have {outputs} columns, got {raw.shape[1]}")
    if not (np.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature must be a number above 0, got {temperature}")
    values = raw.astype(np.float64)
    if not np.isfinite(values).all():
        rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
        raise ValueError(f"raw output must be finite, got {values[rows[0]].tolist()} in row {rows[0]}")
    if referral is None:
        return HEADS[head].read(values, temperature)
    if head not in CUT_HEADS:
        raise ValueError(f"a referral score needs a head with cuts ({', '.join(CUT_HEADS)}), got {head!r}")
    return cut_probabilities(values, temperature, referral)


def outputs_of(head: str) -> int:
    """Return the number of raw values of a head for each photograph.

    Raises:
        ValueError: If there is no head of that name.
    """
    if head not in HEADS:
        raise ValueError(f"head must be one of {', '.join(HEADS)}, got {head!r}")
    return HEADS[head].outputs


def expected_grade(by_grade: Probabilities) -> Scores:
    """Compute the mean of the grades weighted by their probabilities, 0 to 4."""
    return np.asarray(by_grade @ np.arange(GRADES, dtype=np.float64))


def exceedance(by_grade: Probabilities, cut: int) -> Scores:
    """Compute the probability that the grade is `cut` or above, in [0, 1].

    Raises:
        ValueError: If `cut` is not a grade.
    """
    if not 0 <= cut < GRADES:
        raise ValueError(f"cut must be a grade from 0 to {GRADES - 1}, got {cut}")
    return np.asarray(np.clip(by_grade[:, cut:].sum(axis=1), 0.0, 1.0))


def _falling(above: RawOutput) -> RawOutput:
    """Return exceedances that fall from column to column, each by a share of `SEPARATION` at least.

    A later cut is lowered to an earlier one. Cuts that touch would leave the grade between them with a probability of
    exactly 0, which no finite number of photographs can show; they are moved apart, away from the cut of referable
    disease, whose probability stays what it is.
    """
    lowered = np.minimum.accumulate(np.clip(above, IMPOSSIBLE, 1 - IMPOSSIBLE), axis=1)
    for cut in range(REFERABLE - 2, -1, -1):  # column `cut` is P(grade > cut); REFERABLE - 1 is the cut that stays
        nearer = lowered[:, cut + 1]
        lowered[:, cut] = np.maximum(lowered[:, cut], nearer + SEPARATION * (1 - nearer))
    for cut in range(REFERABLE, GRADES - 1):
        lowered[:, cut] = np.minimum(lowered[:, cut], (1 - SEPARATION) * lowered[:, cut - 1])
    return np.asarray(lowered)


def _from_exceedances(above: RawOutput) -> Probabilities:
    """Return the differences of P(grade > 0), ..., P(grade > 3), which must not rise from column to column.

    What computes to 0 counts as `IMPOSSIBLE`, so that the logarithm of every probability is finite.
    """
    ones, zeros = np.ones((len(above), 1)), np.zeros((len(above), 1))
    shares = np.maximum(-np.diff(np.concatenate([ones, above, zeros], axis=1), axis=1), IMPOSSIBLE)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))
