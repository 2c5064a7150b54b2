"""Calibrate a system from its table of held-out predictions and a manifest, and a copy of its release where wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fundoscope.clinic.calibration.calibration import Calibration
from fundoscope.clinic.calibration.choice import calibrate_by_choice
from fundoscope.clinic.calibration.recalibration import (
    calibration_to_dict,
    cutter_of,
    recalibrate_release,
    source_of,
)
from fundoscope.clinic.calibration.retinascan import preset, preset_to_dict, with_both_heads
from fundoscope.clinic.calibration.source import Settings, Source
from fundoscope.clinic.commissioning.provenance import OUT_OF_FOLD, OWN, UNCHECKED, held_against
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.retinascan import RetinaScanCalibration
from fundoscope.errors import BadRelease
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.verification import verify_release
from fundoscope.tables.pair import Pair


@dataclass(frozen=True, slots=True)
class TableCalibration:
    """A calibration with what it is written down as."""

    calibration: Calibration
    record: dict[str, Any]
    """The content of `calibration.json`."""


@dataclass(frozen=True, slots=True)
class PresetCalibration:
    """RetinaScan's calibration with what it is written down as."""

    calibration: RetinaScanCalibration
    figures: Mapping[str, Mapping[str, Interval]]
    """By statistic: `before`, `after` (cross-fitted) and `change`."""
    record: dict[str, Any]
    """The content of `calibration.json`."""


def calibrate_tables(
    pair: Pair,
    settings: Settings,
    *,
    release: OpenRelease | None = None,
    held_out: bool = False,
    seed: int = 0,
    day: date,
) -> TableCalibration:
    """Calibrate on photographs that the system was not trained on.

    Args:
        pair: Predictions beside the reference grades, of `tables.pair.read_pair`.
        settings: How. With a release, grade cuts are fitted as its experiment fitted them, whatever `cutter` says.
        release: The release that made the predictions: its raw outputs are calibrated. None: the probabilities.
        held_out: The system was not trained on these photographs, although the table has no folds that say so.
        seed: Of folds and bootstrap samples.
        day: Of the calibration.

    Raises:
        BadTable: If a column is missing, a photograph may have been trained on, or there are too few.
        BadRequest: If the release is calibrated in a way that a table cannot undo.
    """
    held, basis = _held_out(pair, release, by=settings.by, held_out=held_out)
    if release is not None:
        settings = replace(settings, cutter=cutter_of(release))

    def source(method: str) -> Source:
        return source_of(held, release, method=method, path=pair.predictions, score=settings.score)

    calibration = calibrate_by_choice(held, source, settings, rng=np.random.default_rng(seed))
    record = calibration_to_dict(
        calibration,
        data=pair.data if release is None else pair.data | {"release": release.name},
        basis=basis,
        left_out=len(pair.rows) - len(held.grades),
        day=day,
    )
    return TableCalibration(calibration, record)


def calibrate_as_retinascan(pair: Pair, *, held_out: bool = False, seed: int = 0) -> PresetCalibration:
    """Calibrate a table of both heads as RetinaScan did: two temperatures and four thresholds.

    Args:
        pair: Predictions with raw0 to raw4 and cut0 to cut3, beside the reference grades.
        held_out: As `calibrate_tables`.
        seed: As `calibrate_tables`.

    Raises:
        BadTable: If a column is missing, a photograph may have been trained on, or there are too few.
    """
    held = with_both_heads(pair.rows, held_out=held_out, path=pair.predictions)
    calibration, figures = preset(held, rng=np.random.default_rng(seed))
    record = preset_to_dict(calibration, figures, held, data=pair.data, given=len(pair.rows))
    return PresetCalibration(calibration, figures, record)


def write_calibrated(release: OpenRelease, folder: Path, calibrated: TableCalibration) -> OpenRelease:
    """Write a copy of a release with its calibration, and verify it.

    Raises:
        BadRequest: As `recalibration.check_copy`.
        BadRelease: If the copy does not compute what the original does.
    """
    copy = recalibrate_release(release, folder, calibrated.calibration, calibrated.record)
    verification = verify_release(copy.path)
    if not verification.passed:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in verification.checks if not check.passed)
        raise BadRelease(
            f"{folder}: expected a copy that computes what the original does, got {failed}. Do not use it."
        )
    return copy


def default_sensitivity(release: OpenRelease | None) -> float:
    """Return the sensitivity that the referral threshold is set for where nobody says: the release's own, or 0.9."""
    return (None if release is None else release.operating_point.sensitivity) or 0.9


def _held_out(pair: Pair, release: OpenRelease | None, *, by: str, held_out: bool) -> tuple[HeldOut, str]:
    """Return the rows that may be calibrated on, and what the predictions are to the system."""
    if release is None:
        held = HeldOut.of_table(pair.rows, held_out=held_out, by=by or None)
        return held, "out-of-fold predictions" if held.out_of_fold else UNCHECKED
    rows, basis = held_against(pair.rows, pair.listed, release, path=pair.predictions)
    trained_on = set(release.release.training.get("training_sha256", ()))
    # Where it is known what the release was trained on, `held_against` has refused the patients of it.
    vouched = held_out or (basis == OWN and bool(trained_on))
    held = HeldOut.of_table(rows, trained_on=trained_on, held_out=vouched, by=by or None)
    return held, basis if basis != OUT_OF_FOLD else "out-of-fold, by the networks of the release's folds"
