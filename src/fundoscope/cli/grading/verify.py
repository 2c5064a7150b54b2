"""`fundoscope verify` and `fundoscope info`: is a release whole, and what is it?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from fundoscope.cli.console import answers, print_json, print_text, say_written
from fundoscope.cli.grading.grade import Backend, ByBackend
from fundoscope.cli.layout import fitted
from fundoscope.grades import NOT_A_DEVICE

Place = Annotated[
    Path | None,
    typer.Argument(metavar="[RELEASE]", help="A folder or .zip. Default: the release that ships.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]

MARKS = {
    True: Text("passed", style="green"),
    False: Text("FAILED", style="bold red"),
    None: Text("absent", style="yellow"),
}
"""How the result of a check is shown."""


def verify(
    release: Place = None,
    as_json: AsJson = False,
    backend: ByBackend = Backend.onnxruntime,
    complete: Annotated[
        Path | None,
        typer.Option(help="Write a copy with a golden photograph here. Of a release that is whole and has none."),
    ] = None,
) -> None:
    """Check a release: hashes, reading and preparing its golden photograph, and its network's golden outputs.

    Exit status: 0 if all is well, 2 if not.
    """
    from fundoscope.runtime.release import default_release
    from fundoscope.runtime.verification import verify_release

    result = verify_release(default_release() if release is None else release, backend=backend.value)
    if as_json:
        checks = [asdict(check) for check in result.checks]
        summary = {
            "path": str(result.path),
            "release": result.name,
            "passed": result.passed,
            "checks": checks,
        }
        print_json(summary)
    else:
        for check in result.checks:
            answers.print(Text.assemble(MARKS[check.passed], f"  {check.name}: {check.detail}"))
        print_text(f"{result.name or result.path}: {'whole' if result.passed else 'do not use it'}.")
    if not result.passed:
        raise typer.Exit(2)
    if complete is not None:
        _complete(default_release() if release is None else release, complete)


def _complete(release: Path, target: Path) -> None:
    """Write a copy of a release with a golden photograph, which releases of earlier versions lack."""
    from fundoscope.errors import BadRequest
    from fundoscope.runtime.copies import copy_with_golden_photograph
    from fundoscope.runtime.release import open_release

    opened = open_release(release)
    if opened.golden_photograph is not None:
        raise BadRequest(f"--complete: expected a release without a golden photograph, {opened.name} has one. Use it.")
    copy = copy_with_golden_photograph(opened, target)
    say_written(target, note=copy.name)


def info(release: Place = None, as_json: AsJson = False) -> None:
    """Say what a release is: its network, how its output is read, how good it was, what it must not be used for."""
    from fundoscope.runtime.output.html import figures
    from fundoscope.runtime.release import default_release, open_release

    opened = open_release(default_release() if release is None else release)
    if as_json:
        print_json({"name": opened.name, "path": str(opened.path)} | asdict(opened.release))
        return
    described = opened.release
    lines = {
        "release": opened.name,
        "version": described.version,
        "licence": described.licence,
        "size": f"{len(opened.model) / 1e6:.1f} MB network",
        "photograph": f"{opened.recipe.side} px, crop {opened.recipe.crop}, enhancement {opened.recipe.enhance}",
        "task": described.task,
        **opened.answerer.facts(),
        "eyes": "both of a patient, where both were photographed" if described.eyes == 2 else "each by itself",
        "heatmap": f"{described.heatmap}, {opened.heatmap_state[1]}" if described.heatmap != "none" else "none",
        "trained on": f"{len(described.training.get('training_sha256', []))} photographs",
        "intended use": described.intended_use,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, words in (*lines.items(), *(("limit", limit) for limit in described.limits)):
        table.add_row(Text(name, style="dim"), Text(words))
    for name, words in figures(described.evaluation):
        table.add_row(Text(name, style="dim"), Text(words))
    answers.print(fitted(table, unbroken=(0,)))
    print_text(NOT_A_DEVICE)
