"""`fundoscope evaluate`: how good a table of predictions is, with confidence intervals."""

from __future__ import annotations

from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from fundoscope.cli.console import needs_extra, print_json, say_written
from fundoscope.cli.evaluation.options import Interval, IntervalMethod, Level, Resamples, Seed


class PresetName(StrEnum):
    """Paper whose table to print; the names of `presets.PRESETS`."""

    GDRBENCH = "gdrbench"
    DRSTAGENET = "drstagenet"
    RETINASCAN = "retinascan"
    DENSENET_STUDY = "densenet-study"
    RETFOUND = "retfound"


def evaluate(
    predictions: Annotated[
        Path, typer.Argument(help="Table of predictions of any system. As .csv, .parquet or .jsonl.")
    ],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    split: Annotated[str | None, typer.Option(help="Evaluate only this split: train, val or test.")] = None,
    unseen_patients: Annotated[
        bool,
        typer.Option(
            "--unseen-patients", help="Leave out patients of other splits. Also their files, duplicates and eyes."
        ),
    ] = False,
    include_ungradable: Annotated[
        bool,
        typer.Option(
            "--include-ungradable",
            help="Include rejected photographs with p0 to p4. They were rejected for their quality.",
        ),
    ] = False,
    subgroups: Annotated[
        bool,
        typer.Option(
            "--subgroups",
            help="Also evaluate by camera, sex, age and the like. By source, camera, site, sex, age, quality "
            "and eye: the slowest part.",
        ),
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Also evaluate by this column of the manifest. Repeatable."),
    ] = None,
    review: Annotated[
        Path | None, typer.Option(help="Table of doubtful labels of fundoscope audit. As its --review writes it.")
    ] = None,
    preset: Annotated[
        PresetName | None,
        typer.Option(
            help="Print the table of a paper, such as gdrbench. The statistics that it reports, under its names."
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a report with figures. index.html and evaluation.json.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    resamples: Resamples = 2000,
    seed: Seed = 0,
    level: Level = 0.95,
    interval: Interval = IntervalMethod.AUTO,
    prevalence: Annotated[
        float | None,
        typer.Option(min=0.0001, max=0.9999, help="Prevalence at which to report PPV and NPV. Of referable disease."),
    ] = None,
) -> None:
    """Evaluate predictions against reference grades, with confidence intervals bootstrapped by patient.

    Exit status: 0 evaluated, 2 a table is not usable or nothing matched.
    """
    from fundoscope.cli.evaluation.evaluate_words import print_evaluation, print_preset
    from fundoscope.evaluation.evaluate import EvaluationOptions, evaluate_tables
    from fundoscope.evaluation.report.page import write_evaluation

    if report is not None:
        with needs_extra("the figures of an evaluation", "research"):
            import_module("matplotlib")  # asked for now, not after minutes of computing
    full = as_json or report is not None
    evaluation = evaluate_tables(
        predictions,
        manifest,
        split=split,
        unseen_patients=unseen_patients,
        options=EvaluationOptions(
            include_ungradable=include_ungradable,
            resamples=resamples,
            seed=seed,
            level=level,
            method=interval.value,
            prevalence=prevalence,
            with_subgroups=full or subgroups,
            by=tuple(by or ()),
            with_curves=full,
            review=review,
            preset=None if preset is None else preset.value,
        ),
    )
    if report is not None:
        say_written(*write_evaluation(evaluation, report))
    if as_json:
        print_json(evaluation.to_dict())
    elif evaluation.paper is not None:
        print_preset(evaluation, evaluation.paper)
    else:
        print_evaluation(evaluation)
