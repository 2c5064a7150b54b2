"""`fundoscope calibrate`: probabilities that come true, sets of grades that keep their promise, or why not."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import say, troubles
from fundoscope.errors import BadRelease, BadRequest

if TYPE_CHECKING:
    from fundoscope.decide.held_out import HeldOut
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.tables.pair import Pair


class Method(StrEnum):
    """Ways to calibrate; what each is, `decide.rescale.METHODS` says."""

    temperature = "temperature"
    vector = "vector"
    platt = "platt"
    isotonic = "isotonic"
    cuts = "cuts"


class Preset(StrEnum):
    """Calibrations of the literature."""

    retinascan = "retinascan"


def calibrate(
    predictions: Annotated[Path, typer.Argument(help="Table of predictions with p0 to p4, held out or out of fold.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    release: Annotated[
        Path | None, typer.Option(help="Release that made the predictions: its raw outputs are calibrated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for a calibrated copy of the release; without one, for calibration.json (default: here).",
        ),
    ] = None,
    method: Annotated[Method, typer.Option(help="How to calibrate.")] = Method.temperature,
    alpha: Annotated[
        float, typer.Option(min=0.001, max=0.5, help="Share of the sets of grades that may miss the reference grade.")
    ] = 0.1,
    by: Annotated[str, typer.Option(help="Column whose groups get thresholds of their own, such as quality.")] = "",
    sensitivity: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="Share of referable photographs to find. Default: the release's, or 0.9."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="The system never saw these photographs, although no fold says so.")
    ] = False,
    preset: Annotated[
        Preset | None,
        typer.Option(help="Calibrate as this system did; retinascan needs raw0-raw4 and cut0-cut3."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and intervals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print calibration.json instead of words.")] = False,
) -> None:
    """Calibrate on photographs that the system never saw: probabilities, grade cuts, threshold, sets of grades.

    Figures are cross-fitted. Exit status: 0 done, 2 a table or the release is not usable.
    """
    from fundoscope.clinic.calibration.recalibration import check_copy, to_json
    from fundoscope.runtime.release import open_release

    if preset is not None and release is not None:
        raise BadRequest(f"--preset {preset}: expected no --release, for it cannot hold it, got one. Leave one out.")
    opened = None if release is None else open_release(release)
    if opened is not None and out is not None:
        check_copy(opened, out, by=by)
    from fundoscope.tables.pair import read_pair

    pair = read_pair(predictions, manifest)
    if preset is not None:
        written, copy = _preset(pair, held_out=held_out, seed=seed), None
    else:
        asked = {"method": str(method), "alpha": alpha, "by": by, "sensitivity": sensitivity}
        written, copy = _calibrated(pair, opened, asked, held_out=held_out, seed=seed, out=out)
    if as_json:
        print(to_json(written), end="")
    else:
        _print(written)
    if opened is None:
        _write(written, out)
    elif copy is not None:
        _say_copied(opened, copy, out)


def _calibrated(
    pair: Pair, opened: OpenRelease | None, asked: dict[str, Any], *, held_out: bool, seed: int, out: Path | None
) -> tuple[dict[str, Any], OpenRelease | None]:
    """What was found, and the copy of the release where one was asked for."""
    from datetime import UTC, datetime

    import numpy as np

    from fundoscope.clinic.calibration import calibration, recalibration

    held, basis = _held_out(pair, opened, by=asked["by"], held_out=held_out)
    source = recalibration.source_of(held, opened, method=asked["method"], path=pair.predictions)
    usual = None if opened is None else opened.operating_point.sensitivity
    sensitivity = asked["sensitivity"] or usual or 0.9
    wanted = calibration.Wanted(**(asked | {"sensitivity": sensitivity}), cutter=recalibration.cutter_of(opened))
    found = calibration.calibrate(held, source, wanted, rng=np.random.default_rng(seed))
    written = recalibration.calibration_to_dict(
        found,
        data=pair.data if opened is None else pair.data | {"release": opened.name},
        basis=basis,
        left_out=len(pair.rows) - len(held.grades),
        day=datetime.now(UTC).date(),
    )
    if opened is None or out is None:
        return written, None
    return written, recalibration.recalibrate_release(opened, out, found, written)


def _held_out(pair: Pair, opened: OpenRelease | None, *, by: str, held_out: bool) -> tuple[HeldOut, str]:
    """The rows that may be calibrated on, and what they are to the system."""
    from fundoscope.clinic.commissioning.provenance import OUT_OF_FOLD, OWN, UNCHECKED, held_against
    from fundoscope.decide.held_out import HeldOut

    if opened is None:
        held = HeldOut.of_table(pair.rows, held_out=held_out, by=by or None)
        return held, "out-of-fold predictions" if held.out_of_fold else UNCHECKED
    rows, basis = held_against(pair.rows, pair.listed, opened, path=pair.predictions)
    learned = set(opened.release.training.get("training_sha256", ()))
    # What it learned from is known, and none of these patients is in it.
    vouched = held_out or (basis == OWN and bool(learned))
    held = HeldOut.of_table(rows, trained_on=learned, held_out=vouched, by=by or None)
    return held, basis if basis != OUT_OF_FOLD else "out-of-fold, by the networks of the release's folds"


def _preset(pair: Pair, *, held_out: bool, seed: int) -> dict[str, Any]:
    import numpy as np

    from fundoscope.clinic.calibration.retinascan import preset, preset_to_dict, with_both_heads

    held = with_both_heads(pair.rows, held_out=held_out, path=pair.predictions)
    found, figures = preset(held, rng=np.random.default_rng(seed))
    return preset_to_dict(found, figures, held, data=pair.data, given=len(pair.rows))


def _write(written: dict[str, Any], out: Path | None) -> None:
    from fundoscope.clinic.calibration.recalibration import CALIBRATION, to_json
    from fundoscope.files import write_text

    target = (out or Path()) / CALIBRATION
    write_text(target, to_json(written))
    troubles.print(f"written: {target}", markup=False, soft_wrap=True)


def _say_copied(opened: OpenRelease, copy: OpenRelease, out: Path | None) -> None:
    from fundoscope.clinic.calibration.recalibration import NO_LONGER, was_commissioned
    from fundoscope.runtime.verification import verify_release

    found = verify_release(copy.path)
    if not found.passed:
        failed = "; ".join(f"{check.name}: {check.detail}" for check in found.checks if not check.passed)
        raise BadRelease(f"{out}: expected a copy that computes what the original does, got {failed}. Do not use it.")
    troubles.print(f"written: {out} ({copy.name}), verified", markup=False, soft_wrap=True)
    if was_commissioned(opened):
        troubles.print(NO_LONGER, markup=False, soft_wrap=True)


def _print(written: dict[str, Any]) -> None:
    from fundoscope.clinic.calibration.words import details

    headline, *lines = details(written)
    say(headline, lines)
    for warning in written["warnings"]:
        troubles.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
