"""`fundoscope evaluate`: how good a table of predictions is, with intervals."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import troubles
from fundoscope.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.evaluation.extras import Whole
    from fundoscope.evaluation.report.page import Told
    from fundoscope.evaluation.report.presets import Paper
    from fundoscope.evaluation.summary import Summary

ANSWER_FILE = "evaluation.json"


class IntervalMethod(StrEnum):
    """How the bounds are read off the draws."""

    PERCENTILE = "percentile"
    BCA = "bca"


class PresetName(StrEnum):
    """A paper whose table is wanted; the names of `presets.PRESETS`."""

    GDRBENCH = "gdrbench"
    DRSTAGENET = "drstagenet"
    RETINASCAN = "retinascan"
    DENSENET_STUDY = "densenet-study"
    RETFOUND = "retfound"


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Table of predictions: .csv, .parquet or .jsonl, of any system.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    unseen_patients: Annotated[
        bool,
        typer.Option(
            "--unseen-patients", help="Leave out patients, files, duplicates and eyes that another split has."
        ),
    ] = False,
    include_ungradable: Annotated[
        bool, typer.Option("--include-ungradable", help="Count photographs refused for quality that have p0 to p4.")
    ] = False,
    subgroups: Annotated[
        bool,
        typer.Option("--subgroups", help="Also by source, camera, site, sex, age, quality, eye; takes the most time."),
    ] = False,
    by: Annotated[
        list[str] | None,
        typer.Option(help="Column of the manifest to divide the photographs by as well; repeat for more."),
    ] = None,
    review: Annotated[
        Path | None, typer.Option(help="Doubtful labels, as `fundoscope audit --review` writes them.")
    ] = None,
    preset: Annotated[PresetName | None, typer.Option(help="Print this paper's table instead of ours.")] = None,
    report: Annotated[
        Path | None, typer.Option(help=f"Folder for a page with figures, index.html, and {ANSWER_FILE}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of patients for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Share of draws inside an interval.")] = 0.95,
    interval: Annotated[
        IntervalMethod, typer.Option(help="Bounds as percentiles of the draws, or corrected for bias and skewness.")
    ] = IntervalMethod.PERCENTILE,
    prevalence: Annotated[
        float | None,
        typer.Option(min=0.0001, max=0.9999, help="Share of referable photographs to tell PPV and NPV for."),
    ] = None,
) -> None:
    """Measure predictions against reference grades, with intervals that draw patients.

    Exit status: 0 measured, 2 a table is not usable or nothing matched.
    """
    from fundoscope import __version__ as version
    from fundoscope.cli.evaluate_words import print_evaluation, print_preset
    from fundoscope.evaluation.extras import whole
    from fundoscope.evaluation.report.presets import preset_table
    from fundoscope.evaluation.summary import evaluate as measure
    from fundoscope.tables.pair import read_pair

    figures: Any = _figures() if report is not None else None
    pair = read_pair(predictions, manifest, split=split, unseen_patients=unseen_patients)
    rows, chosen, data = pair.rows, pair.chosen, pair.data
    summary = measure(
        rows,
        include_ungradable=include_ungradable,
        resamples=resamples,
        seed=seed,
        level=level,
        method=interval.value,
        prevalence=prevalence,
    )
    full = as_json or report is not None
    grouped = full or subgroups or bool(by)
    around = whole(summary, rows, chosen, by=by or (), review=review, with_subgroups=grouped, with_curves=full)
    answer = {"data": data, "version": version, "split": split, "unseen_patients": unseen_patients}
    answer |= {**summary.to_dict(), **around.to_dict()}
    paper = None
    if preset is not None:
        paper = preset_table(preset.value, summary, rows)
        answer["preset"] = paper.to_dict()
    text = json.dumps(answer, indent=2, allow_nan=False) + "\n"
    if report is not None:
        drawn = figures.draw(summary, around.curves, around.subgroups, around.abstention)
        _write(report, text, _told(summary, around, answer, rows, paper, drawn), photographs=pair.photographs)
    if as_json:
        print(text, end="")
    elif paper is not None:
        print_preset(summary, answer, paper)
    else:
        print_evaluation(summary, answer, around)


def _figures() -> Any:
    """The module that draws, where matplotlib is there."""
    try:
        from fundoscope.evaluation.report import figures
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        raise MissingExtra("the figures of an evaluation", "research") from error
    return figures


def _told(
    summary: Summary,
    around: Whole,
    answer: dict[str, Any],
    rows: pd.DataFrame,
    paper: Paper | None,
    figures: dict[str, tuple[str, bytes]],
) -> Told:
    """What the page tells."""
    from fundoscope.cli.evaluate_words import counted_words, which_words
    from fundoscope.evaluation.report.checklist import checklists, facts_of
    from fundoscope.evaluation.report.page import Told

    data = answer["data"]
    return Told(
        title=f"{data['predictions']} against {data['manifest']} ({which_words(answer)})",
        summary=summary,
        subgroups=around.subgroups,
        mistakes=around.mistakes,
        flow=around.flow,
        checklists=checklists(facts_of(answer, rows, around.flow)),
        figures=figures,
        paper=paper,
        data=(
            *counted_words(summary, data),
            f"{data['predictions']}: SHA-256 {data['predictions_sha256']}.",
            f"{data['manifest']}: SHA-256 {data['manifest_sha256']}.",
        ),
    )


def _write(report: Path, text: str, told: Told, *, photographs: dict[str, Path]) -> None:
    from fundoscope.evaluation.report.page import write_evaluation
    from fundoscope.files import write_text

    write_text(report / ANSWER_FILE, text)
    for path in (report / ANSWER_FILE, write_evaluation(told, report, photographs=photographs)):
        troubles.print(f"written: {path}", markup=False, soft_wrap=True)
