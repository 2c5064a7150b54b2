"""The calibration of a release that grades retinopathy, as `release.json` holds it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from fundoscope.decide.calibrators import Calibrator, Platt, calibrator_from_dict
from fundoscope.decide.readout import Readout
from fundoscope.grades import GRADES
from fundoscope.records import is_number
from fundoscope.runtime.description import Release
from fundoscope.runtime.tasks.task import Refusal, checked_temperature

FAULTS: Final = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a description of something unknown may raise."""


def read_readout(release: Release, refuse: Refusal) -> Readout:
    """Return how a release's raw outputs become probabilities. Raises what `refuse` makes."""
    temperature = checked_temperature(release.calibration["temperature"], "calibration.temperature", refuse)
    if "referral_score" not in release.calibration:
        return Readout(head=release.head, temperature=temperature)
    try:
        curve = calibrator_from_dict(release.calibration["referral_score"])
        if not isinstance(curve, Platt):
            raise ValueError(f"a referral score must be of the kind {Platt.kind}, got {curve.kind}")
        return Readout(head=release.head, temperature=temperature, referral=curve)
    except FAULTS as problem:
        raise refuse("calibration.referral_score", "one that this version can run", str(problem)) from None


def read_calibrator(calibration: dict[str, Any], refuse: Refusal) -> Calibrator | None:
    """Return what corrects a release's probabilities (None: nothing), once its cuts are sound.

    Raises what `refuse` makes.
    """
    if set(calibration) - {"calibrator", "referral_score"} != {"temperature", "grade_cuts"}:
        expected = "temperature and grade_cuts (and a calibrator or a referral_score)"
        raise refuse("calibration", expected, sorted(calibration))
    cuts = calibration["grade_cuts"]
    numbers = isinstance(cuts, list | tuple) and len(cuts) in (0, GRADES - 1)
    # Written so that NaN, which is neither above nor below anything, is none of these.
    rising = numbers and all(is_number(cut) for cut in cuts) and all(one <= two for one, two in pairwise(cuts))
    if not rising or not all(0 <= cut <= GRADES - 1 for cut in cuts):
        expected = f"{GRADES - 1} rising numbers from 0 to {GRADES - 1}, or none to answer the median"
        raise refuse("calibration.grade_cuts", expected, cuts)
    if "calibrator" not in calibration:
        return None
    try:
        return calibrator_from_dict(calibration["calibrator"])
    except FAULTS as problem:
        raise refuse("calibration.calibrator", "one that this version can run", str(problem)) from None
