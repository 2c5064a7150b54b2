"""Several systems side by side: one table as Markdown, CSV and self-contained HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.evaluation.compare import (
    DME_HEADLINES,
    HEADLINES,
    RECIPE,
    Comparison,
    Spread,
    System,
    seed_spreads,
    system_record,
)
from fundoscope.evaluation.report.page_templates import Drawn, environment
from fundoscope.evaluation.report.words import METHOD_WORDS, interval_words
from fundoscope.evaluation.runs import recipe_words
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.systems import LOWER_IS_BETTER
from fundoscope.files import write_bytes, write_text
from fundoscope.grades import GRADE_NAMES, REFERABLE, REFERABLE_DME
from fundoscope.pages import data_uri
from fundoscope.tables import write_table

DME_LINE: Final = (
    f"Referable is grade >= {REFERABLE}, referable or DME also dme {REFERABLE_DME} (sight-threatening likewise); "
    "photographs below the grade whose dme is blank are left out of figures with DME, which are not tested."
)

BETTER, WORSE = "first better", "first worse"
"""What a difference is called whose interval excludes 0, by the direction of its statistic."""

SEEDS_WANTED: Final = 3
"""Fewer seeds than this say little about the spread."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of the table."""

    text: str
    verdict: str = ""
    """`BETTER` or `WORSE` where a difference's interval excludes 0; empty elsewhere."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of the table that belong together, one cell for each system."""

    title: str
    rows: dict[str, tuple[Cell, ...]]


def sections(systems: Sequence[System], *, differences: bool = True) -> list[Section]:
    """The table: rows are what is said of each system, columns the systems. Rows that nobody fills are left out."""
    recipes = [recipe_words(system.run.experiment) if system.run else {} for system in systems]
    parts = [
        Section("Recipe", {name: tuple(Cell(recipe.get(name, "")) for recipe in recipes) for name in RECIPE}),
        Section("Size and speed of training", _by_words(systems, _size)),
        Section("Results of each system", _by_words(systems, _results)),
        Section("F1 of each grade", _by_words(systems, _f1)),
    ]
    if differences:
        parts.append(Section("First minus this system, paired", _differences(systems)))
    filled = [
        Section(part.title, {name: row for name, row in part.rows.items() if any(cell.text for cell in row)})
        for part in parts
    ]
    return [part for part in filled if part.rows]


def _by_words(systems: Sequence[System], words: Callable[[System], dict[str, str]]) -> dict[str, tuple[Cell, ...]]:
    columns = [words(system) for system in systems]
    return {name: tuple(Cell(column[name]) for column in columns) for name in columns[0]}


def _size(system: System) -> dict[str, str]:
    run = system.run
    parameters = run.parameters if run else None
    return {
        "parameters (millions)": "" if parameters is None else f"{parameters / 1e6:.2f}",
        "photographs per second": _rounded(run.photographs_per_second if run else None),
        "minutes": _rounded(run.minutes if run else None),
        "trained on": ", ".join(sorted({f"{timing.device}, {timing.threads} threads" for timing in run.timings}))
        if run
        else "",
    }


def _results(system: System) -> dict[str, str]:
    counts = {"photographs": str(system.summary.counts["photographs"])}
    return counts | {words: interval_words(system.summary.intervals[name]) for name, words in system.headlines.items()}


def _f1(system: System) -> dict[str, str]:
    return {f"{grade} {GRADE_NAMES[grade]}": interval_words(f1) for grade, f1 in enumerate(system.grade_f1)}


def _differences(systems: Sequence[System]) -> dict[str, tuple[Cell, ...]]:
    rows = {}
    for name in systems[0].headlines.values():
        differences = [system.differences.get(name) for system in systems]
        rows[name] = tuple(Cell("") if d is None else difference_cell(name, d) for d in differences)
    return rows


def difference_cell(name: str, difference: Interval) -> Cell:
    """Return a difference, and whether it favours the first system or the other."""
    verdict = ""
    if difference.low > 0 or difference.high < 0:
        verdict = BETTER if (difference.low > 0) != (name in LOWER_IS_BETTER) else WORSE
    return Cell(interval_words(difference, sign="+"), verdict)


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def spread_words(spread: Spread) -> dict[str, str]:
    """What the table of seeds says of one recipe, by its headings."""
    numbers = {
        (HEADLINES | DME_HEADLINES)[key]: "n/a" if math.isnan(mean) else f"{mean:.3f} +- {sd:.3f}"
        for key, (mean, sd) in spread.mean_and_sd.items()
    }
    few = " (few)" if len(spread.runs) < SEEDS_WANTED else ""
    return {"recipe": spread.name, "seeds": f"{len(spread.runs)}{few}", **numbers}


def write_report(comparison: Comparison, folder: Path | str) -> tuple[Path, ...]:
    """Write the table of a comparison with its figures; needs matplotlib. Returns what `write_comparison` does."""
    # Everything else of this module works without matplotlib, which the clinic's installation lacks.
    from fundoscope.evaluation.report.comparison_figures import draw

    table = comparison.table
    return write_comparison(table, folder, figures=draw(table), basis=basis_lines(comparison))


def basis_lines(comparison: Comparison) -> list[str]:
    """Describe data and methods of a comparison, in sentences."""
    cases, options = comparison.cases, comparison.options
    split = f", split {comparison.split}" if comparison.split else ""
    patients = len(set(cases.patients.tolist()))
    everyone = "both" if len(comparison.paths) == 2 else "all"
    lines = [
        f"{len(cases.reference)} photographs of {patients} patients that {everyone} graded; "
        f"{options.resamples} bootstrap resamples of patients, seed {options.seed}.",
        f"Reference: {comparison.manifest}{split}.",
        *([DME_LINE] if cases.dme is not None else []),
        f"Intervals: {options.level * 100:g} %, {METHOD_WORDS[options.method]} bootstrap; those of differences are "
        "paired.",
    ]
    lines += [
        f"{path} graded {count} more photographs, which are left out."
        for path, count in comparison.left_out.items()
        if count
    ]
    lines += [
        f"{path} could not grade {count} photographs: they are left out for all, and figures say nothing of them."
        for path, count in comparison.refused.items()
        if count
    ]
    lines += [
        f"{comparison.paths[0]} and {path} answer every photograph alike: no difference, whatever the resample."
        for path, against in zip(comparison.paths[1:], comparison.paired.against, strict=True)
        if against.identical and against.identical >= {name for name, of in against.values.items() if of[0] == of[0]}
    ]
    lines += [
        f"{system.path} kept the weights that were best on the photographs it is evaluated on: its figures are "
        "optimistic."
        for system in comparison.table
        if system.run and system.run.chosen_on_what_is_measured
    ]
    if cases.without_patient:
        lines.append(
            f"{cases.without_patient} photographs have no patient and are taken as independent: where they show the "
            "same person, intervals are too narrow and p-values too small."
        )
    return lines


def write_comparison(
    systems: Sequence[System], folder: Path | str, *, figures: Mapping[str, Drawn], basis: Sequence[str]
) -> tuple[Path, ...]:
    """Write `comparison.html`, `comparison.md`, `comparison.csv` and the figures.

    Args:
        systems: The first is the one that the others are compared with.
        folder: Made where absent.
        figures: By the file's name without suffix.
        basis: Sentences on what the numbers rest on.

    Returns:
        The files written, `comparison.html` first.
    """
    place = Path(folder)
    spreads = [spread_words(spread) for spread in seed_spreads(systems)]
    shown = {
        "names": [system.name for system in systems],
        "sections": sections(systems),
        "spreads": spreads,
        "basis": basis,
    }
    pictures = [
        {"name": name, "title": figure.title, "caption": figure.caption, "data": data_uri(figure.png, "png")}
        for name, figure in figures.items()
    ]
    written = [place / "comparison.html", place / "comparison.md", place / "comparison.csv"]
    for path, template in zip(written, ("comparison.html.jinja", "comparison.md.jinja"), strict=False):
        write_text(path, environment(path.suffix).get_template(template).render(shown, pictures=pictures))
    write_table(pd.DataFrame([system_record(system) for system in systems]), written[2])
    for name, figure in figures.items():
        write_bytes(place / f"{name}.png", figure.png)
        written.append(place / f"{name}.png")
    return tuple(written)
