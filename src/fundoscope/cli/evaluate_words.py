"""What `fundoscope evaluate` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fundoscope.cli.console import answers
from fundoscope.evaluation.report.words import METHOD_WORDS, ROWS, human_line, interval_words
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.subgroups import FEW_CASES, FEW_PATIENTS, STATISTICS, Group, Subgroups
from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE

if TYPE_CHECKING:
    from fundoscope.evaluation.extras import Whole
    from fundoscope.evaluation.mistakes import Mistakes
    from fundoscope.evaluation.report.presets import Paper
    from fundoscope.evaluation.summary import Summary

SUBGROUP_HEADS = {
    "quadratic_kappa": "kappa",
    "referable_auroc": "AUROC",
    "sensitivity": "sens.",
    "specificity": "spec.",
}
"""Statistics of groups that a console has room for; all are in the report."""


def print_evaluation(summary: Summary, answer: dict[str, Any], around: Whole) -> None:
    """Everything, in the order that a reader asks for it."""
    _print_head(summary, answer)
    answers.print(_overall(summary))
    answers.print(human_line(answer["human"]), markup=False)
    answers.print(_by_grade(summary))
    answers.print(_confusion(summary))
    answers.print(_off_by(around.mistakes), markup=False)
    if summary.signs:
        answers.print(_signs(summary))
    for each in around.subgroups:
        answers.print(_subgroups(each))
        for line in _gaps(each):
            answers.print(line, markup=False)
    if around.subgroups:
        answers.print(
            f"n: photographs. (few): fewer than {FEW_PATIENTS} patients, or than {FEW_CASES} with or without referable "
            "disease where that matters: too few to say anything. The largest of several gaps is picked: its interval "
            "is too sure of itself, its p (groups dealt out by chance) is not.",
            markup=False,
            style="dim",
        )
    else:
        answers.print("By source, camera, sex and the like: --subgroups, --by COLUMN, or --report.", style="dim")
    for line in _decided(summary):
        answers.print(line, markup=False)
    _print_basis(summary, answer)


def print_preset(summary: Summary, answer: dict[str, Any], paper: Paper) -> None:
    """One paper's table."""
    _print_head(summary, answer)
    table = Table(paper.preset.title, "", f"{summary.level:.0%} interval", box=None, pad_edge=False)
    for words, interval in paper.values.items():
        table.add_row(words, *interval_words(interval).rstrip(")").split(" (", 1))
    answers.print(table)
    answers.print(paper.preset.note, markup=False, soft_wrap=True)
    answers.print(human_line(answer["human"]), markup=False)
    _print_basis(summary, answer)


def which_words(answer: dict[str, Any]) -> str:
    """Which photographs of the manifest are evaluated."""
    which = f"split {answer['split']}" if answer["split"] else "all splits"
    return which + (", only patients of no other split" if answer["unseen_patients"] else "")


def _print_head(summary: Summary, answer: dict[str, Any]) -> None:
    data = answer["data"]
    words = f"{data['predictions']} against {data['manifest']} ({which_words(answer)})"
    answers.print(words, markup=False, style="bold", soft_wrap=True)
    for line in counted_words(summary, data):
        answers.print(line, markup=False)


def _print_basis(summary: Summary, answer: dict[str, Any]) -> None:
    answers.print(
        f"Intervals: {summary.level:.0%}, {METHOD_WORDS[summary.method]} bootstrap of {summary.resamples} draws of "
        f"patients, seed {summary.seed}. ECE: {answer['ece_bins']} bins of equal width.",
        markup=False,
        style="dim",
    )
    answers.print(NOT_A_DEVICE, markup=False, style="dim")


def counted_words(summary: Summary, data: dict[str, Any]) -> list[str]:
    """How many photographs there are, and how many of them count."""
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


def _off_by(mistakes: Mistakes) -> str:
    words = f"{sum(mistakes.off_by)} of {mistakes.photographs} grades are wrong"
    if any(mistakes.off_by):
        counts = ", ".join(f"{count} by {distance}" for distance, count in enumerate(mistakes.off_by, 1) if count)
        words += f", by so many grades: {counts} ({sum(mistakes.too_low)} too low, {sum(mistakes.too_high)} too high)"
    if mistakes.suspects is not None:
        words += f"; the audit doubts the label of {sum(mistakes.suspects)} of them, and {mistakes.doubted} of all"
    return words + "."


def _subgroups(of: Subgroups) -> Table:
    heads = SUBGROUP_HEADS.values()
    table = Table(of.column.replace("_", " "), "n", "patients", *heads, box=None, pad_edge=False)
    for column in table.columns:
        column.overflow = "fold"
    for group in of.groups:
        cells = (_range(group.intervals[name]) + _few(group, name) for name in SUBGROUP_HEADS)
        table.add_row(group.value, str(group.photographs), str(group.patients), *cells)
    return table


def _few(group: Group, name: str) -> str:
    return (
        " (few)" if name in group.too_small and group.intervals[name].estimate == group.intervals[name].estimate else ""
    )


def _gaps(of: Subgroups) -> Iterator[str]:
    for name, gap in of.gaps.items():
        if gap.p_chance <= 0.05 or gap.interval.low > 0:
            yield (
                f"Largest gap in {STATISTICS[name]}: {gap.highest} over {gap.lowest} by {_range(gap.interval)}, "
                f"p {gap.p_chance:.3f} ({gap.among} groups)."
            )
    if of.unknown:
        yield f"{of.unknown} photographs have no {of.column.replace('_', ' ')}."
