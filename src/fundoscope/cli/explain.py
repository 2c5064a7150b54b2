"""`fundoscope explain`: where a network looked, laid over the photograph, and raw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import answers, troubles
from fundoscope.cli.grade import Backend, ByBackend, printable
from fundoscope.errors import BadRequest, BadTable, MissingExtra
from fundoscope.grades import NOT_A_DEVICE

if TYPE_CHECKING:
    from fundoscope.runtime.explain import Explained, Lesions
    from fundoscope.runtime.explanations import Request
    from fundoscope.runtime.inputs import Listed

DEFAULT_METHOD = "grad-cam"


def explain(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Photographs, or folders of them.")],
    release: Annotated[
        Path | None,
        typer.Option(help="Release whose own heatmap is shown: a folder or .zip. Default: the shipped one."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of a finished run instead, for any method; of several seeds their mean: repeat."),
    ] = None,
    beside: Annotated[
        list[Path] | None,
        typer.Option(help="Run of another network, whose maps stand beside those of --checkpoint: repeat for more."),
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help=f"How, with --checkpoint; repeat for more. Default: {DEFAULT_METHOD}.")
    ] = None,
    layers: Annotated[
        list[str] | None,
        typer.Option(help="Module of the backbone whose map is taken; repeat to fuse several. Default: the last."),
    ] = None,
    target: Annotated[
        str, typer.Option(help="What is explained: answer, expected, grade:K, cut:K or sign:K.")
    ] = "answer",
    lesions: Annotated[
        Path | None, typer.Option(help="Manifest with mask_ columns, whose lesions are outlined beside the maps.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for pictures, raw maps and explanations.json.")
    ] = Path("explanations"),
    force: Annotated[bool, typer.Option("--force", help="Explain anew what lies there already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answers as JSON.")] = False,
    backend: ByBackend = Backend.onnxruntime,
) -> None:
    """Show what moved a network's answer: overlays, a figure of all methods side by side, and the raw maps.

    Exit status: 0 explained, 1 some photographs could not be read or are not gradable, 2 nothing could be done.
    """
    if release is not None and checkpoint:
        raise BadRequest("--release: expected it or --checkpoint, got both. Leave one out.")
    if checkpoint and backend is not Backend.onnxruntime:
        raise BadRequest(f"--backend {backend}: expected a release, got --checkpoint. Leave one out.")
    if beside and (layers or not checkpoint):
        raise BadRequest(
            "--beside: expected it with --checkpoint and without --layers, which each network has of its own, got "
            f"{'--layers' if layers else 'no --checkpoint'}."
        )
    from fundoscope.runtime.explanations import explain_listed
    from fundoscope.runtime.inputs import list_photographs

    if checkpoint:
        request, one = _by_checkpoint(checkpoint, beside or [], method or [DEFAULT_METHOD], layers or [], target)
    else:
        request, one = _by_release(release, backend, method or [], layers or [], target)
    marked = None if lesions is None else _lesions(lesions)
    listing = list_photographs(paths)
    for sentence in (*listing.notes, *listing.troubles):
        troubles.print(printable(sentence), soft_wrap=True)
    rows = []
    for row in explain_listed(listing.photographs, out, request, one, lesions=marked, force=force):
        rows.append(row)
        if not as_json:
            answers.print(printable(_line(row)), soft_wrap=True)
    if as_json:
        typer.echo(json.dumps({"request": request.to_dict(), "photographs": rows, "notice": NOT_A_DEVICE}, indent=2))
    else:
        answers.print(printable(f"Written: {out}. By {request.network}. {NOT_A_DEVICE}"), soft_wrap=True)
    if listing.troubles or not all(row["methods"] for row in rows):
        raise typer.Exit(1)


def _by_release(
    release: Path | None, backend: Backend, methods: list[str], layers: list[str], target: str
) -> tuple[Request, Callable[[Listed], Explained]]:
    from fundoscope.runtime.explain import by_release
    from fundoscope.runtime.explanations import Request
    from fundoscope.runtime.grader import Grader

    grader = Grader.open(release, backend=backend.value)
    name, own = grader.opened.name, grader.opened.release.heatmap
    if own == "none":
        raise BadRequest(f"{name}: expected a release with a heatmap, got one without. Give --checkpoint instead.")
    asked = [f"--method {each}" for each in methods if each != own] + [f"--layers {each}" for each in layers]
    asked += [] if target == "answer" else [f"--target {target}"]
    if asked:
        raise BadRequest(
            f"{asked[0]}: expected what release {name} has inside, {own} of its answer. "
            "Leave it out, or give the trained run with --checkpoint."
        )
    shown, why = grader.opened.heatmap_state
    if not shown:
        troubles.print(printable(f"{name}: its heatmap is {why}. Reports do not show it."), soft_wrap=True)
    # What lies there by another program is not passed off as this one's.
    network = name if backend is Backend.onnxruntime else f"{name}, computed by {grader.program}"
    request = Request(network=network, methods=(own,), layers=(), target=target)
    return request, lambda listed: by_release(grader, listed.path, listed.fellow)


def _by_checkpoint(
    runs: list[Path], beside: list[Path], methods: list[str], layers: list[str], target: str
) -> tuple[Request, Callable[[Listed], Explained]]:
    from fundoscope.runtime.explanations import Request

    try:
        from fundoscope.training.runs.explainer import read_explainer, read_side_by_side
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("fundoscope"):
            raise
        raise MissingExtra("--checkpoint", "train") from error
    if beside:
        several = read_side_by_side([runs, *([run] for run in beside)], methods, target=target)
        request = Request(network=several.name, methods=several.map_names, layers=(), target=target)
        return request, lambda listed: several.explain(listed.path, listed.fellow)
    explainer = read_explainer(runs, methods, layers=layers, target=target)
    names = tuple(each.name for each in explainer.methods)
    request = Request(network=explainer.name, methods=names, layers=tuple(layers), target=target)
    return request, lambda listed: explainer.explain(listed.path, listed.fellow)


def _lesions(manifest: Path) -> Callable[[Listed], Lesions]:
    """Masks of a photograph by the file it lies in, or by its hash; none where the manifest does not know it."""
    import pandas as pd

    from fundoscope.data.manifest import picture_paths, read_manifest
    from fundoscope.files import sha256_of
    from fundoscope.runtime.explain import LESION_COLOURS

    frame = read_manifest(manifest)
    columns = [name for name in LESION_COLOURS if name in frame]
    if not columns:
        raise BadTable(
            f"{manifest}: expected a column of {', '.join(LESION_COLOURS)}, got none. Give a manifest with masks, or "
            "leave --lesions out."
        )
    by_file = {path.resolve(): at for at, path in enumerate(picture_paths(frame, manifest))}
    hashes = frame["sha256"] if "sha256" in frame else pd.Series(dtype=object)
    by_hash = {digest: at for at, digest in enumerate(hashes) if not pd.isna(digest)}

    def masks(listed: Listed) -> dict[str, Any]:
        at = by_file.get(listed.path.resolve())
        if at is None and by_hash and listed.path.is_file():
            at = by_hash.get(sha256_of(listed.path))
        if at is None:
            return {}
        row = frame.iloc[at]
        return {name: _mask(manifest.parent / str(row[name]), name) for name in columns if not pd.isna(row[name])}

    return masks


def _mask(path: Path, column: str) -> Any:
    import cv2

    drawn = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if drawn is None:
        raise BadTable(f"{path}: expected a mask picture for {column}, got none that can be read. Check the path.")
    return drawn > 0


def _line(row: dict[str, Any]) -> str:
    """A photograph in one line."""
    if not row["methods"]:
        return (
            str(row["reason"]) if row["status"] == "unreadable" else f"{row['image']}: {row['status']}. {row['reason']}"
        )
    maps = ", ".join(
        f"{name} {each['grid'][0]} x {each['grid'][1]}"
        + ("" if each["outside_field"] is None else f" ({each['outside_field']:.0%} outside the field of view)")
        for name, each in row["methods"].items()
    )
    return f"{row['image']}: {row['answer']}; {maps}"
