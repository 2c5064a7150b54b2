"""What `fundoscope evaluate` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table

from fundoscope.cli.console import answers, print_text
from fundoscope.cli.layout import fitted
from fundoscope.evaluation.evaluate import Evaluation
from fundoscope.evaluation.presets import Paper
from fundoscope.evaluation.reasons import UPWARD_BIAS
from fundoscope.evaluation.report import words
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.subgroups import RULE, Group, Subgroups
from fundoscope.evaluation.summary import HUMAN, Summary
from fundoscope.grades import NOT_A_DEVICE, SHORT_GRADE_NAMES

SUBGROUP_HEADS = {
    "quadratic_kappa": "kappa",
    "referable_auroc": "AUROC",
    "sensitivity": "sens.",
    "specificity": "spec.",
    "referable_or_dme_auroc": "AUROC or DME",
    "sensitivity_or_dme": "sens. or DME",
    "specificity_or_dme": "spec. or DME",
}
"""Statistics of groups that fit on a console, the last three where `dme` is known; the report has all."""


def print_evaluation(evaluation: Evaluation) -> None:
    """Print everything, in the order in which a reader needs it."""
    summary = evaluation.summary
    _print_head(evaluation)
    answers.print(fitted(_overall(summary)))
    print_text(words.human_line(HUMAN))
    answers.print(fitted(_by_grade(summary)))
    answers.print(fitted(_confusion(summary)))
    print_text(words.mistake_line(evaluation.mistakes))
    if summary.signs:
        answers.print(fitted(_signs(summary)))
    for column in evaluation.subgroups:
        answers.print(fitted(_subgroups(column)))
        _print_lines(_gaps(column))
    if evaluation.subgroups:
        reference = words.ROWS["referable_auroc"].removeprefix("AUROC, ")
        reference += f"; or DME: {words.DME_WORDS['referable_or_dme']}" if evaluation.summary.or_dme else ""
        note = f"n: photographs. AUROC, sens., spec.: {reference}. (few): {RULE} {words.GAP_NOTE}"
        print_text(note, style="dim")
    else:
        print_text("By source, camera, sex and the like: --subgroups, --by COLUMN, or --report.", style="dim")
    _print_lines(words.other_interval_lines(summary))
    _print_lines(words.decision_lines(summary))
    _print_lines(words.patient_lines(evaluation.patients))
    _print_basis(summary)


def print_preset(evaluation: Evaluation, paper: Paper) -> None:
    """Print one paper's table."""
    _print_head(evaluation)
    table = Table(paper.preset.title, "", f"{evaluation.summary.level:.0%} interval", box=None, pad_edge=False)
    for label, interval in paper.values.items():
        table.add_row(label, *words.interval_words(interval).rstrip(")").split(" (", 1))
    answers.print(fitted(table))
    print_text(paper.preset.note)
    print_text(words.human_line(HUMAN))
    _print_basis(evaluation.summary)


def _print_head(evaluation: Evaluation) -> None:
    print_text(words.title(evaluation), style="bold")
    _print_lines(words.count_lines(evaluation))


def _print_basis(summary: Summary) -> None:
    print_text(words.interval_line(summary), style="dim")
    print_text(NOT_A_DEVICE, style="dim")


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print_text(line)


def _overall(summary: Summary) -> Table:
    table = Table("", "", f"{summary.level:.0%} interval", title_justify="left", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    for name, label in words.rows_of(summary).items():
        estimate, bounds = words.statistic_words(summary, name)
        # The line below the tables says why; the room is for the names of the figures.
        table.add_row(label, estimate, "none, see below" if bounds == UPWARD_BIAS else bounds)
    return table


def _by_grade(summary: Summary) -> Table:
    rates = ("sensitivity", "specificity", "precision", "f1")
    table = Table("grade", "photographs", "sensitivity", "specificity", "precision", "F1", box=None, pad_edge=False)
    for grade, name in enumerate(SHORT_GRADE_NAMES):
        cells = (_range(summary.intervals[f"grade{grade}_{rate}"]) for rate in rates)
        table.add_row(f"{grade} {name}", str(summary.support[grade]), *cells)
    return table


def _range(interval: Interval) -> str:
    """Format estimate and bounds to two decimals."""
    if interval.estimate != interval.estimate:
        return "n/a"
    if interval.low != interval.low:
        return f"{interval.estimate:.2f}"
    return f"{interval.estimate:.2f} ({interval.low:.2f}-{interval.high:.2f})"


def _confusion(summary: Summary) -> Table:
    table = Table("reference \\ answered", *map(str, range(len(SHORT_GRADE_NAMES))), box=None, pad_edge=False)
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


def _subgroups(of: Subgroups) -> Table:
    heads = {name: head for name, head in SUBGROUP_HEADS.items() if name in of.statistics}
    table = Table(of.column.replace("_", " "), "n", "patients", *heads.values(), box=None, pad_edge=False)
    for group in of.groups:
        cells = (_range(group.intervals[name]) + _few(group, name) for name in heads)
        table.add_row(group.value, str(group.photographs), str(group.patients), *cells)
    return table


def _few(group: Group, name: str) -> str:
    estimate = group.intervals[name].estimate
    return " (few)" if name in group.too_small and estimate == estimate else ""


def _gaps(of: Subgroups) -> Iterator[str]:
    for name, gap in of.gaps.items():
        if gap.p_chance <= 0.05 or gap.interval.low > 0:
            yield (
                f"Largest gap in {of.statistics[name]}: {gap.highest} over {gap.lowest} by {_range(gap.interval)}, "
                f"p {gap.p_chance:.3f} ({gap.among} groups)."
            )
    if of.unknown:
        yield f"{of.unknown} photographs have no {of.column.replace('_', ' ')}."
