"""RetinaScan's calibration of another system's table: two temperatures and four thresholds, on held-out photographs.

Judged as everything else: cross-fitted, with intervals by patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fundoscope.arrays import Grades
from fundoscope.clinic.calibration.calibration import folds_of
from fundoscope.clinic.calibration.recalibration import interval_to_dict
from fundoscope.clinic.commissioning.provenance import UNCHECKED
from fundoscope.decide.calibrators import cross_fit_predict
from fundoscope.decide.cut_thresholds import count_passed
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.retinascan import RetinaScanCalibration, fit_retinascan
from fundoscope.errors import BadTable
from fundoscope.evaluation.statistics.agreement import Values, agreement_statistics, confusions
from fundoscope.evaluation.statistics.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.statistics.reliability import (
    brier_scores,
    calibration_errors,
    log_losses,
    without_interval,
)
from fundoscope.grades import GRADES
from fundoscope.version import __version__

PLAIN: Final = RetinaScanCalibration(prototype_temperature=1.0, ordinal_temperature=1.0, thresholds=(0.0,) * 4)
"""Nothing calibrated."""


def with_both_heads(rows: pd.DataFrame, *, held_out: bool, path: Path) -> HeldOut:
    """Select held-out photographs with the prototypes' scores as `raw` and the cut logits as `cuts`.

    Args:
        rows: Predictions beside the manifest's rows.
        held_out: As `HeldOut.of_table`.
        path: Of the predictions; named in messages.

    Raises:
        BadTable: If a column is missing or not filled, or a row may be in-sample.
    """
    held = HeldOut.of_table(rows, held_out=held_out)
    if held.raw is None or held.raw.shape[1] != GRADES or held.cuts is None:
        raise BadTable(
            f"{path}: expected the prototypes' scores in raw0 to raw4 and the cut logits in cut0 to cut3 of every "
            "photograph, got some missing. Add them, or leave --preset out."
        )
    return held


def preset_to_dict(
    calibration: RetinaScanCalibration,
    figures: Mapping[str, Mapping[str, Interval]],
    held: HeldOut,
    *,
    data: Mapping[str, str | int],
    given: int,
) -> dict[str, Any]:
    """Return the record of `calibration.json`."""
    return {
        "schema": 1,
        "kind": "calibration",
        "fundoscope": __version__,
        "data": dict(data),
        "basis": "out-of-fold predictions" if held.out_of_fold else UNCHECKED,
        "photographs": len(held.grades),
        "left_out": given - len(held.grades),
        "patients": len(np.unique(held.patients)),
        "method": "RetinaScan's preset",
        **calibration.to_dict(),
        "figures_cross_fitted": {
            name: {when: interval_to_dict(interval) for when, interval in of.items()} for name, of in figures.items()
        },
        "warnings": [],
    }


def preset(
    held: HeldOut, *, rng: np.random.Generator, resamples: int = 2000
) -> tuple[RetinaScanCalibration, dict[str, dict[str, Interval]]]:
    """Calibrate on all photographs; also return figures before and cross-fitted after calibration.

    Args:
        held: Of `with_both_heads`.
        rng: Deals the folds where there are none, and draws patients.
        resamples: Draws of patients for each interval.

    Raises:
        BadTable: If there are too few patients.
    """
    assert held.raw is not None
    assert held.cuts is not None
    folds, _ = folds_of(held, rng)
    both = np.column_stack([held.raw, held.cuts])
    after = cross_fit_predict(
        lambda part, grades: fit_retinascan(*_apart(part), grades), _read, both, held.grades, folds
    )
    figures = _figures(_read(PLAIN, both), after, held, rng=rng, resamples=resamples)
    return _fitted(both, held.grades), figures


def _fitted(both: np.ndarray, grades: Grades) -> RetinaScanCalibration:
    return fit_retinascan(*_apart(both), grades)


def _apart(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return both[:, :GRADES], both[:, GRADES:]


def _read(calibration: RetinaScanCalibration, both: np.ndarray) -> np.ndarray:
    """Return prototype probabilities, cut probabilities and the counted grade, (photo, 11)."""
    scores, cuts = _apart(both)
    grades = count_passed(cuts, np.array(calibration.thresholds))
    return np.column_stack([calibration.prototype_probabilities(scores), calibration.cut_probabilities(cuts), grades])


def _figures(
    before: np.ndarray, after: np.ndarray, held: HeldOut, *, rng: np.random.Generator, resamples: int
) -> dict[str, dict[str, Interval]]:
    def of(weights: Weights, read: np.ndarray) -> dict[str, Any]:
        values: dict[str, Values] = {}
        for name, by_grade in (("prototypes", read[:, :GRADES]), ("cuts", read[:, GRADES : 2 * GRADES])):
            values |= {
                f"{name}_log_loss": log_losses(weights, by_grade, held.grades),
                f"{name}_calibration_error": calibration_errors(weights, by_grade, held.grades),
                f"{name}_brier": brier_scores(weights, by_grade, held.grades),
            }
        counts = confusions(weights, held.grades, read[:, -1].astype(np.int64))
        return values | {"quadratic_kappa": agreement_statistics(counts)["quadratic_kappa"]}

    def statistics(weights: Weights) -> dict[str, Values]:
        old, new = of(weights, before), of(weights, after)
        return {
            f"{name} {when}": values
            for name in old
            for when, values in (("before", old[name]), ("after", new[name]), ("change", new[name] - old[name]))
        }

    intervals = patient_intervals(statistics, held.patients, rng=rng, resamples=resamples)
    intervals |= {name: without_interval(own) for name, own in intervals.items() if "calibration_error" in name}
    names = dict.fromkeys(name.rsplit(" ", 1)[0] for name in intervals)
    return {name: {when: intervals[f"{name} {when}"] for when in ("before", "after", "change")} for name in names}
