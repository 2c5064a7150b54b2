"""The stress set for people: sentences, a section for the model card, the page with its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fundoscope.evaluation.report.page_templates import environment
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.stress.compare import StressComparison
from fundoscope.evaluation.stress.figures import FIGURES, MEANS
from fundoscope.evaluation.stress.stress_set import DISTURBANCES, DOSES
from fundoscope.evaluation.stress.summary import DoseFigures, StressSummary
from fundoscope.evaluation.stress.table import FEWEST, SURE
from fundoscope.files import write_text
from fundoscope.pages import data_uri, interval_words, number_words, write_page

TABLE: Final = "stress.csv"
SUMMARY: Final = "stress.json"
PAGE: Final = "index.html"

COLUMNS: Final = (
    "disturbance", "dose", "amount", "AUROC", "change", "refused", "sensitivity", "specificity", "to healthier",
    "to referred", "sure misses", "sure alarms",
)  # fmt: skip


def words_of(interval: Interval, *, style: str = ".3f") -> str:
    """Return an estimate with its bounds."""
    return interval_words(interval.estimate, interval.low, interval.high, style=style)


def headline_rows(summary: StressSummary) -> dict[str, str]:
    """Return the figures of the whole set, by their names."""
    means = {
        f"{FIGURES[figure]}, {MEANS[name]}": words_of(mean)
        for figure, of_figure in summary.means.items()
        for name, mean in of_figure.items()
    }
    return means | {
        "sensitivity, clean": words_of(summary.clean_sensitivity),
        "specificity, clean": words_of(summary.clean_specificity),
    }


def short_rows(summary: StressSummary) -> list[tuple[str, ...]]:
    """Return a line for each disturbance that a terminal has room for, below the headings of `short_heading`."""
    rows = []
    for name in dict.fromkeys(one.disturbance for one in summary.doses):
        doses = {one.dose: one for one in summary.doses if one.disturbance == name}
        refusing = summary.refusing_dose(name)
        rows.append(
            (
                name.replace("_", " "),
                *(number_words(doses[dose].auroc.estimate, ".2f") if dose in doses else "" for dose in _all_doses()),
                f"{100 * max(one.refused.estimate for one in doses.values()):.0f} %",
                "" if refusing is None else str(refusing),
                str(max(one.to_healthier for one in doses.values())),
                str(max(one.sure_misses for one in doses.values())),
            )
        )
    return rows


def short_heading() -> tuple[str, ...]:
    """Return the headings of `short_rows`."""
    return ("AUROC at dose", *map(str, _all_doses()), "refused", "gate", "healthier", "missed")


def _all_doses() -> Sequence[int]:
    return range(1, DOSES + 1)


def legend_lines() -> list[str]:
    """Explain the columns of `short_rows`."""
    return [
        "refused: largest share over the doses, of those graded clean; gate: first dose at which it is half or more.",
        "healthier: most decisions that changed from refer to rescreen at one dose. missed: most referable photographs "
        "that were rescreened confidently at one dose.",
    ]


def basis_lines(summary: StressSummary, about: Mapping[str, Any]) -> list[str]:
    """Say what the figures rest on."""
    table = summary.table
    patients = len(set(table.patients.tolist()))
    lines = [
        f"{len(table.images)} photographs ({int(table.positive.sum())} referable) of {patients} patients; "
        f"{table.refused_clean} more were refused as they are and {table.unreadable} could not be read: they are in no "
        "figure.",
        f"Stress set {table.stress_set}; {len(summary.doses)} conditions, of which {len(summary.counted['auroc'])} "
        f"count: at least {FEWEST} photographs with and {FEWEST} without referable disease were graded.",
        *_overall_lines(summary),
        f"Intervals: {summary.level:.0%}, {summary.resamples} bootstrap resamples of patients, seed {summary.seed}.",
        f"Confident: the set of grades lies on one side of the decision; without sets, P(referable) up to {SURE:g} or "
        f"from {1 - SURE:g}.",
        "AUROC is of the photographs graded under the condition. Narrow angles, cuts and crops take lesions out of "
        "the picture; the reference grade stays that of the whole field.",
    ]
    return [*lines, *(f"{name.replace('_', ' ').capitalize()}: {value}." for name, value in about.items())]


def _overall_lines(summary: StressSummary) -> list[str]:
    if "overall" not in summary.means:
        return []
    return [
        f"{FIGURES['overall']}: the mean of quadratic kappa and of the AUROCs of any, referable and sight-threatening "
        f"disease; {len(summary.counted['overall'])} conditions have enough photographs on both sides of all three."
    ]


def card_section(summary: StressSummary, about: Mapping[str, Any]) -> str:
    """Return the section of a model card, Markdown."""
    lines = [f"{name}: {value}" for name, value in headline_rows(summary).items()]
    table = ["| disturbance | " + " | ".join(f"dose {dose}" for dose in _all_doses()) + " | gate refuses from |"]
    table.append("|---" * (DOSES + 2) + "|")
    for name, *cells in short_rows(summary):
        table.append(f"| {name} | {' | '.join(cells[:DOSES])} | {cells[DOSES + 1] or 'no dose'} |")
    return "\n".join(
        [
            *(f"- {line}" for line in lines),
            "",
            "AUROC of referable disease under each disturbance (n/a: too few were graded):",
            "",
            *table,
            "",
            *(f"- {line}" for line in basis_lines(summary, about)),
        ]
    )


def comparison_rows(comparison: StressComparison) -> list[tuple[str, str, str, str]]:
    """Return for each mean both values and the first less the second, then the difference of each disturbance."""
    rows = []
    for figure, label in FIGURES.items():
        for name, words in MEANS.items() if comparison.conditions[figure] else ():
            one, other = comparison.values[f"{figure} {name}"]
            difference = _signed(comparison.differences[f"{figure} {name}"])
            rows.append((f"{label}, {words}", number_words(one.estimate), number_words(other.estimate), difference))
    for name in dict.fromkeys(name for name, _ in comparison.conditions["auroc"]):
        difference = _signed(comparison.differences[f"auroc {name}"])
        rows.append((f"{FIGURES['auroc']}, {name.replace('_', ' ')}", "", "", difference))
    return rows


def comparison_title(comparison: StressComparison) -> str:
    """Name the second system; of several seeds all."""
    return ", ".join(comparison.second)


def comparison_lines(comparison: StressComparison) -> list[str]:
    """Say which photographs the comparison rests on."""
    systems = (*comparison.first, *comparison.second)
    lacking = ", ".join(
        f"{count} of {system}" for system, count in zip(systems, comparison.left_out, strict=True) if count
    )
    return [
        f"Compared on {comparison.photographs} photographs that all graded clean, under each condition on those of "
        f"them that all graded; left out: {lacking or 'none'}."
    ]


def _signed(interval: Interval) -> str:
    return interval_words(*_ends(interval), style="+.3f")


def _ends(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def to_json(summary: StressSummary, about: Mapping[str, Any], comparison: StressComparison | None = None) -> str:
    """Return the text of `stress.json`."""
    record = {**summary.to_dict(), "about": dict(about)}
    if comparison is not None:
        record["against"] = comparison.to_dict()
    return json.dumps(record, indent=2, allow_nan=False) + "\n"


def write_summary(
    folder: Path, summary: StressSummary, about: Mapping[str, Any], comparison: StressComparison | None = None
) -> Path:
    """Write `stress.json` and return its path."""
    write_text(folder / SUMMARY, to_json(summary, about, comparison))
    return folder / SUMMARY


def write_stress_page(
    folder: Path, summary: StressSummary, about: Mapping[str, Any], comparison: StressComparison | None = None
) -> Path:
    """Write `index.html` with the dose-response figure, and return its path; needs matplotlib."""
    from fundoscope.evaluation.report.stress_figure import dose_response

    return write_page(
        folder / PAGE,
        environment(".html").get_template("stress.html.jinja"),
        system=summary.table.system,
        headlines=headline_rows(summary),
        figure=data_uri(dose_response(summary), "png"),
        columns=COLUMNS,
        rows=[_cells(one) for one in summary.doses],
        units={
            name.replace("_", " "): DISTURBANCES[name].unit
            for name in dict.fromkeys(one.disturbance for one in summary.doses)
        },
        comparison=None if comparison is None else comparison_rows(comparison),
        compared=[] if comparison is None else comparison_lines(comparison),
        second="" if comparison is None else comparison_title(comparison),
        basis=basis_lines(summary, about),
    )


def _cells(one: DoseFigures) -> tuple[str, ...]:
    change = _signed(one.change)
    return (
        one.disturbance.replace("_", " "),
        str(one.dose),
        f"{one.amount:g}",
        words_of(one.auroc),
        change,
        words_of(one.refused, style=".2f"),
        words_of(one.sensitivity, style=".2f"),
        words_of(one.specificity, style=".2f"),
        *map(str, (one.to_healthier, one.to_referred, one.sure_misses, one.sure_alarms)),
    )
