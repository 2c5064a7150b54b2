"""From a head's probabilities to ones that come true: each calibrator reads probabilities, whatever head they are of.

So one fitted calibrator means the same for a release, for another system's table with p0 to p4, and for the votes of
neighbours. Vector scaling takes the logarithms of the five probabilities (Kull et al., NeurIPS 2019: matrix scaling of
log-probabilities, its diagonal; equal factors 1/T without offsets are the temperature T), curves the log-odds of being
above a cut. A curve for one question alone asks whether the grade is referable; the grades on either side keep their
proportions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.calibrate import LIKELIHOOD_FLOOR, fit_temperature
from fundoscope.decide.calibrators import (
    Calibrator,
    CutCalibration,
    Isotonic,
    Platt,
    VectorScaling,
    fit_cut_calibration,
    fit_isotonic,
    fit_platt,
    fit_vector_scaling,
    log_odds,
)
from fundoscope.decide.heads import exceedance
from fundoscope.grades import GRADES, REFERABLE


def calibrated(probabilities: Probabilities, calibrator: Calibrator | None) -> Probabilities:
    """Calibrate probabilities; without a calibrator, return them as they are.

    Args:
        probabilities: Probabilities of the five grades (photo, 5), each row summing to 1.
        calibrator: Of `fit_calibrator`.

    Example:
        >>> calibrated(np.array([[0.2, 0.2, 0.2, 0.2, 0.2]]), Platt(slope=0.0, intercept=0.0)).round(3)
        array([[0.25 , 0.25 , 0.167, 0.167, 0.167]])
    """
    match calibrator:
        case None:
            return probabilities
        case VectorScaling():
            return calibrator.apply(log_probabilities(probabilities))
        case CutCalibration():
            return calibrator.apply(cut_log_odds(probabilities))
        case _:
            return _shared_out(probabilities, calibrator.apply(log_odds(exceedance(probabilities, REFERABLE))))


def fit_calibrator(method: str, probabilities: Probabilities, grades: Grades) -> Calibrator | None:
    """Fit the calibrator of a method by maximum likelihood (isotonic: least squares); None of the method none.

    Args:
        method: A name in `METHODS`.
        probabilities: Probabilities of *held-out* photographs, never of those that were trained on.
        grades: Reference grade of each, 0 to 4.

    Raises:
        ValueError: If there is no such method; as the fit of each in `calibrators`, if there are no photographs or
            all lie on one side of a cut that is asked about.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    return None if method == "none" else _FITS[method](probabilities, grades)


def log_probabilities(probabilities: Probabilities) -> RawOutput:
    """Compute the logarithm of each probability, at least that of `LIKELIHOOD_FLOOR`."""
    return np.asarray(np.log(np.maximum(probabilities, LIKELIHOOD_FLOOR)))


def cut_log_odds(probabilities: Probabilities) -> RawOutput:
    """Compute the log-odds of grade > 0, ..., grade > 3, (photo, 4)."""
    return np.stack([log_odds(exceedance(probabilities, cut)) for cut in range(1, GRADES)], axis=1)


METHODS: Final = {
    "none": "nothing is changed",
    "temperature": "one number for all grades",
    "vector": "a factor and an offset for each grade's log-probability",
    "platt": "a sigmoid of the log-odds of referable",
    "isotonic": "a rising curve of the log-odds of referable",
    "cuts": "a sigmoid of the log-odds for each cut between grades",
}
"""Ways to calibrate, and in words."""


def _temperature(probabilities: Probabilities, grades: Grades) -> VectorScaling:
    factor = 1 / fit_temperature("softmax", log_probabilities(probabilities), grades)
    return VectorScaling((factor,) * GRADES, (0.0,) * GRADES)


def _referable(
    fit: Callable[[np.ndarray, np.ndarray], Platt | Isotonic],
) -> Callable[[Probabilities, Grades], Calibrator]:
    return lambda probabilities, grades: fit(log_odds(exceedance(probabilities, REFERABLE)), grades >= REFERABLE)


_FITS: Final[dict[str, Callable[[Probabilities, Grades], Calibrator]]] = {
    "temperature": _temperature,
    "vector": lambda probabilities, grades: fit_vector_scaling(log_probabilities(probabilities), grades),
    "platt": _referable(fit_platt),
    "isotonic": _referable(fit_isotonic),
    "cuts": lambda probabilities, grades: fit_cut_calibration(cut_log_odds(probabilities), grades),
}


def _shared_out(probabilities: Probabilities, wanted: np.ndarray) -> Probabilities:
    """Rescale grades so that the probability of referable is `wanted`, in unchanged proportions on either side.

    A side that had nothing gives what it comes to have to the grade next to the cut.
    """
    above = np.arange(GRADES) >= REFERABLE
    result = np.zeros(probabilities.shape)
    for side, total, nearest in ((above, wanted, REFERABLE), (~above, 1 - wanted, REFERABLE - 1)):
        part = probabilities[:, side]
        had = part.sum(axis=1)
        some = had > 0
        share = np.divide(part, had[:, None], out=np.zeros_like(part), where=some[:, None])
        result[:, side] = share * total[:, None]
        result[~some, nearest] = total[~some]
    return result
