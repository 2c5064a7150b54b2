"""`fundoscope commission`: a site's operating point, with a guarantee or the plain answer that there is none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import say, troubles
from fundoscope.errors import BadRequest, BadTable

if TYPE_CHECKING:
    from fundoscope.clinic.commissioning.commission import Terms
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.tables.pair import Pair

NOT_GUARANTEED = 1
"""Exit status where the data cannot guarantee what was asked for."""


def commission(
    predictions: Annotated[Path, typer.Argument(help="Table of predictions: .csv, .parquet or .jsonl, of any system.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades of the site's patients.")],
    sensitivity: Annotated[
        float, typer.Option(min=0.01, max=0.999, help="Sensitivity to be guaranteed for referable patients.")
    ] = 0.85,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.9999, help="How sure the guarantee is to be, one-sided.")
    ] = 0.975,
    looks: Annotated[
        int, typer.Option(min=1, help="How often you look at your growing data in all, this time included.")
    ] = 1,
    prevalence: Annotated[
        float | None,
        typer.Option(min=0.0001, max=0.9999, help="Share of referable patients to expect. Default: that of the data."),
    ] = None,
    dme: Annotated[
        bool, typer.Option("--dme", help="Referable macular oedema (dme 2) counts as referable, whatever the grade.")
    ] = False,
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    release: Annotated[
        Path | None, typer.Option(help="Release that made the predictions: refuses patients that it learned from.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a copy of the release with the new threshold.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Folder to write protocol.json and protocol.md into.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the protocol as JSON.")] = False,
) -> None:
    """Choose the threshold whose sensitivity is guaranteed for a site, from patients graded there.

    Exit status: 0 guaranteed, 1 cannot be guaranteed with these data, 2 a table or the release is not usable.
    """
    from fundoscope.clinic.commissioning.commission import Terms
    from fundoscope.clinic.commissioning.protocol import commission_release, to_json, write_protocol
    from fundoscope.runtime.release import open_release

    if out is not None and release is None:
        raise BadRequest("--out: expected --release beside it, got none. Name the release that is to be copied.")
    opened = None if release is None else open_release(release)
    terms = Terms(sensitivity=sensitivity, confidence=confidence, looks=looks)
    from fundoscope.tables.pair import read_pair

    pair = read_pair(predictions, manifest, split=split)
    protocol = _protocol(pair, opened, terms=terms, prevalence=prevalence, oedema=dme)
    if report is not None:
        for path in write_protocol(report, protocol):
            troubles.print(f"written: {path}", markup=False, soft_wrap=True)
    copy = None
    if opened is not None and out is not None and protocol["guaranteed"]:
        copy = commission_release(opened, out, protocol)
    if as_json:
        print(to_json(protocol), end="")
    else:
        _print(protocol)
    if copy is not None:
        troubles.print(f"written: {out} ({copy.name})", markup=False, soft_wrap=True)
    if not protocol["guaranteed"]:
        raise typer.Exit(NOT_GUARANTEED)


def _protocol(
    pair: Pair, opened: OpenRelease | None, *, terms: Terms, prevalence: float | None, oedema: bool
) -> dict[str, Any]:
    from datetime import UTC, datetime

    from fundoscope.clinic.commissioning.cohort import answers_of, patients_of
    from fundoscope.clinic.commissioning.commission import commission as decide
    from fundoscope.clinic.commissioning.protocol import protocol_of
    from fundoscope.clinic.commissioning.provenance import UNCHECKED, held_against

    rows, basis = pair.rows, UNCHECKED
    if opened is not None:
        rows, basis = held_against(rows, pair.listed, opened, path=pair.predictions)
    read = answers_of(rows)
    if opened is not None and read.fixed is not None:
        raise BadTable(
            f"{pair.predictions}: expected scores (p_referable) to choose a threshold of {opened.name} by, got only "
            "grades. Give the table as the release wrote it, or leave --release out."
        )
    patients, flow = patients_of(rows, read, oedema=oedema)
    if not flow.referable:
        raise BadTable(
            f"{pair.manifest}: expected referable patients (grade 2 or above), got none among {flow.patients}. "
            "A sensitivity can only be told of patients who have the disease: add some."
        )
    data = pair.data if opened is None else pair.data | {"release": opened.name}
    found = decide(patients, terms, fixed=read.fixed, prevalence=prevalence)
    day = datetime.now(UTC).date()
    return protocol_of(found, flow, data=data, read_from=read.read_from, basis=basis, oedema=oedema, day=day)


def _print(protocol: dict[str, Any]) -> None:
    from fundoscope.clinic.commissioning.words import details, verdict

    say(verdict(protocol), [*details(protocol), f"Seal of the protocol: {protocol['seal']}"])
