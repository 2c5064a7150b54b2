"""RetinaScan's calibration of another system's table: two temperatures and four thresholds, on held-out photographs.

Judged as everything else: cross-fitted, with intervals by patient.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from fundoscope import __version__
from fundoscope.arrays import RawOutput
from fundoscope.clinic.calibration import folds_of
from fundoscope.clinic.provenance import UNCHECKED
from fundoscope.clinic.recalibration import interval_to_dict
from fundoscope.decide.calibrators import cross_fit
from fundoscope.decide.cut_thresholds import count_passed
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.retinascan import RetinaScanCalibration, fit_retinascan
from fundoscope.errors import BadTable
from fundoscope.evaluation.agreement import Values, agreement_statistics, confusions
from fundoscope.evaluation.interval import Interval, Weights, patient_intervals
from fundoscope.evaluation.reliability import brier_scores, calibration_errors, log_losses
from fundoscope.grades import GRADES

CUT_COLUMNS: Final = tuple(f"cut{k}" for k in range(GRADES - 1))
"""Columns of the cut logits, beside raw0 to raw4, which are the prototypes' scores."""

PLAIN: Final = RetinaScanCalibration(prototype_temperature=1.0, ordinal_temperature=1.0, thresholds=(0.0,) * 4)
"""Nothing calibrated."""


def held_out_pair(rows: pd.DataFrame, *, held_out: bool, path: Path) -> tuple[HeldOut, RawOutput]:
    """Held-out photographs with the prototypes' scores as `raw`, and their cut logits (photo, 4).

    Args:
        rows: `Joined.rows`, with the columns `CUT_COLUMNS`.
        held_out: As `HeldOut.of_table`.
        path: Of the predictions; named in messages.

    Raises:
        BadTable: If a column is missing or not filled, or a row may be in-sample.
    """
    held = HeldOut.of_table(rows, held_out=held_out)
    cuts = {f"raw{k}": pd.to_numeric(rows[name], errors="coerce") for k, name in enumerate(CUT_COLUMNS) if name in rows}
    others = rows.drop(columns=[f"raw{k}" for k in range(GRADES)], errors="ignore").assign(**cuts)
    logits = HeldOut.of_table(others, held_out=held_out).raw
    if held.raw is None or held.raw.shape[1] != GRADES or logits is None or logits.shape[1] != len(CUT_COLUMNS):
        raise BadTable(
            f"{path}: expected the prototypes' scores in raw0 to raw4 and the cut logits in cut0 to cut3 of every "
            "photograph, got some missing. Add them, or leave --preset out."
        )
    return held, logits


def preset_to_dict(
    found: RetinaScanCalibration,
    figures: Mapping[str, Mapping[str, Interval]],
    held: HeldOut,
    *,
    data: Mapping[str, str | int],
    given: int,
) -> dict[str, Any]:
    """As JSON, `given` photographs having been matched."""
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
        **found.to_dict(),
        "figures_cross_fitted": {
            name: {when: interval_to_dict(each) for when, each in of.items()} for name, of in figures.items()
        },
        "warnings": [],
    }


def preset(
    held: HeldOut, cuts: np.ndarray, *, rng: np.random.Generator, resamples: int = 2000
) -> tuple[RetinaScanCalibration, dict[str, dict[str, Interval]]]:
    """The calibration of all photographs, and figures before and cross-fitted after it.

    Args:
        held: Held-out photographs, `raw` the prototypes' scores (photo, 5).
        cuts: Their cut logits (photo, 4).
        rng: Deals the folds where there are none, and draws patients.
        resamples: Draws of patients for each interval.

    Raises:
        BadTable: If there are too few patients.
    """
    assert held.raw is not None
    folds, _ = folds_of(held, rng)
    both = np.column_stack([held.raw, cuts])
    after = cross_fit(lambda part, grades: fit_retinascan(*_apart(part), grades), _read, both, held.grades, folds)
    figures = _figures(_read(PLAIN, both), after, held, rng=rng, resamples=resamples)
    return fit_retinascan(held.raw, cuts, held.grades), figures


def _apart(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return both[:, :GRADES], both[:, GRADES:]


def _read(found: RetinaScanCalibration, both: np.ndarray) -> np.ndarray:
    """Prototype probabilities, cut probabilities and the counted grade, (photo, 11)."""
    scores, cuts = _apart(both)
    grades = count_passed(cuts, np.array(found.thresholds))
    return np.column_stack([found.prototype_shares(scores), found.cut_shares(cuts), grades])


def _figures(
    before: np.ndarray, after: np.ndarray, held: HeldOut, *, rng: np.random.Generator, resamples: int
) -> dict[str, dict[str, Interval]]:
    def of(weights: Weights, read: np.ndarray) -> dict[str, Any]:
        found: dict[str, Values] = {}
        for name, given in (("prototypes", read[:, :GRADES]), ("cuts", read[:, GRADES : 2 * GRADES])):
            found |= {
                f"{name}_log_loss": log_losses(weights, given, held.grades),
                f"{name}_calibration_error": calibration_errors(weights, given, held.grades),
                f"{name}_brier": brier_scores(weights, given, held.grades),
            }
        counts = confusions(weights, held.grades, read[:, -1].astype(np.int64))
        return found | {"quadratic_kappa": agreement_statistics(counts)["quadratic_kappa"]}

    def statistics(weights: Weights) -> dict[str, Values]:
        old, new = of(weights, before), of(weights, after)
        return {
            f"{name} {when}": values
            for name in old
            for when, values in (("before", old[name]), ("after", new[name]), ("change", new[name] - old[name]))
        }

    found = patient_intervals(statistics, held.patients, rng=rng, resamples=resamples)
    names = dict.fromkeys(name.rsplit(" ", 1)[0] for name in found)
    return {name: {when: found[f"{name} {when}"] for when in ("before", "after", "change")} for name in names}
