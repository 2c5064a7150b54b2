"""Choose the method of a calibration by the log loss on patients that it was not fitted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Int

from fundoscope.clinic.calibration.calibration import (
    Calibration,
    calibrate,
    cross_fitted_answers,
    folds_of,
)
from fundoscope.clinic.calibration.source import Settings, Source
from fundoscope.decide.calibrate import CUTTERS
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.rescale import METHODS
from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.agreement import agreement_statistics, confusions
from fundoscope.evaluation.statistics.reliability import log_losses

AUTO: Final = "auto"
"""Name of the method that stands for the best of all."""


def calibrate_by_choice(
    held: HeldOut,
    source_of: Callable[[str], Source],
    settings: Settings,
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
) -> Calibration:
    """Calibrate by the method that is named or, where it is `AUTO`, by that with the least cross-fitted log loss.

    A cutter `AUTO` is chosen by accuracy and quadratic kappa, cross-fitted likewise. Of equal methods the first in
    `METHODS` is taken, so that nothing is changed without a reason. A method that the photographs are too few for is
    passed over. All methods are compared on the same folds; that the least of several losses is reported makes it look
    a little better than it is.

    Args:
        held: As `calibration.calibrate`.
        source_of: What is calibrated by the method of a name.
        settings: How; `method` and `cutter` may be `AUTO`.
        rng: As `calibration.calibrate`.
        resamples: As `calibration.calibrate`.

    Raises:
        BadTable: As `calibration.calibrate`.
        ValueError: As `calibration.calibrate`.
    """
    folds, _ = parts = folds_of(held, rng)
    losses = _losses(held, source_of, settings, folds) if settings.method == AUTO else {}
    if losses:
        # Losses that differ by less are equal: `min` takes the first of them.
        settings = replace(settings, method=min(losses, key=lambda method: round(losses[method], 6)))
    source = source_of(settings.method)
    if settings.cutter == AUTO:
        settings = replace(settings, cutter=_best_cutter(held, source, settings, folds))
    calibration = calibrate(held, source, settings, rng=rng, resamples=resamples, folds=parts)
    return replace(calibration, losses=losses)


def _losses(
    held: HeldOut, source_of: Callable[[str], Source], settings: Settings, folds: Int[np.ndarray, " photo"]
) -> dict[str, float]:
    """Return the cross-fitted log loss of every method that there are photographs enough for."""
    losses: dict[str, float] = {}
    for method in METHODS:
        # The cuts of the expected grade do not touch the probabilities.
        tried = replace(settings, method=method, cutter="median")
        try:
            after, _ = cross_fitted_answers(held, source_of(method), tried, folds)
        except BadTable:
            continue
        losses[method] = float(log_losses(np.ones((1, len(after))), after, held.grades)[0])
    return losses


def _best_cutter(held: HeldOut, source: Source, settings: Settings, folds: Int[np.ndarray, " photo"]) -> str:
    """Return the cutter with the largest cross-fitted sum of accuracy and quadratic kappa, the first of equals."""
    sums: dict[str, float] = {}
    for cutter in sorted(CUTTERS, key=lambda name: name != "median"):
        _, answers = cross_fitted_answers(held, source, replace(settings, cutter=cutter), folds)
        values = agreement_statistics(confusions(np.ones((1, len(answers))), held.grades, answers))
        # A kappa that is undefined, where all have one grade, prefers none.
        sums[cutter] = float(values["accuracy"][0]) + float(np.nan_to_num(values["quadratic_kappa"][0]))
    return max(sums, key=lambda cutter: round(sums[cutter], 6))
