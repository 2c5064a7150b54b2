"""What a calibration writes down, and the copy of a release that carries it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from fundoscope.clinic.calibration.calibration import Calibration
from fundoscope.clinic.calibration.source import Source
from fundoscope.clinic.commissioning.protocol import PROTOCOL, READABLE
from fundoscope.clinic.documents import card_of_copy, earlier_figures
from fundoscope.decide.calibrate import CUTTERS, cuts_words
from fundoscope.decide.conformal import GROUPED_BY, GradeSets
from fundoscope.decide.heads import outputs_of
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.referral import OperatingPoint
from fundoscope.decide.risk_control import PROMISE
from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.runtime.copies import check_unused, copy_release
from fundoscope.runtime.description import CARD, Release
from fundoscope.runtime.release import OpenRelease, head_probabilities
from fundoscope.version import __version__

CALIBRATION: Final = "calibration.json"
SCHEMA: Final = 1

NO_LONGER: Final = "The guarantee of its commissioning was for the earlier scores and is gone: commission the copy."


def source_of(held: HeldOut, opened: OpenRelease | None, *, method: str, path: Path, score: str = "") -> Source:
    """Choose what is calibrated: a release's raw outputs as it reads them, or the probabilities of a table.

    Args:
        held: The photographs.
        opened: The release that answered; None: only the table is known.
        method: A name in `rescale.METHODS`.
        path: Of the table; named in messages.
        score: What referable disease is to be read from, with the method temperature; blank: as the release does.

    Raises:
        BadTable: If the table lacks the raw outputs of the release's head.
        BadRequest: If votes of neighbours are calibrated already: what they were before is not in a table.
    """
    if opened is None:
        return Source(held.probabilities, held.probabilities)
    release = opened.release
    if release.neighbours:
        if opened.calibrator is not None:
            raise BadRequest(
                f"{opened.path}: expected a release whose votes are not calibrated yet, got one with a calibrator. "
                "Calibrate the release that it was made from."
            )
        cuts = release.grade_cuts if method == "none" else None
        return Source(held.probabilities, held.probabilities, cuts=cuts)
    outputs = outputs_of(opened.grading.release.head)
    if held.raw is None or held.raw.shape[1] != outputs:
        came = "none" if held.raw is None else f"{held.raw.shape[1]} columns"
        raise BadTable(
            f"{path}: expected the {outputs} raw outputs of the {release.head} head (raw0...) of {opened.name}, got "
            f"{came}. Give the table as the release or its run wrote it."
        )
    now = head_probabilities(opened, held.raw)
    if method == "none":
        return Source(now, now, cuts=release.grade_cuts)
    readout = opened.grading.readout
    if method == "temperature":
        return Source(now, now, release.head, held.raw, score=score or readout.score)
    return Source(now, readout.probabilities(held.raw))


def cutter_of(opened: OpenRelease | None) -> str:
    """Return how the cuts of the expected grade are set: as the release's experiment set them, none if it has none."""
    if opened is not None and not opened.release.grade_cuts:
        return "median"
    experiment = {} if opened is None else opened.release.training.get("experiment", {})
    named = experiment.get("release", {}).get("cuts", "kappa")
    return named if named in CUTTERS else "kappa"


def calibration_to_dict(
    calibration: Calibration, *, data: Mapping[str, str | int], basis: str, left_out: int, day: date
) -> dict[str, Any]:
    """Return the record of `calibration.json`: options, data and results.

    Args:
        calibration: The result.
        data: Names and SHA-256 of the tables, and the release's name where there is one.
        basis: What the predictions are to the system.
        left_out: Matched photographs without a grade, or that could not be graded.
        day: Of the calibration.
    """
    fit, coverage, risk = calibration.fit, calibration.coverage, calibration.risk
    return {
        "schema": SCHEMA,
        "kind": "calibration",
        "date": day.isoformat(),
        "fundoscope": __version__,
        "data": dict(data),
        "basis": basis,
        "photographs": calibration.photographs,
        "left_out": left_out,
        "patients": calibration.patients,
        "folds": calibration.folds,
        "folds_are_the_predictions_own": calibration.own_folds,
        "method": calibration.settings.method,
        "log_loss_by_method": calibration.losses,
        "temperature": None if fit.readout is None else fit.readout.temperature,
        "referral_score": None
        if fit.readout is None or fit.readout.referral is None
        else fit.readout.referral.to_dict(),
        "calibrator": None if fit.calibrator is None else fit.calibrator.to_dict(),
        "grade_cuts": list(fit.cuts),
        "threshold": calibration.threshold,
        "sensitivity_wanted": calibration.settings.sensitivity if risk is None else None,
        "risk_control": None if risk is None else risk.to_dict() | {"promise": risk.promise()},
        "figures_cross_fitted": {
            name: {when: interval_to_dict(interval) for when, interval in intervals.items()}
            for name, intervals in calibration.figures.items()
        },
        "conformal": GradeSets(calibration.conformal, from_answer=True).to_dict(),
        "coverage_cross_fitted": {
            "all": interval_to_dict(coverage.all),
            "groups": {name: interval_to_dict(interval) for name, interval in coverage.groups.items()},
            "grades": {str(grade): {"share": s, "photographs": n} for grade, (s, n) in coverage.grades.items()},
            "share_of_sets_with_1_to_5_grades": list(coverage.sizes),
            "mean_size": coverage.mean_size,
        },
        "warnings": list(calibration.warnings()),
    }


def to_json(written: Mapping[str, Any]) -> str:
    """Return the text of `calibration.json`."""
    return json.dumps(written, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def check_copy(opened: OpenRelease, target: Path, *, by: str) -> None:
    """Refuse a folder or groups that no copy can be written with; to be called before the work is done.

    Raises:
        BadRequest: If the folder is in use, or sets are told apart by what is not known of a new photograph.
    """
    check_unused(target)
    if by not in GROUPED_BY:
        raise BadRequest(
            f"--by {by}: expected {GROUPED_BY[1]}, which is all that {opened.release.id} knows of a photograph when it "
            f"grades it, got {by}. Leave --by out of the copy, or leave --out away to see the figures alone."
        )


def recalibrate_release(
    opened: OpenRelease, target: Path, calibration: Calibration, written: Mapping[str, Any]
) -> OpenRelease:
    """Copy a release with the calibration, the sets, the new cuts and threshold; the original stays as it is.

    The threshold and the cuts are points on the scale of the scores: on other scores they must be others.

    Args:
        opened: What was calibrated.
        target: Folder for the copy, new or empty.
        calibration: Of `calibration.calibrate`.
        written: Of `calibration_to_dict`; goes into the copy.

    Returns:
        The copy, opened again.

    Raises:
        BadRequest: As `check_copy`.
    """
    check_copy(opened, target, by=calibration.conformal.by)
    changed = {CARD: _card(opened, calibration, written).encode(), CALIBRATION: to_json(written).encode()}
    return copy_release(opened, target, _described(opened, calibration, written), changed, without=(PROTOCOL, READABLE))


def was_commissioned(opened: OpenRelease) -> bool:
    """Return whether a release carries a guarantee, which new scores undo."""
    return PROTOCOL in opened.release.files


def _described(opened: OpenRelease, calibration: Calibration, written: Mapping[str, Any]) -> Release:
    original, fit = opened.release, calibration.fit
    # A calibrator reads what the release's own readout gives; a new readout takes the place of both.
    readout = opened.grading.readout if fit.readout is None else fit.readout
    parameters = readout.to_dict() | {"grade_cuts": list(fit.cuts)}
    calibrator = opened.calibrator if calibration.settings.method == "none" else fit.calibrator
    if calibrator is not None:
        parameters["calibrator"] = calibrator.to_dict()
    point = OperatingPoint(
        name=f"{written['date']}, calibrated anew: finds {calibration.settings.sensitivity:.0%} of the referable "
        "photographs that it was set on",
        threshold=calibration.threshold,
        sensitivity=calibration.settings.sensitivity,
    )
    if calibration.risk is not None:
        point = calibration.risk.operating_point()
    # Limits that an earlier calibration brought: of sets and of a threshold that are no more.
    stale = set(opened.grade_sets.thresholds.warnings()) if opened.grade_sets else set()
    stale |= {limit for limit in original.limits if limit.startswith(PROMISE)}
    limits = list(calibration.conformal.warnings())
    if calibration.risk is not None:
        limits.append(" ".join((calibration.risk.promise(), *calibration.risk.warnings())))
    figures = {"method": calibration.settings.method, "basis": written["basis"], "photographs": calibration.photographs}
    for name, of in written["figures_cross_fitted"].items():
        figures |= {f"{name}_before": of["before"], f"{name}_cross_fitted": of["after"]}
    figures["set_coverage_cross_fitted"] = written["coverage_cross_fitted"]["all"]
    measured = {key: value for key, value in original.evaluation.items() if key != "commissioning"}
    return replace(
        original,
        calibration=parameters,
        conformal=written["conformal"],
        operating_point=point.to_dict(),
        evaluation={"calibration": figures}
        | earlier_figures(measured, opened.operating_point.threshold, all_of_them=True),
        limits=[*(limit for limit in original.limits if limit not in stale), *limits],
    )


def _card(opened: OpenRelease, calibration: Calibration, written: Mapping[str, Any]) -> str:
    loss, coverage, fit = calibration.figures["log_loss"], calibration.coverage, calibration.fit
    lines = [
        f"## Calibrated anew, {written['date']}",
        "",
        f"- By {calibration.settings.method}, on {calibration.photographs} photographs of {calibration.patients} "
        f"patients: {written['basis']}.",
        f"- Log loss before {loss['before']}, cross-fitted after {loss['after']}.",
        f"- Referred from {calibration.threshold:.6g}; grade cuts {cuts_words(fit.cuts, '.3f')}.",
        *([f"- {calibration.risk.promise()}"] if calibration.risk else []),
        f"- Sets of grades at {1 - calibration.conformal.alpha:.0%}: {coverage.all} held the reference grade in folds "
        f"that their thresholds were not from, {coverage.mean_size:.2f} grades on average.",
        *[f"- {warning}" for warning in calibration.warnings()],
        *([f"- {NO_LONGER}"] if was_commissioned(opened) else []),
    ]
    made, earlier = f"calibrated anew on {written['date']}", opened.operating_point.threshold
    return card_of_copy(opened.card, made, calibration.threshold, earlier, "\n".join(lines))


def interval_to_dict(interval: Interval) -> dict[str, Any]:
    """Convert an interval for JSON: what is undefined is null."""
    return {**interval.ends(), "level": interval.level}
