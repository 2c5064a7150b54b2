"""`fundoscope train` and `export`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fundoscope.cli.console import needs_extra, print_text, troubles


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
        Path | None, typer.Option(help="Do not train: write a grid of augmented photographs to this PNG.")
    ] = None,
    smoke: Annotated[
        bool, typer.Option(help="Try the experiment out: its own section smoke makes it small enough for a minute.")
    ] = False,
    quiet: Annotated[bool, typer.Option(help="No progress bar.")] = False,
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
        from fundoscope.training.runs.folder import moved, read_run
        from fundoscope.training.runs.preview import augmentation_grid
        from fundoscope.training.train import train as train_experiment
    if resume is not None:
        experiment, folder = moved(read_run(resume), [name, *(overrides or [])] if name else []), resume
    else:
        experiment = read_experiment(name, overrides or [], smoke=smoke)
        folder = run or Path("runs") / experiment.name
    if show_augmentations is not None:
        augmentation_grid(experiment, show_augmentations)
        print_text(f"wrote {show_augmentations}")
        return
    train_experiment(experiment, folder, say=lambda line: troubles.print(line, style="bold"), progress=not quiet)
    print_text(f"finished: {folder}")


def export(
    run: Annotated[
        list[Path], typer.Argument(help="Folder of a finished run; of several that differ in their seed: their mean.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder of the release; RUN/release of the only run by default.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="Model card in Markdown; written from the run's facts if absent.")
    ] = None,
    evaluation: Annotated[
        list[Path] | None,
        typer.Option(help="evaluation.json whose main figures travel with the release, named after its folder."),
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store weights with 16 bits: half the size.")] = False,
    held_out: Annotated[
        Path | None, typer.Option(help="Write the held-out predictions that the release is calibrated on here.")
    ] = None,
) -> None:
    """Export the final network of a run, or the mean of several runs; refused if onnxruntime and torch disagree."""
    from fundoscope.errors import BadTable

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
    print_text(f"wrote {folder}")
