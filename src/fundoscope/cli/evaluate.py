"""`fundoscope evaluate`: how good a table of predictions is, with intervals."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import troubles
from fundoscope.errors import BadRequest, BadTable, MissingExtra

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

    if unseen_patients and split is None:
        raise BadRequest("--unseen-patients: expected --split beside it, got none. Say which split is evaluated.")
    figures: Any = _figures() if report is not None else None
    rows, chosen, data = _read(predictions, manifest, split, unseen=unseen_patients)
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
        _write(report, text, _told(summary, around, answer, rows, paper, drawn), photographs=_files(chosen, manifest))
    if as_json:
        print(text, end="")
    elif paper is not None:
        print_preset(summary, answer, paper)
    else:
        print_evaluation(summary, answer, around)


def _read(
    predictions: Path, manifest: Path, split: str | None, *, unseen: bool
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str | int]]:
    """Photographs with a prediction, the manifest's rows that are evaluated, and which tables they are from."""
    from fundoscope.evaluation.signs import check_signs
    from fundoscope.tables import check_manifest, check_predictions, join, read_table
    from fundoscope.tables.pair import data_of

    given = check_predictions(read_table(predictions), path=predictions)
    listed = check_manifest(read_table(manifest), path=manifest)
    given = check_signs(given, map(str, listed.columns), path=predictions)
    chosen = _chosen(listed, manifest, split, unseen=unseen)
    joined = join(given, listed, predictions_path=predictions, manifest_path=manifest)
    images = set(chosen["image"])
    rows = joined.rows[joined.rows["image"].isin(images)].reset_index(drop=True)
    if "grade" not in rows or not rows["grade"].notna().any():
        raise BadTable(
            f"{predictions}: expected photographs that {manifest} gives a grade to, got none among {len(given)} rows "
            f"(the first is {given['image'].iloc[0]}). Write image as the manifest does, or add sha256 to both."
        )
    only_listed = len(images & set(joined.only_listed))
    return (
        rows,
        chosen,
        data_of(predictions, manifest, only_predicted=len(joined.only_predicted), only_listed=only_listed),
    )


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


def _files(listed: pd.DataFrame, manifest: Path) -> dict[str, Path]:
    """The file of each photograph, by its name in the manifest."""
    from fundoscope.data.manifest import picture_paths

    return dict(zip(listed["image"].astype(str), picture_paths(listed, manifest), strict=True))


def _chosen(manifest: pd.DataFrame, path: Path, split: str | None, *, unseen: bool) -> pd.DataFrame:
    """The rows of one split; with `unseen` without units (patients, files, duplicates, eyes) that another one has."""
    from fundoscope.data.split import units_of

    if split is None:
        return manifest
    splits = manifest["split"].fillna("").tolist() if "split" in manifest else []
    if split not in splits:
        found = ", ".join(sorted(set(splits) - {""})) or "none"
        raise BadTable(f"{path}: expected rows of split {split}, got splits: {found}. Give another --split, or none.")
    units = units_of(manifest)
    elsewhere = {unit for unit, side in zip(units, splits, strict=True) if side not in ("", split)}
    keep = [side == split and not (unseen and unit in elsewhere) for unit, side in zip(units, splits, strict=True)]
    if not any(keep):
        raise BadTable(
            f"{path}: expected patients who are in split {split} only, got none. Leave --unseen-patients out."
        )
    return manifest[keep]
