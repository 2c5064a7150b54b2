"""`fundoscope commission`: choose a site's referral threshold with a guaranteed sensitivity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fundoscope.cli.console import interruptible, print_json, print_text, say, say_written, troubles
from fundoscope.cli.progress import dust_progress
from fundoscope.errors import BadRequest

NOT_GUARANTEED = 1
"""Exit status where the data cannot guarantee what was asked for."""


def commission(
    predictions: Annotated[
        Path, typer.Argument(help="Table of predictions of any system. As .csv, .parquet or .jsonl.")
    ],
    manifest: Annotated[Path, typer.Argument(help="Table with reference grades of site patients.")],
    sensitivity: Annotated[
        float, typer.Option(min=0.01, max=0.999, help="Sensitivity to guarantee, by patient.")
    ] = 0.85,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="Confidence of the guarantee, one-sided.")
    ] = 0.975,
    looks: Annotated[
        int, typer.Option(min=1, help="Times the growing data are analysed in all. This time included.")
    ] = 1,
    prevalence: Annotated[
        float | None,
        typer.Option(
            min=0.0001, max=0.9999, help="Expected prevalence of referable disease. Default: that of the data."
        ),
    ] = None,
    dme: Annotated[
        bool,
        typer.Option("--dme", help="Count referable oedema as referable. Macular oedema, dme 2, whatever the grade."),
    ] = False,
    split: Annotated[str | None, typer.Option(help="Use only this split: train, val or test.")] = None,
    release: Annotated[
        Path | None,
        typer.Option(help="Release that made the predictions. Patients that it was trained on are refused."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a copy with the new threshold. Of the release.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="The site's folder, to write the protocol into. protocol.json, protocol.md and the camera's "
            "dust_map.json go into it."
        ),
    ] = None,
    dust_map: Annotated[
        bool,
        typer.Option(
            "--dust-map/--no-dust-map",
            help="Do not map the dust on the camera's sensor. Else it is mapped from the manifest's photographs, for "
            "grade --site.",
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the protocol as JSON.")] = False,
) -> None:
    """Choose the threshold whose sensitivity is guaranteed for a site, from patients graded there.

    Exit status: 0 guaranteed, 1 cannot be guaranteed with these data, 2 a table or the release is not usable.
    """
    from datetime import UTC, datetime

    from fundoscope.clinic.commissioning.commission import Terms
    from fundoscope.clinic.commissioning.from_tables import commission_tables
    from fundoscope.clinic.commissioning.protocol import commission_release, write_protocol
    from fundoscope.clinic.commissioning.site import (
        dust_of_site,
        map_in_release,
        shots_of,
        used_dust_map,
    )
    from fundoscope.parallel import available_cores
    from fundoscope.runtime.release import open_release
    from fundoscope.tables.pair import read_pair

    _check(release, out, report)
    opened = None if release is None else open_release(release)
    pair = read_pair(predictions, manifest, split=split)
    terms = Terms(sensitivity=sensitivity, confidence=confidence, looks=looks)
    day = datetime.now(UTC).date()
    protocol = commission_tables(pair, terms, release=opened, prevalence=prevalence, oedema=dme, day=day).protocol
    used = used_dust_map(pair.rows, pair.predictions)
    with interruptible("Nothing was written: give the same command again."), dust_progress() as progress:
        site = dust_of_site(
            report if dust_map or used is not None else None,
            lambda: shots_of(pair.listed, pair.manifest),
            used,
            threads=available_cores(),
            carried=None if opened is None else map_in_release(opened),
            progress=progress,
        )
    if report is not None:
        say_written(*write_protocol(report, protocol))
    copy = None
    if opened is not None and out is not None and protocol["guaranteed"]:
        if used is not None and not site.agrees:
            raise BadRequest(
                f"--out: expected --report beside it, the site's folder with the dust map {used[:12]} that the "
                "predictions were made with, got none. Name the folder that grade --site was given or, where that was "
                "a commissioned copy, give --release that copy."
            )
        copy = commission_release(opened, out, protocol, dust=site.dust if site.agrees else None)
    if as_json:
        print_json(protocol)
    else:
        _print(protocol)
    for sentence in site.sentences if dust_map else ():
        print_text(sentence, to=troubles)
    if out is not None and copy is not None:
        say_written(out, note=copy.name)
    if not protocol["guaranteed"]:
        raise typer.Exit(NOT_GUARANTEED)


def _check(release: Path | None, out: Path | None, report: Path | None) -> None:
    """Refuse what would be refused at the end, or would be written over, before anything is computed."""
    from fundoscope.clinic.commissioning.site import check_site_folder

    if out is not None and release is None:
        raise BadRequest("--out: expected --release beside it, got none. Name the release that is to be copied.")
    if report is not None:
        check_site_folder(report)


def _print(protocol: dict[str, Any]) -> None:
    from fundoscope.clinic.commissioning.words import details, verdict

    say(verdict(protocol), [*details(protocol), f"Seal of the protocol: {protocol['seal']}"])
