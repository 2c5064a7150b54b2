"""Probabilities and temperatures of signs, each present or absent, and of classes without an order.

The five ICDR grades have `decide.heads` and `decide.calibrate`; what is here serves the other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit, log_expit, log_softmax, softmax

from fundoscope.arrays import RawOutput
from fundoscope.decide.calibrate import best_temperature
from fundoscope.decide.referral import fit_threshold

ByLabel = Float[np.ndarray, "photo label"]
"""Probability of each label, in [0, 1]."""


def sign_probabilities(raw: RawOutput, temperatures: Sequence[float]) -> ByLabel:
    """Return the probability that each sign is present: the sigmoid of its logit divided by its temperature.

    Args:
        raw: One logit for each sign.
        temperatures: Above 0, one for each sign.

    Example:
        >>> sign_probabilities(np.array([[0.0, 2.0]]), [1.0, 2.0]).round(3)
        array([[0.5  , 0.731]])
    """
    return np.asarray(expit(raw.astype(np.float64) / np.asarray(temperatures, np.float64)))


def class_probabilities(raw: RawOutput, temperature: float) -> ByLabel:
    """Return the probability of each class: the softmax of the logits divided by the temperature; rows sum to 1."""
    return np.asarray(softmax(raw.astype(np.float64) / temperature, axis=1))


def fit_sign_temperature(logits: Float[np.ndarray, " photo"], present: Bool[np.ndarray, " photo"]) -> float:
    """Fit the temperature that makes a sign's reference likeliest (least mean negative log-likelihood).

    Args:
        logits: *Held-out* logits of the sign, never those the model was trained on.
        present: Whether the reference has the sign.

    Raises:
        ValueError: If the sign is present everywhere or nowhere, or a logit is not finite.
    """
    if present.all() or not present.any():
        raise ValueError(
            f"photographs with and without the sign are needed, got {int(present.sum())} of {len(present)}"
        )
    signed = np.where(present, logits, -logits).astype(np.float64)
    _check_finite(signed)
    return best_temperature(lambda temperature: -float(log_expit(signed / temperature).mean()))


def fit_sign(
    logits: Float[np.ndarray, " photo"], reference: Float[np.ndarray, " photo"], *, sensitivity: float
) -> tuple[float, float]:
    """Fit a sign's temperature, and the largest threshold of its probability that finds the wanted share of it.

    Args:
        logits: *Held-out* logits of the sign, never those the model was trained on.
        reference: 1 where the sign is present, 0 where it is absent, NaN where that is unknown: those are left out.
        sensitivity: Share of the photographs with the sign to be found at least, in (0, 1].

    Raises:
        ValueError: If no photograph is known to have the sign, or none to be without it.
    """
    labelled = ~np.isnan(reference)
    present = reference[labelled] == 1
    temperature = fit_sign_temperature(logits[labelled], present)
    probabilities = sign_probabilities(logits[labelled, None], (temperature,))[:, 0]
    return temperature, fit_threshold(probabilities, present, sensitivity=sensitivity)


def fit_class_temperature(raw: RawOutput, classes: Int[np.ndarray, " photo"]) -> float:
    """Fit the temperature that makes the reference classes likeliest.

    Args:
        raw: *Held-out* logits, one for each class.
        classes: Number of each photograph's reference class.

    Raises:
        ValueError: If there are no photographs, or a logit is not finite.
    """
    if not len(classes):
        raise ValueError("held-out photographs are needed, got none")
    logits, rows = raw.astype(np.float64), np.arange(len(classes))
    _check_finite(logits)
    return best_temperature(lambda temperature: -float(log_softmax(logits / temperature, axis=1)[rows, classes].mean()))


def _check_finite(values: np.ndarray) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"held-out outputs must be finite, got {int((~np.isfinite(values)).sum())} that are not")
