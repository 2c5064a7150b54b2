"""Several systems side by side: one table as Markdown, CSV and self-contained HTML."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.evaluation.report.page_templates import environment
from fundoscope.evaluation.report.words import interval_words
from fundoscope.evaluation.runs import Run, recipe_words, seed_groups
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.summary import Summary
from fundoscope.evaluation.systems import Against
from fundoscope.files import write_bytes, write_text
from fundoscope.grades import GRADE_NAMES, GRADES
from fundoscope.pages import data_uri
from fundoscope.records import null_if_nan
from fundoscope.tables import write_table

HEADLINES: Final = {
    "quadratic_kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mean_absolute_error": "mean absolute error",
    "any_auroc": "AUROC any",
    "referable_auroc": "AUROC referable",
    "sight_threatening_auroc": "AUROC sight-threatening",
    "calibration_error": "calibration error",
}
"""What the table holds of each system: the name in `Summary.intervals`, and in `systems.STATISTICS`."""

SEEDS_WANTED: Final = 3
"""Fewer seeds than this say little about the spread."""

RECIPE: Final = tuple(recipe_words({}))
"""Headings of the recipe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system of a comparison: a run, or a table of predictions of anything."""

    name: str
    """Short, and different for each."""
    path: Path
    """As it was given."""
    run: Run | None
    summary: Summary
    """By itself, on the photographs that all graded."""
    against: Against | None
    """The first system against this one; None for the first."""

    @property
    def grade_f1(self) -> tuple[Interval, ...]:
        """F1 of grades 0 to 4."""
        return tuple(self.summary.intervals[f"grade{grade}_f1"] for grade in range(GRADES))

    @property
    def differences(self) -> dict[str, Interval]:
        """First system minus this one, by the names of `systems.STATISTICS`; empty for the first."""
        return {name: self.against.differences[name] for name in HEADLINES.values()} if self.against else {}


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of the table."""

    text: str
    strong: bool = False
    """A difference whose interval leaves out 0."""


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of the table that belong together, one cell for each system."""

    title: str
    rows: dict[str, tuple[Cell, ...]]


@dataclass(frozen=True, slots=True)
class Spread:
    """Runs of one recipe with several seeds: how far the seed alone moves each statistic."""

    name: str
    runs: tuple[str, ...]
    mean_and_sd: dict[str, tuple[float, float]]
    """Of each of `HEADLINES` over the seeds; the standard deviation is that of a sample. Not the data's interval."""


def sections(systems: Sequence[System], *, differences: bool = True) -> list[Section]:
    """The table: rows are what is said of each system, columns the systems. Rows that nobody fills are left out."""
    made = [recipe_words(each.run.experiment) if each.run else {} for each in systems]
    found = [
        Section("Recipe", {name: tuple(Cell(words.get(name, "")) for words in made) for name in RECIPE}),
        Section("Size and speed of training", _by_words(systems, _size)),
        Section("Results, each by itself", _by_words(systems, _results)),
        Section("F1 of each grade", _by_words(systems, _f1)),
    ]
    if differences:
        found.append(Section("First minus this one, paired", _differences(systems)))
    filled = [
        Section(each.title, {name: row for name, row in each.rows.items() if any(cell.text for cell in row)})
        for each in found
    ]
    return [each for each in filled if each.rows]


def _by_words(systems: Sequence[System], words: Any) -> dict[str, tuple[Cell, ...]]:
    each = [words(system) for system in systems]
    return {name: tuple(Cell(said[name]) for said in each) for name in each[0]}


def _size(system: System) -> dict[str, str]:
    run = system.run
    parameters = run.parameters if run else None
    return {
        "parameters (millions)": "" if parameters is None else f"{parameters / 1e6:.2f}",
        "photographs per second": _rounded(run.photographs_per_second if run else None),
        "minutes": _rounded(run.minutes if run else None),
        "trained on": ", ".join(sorted({f"{each.device}, {each.threads} threads" for each in run.timings}))
        if run
        else "",
    }


def _results(system: System) -> dict[str, str]:
    counts = {"photographs": str(system.summary.counts["photographs"])}
    return counts | {words: interval_words(system.summary.intervals[name]) for name, words in HEADLINES.items()}


def _f1(system: System) -> dict[str, str]:
    return {f"{grade} {GRADE_NAMES[grade]}": interval_words(each) for grade, each in enumerate(system.grade_f1)}


def _differences(systems: Sequence[System]) -> dict[str, tuple[Cell, ...]]:
    rows = {}
    for name in HEADLINES.values():
        found = [each.differences.get(name) for each in systems]
        rows[name] = tuple(
            Cell("") if each is None else Cell(interval_words(each, sign="+"), each.low > 0 or each.high < 0)
            for each in found
        )
    return rows


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def seed_spreads(systems: Sequence[System]) -> list[Spread]:
    """Mean and standard deviation over the seeds of each recipe that was run with several."""
    by_name = {each.name: each for each in systems}
    groups = seed_groups({each.name: each.run for each in systems if each.run})
    return [
        Spread(
            name,
            names,
            {key: _over([by_name[each].summary.intervals[key].estimate for each in names]) for key in HEADLINES},
        )
        for name, names in groups.items()
    ]


def _over(values: Sequence[float]) -> tuple[float, float]:
    if any(map(math.isnan, values)):
        return math.nan, math.nan
    return statistics.mean(values), statistics.stdev(values)


def spread_words(spread: Spread) -> dict[str, str]:
    """What the table of seeds says of one recipe, by its headings."""
    numbers = {
        HEADLINES[key]: "n/a" if math.isnan(mean) else f"{mean:.3f} +- {sd:.3f}"
        for key, (mean, sd) in spread.mean_and_sd.items()
    }
    few = " (few)" if len(spread.runs) < SEEDS_WANTED else ""
    return {"recipe": spread.name, "seeds": f"{len(spread.runs)}{few}", **numbers}


def csv_row(system: System) -> dict[str, Any]:
    """One system as numbers; bounds in columns of their own, what is not known blank."""
    run = system.run
    row: dict[str, Any] = {"system": str(system.path), "name": system.name}
    row |= {name.replace(" ", "_"): words for name, words in _recipe_of(system).items()}
    row |= {
        "parameters": run.parameters if run else None,
        "photographs_per_second": run.photographs_per_second if run else None,
        "minutes": run.minutes if run else None,
        "photographs": system.summary.counts["photographs"],
        "patients": system.summary.counts["patients"],
    }
    for name in (*HEADLINES, *(f"grade{grade}_f1" for grade in range(GRADES))):
        row |= dict(_bounds(name, system.summary.intervals[name]))
    for name, words in HEADLINES.items():
        row |= dict(_bounds(f"{name}_first_minus_this", system.differences.get(words)))
    return row


def to_dict(systems: Sequence[System]) -> dict[str, Any]:
    """The table, confusion matrices, curves and seeds as JSON can hold them: no NaN."""
    return {
        "table": [
            {
                **csv_row(each),
                "confusion": [list(row) for row in each.summary.confusion],
                "curves": [asdict(curve) for curve in each.run.curves] if each.run else [],
            }
            for each in systems
        ],
        "seeds": [
            {
                "recipe": spread.name,
                "runs": list(spread.runs),
                "statistics": {
                    name: {"mean": null_if_nan(mean), "sd": null_if_nan(sd)}
                    for name, (mean, sd) in spread.mean_and_sd.items()
                },
            }
            for spread in seed_spreads(systems)
        ],
    }


def _recipe_of(system: System) -> dict[str, str]:
    return recipe_words(system.run.experiment) if system.run else dict.fromkeys(RECIPE, "")


def _bounds(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    for suffix, key in (("", "estimate"), ("_low", "low"), ("_high", "high")):
        yield name + suffix, None if interval is None else null_if_nan(float(getattr(interval, key)))


def write_comparison(
    systems: Sequence[System], folder: Path | str, *, figures: Mapping[str, tuple[str, bytes]], basis: Sequence[str]
) -> tuple[Path, ...]:
    """Write `comparison.html`, `comparison.md`, `comparison.csv` and the figures.

    Args:
        systems: The first is the one that the others are compared with.
        folder: Made where absent.
        figures: Caption and PNG of each figure, by its file's name without suffix.
        basis: Sentences on what the numbers rest on.

    Returns:
        The files written, `comparison.html` first.
    """
    place = Path(folder)
    spreads = [spread_words(each) for each in seed_spreads(systems)]
    shown = {
        "names": [each.name for each in systems],
        "sections": sections(systems),
        "spreads": spreads,
        "basis": basis,
    }
    pictures = [
        {"name": name, "caption": caption, "data": data_uri(data, "png")} for name, (caption, data) in figures.items()
    ]
    written = [place / "comparison.html", place / "comparison.md", place / "comparison.csv"]
    for path, template in zip(written, ("comparison.html.jinja", "comparison.md.jinja"), strict=False):
        write_text(path, environment(path.suffix).get_template(template).render(shown, pictures=pictures))
    write_table(pd.DataFrame([csv_row(each) for each in systems]), written[2])
    for name, (_, data) in figures.items():
        write_bytes(place / f"{name}.png", data)
        written.append(place / f"{name}.png")
    return tuple(written)
