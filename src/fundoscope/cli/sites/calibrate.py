"""`fundoscope calibrate`: calibrate probabilities, prediction sets and the referral threshold on held-out data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import print_json, print_text, say, say_written, troubles
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.runtime.release import OpenRelease


class Method(StrEnum):
    """Ways to calibrate; what each is, `decide.rescale.METHODS` says. auto: the best of them on other patients."""

    auto = "auto"
    none = "none"
    temperature = "temperature"
    vector = "vector"
    platt = "platt"
    isotonic = "isotonic"
    cuts = "cuts"


class Score(StrEnum):
    """What referable disease is read from: the names in `decide.readout.SCORES`."""

    cut = "cut"
    mean = "mean"


class Unit(StrEnum):
    """What counts as missed: the names in `decide.risk_control.LOSSES`."""

    patient = "patient"
    photograph = "photograph"


class Preset(StrEnum):
    """Calibrations of the literature."""

    retinascan = "retinascan"


def calibrate(
    predictions: Annotated[Path, typer.Argument(help="Table of held-out or out-of-fold predictions. With p0 to p4.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    split: Annotated[str | None, typer.Option(help="Use only this split: train, val or test.")] = None,
    release: Annotated[
        Path | None, typer.Option(help="Release that made the predictions. Its raw outputs are calibrated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a calibrated copy of the release. Without a release: for calibration.json. Default: here.",
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(
            help="How to calibrate, such as temperature. auto: by the method with the least log loss on "
            "patients that it was not fitted on, which may be none."
        ),
    ] = Method.auto,
    score: Annotated[
        Score | None,
        typer.Option(
            help="What P(referable) is read from. With --release and --method temperature: the cut between "
            "grades 1 and 2, or the mean of all cut logits. Default: as the release does."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of prediction sets that may miss the grade.")
    ] = 0.1,
    by: Annotated[
        str, typer.Option(help="Column whose groups get thresholds of their own. Of prediction sets, such as quality.")
    ] = "",
    sensitivity: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Sensitivity that the referral threshold is set to. Share of the referable photographs, "
            "without a guarantee. Default: the release's, or 0.9.",
        ),
    ] = None,
    max_missed: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.5,
            help="Share of referable patients that may be missed. Sets the referral threshold by conformal "
            "risk control instead of --sensitivity: the share on average over calibration samples, not "
            "for this one threshold.",
        ),
    ] = None,
    missed_unit: Annotated[
        Unit,
        typer.Option(
            help="Unit of --max-missed: patient or photograph. A patient is missed if none of their "
            "photographs is referred; a photograph counts by its share of the patient's referable ones."
        ),
    ] = Unit.patient,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out", help="The system was not trained on these photographs. Needed where no fold says so."
        ),
    ] = False,
    preset: Annotated[
        Preset | None,
        typer.Option(help="Calibrate as this system did: retinascan. It needs raw0-raw4 and cut0-cut3."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and bootstrap samples.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print calibration.json instead of words.")] = False,
) -> None:
    """Calibrate probabilities, grade cuts, referral threshold and prediction sets on held-out photographs.

    Figures are cross-fitted. Exit status: 0 done, 2 a table or the release is not usable.
    """
    from datetime import UTC, datetime

    from fundoscope.clinic.calibration import from_tables
    from fundoscope.clinic.calibration.choice import AUTO
    from fundoscope.clinic.calibration.recalibration import check_copy
    from fundoscope.clinic.calibration.source import Settings
    from fundoscope.runtime.release import open_release
    from fundoscope.tables.pair import read_pair

    _check(preset, release, sensitivity, max_missed)
    if score is not None and (release is None or method != Method.temperature):
        raise BadRequest(
            f"--score {score}: expected it with --release and --method temperature, which alone read it, got "
            f"{'no --release' if release is None else f'--method {method}'}. Add them, or leave --score out."
        )
    opened = None if release is None else open_release(release)
    if opened is not None and out is not None:
        check_copy(opened, out, by=by)
    pair = read_pair(predictions, manifest, split=split)
    copy = None
    if preset is not None:
        record = from_tables.calibrate_as_retinascan(pair, held_out=held_out, seed=seed).record
    else:
        settings = Settings(
            method=str(method),
            score=str(score or ""),
            alpha=alpha,
            by=by,
            sensitivity=sensitivity or from_tables.default_sensitivity(opened),
            max_missed=max_missed,
            missed_unit=str(missed_unit),
            cutter=AUTO,
        )
        calibrated = from_tables.calibrate_tables(
            pair, settings, release=opened, held_out=held_out, seed=seed, day=datetime.now(UTC).date()
        )
        record = calibrated.record
        if opened is not None and out is not None:
            copy = from_tables.write_calibrated(opened, out, calibrated)
    if as_json:
        print_json(record)
    else:
        _print(record)
    if opened is None:
        _write(record, out)
    elif out is not None and copy is not None:
        _say_copied(opened, copy, out)


def _check(preset: Preset | None, release: Path | None, sensitivity: float | None, max_missed: float | None) -> None:
    """Refuse options that contradict one another."""
    if preset is not None and release is not None:
        raise BadRequest(f"--preset {preset}: expected no --release, for it cannot hold it, got one. Leave one out.")
    if max_missed is not None and (sensitivity is not None or preset is not None):
        other = "--sensitivity" if sensitivity is not None else "--preset"
        raise BadRequest(f"--max-missed: expected it without {other}, got both. Leave one out.")


def _write(written: dict[str, Any], out: Path | None) -> None:
    from fundoscope.clinic.calibration.recalibration import CALIBRATION, to_json
    from fundoscope.files import write_text

    target = (out or Path()) / CALIBRATION
    write_text(target, to_json(written))
    say_written(target)


def _say_copied(opened: OpenRelease, copy: OpenRelease, out: Path) -> None:
    from fundoscope.clinic.calibration.recalibration import NO_LONGER, was_commissioned

    say_written(out, note=f"{copy.name}, verified")
    if was_commissioned(opened):
        print_text(NO_LONGER, to=troubles)


def _print(written: dict[str, Any]) -> None:
    from fundoscope.clinic.calibration.words import details

    headline, *lines = details(written)
    say(headline, lines)
    for warning in written["warnings"]:
        print_text(f"warning: {warning}", style="yellow", to=troubles)
