"""`fundoscope audit`: find duplicates, leaks and doubtful labels before training."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import interruptible, print_json, print_text, say_written, troubles
from fundoscope.cli.progress import progress
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.audit.audit import Audit, Cache
    from fundoscope.runtime.release import OpenRelease

STYLES = {"blocks": "bold red", "warns": "yellow", "notes": "dim"}

STAGES = {"reading": 10.0, "searching": 2.0, "comparing": 3.0, "finding discs": 3.0, "looking for dust": 3.0}
"""Stages of an audit in order, with the part of the time that each takes, for the time left."""

NAMED = 4
"""Photographs of a finding that are named on the console."""


def audit(
    manifests: Annotated[list[Path], typer.Argument(help="Manifests: .csv, .parquet or .jsonl.")],
    predictions: Annotated[
        Path | None, typer.Option(help="Out-of-fold predictions, to find doubtful labels. Those that they contradict.")
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="The predictions are held out: no fold is needed. The system was not trained on these photographs.",
        ),
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Folder for contact sheets and audit.json.")] = None,
    review: Annotated[
        Path | None,
        typer.Option(help="Table of doubtful labels to write. With --predictions, for a reader to fill in."),
    ] = None,
    write_groups: Annotated[
        bool, typer.Option("--write-groups", help="Write duplicate_group and eye_group into the manifests.")
    ] = False,
    release: Annotated[
        str, typer.Option(help="Release whose training photographs are sought. A path, `default` or `none`.")
    ] = "default",
    pretrained: Annotated[
        list[str] | None,
        typer.Option(
            help="Published network whose training data to avoid. Warns of test photographs that it was "
            "pretrained on. Repeatable."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder for fingerprints, to continue from. Small pictures of the photographed eyes. Default: "
            "the user's cache, where they stay until they are deleted."
        ),
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Keep no fingerprints. They are removed when the audit ends.")
    ] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.")] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Write over a report or review that exists. What is read is never written over."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Find duplicates, leaks between splits, and contradicting or doubtful labels.

    Exit status: 0 nothing blocks training, 1 something does, 2 a table or an option is not usable.
    """
    from fundoscope.audit import audit as use_case
    from fundoscope.parallel import available_cores
    from fundoscope.tables import check_predictions, read_table

    if review is not None and predictions is None:
        raise BadRequest("--review: expected --predictions beside it, got none. Suspects are sought in predictions.")
    if held_out and predictions is None:
        raise BadRequest("--held-out: expected --predictions beside it, got none. It says what these are of.")
    if no_cache and cache is not None:
        raise BadRequest("--no-cache: expected it without --cache, got both. Leave one out.")
    listing = use_case.listed(manifests)
    fingerprints = use_case.own_cache(keep=not no_cache) if cache is None else use_case.Cache(cache)
    check = partial(
        _check_destinations,
        report,
        review,
        [*manifests, *([predictions] if predictions else []), *listing.paths],
        replace=replace,
    )
    check()
    outputs = None
    if predictions is not None:
        outputs = use_case.Predictions(check_predictions(read_table(predictions), path=predictions), held_out=held_out)
    with interruptible(f"Give the same command again. {_where(fingerprints)}"), progress(stages=STAGES) as show:
        result = use_case.audit(
            listing,
            cache=fingerprints.folder,
            release=_opened(release),
            predictions=outputs,
            pretrained=pretrained or (),
            threads=threads or available_cores(),
            progress=show,
        )
    check()  # again: what has come to lie there since is not written over either
    _write(result, report, review, write_groups=write_groups)
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    print_text(_where(fingerprints), to=troubles)
    if result.blocks:
        raise typer.Exit(1)


def _where(fingerprints: Cache) -> str:
    """Say where fingerprints are kept."""
    if fingerprints.kept:
        return (
            f"Fingerprints, small pictures of the photographed eyes, are kept in {fingerprints.folder}, and the next "
            "audit continues from them. Delete the folder when it is no longer needed; with --no-cache none are kept."
        )
    return "No fingerprints are kept."


def _opened(release: str) -> OpenRelease | None:
    from fundoscope.runtime.release import default_release, open_release

    if release == "none":
        return None
    return open_release(default_release() if release == "default" else release)


def _check_destinations(report: Path | None, review: Path | None, inputs: list[Path], *, replace: bool) -> None:
    """Refuse a report or a review that would be written over what is read, or over what exists unless asked for."""
    from fundoscope.audit.report import is_page
    from fundoscope.runtime.destinations import Inputs, Rules, try_folder
    from fundoscope.tables.formats import check_name

    rules = Rules(inputs=Inputs.of(inputs), replace=replace)
    if review is not None:
        check_name(review)
        rules.check_file(review, "--review")
        try_folder(review.parent, "--review")
    if report is not None:
        try_folder(report, "--report")
        for page in sorted(path for path in report.iterdir() if is_page(path.name)):
            rules.check_file(page, "--report")


def _write(result: Audit, report: Path | None, review: Path | None, *, write_groups: bool) -> None:
    from fundoscope.audit.audit import write_groups as write_into_manifests
    from fundoscope.audit.labels import write_review
    from fundoscope.audit.report import write_report

    written: list[Path] = []
    if report is not None:
        written.append(write_report(result, report)[0])
    if review is not None:
        write_review(result.suspects, review)
        written.append(review)
    if write_groups:
        written.extend(write_into_manifests(result))
    say_written(*written)


def _print(result: Audit) -> None:
    counts = result.to_dict()["counts"]
    print_text(
        f"{counts['photographs']} photographs, {counts['unreadable']} unreadable. {counts['repeated_photographs']} in "
        f"{counts['duplicate_groups']} duplicate groups, {counts['same_eye']} pairs of one eye photographed again, "
        f"{counts['suspects']} doubtful labels."
    )
    for finding in result.findings:
        print_text(f"{finding.severity}: {finding.message}", style=STYLES[finding.severity])
        if finding.images:
            more = f", and {len(finding.images) - NAMED} more" if len(finding.images) > NAMED else ""
            names = ", ".join(map(result.short, finding.images[:NAMED]))
            print_text(f"  {names}{more}")
    print_text("Something blocks training." if result.blocks else "Nothing blocks training.", style="bold")
