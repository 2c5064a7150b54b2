"""`fundoscope explain`: heatmaps of photographs, drawn over them and raw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import interruptible, needs_extra, print_json, print_text, say_written, troubles
from fundoscope.cli.grading.grade import Backend, ByBackend
from fundoscope.errors import BadRequest
from fundoscope.grades import NOT_A_DEVICE

if TYPE_CHECKING:
    from fundoscope.heatmaps.explainers import Explainer, ReleaseExplainer

DEFAULT_METHOD = "grad-cam"


def explain(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photographs, or folders of them.")],
    release: Annotated[
        Path | None,
        typer.Option(help="Release (folder or .zip) whose own heatmap is shown. Default: the one that ships."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(
            help="Finished run to explain instead, by any method. Repeat for several seeds: their mean is explained."
        ),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Run of another network, shown beside --checkpoint. Repeatable."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help=f"Attribution method, with --checkpoint. Repeatable. Default: {DEFAULT_METHOD}."),
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(
            "--layer",
            metavar="NAME",
            help="Module of the backbone to compute the heatmap from. Repeat it to fuse several. Default: the last.",
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="Output to explain, such as grade:K. One of answer, expected, grade:K, cut:K or sign:K.")
    ] = "answer",
    lesions: Annotated[
        Path | None, typer.Option(help="Manifest with mask_ columns. Its lesions are outlined beside the heatmaps.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for pictures, raw heatmaps and explanations.json.")
    ] = Path("explanations"),
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Explain photographs again, and write over files. What the run reads is never written over.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    backend: ByBackend = Backend.onnxruntime,
) -> None:
    """Compute heatmaps of a network's answer: overlays, a figure of all methods side by side, and the raw values.

    Exit status: 0 explained, 1 some photographs could not be read or are not gradable, 2 nothing could be done.
    """
    _check(release, checkpoint, beside, layers, backend)
    from fundoscope.heatmaps.explainers import LesionMasks, explain_photographs
    from fundoscope.runtime.listing.inputs import list_photographs

    explainer: Explainer
    if checkpoint:
        explainer = _of_runs(checkpoint, beside or [], method or [DEFAULT_METHOD], layers or [], target)
    else:
        explainer = _of_release(release, backend, method or [], layers or [], target)
    masks = None if lesions is None else LesionMasks.read(lesions)
    listing = list_photographs(paths)
    for sentence in (*listing.notes, *listing.troubles):
        print_text(sentence, to=troubles)
    rows = []
    with interruptible(f"What is explained is kept in {out}: give the same command again to continue."):
        for row in explain_photographs(listing.photographs, out, explainer, lesions=masks, force=force):
            rows.append(row)
            if not as_json:
                print_text(_line(row))
    request = explainer.request
    if as_json:
        print_json({"request": request.to_dict(), "photographs": rows, "notice": NOT_A_DEVICE})
    else:
        say_written(out)
        print_text(f"By {request.network}. {NOT_A_DEVICE}")
    if listing.troubles or not all(row["methods"] for row in rows):
        raise typer.Exit(1)


def _check(
    release: Path | None,
    checkpoint: list[Path] | None,
    beside: list[Path] | None,
    layers: list[str] | None,
    backend: Backend,
) -> None:
    """Refuse options that contradict one another."""
    if release is not None and checkpoint:
        raise BadRequest("--release: expected it or --checkpoint, got both. Leave one out.")
    if checkpoint and backend is not Backend.onnxruntime:
        raise BadRequest(f"--backend {backend}: expected a release, got --checkpoint. Leave one out.")
    if beside and (layers or not checkpoint):
        raise BadRequest(
            "--beside: expected it with --checkpoint and without --layer, which each network has of its own, got "
            f"{'--layer' if layers else 'no --checkpoint'}."
        )


def _of_release(
    release: Path | None, backend: Backend, methods: list[str], layers: list[str], target: str
) -> ReleaseExplainer:
    from fundoscope.heatmaps.explainers import ReleaseExplainer

    explainer = ReleaseExplainer.open(release, backend=backend.value)
    explainer.check_request(methods=methods, layers=layers, target=target)
    for note in explainer.notes:
        print_text(note, to=troubles)
    return explainer


def _of_runs(runs: list[Path], beside: list[Path], methods: list[str], layers: list[str], target: str) -> Explainer:
    with needs_extra("--checkpoint"):
        from fundoscope.training.runs.explainer import read_explainer, read_side_by_side
    if beside:
        return read_side_by_side([runs, *([run] for run in beside)], methods, target=target)
    return read_explainer(runs, methods, layers=layers, target=target)


def _line(row: dict[str, Any]) -> str:
    """A photograph in one line."""
    if not row["methods"]:
        return (
            str(row["reason"]) if row["status"] == "unreadable" else f"{row['image']}: {row['status']}. {row['reason']}"
        )
    maps = ", ".join(
        f"{name} {heatmap['grid'][0]} x {heatmap['grid'][1]}"
        + ("" if heatmap["outside_field"] is None else f" ({heatmap['outside_field']:.0%} outside the field of view)")
        for name, heatmap in row["methods"].items()
    )
    return f"{row['image']}: {row['answer']}; {maps}"
