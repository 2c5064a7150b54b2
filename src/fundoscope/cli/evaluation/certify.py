"""`fundoscope certify`: validate a release's heatmap against photographs with known lesions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import answers, needs_extra, print_json, print_text, say, say_written, troubles
from fundoscope.cli.layout import fitted

if TYPE_CHECKING:
    from fundoscope.runtime.certificate import Certificate

NOT_CERTIFIED = 1
"""Exit status where the heatmap failed, so that no report shows it."""


def certify(
    release: Annotated[Path, typer.Argument(help="Release (folder or .zip) whose heatmap is tested.")],
    lesions: Annotated[Path, typer.Option(help="Manifest of photographs with masks of their lesions.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run that the release was exported from. Cross-validated; repeat it for the runs of an ensemble."
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Test this method too. With --checkpoint; such as grad-cam or layer-cam:blocks.3. Repeatable.",
        ),
    ] = None,
    lesion_free: Annotated[
        Path | None,
        typer.Option(help="Manifest of photographs of grade 0. Heatmaps on them are reported, but no test uses them."),
    ] = None,
    lesion_free_most: Annotated[int, typer.Option(min=1, help="Use at most this many of them.")] = 20,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Photograph to leave out, by its file name. Repeatable.")
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="Use only this split of both manifests. Repeatable.")] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(help="Manifest of the training photographs. Without --checkpoint, to find copies of them."),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option(
            "--held-out",
            help="The release never learnt from these photographs. Nor from copies of them: the search for "
            "copies is skipped.",
        ),
    ] = False,
    label_randomisation: Annotated[
        int, typer.Option(min=0, help="Epochs to train on shuffled grades. For comparison. 0: not run.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a copy with its certificate. Of the release.")
    ] = None,
    cache: Annotated[Path, typer.Option(help="Folder for image fingerprints, used to find copies.")] = Path(
        "runs/audit"
    ),
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random numbers.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Validate a release's heatmap against lesions; reports show a heatmap only if it passes.

    The thresholds of the tests are fixed beforehand.

    Exit status: 0 certified, 1 not certified, 2 a file or an option is not usable.
    """
    from datetime import UTC, datetime

    from fundoscope.heatmaps.certification import certify as certification
    from fundoscope.heatmaps.certification.measure import Steps
    from fundoscope.heatmaps.certification.selection import candidates_of
    from fundoscope.parallel import available_cores
    from fundoscope.runtime.copies import check_unused
    from fundoscope.runtime.release import open_release

    opened = open_release(release)
    options = certification.CertificationOptions(
        trained_on=trained_on,
        held_out=held_out,
        methods=tuple(method or ()),
        label_randomisation_epochs=label_randomisation,
        cache=cache,
    )
    certification.check_options(opened, options, with_runs=bool(checkpoint))
    if out is not None:
        check_unused(out)
    left_out, splits = leave_out or (), split or ()
    candidates = [candidates_of(lesions, lesions=True, leave_out=left_out, splits=splits)]
    if lesion_free is not None:
        candidates.append(
            candidates_of(lesion_free, lesions=False, leave_out=left_out, splits=splits, most=lesion_free_most)
        )
    runs = None
    if checkpoint:
        with needs_extra("--checkpoint"):
            from fundoscope.training.runs.randomised import read_cross_validated_runs
        runs = read_cross_validated_runs(checkpoint)
    certificate = certification.certify_release(
        opened,
        candidates,
        Steps(seed=seed, threads=threads or available_cores()),
        options,
        runs=runs,
        day=datetime.now(UTC).date(),
        progress=lambda line: print_text(line, to=troubles),
    )
    if as_json:
        print_json(certificate.to_dict())
    else:
        _print(certificate)
    if out is not None:
        copy = certification.write_certified(opened, certificate, out)
        say_written(out, note=copy.name)
    if not certificate.own.certified:
        raise typer.Exit(NOT_CERTIFIED)


def _print(certificate: Certificate) -> None:
    from rich.table import Table

    from fundoscope.heatmaps.certification.words import details, header, table_rows

    table = Table(*header(), box=None, pad_edge=False)
    for row in table_rows(certificate.verdicts):
        table.add_row(*row)
    answers.print(fitted(table))
    own = certificate.own
    say(f"{own.method}: {'certified' if own.certified else 'not certified'}", details(certificate))
