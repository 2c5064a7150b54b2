"""`fundoscope train` and `export`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import (
    answers,
    interruptible,
    needs_extra,
    print_command,
    print_json,
    print_text,
    say_written,
    troubles,
)
from fundoscope.cli.layout import fitted
from fundoscope.cli.progress import progress

if TYPE_CHECKING:
    from fundoscope.training.experiment.schema import Experiment
    from fundoscope.training.runs.figures import RunFigures

RUNS = Path("runs")
"""Folder of the runs."""

SMOKE_RUNS = RUNS / "smoke"
"""Folder of the runs that only try an experiment out."""


def train(
    name: Annotated[str, typer.Argument(help="A shipped experiment or the path of a TOML file.")] = "",
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="section.key=value, any number of them. With --resume only data.manifest and data.cache, if they were "
            "moved, and fit.final and fit.export."
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of the run; runs/NAME by default.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    show_augmentations: Annotated[
        Path | None, typer.Option(help="Only write a grid of augmented pictures. To this PNG; nothing is trained.")
    ] = None,
    smoke: Annotated[
        bool,
        typer.Option(
            "--smoke",
            help="Try the experiment out in about a minute. Its own section smoke makes it small; the run is "
            "written to runs/smoke/NAME.",
        ),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Train a grader as an experiment file says; a run that was killed continues where it was."""
    from fundoscope.errors import BadRequest

    if not name if resume is None else name and "=" not in name:
        raise BadRequest(
            "train: expected either the NAME of an experiment or --resume RUN; `fundoscope experiments` lists them"
        )
    if resume is not None and run is not None:
        raise BadRequest(f"--run: expected --resume {resume} alone, which names the folder, got --run {run} too.")
    with needs_extra("training"):
        from fundoscope.training.experiment.file import read_experiment
        from fundoscope.training.loop.processes import processes
        from fundoscope.training.runs.folder import moved, read_run
        from fundoscope.training.runs.preview import augmentation_grid
        from fundoscope.training.train import train as train_experiment
    if resume is not None:
        experiment, folder = moved(read_run(resume), [name, *(overrides or [])] if name else []), resume
    else:
        experiment = read_experiment(name, overrides or [], smoke=smoke)
        folder = run or (SMOKE_RUNS if smoke else RUNS) / experiment.name
    if show_augmentations is not None:
        augmentation_grid(experiment, show_augmentations)
        say_written(show_augmentations)
        if as_json:
            print_json({"augmentations": str(show_augmentations)})
        return
    say_line = partial(print_text, style="bold", to=troubles)
    with interruptible(f"To continue: fundoscope train --resume {folder}"), progress() as show:
        train_experiment(experiment, folder, say=say_line, progress=None if quiet or processes().rank else show)
    if processes().rank == 0:
        _answer(experiment, folder, as_json=as_json)


def _answer(experiment: Experiment, run: Path, *, as_json: bool) -> None:
    """Print the figures of a finished run, and the command that comes next."""
    from fundoscope.run_folder import RunFolder
    from fundoscope.training.runs.figures import figures_of

    files = RunFolder(run)
    figures = figures_of(experiment, run)
    if experiment.fit.export:
        next_command = f"fundoscope grade PHOTOGRAPHS --release {files.release}"
    elif files.final.weights.is_file():
        next_command = f"fundoscope export {run} -o RELEASE"
    else:
        next_command = f"fundoscope train --resume {run} fit.final=true"
    if as_json:
        release = str(files.release) if experiment.fit.export else None
        shown = None if figures is None else figures.to_dict()
        print_json({"run": str(run), "figures": shown, "release": release, "next": next_command})
        return
    if figures is not None:
        _print_figures(figures)
    say_written(run)
    print_command("Next", next_command)


def _print_figures(figures: RunFigures) -> None:
    from rich.table import Table

    from fundoscope.evaluation.report import words
    from fundoscope.training.runs.figures import FIGURES

    summary = figures.evaluation.summary
    whose = "out of fold" if figures.out_of_fold else "by the only fit"
    print_text(
        f"Split {', '.join(figures.splits)}, {whose}: {summary.counts['photographs']} photographs of "
        f"{summary.counts['patients']} patients.",
        style="bold",
    )
    table = Table("", "", f"{summary.level:.0%} interval", box=None, pad_edge=False)
    for name, label in words.rows_of(summary).items():
        if name in FIGURES:
            table.add_row(label, *words.statistic_words(summary, name))
    answers.print(fitted(table))
    print_command("All figures", f"fundoscope evaluate {figures.predictions} {figures.reference}", style="dim")


def export(
    run: Annotated[
        list[Path],
        typer.Argument(help="Folder of a finished run. Of several that differ in their seed the mean is exported."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the release. Default: RUN/release of the only run.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="Model card in Markdown. Default: written from the facts of the run.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="evaluation.json whose figures travel with it. The main ones, named after its folder."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store weights with 16 bits: half the size.")] = False,
    held_out: Annotated[
        Path | None, typer.Option(help="Table to write: predictions it is calibrated on. Held out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Export the final network of a run, or the mean of several runs; refused if onnxruntime and torch disagree."""
    from fundoscope.errors import BadTable
    from fundoscope.runtime.release import open_release

    with needs_extra("training"):
        from fundoscope.training.export.card import headlines
        from fundoscope.training.export.release import export_run
    figures = {}
    for path in evaluation or []:
        try:
            figures[path.parent.name] = headlines(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadTable(
                f"{path}: expected the evaluation.json that `fundoscope evaluate` writes: {error}"
            ) from error
    text = card.read_text(encoding="utf-8") if card else None
    folder = export_run(run, out, card=text, evaluation=figures, half=half, held_out=held_out)
    name = open_release(folder).name
    say_written(folder, note=name)
    if as_json:
        print_json({"release": str(folder), "name": name, "held_out": None if held_out is None else str(held_out)})
