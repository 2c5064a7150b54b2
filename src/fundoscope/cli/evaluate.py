"""`fundoscope evaluate`: how good a table of predictions is, with intervals."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers, troubles
from fundoscope.errors import BadRequest, BadTable
from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.evaluation.interval import Interval
    from fundoscope.evaluation.summary import Summary
    from fundoscope.tables import Joined

ANSWER_FILE = "evaluation.json"

ROWS = {
    "quadratic_kappa": "quadratic kappa",
    "linear_kappa": "linear kappa",
    "unweighted_kappa": "unweighted kappa",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "F1, mean of the grades (macro)",
    "weighted_f1": "F1, weighted by how often a grade occurs",
    "mean_absolute_error": "mean absolute error (grades)",
    "mean_squared_error": "mean squared error (grades)",
    "off_by_one": "exactly one grade off",
    "within_one": "at most one grade off",
    "any_auroc": "AUROC, any retinopathy (grade >= 1)",
    "referable_auroc": "AUROC, referable (grade >= 2)",
    "sight_threatening_auroc": "AUROC, sight-threatening (grade >= 3)",
    "auroc_one_vs_rest": "AUROC, one grade against the rest, mean",
    "auroc_one_vs_one": "AUROC, one grade against another, mean",
    "any_average_precision": "average precision, any retinopathy",
    "referable_average_precision": "average precision, referable",
    "sight_threatening_average_precision": "average precision, sight-threatening",
    **{
        f"referable_{kind}_at_{other}_{rate}": f"best {kind}, referable, where {other} is {rate} %"
        for kind, other in (("sensitivity", "specificity"), ("specificity", "sensitivity"))
        for rate in (80, 90, 95)
    },
    "referable_sensitivity": "sensitivity of the grade, referable",
    "referable_specificity": "specificity of the grade, referable",
    "referable_f1": "F1 of the grade, referable",
    "calibration_error": "calibration error of the likeliest grade (ECE)",
    "calibration_error_equal_mass": "the same, bins of equally many photographs",
    "calibration_error_classwise": "the same, mean over every grade's own probability",
    "brier": "Brier score of the five probabilities (0 to 2)",
    "log_loss": "log loss",
    "referable_brier": "Brier score, referable (0 to 1)",
    "referable_brier_reliability": "  its reliability (0 is calibrated)",
    "referable_brier_resolution": "  its resolution (more is better)",
    "referable_brier_uncertainty": "  its uncertainty (of the photographs)",
    "decision_sensitivity": "sensitivity of the decision, gradable ones",
    "decision_specificity": "specificity of the decision, gradable ones",
    "decision_cannot_grade_as_refer_sensitivity": "sensitivity, cannot grade counted as refer",
    "decision_cannot_grade_as_refer_specificity": "specificity, cannot grade counted as refer",
    "referable_ppv_at_prevalence": "PPV of the grade at the prevalence given",
    "referable_npv_at_prevalence": "NPV of the grade at the prevalence given",
    "decision_ppv_at_prevalence": "PPV of the decision at the prevalence given",
    "decision_npv_at_prevalence": "NPV of the decision at the prevalence given",
}
"""What is printed, in order, and how it is called."""


METHOD_WORDS = {"percentile": "percentile", "bca": "BCa"}


class IntervalMethod(StrEnum):
    """How the bounds are read off the draws."""

    PERCENTILE = "percentile"
    BCA = "bca"


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
    report: Annotated[Path | None, typer.Option(help=f"Folder to write {ANSWER_FILE} into.")] = None,
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
    from fundoscope.evaluation.signs import check_signs
    from fundoscope.evaluation.summary import evaluate as measure
    from fundoscope.files import write_text
    from fundoscope.tables import check_manifest, check_predictions, join, read_table

    if unseen_patients and split is None:
        raise BadRequest("--unseen-patients: expected --split beside it, got none. Say which split is evaluated.")
    given = check_predictions(read_table(predictions), path=predictions)
    listed = check_manifest(read_table(manifest), path=manifest)
    given = check_signs(given, map(str, listed.columns), path=predictions)
    chosen = set(_chosen(listed, manifest, split, unseen=unseen_patients)["image"])
    joined = join(given, listed, predictions_path=predictions, manifest_path=manifest)
    rows = joined.rows[joined.rows["image"].isin(chosen)].reset_index(drop=True)
    if "grade" not in rows or not rows["grade"].notna().any():
        raise BadTable(
            f"{predictions}: expected photographs that {manifest} gives a grade to, got none among {len(given)} rows "
            f"(the first is {given['image'].iloc[0]}). Write image as the manifest does, or add sha256 to both."
        )
    summary = measure(
        rows,
        include_ungradable=include_ungradable,
        resamples=resamples,
        seed=seed,
        level=level,
        method=interval.value,
        prevalence=prevalence,
    )
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
    if summary.signs:
        answers.print(_signs(summary))
    for line in _decided(summary):
        answers.print(line, markup=False)
    answers.print(
        f"Intervals: {summary.level:.0%}, {METHOD_WORDS[summary.method]} bootstrap of {summary.resamples} draws of "
        f"patients, seed {summary.seed}. ECE: {answer['ece_bins']} bins of equal width.",
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
        if name.endswith("_at_prevalence") and summary.prevalence is None:
            continue
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
    return _range(summary.intervals[name])


def _range(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return "n/a"
    if interval.low != interval.low:
        return f"{interval.estimate:.2f}"
    return f"{interval.estimate:.2f} ({interval.low:.2f}-{interval.high:.2f})"


def _confusion(summary: Summary) -> Table:
    table = Table("reference \\ answered", *map(str, range(len(GRADE_NAMES))), box=None, pad_edge=False)
    for grade, (row, shares) in enumerate(zip(summary.confusion, summary.confusion_shares, strict=True)):
        cells = (f"{count} ({share:.0%})" if sum(row) else "0" for count, share in zip(row, shares, strict=True))
        table.add_row(str(grade), *cells)
    return table


def _signs(summary: Summary) -> Table:
    rates = ("auroc", "average_precision", "sensitivity", "specificity", "accuracy", "kappa")
    table = Table(
        "sign", "photographs", "present", *(rate.replace("_", " ") for rate in rates), box=None, pad_edge=False
    )
    for name, sign in summary.signs.items():
        cells = (_range(sign.intervals[rate]) for rate in rates)
        table.add_row(name, str(sign.photographs), str(sign.positives), *cells)
    return table


def _decided(summary: Summary) -> list[str]:
    exact = [
        f"Exact interval of {ROWS[name]} (Clopper-Pearson, as if photographs were independent): {low:.3f} to {high:.3f}"
        for name, (low, high) in summary.exact.items()
    ]
    wilson = [
        f"Wilson interval of the same, {name.removeprefix('decision_')}: {low:.3f} to {high:.3f}"
        for name, (low, high) in summary.wilson.items()
    ]
    delong = [
        f"DeLong interval of {ROWS[name]} ({summary.delong_method}): {low:.3f} to {high:.3f}"
        for name, (low, high) in summary.delong.items()
        if low == low
    ]
    return (
        delong
        + exact
        + wilson
        + [
            f"Decisions, {side.replace('_', ' ')}: "
            + ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            for side, counts in summary.decisions.items()
            if any(count for name, count in counts.items() if name != "none")
        ]
    )
