"""How to calibrate, what is calibrated, and what was fitted to it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from fundoscope.arrays import Grades, Probabilities, RawOutput
from fundoscope.decide.calibrate import CUTTERS, Cuts
from fundoscope.decide.calibrators import Calibrator
from fundoscope.decide.heads import expected_grade
from fundoscope.decide.readout import Readout, fit_readout
from fundoscope.decide.rescale import calibrated, fit_calibrator

Scores = Float[np.ndarray, "photo score"]
"""Input of a calibration: raw outputs of a head, or probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to calibrate."""

    method: str
    """A name in `rescale.METHODS`, or `choice.AUTO`."""
    alpha: float = 0.1
    """Share of sets that may miss the reference grade."""
    by: str = ""
    """Column whose groups get thresholds of their own for their sets; blank: none."""
    sensitivity: float = 0.9
    """Share of the referable photographs that the referral threshold is to find; not used with `max_missed`."""
    max_missed: float | None = None
    """Set the referral threshold by conformal risk control instead: share of the referable patients that may be missed
    on average, in (0, 1). None: by `sensitivity`."""
    missed_unit: str = "patient"
    """With `max_missed`: what counts as missed, a name in `risk_control.LOSSES`."""
    score: str = ""
    """What a release's readout reads referable disease from: a name in `decide.readout.SCORES`; blank: as it does."""
    cutter: str = "kappa"
    """How the cuts of the expected grade are set: a name in `decide.calibrate.CUTTERS`, or `choice.AUTO`."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted on one set of photographs."""

    readout: Readout | None
    """Of the head, where that is what is calibrated."""
    calibrator: Calibrator | None
    cuts: Cuts


@dataclass(frozen=True, slots=True)
class Source:
    """What the predictions give to calibrate on, and how it is read."""

    given: Probabilities
    """What the system answered, before."""
    base: Probabilities
    """What a calibrator reads: probabilities before any other calibrator."""
    head: str = ""
    """Of a release whose readout is fitted anew: a name in `decide.heads.HEADS`; blank: `base` is calibrated."""
    raw: RawOutput | None = None
    """Raw outputs, where `head` is given."""
    score: str = "cut"
    """What the readout reads referable disease from: a name in `decide.readout.SCORES`."""
    cuts: Cuts | None = None
    """The system's own cuts, which stay where nothing is changed; None: not known."""

    @property
    def scores(self) -> Scores:
        """What is fitted on."""
        return self.base if self.raw is None else self.raw

    def fit(self, scores: Scores, grades: Grades, settings: Settings) -> Fit:
        """Fit readout or calibrator, and the cuts of the calibrated expected grade."""
        if self.head:
            blank = Fit(fit_readout(self.head, scores, grades, score=self.score), None, ())
        else:
            blank = Fit(None, fit_calibrator(settings.method, scores, grades), ())
        if settings.method == "none" and self.cuts is not None:
            return replace(blank, cuts=self.cuts)
        return replace(blank, cuts=CUTTERS[settings.cutter](expected_grade(self.apply(blank, scores)), grades))

    def apply(self, fit: Fit, scores: Scores) -> Probabilities:
        """Calibrate scores."""
        return calibrated(scores, fit.calibrator) if fit.readout is None else fit.readout.probabilities(scores)
