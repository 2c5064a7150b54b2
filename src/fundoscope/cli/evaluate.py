"""`fundoscope evaluate`: how good a table of predictions is, with intervals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers, troubles
from fundoscope.errors import BadRequest, BadTable
from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.evaluation.summary import Summary
    from fundoscope.tables import Joined

ANSWER_FILE = "evaluation.json"

ROWS = {
    "quadratic_kappa": "quadratic kappa",
    "linear_kappa": "linear kappa",
    "unweighted_kappa": "unweighted kappa",
    "accuracy": "accuracy",
    "mean_absolute_error": "mean absolute error (grades)",
    "off_by_one": "exactly one grade off",
    "within_one": "at most one grade off",
    "any_auroc": "AUROC, any retinopathy (grade >= 1)",
    "referable_auroc": "AUROC, referable (grade >= 2)",
    "sight_threatening_auroc": "AUROC, sight-threatening (grade >= 3)",
    "referable_sensitivity": "sensitivity of the grade, referable",
    "referable_specificity": "specificity of the grade, referable",
    "calibration_error": "calibration error of the likeliest grade (ECE)",
    "decision_sensitivity": "sensitivity of the decision, gradable ones",
    "decision_specificity": "specificity of the decision, gradable ones",
    "decision_cannot_grade_as_refer_sensitivity": "sensitivity, cannot grade counted as refer",
    "decision_cannot_grade_as_refer_specificity": "specificity, cannot grade counted as refer",
}
"""What is printed, in order, and how it is called."""


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="Table of predictions: .csv, .parquet or .jsonl, of any system.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    unseen_patients: Annotated[
        bool, typer.Option("--unseen-patients", help="Leave out patients who are also in another split.")
    ] = False,
    include_ungradable: Annotated[
        bool, typer.Option("--include-ungradable", help="Count photographs refused for quality that have p0 to p4.")
    ] = False,
    report: Annotated[Path | None, typer.Option(help=f"Folder to write {ANSWER_FILE} into.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of patients for the intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Share of draws inside an interval.")] = 0.95,
) -> None:
    """Measure predictions against reference grades, with intervals that draw patients.

    Exit status: 0 measured, 2 a table is not usable or nothing matched.
    """
    from fundoscope.evaluation.summary import evaluate as measure
    from fundoscope.files import write_text
    from fundoscope.tables import check_manifest, check_predictions, join, read_table

    if unseen_patients and split is None:
        raise BadRequest("--unseen-patients: expected --split beside it, got none. Say which split is evaluated.")
    given = check_predictions(read_table(predictions), path=predictions)
    listed = check_manifest(read_table(manifest), path=manifest)
    chosen = set(_chosen(listed, manifest, split, unseen=unseen_patients)["image"])
    joined = join(given, listed, predictions_path=predictions, manifest_path=manifest)
    rows = joined.rows[joined.rows["image"].isin(chosen)].reset_index(drop=True)
    if "grade" not in rows or not rows["grade"].notna().any():
        raise BadTable(
            f"{predictions}: expected photographs that {manifest} gives a grade to, got none among {len(given)} rows "
            f"(the first is {given['image'].iloc[0]}). Write image as the manifest does, or add sha256 to both."
        )
    summary = measure(rows, include_ungradable=include_ungradable, resamples=resamples, seed=seed, level=level)
    data = _data(predictions, manifest, joined, chosen)
    answer = {"data": data, "split": split, "unseen_patients": unseen_patients, **summary.to_dict()}
    text = json.dumps(answer, indent=2, allow_nan=False) + "\n"
    if report is not None:
        write_text(report / ANSWER_FILE, text)
        troubles.print(f"written: {report / ANSWER_FILE}", markup=False, soft_wrap=True)
    if as_json:
        print(text, end="")
    else:
        _print(summary, answer)


def _data(predictions: Path, manifest: Path, joined: Joined, chosen: set[str]) -> dict[str, Any]:
    """Which tables, to the byte, and how much of them found no match."""
    from fundoscope.files import sha256_of

    return {
        "predictions": predictions.name,
        "predictions_sha256": sha256_of(predictions),
        "manifest": manifest.name,
        "manifest_sha256": sha256_of(manifest),
        "only_predicted": len(joined.only_predicted),
        "only_listed": len(chosen & set(joined.only_listed)),
    }


def _chosen(manifest: pd.DataFrame, path: Path, split: str | None, *, unseen: bool) -> pd.DataFrame:
    """The rows of one split; with `unseen` without patients, and photographs, that another split has too."""
    from fundoscope.tables import patient_keys

    if split is None:
        return manifest
    splits = manifest["split"].fillna("").tolist() if "split" in manifest else []
    if split not in splits:
        found = ", ".join(sorted(set(splits) - {""})) or "none"
        raise BadTable(f"{path}: expected rows of split {split}, got splits: {found}. Give another --split, or none.")
    keys = patient_keys(manifest)
    hashes = manifest["sha256"].tolist() if "sha256" in manifest else [None] * len(manifest)
    elsewhere = {key for key, side in zip(keys, splits, strict=True) if side not in ("", split)}
    seen = {sha256 for sha256, side in zip(hashes, splits, strict=True) if side not in ("", split)} - {None}
    keep = [
        side == split and not (unseen and (key in elsewhere or sha256 in seen))
        for key, sha256, side in zip(keys, hashes, splits, strict=True)
    ]
    if not any(keep):
        raise BadTable(
            f"{path}: expected patients who are in split {split} only, got none. Leave --unseen-patients out."
        )
    return manifest[keep]


def _print(summary: Summary, answer: dict[str, Any]) -> None:
    data, human = answer["data"], answer["human"]
    which = f"split {answer['split']}" if answer["split"] else "all splits"
    which += ", only patients of no other split" if answer["unseen_patients"] else ""
    answers.print(
        f"{data['predictions']} against {data['manifest']} ({which})", markup=False, style="bold", soft_wrap=True
    )
    for line in _counted(summary, data):
        answers.print(line, markup=False)
    answers.print(_overall(summary))
    answers.print(
        f"For comparison, {human['what']}: quadratic kappa {human['quadratic_kappa']}, linear {human['linear_kappa']}, "
        f"unweighted {human['unweighted_kappa']}, exact agreement {human['accuracy']:.1%}.",
        markup=False,
    )
    answers.print(_by_grade(summary))
    answers.print(_confusion(summary))
    for line in _decided(summary):
        answers.print(line, markup=False)
    answers.print(
        f"Intervals: {summary.level:.0%}, percentile bootstrap of {summary.resamples} draws of patients, seed "
        f"{summary.seed}. ECE: {answer['ece_bins']} bins of equal width.",
        markup=False,
        style="dim",
    )
    answers.print(NOT_A_DEVICE, markup=False, style="dim")


def _counted(summary: Summary, data: dict[str, Any]) -> list[str]:
    counts = summary.counts
    refused = (
        "counted where they have probabilities" if summary.include_ungradable else "not counted in grades and AUROC"
    )
    alone = (
        [
            f"{counts['without_patient']} photographs have no patient and count as one each: the intervals are too "
            "narrow where they are of the same person."
        ]
        if counts["without_patient"]
        else []
    )
    return [
        f"{counts['photographs']} photographs of {counts['patients']} patients; {counts['ungradable']} ungradable "
        f"({refused}), {counts['unreadable']} unreadable.",
        f"Grades are compared on {counts['with_grade']} photographs, probabilities on {counts['with_probabilities']}, "
        f"of {counts['measured_patients']} patients.",
        f"Without a match: {data['only_predicted']} predictions, {data['only_listed']} photographs of the manifest; "
        f"without a reference grade: {counts['without_reference_grade']}.",
        *alone,
    ]


def _overall(summary: Summary) -> Table:
    table = Table("", "", f"{summary.level:.0%} interval", title_justify="left", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, words in ROWS.items():
        table.add_row(words, *_cells(summary, name))
    return table


def _cells(summary: Summary, name: str) -> tuple[str, str]:
    """The estimate, and its interval or why there is none."""
    interval = summary.intervals[name]
    reason = summary.missing.get(name, "")
    if interval.estimate != interval.estimate:
        return "n/a", reason
    if interval.low != interval.low:
        return f"{interval.estimate:.3f}", reason
    words = f"{interval.low:.3f} to {interval.high:.3f}"
    if interval.undefined:
        words += f" (undefined on {interval.undefined} of {summary.resamples} draws)"
    return f"{interval.estimate:.3f}", words


def _by_grade(summary: Summary) -> Table:
    table = Table("grade", "photographs", "sensitivity", "specificity", "precision", "F1", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for grade, name in enumerate(GRADE_NAMES):
        rates = (_short(summary, f"grade{grade}_{rate}") for rate in ("sensitivity", "specificity", "precision", "f1"))
        table.add_row(f"{grade} {name}", str(summary.support[grade]), *rates)
    return table


def _short(summary: Summary, name: str) -> str:
    interval = summary.intervals[name]
    if interval.estimate != interval.estimate:
        return "n/a"
    if interval.low != interval.low:
        return f"{interval.estimate:.2f}"
    return f"{interval.estimate:.2f} ({interval.low:.2f}-{interval.high:.2f})"


def _confusion(summary: Summary) -> Table:
    table = Table("reference \\ answered", *map(str, range(len(GRADE_NAMES))), box=None, pad_edge=False)
    for grade, row in enumerate(summary.confusion):
        table.add_row(str(grade), *map(str, row))
    return table


def _decided(summary: Summary) -> list[str]:
    exact = [
        f"Exact interval of {ROWS[name]} (Clopper-Pearson, as if photographs were independent): {low:.3f} to {high:.3f}"
        for name, (low, high) in summary.exact.items()
    ]
    return exact + [
        f"Decisions, {side.replace('_', ' ')}: "
        + ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        for side, counts in summary.decisions.items()
        if any(count for name, count in counts.items() if name != "none")
    ]
