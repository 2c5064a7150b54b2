"""`fundoscope compare`: several runs or tables of predictions, and the intervals of the differences."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers, troubles
from fundoscope.cli.evaluate import IntervalMethod
from fundoscope.errors import BadRequest, BadTable, MissingExtra

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from fundoscope.evaluation.report.comparison import System
    from fundoscope.evaluation.runs import Run
    from fundoscope.evaluation.systems import Against, Comparison

MCNEMAR_UNIT = "one case for each patient: the worst grade"

HEADING_WIDTH, CELL_WIDTH = 26, 25
"""Characters of the table on a terminal: as many systems stand beside each other as it is wide."""


@dataclass(frozen=True, slots=True)
class Given:
    """One system of the command line."""

    path: Path
    """As typed; everything names the system by it."""
    table: Path
    """Its predictions."""
    run: Run | None
    """None where the path is that of a table."""


def compare(
    given: Annotated[
        list[Path],
        typer.Argument(
            metavar="FIRST SECOND [MORE...] [MANIFEST]",
            help="Folders of runs or tables of predictions, then the reference; runs alone bring their own.",
        ),
    ],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder to write the table (HTML, Markdown, CSV) and the figures into.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Share of draws inside an interval.")] = 0.95,
    interval: Annotated[
        IntervalMethod, typer.Option(help="Bounds as percentiles of the draws, or corrected for bias and skewness.")
    ] = IntervalMethod.PERCENTILE,
    margin: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=VALUE: is either system worse by less than this? E.g. quadratic_kappa=0.05."),
    ] = None,
) -> None:
    """Compare systems on the photographs that all graded: the first minus each other, drawing patients in pairs."""
    import numpy as np

    from fundoscope.evaluation.cases import cases_of
    from fundoscope.evaluation.systems import compare_systems

    plots: Any = _plots() if report is not None else None
    systems, manifest = _opened(given)
    margins = _margins(margin or [])
    rows, left_out = _shared(systems, manifest, split)
    cases = [cases_of(each) for each in rows]
    found = compare_systems(
        cases, rng=np.random.default_rng(seed), resamples=resamples, level=level, method=interval.value
    )
    about = {
        "photographs": len(cases[0].reference),
        "patients": len(set(cases[0].patients.tolist())),
        "without_patient": cases[0].without_patient,
        "resamples": resamples,
        "seed": seed,
        "level": level,
        "manifest": str(manifest),
        "split": split,
        "left_out": left_out,
    }
    wanted = report is not None or any(each.run for each in systems)
    from fundoscope.evaluation.report.words import METHOD_WORDS

    table = _table(systems, rows, found, about, interval.value) if wanted else []
    basis = _basis(about, METHOD_WORDS[interval.value], len(systems), table)
    if report is not None:
        from fundoscope.evaluation.report.comparison import write_comparison

        written = write_comparison(table, report, figures=plots.draw(table), basis=basis)
        troubles.print(f"written: {written[0]}", markup=False, soft_wrap=True)
    paths = [each.path for each in systems]
    names = _names(paths)
    if as_json:
        from fundoscope.evaluation.report.comparison import to_dict

        answer = _answer(paths, found, about, margins, interval.value) | (to_dict(table) if table else {})
        print(json.dumps(answer, indent=2, allow_nan=False))
        return
    if table:
        _print_table(table)
    for at, against in enumerate(found.against):
        _print(names[0], names[at + 1], against, found.holm[at], about)
        _print_margins(paths[0], paths[at + 1], against, margins)
    answers.print(
        f"p of AUROCs: {found.delong_method}. "
        f"Holm: over all {found.family} tests shown; intervals and margins are not corrected.",
        markup=False,
    )
    for line in basis:
        answers.print(line, markup=False)


def _plots() -> Any:
    """The figures, or a line that says which extra brings them; asked for before anything is computed."""
    try:
        from fundoscope.evaluation.report import comparison_figures as plots
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("fundoscope"):
            raise
        raise MissingExtra("the figures of a comparison", "research") from error
    return plots


def _opened(given: list[Path]) -> tuple[list[Given], Path]:
    """The systems and the manifest: the last argument, unless it is a folder; then the one that all runs name."""
    from fundoscope.evaluation.runs import read_run_folder, shared_manifest

    named = not given[-1].is_dir()
    systems = given[:-1] if named else given
    if len(systems) < 2:
        raise BadRequest(
            f"compare: expected two or more runs or tables of predictions, and a manifest, got {len(systems)} and "
            f"{f'the manifest {given[-1]}' if named else 'no manifest'}. Name the manifest last; runs alone need none."
        )
    opened = [(path, read_run_folder(path) if path.is_dir() else None) for path in systems]
    found = [Given(path, run.table if run else path, run) for path, run in opened]
    runs = [run for _, run in opened if run]
    if not named and len(runs) < len(found):
        bare = next(each.path for each in found if each.run is None)
        raise BadRequest(
            f"{bare}: expected a manifest for a table of predictions, got none: {given[-1]} is a run. "
            "Name the manifest last."
        )
    return found, given[-1] if named else shared_manifest(runs)


def _margins(given: list[str]) -> dict[str, float]:
    """Margins by the name of the statistic."""
    from fundoscope.evaluation.systems import STATISTICS

    names = {name.lower().replace(" ", "_").replace("-", "_"): name for name in STATISTICS}
    margins = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if key not in names or not 0 < number < math.inf:
            raise BadRequest(
                f"--margin {text}: expected METRIC=VALUE with a value above 0, got {key!r} and {value!r}. "
                f"Use one of {', '.join(names)}."
            )
        margins[names[key]] = number
    return margins


def _shared(systems: Sequence[Given], manifest: Path, split: str | None) -> tuple[list[pd.DataFrame], dict[str, int]]:
    """Every system's rows on the photographs that all answered, as far as all answer, in the manifest's order.

    Also of each system how many more it graded, by its path.
    """
    from fundoscope.evaluation.cases import cases_of
    from fundoscope.evaluation.systems import shared_answers
    from fundoscope.tables.pair import pair_with, read_reference

    reference = read_reference(manifest, split=split)
    sides = []
    for rows in (pair_with(each.table, reference).rows for each in systems):
        sides.append(rows[rows["grade"].notna()].reset_index(drop=True) if "grade" in rows else rows.iloc[:0])
    kinds, answered = shared_answers([cases_of(side) for side in sides])
    if not kinds and all(len(side) for side in sides):
        raise BadTable(
            f"{' and '.join(str(each.path) for each in systems)}: expected answers of one kind from all, got none that "
            "all give. Compare tables that all hold grade, all p_referable, or all p0 to p4."
        )
    if kinds:
        sides = [side[inside] for side, inside in zip(sides, answered, strict=True)]
    shared = set.intersection(*(set(side["image"]) for side in sides))
    if len(shared) < 2:
        raise BadTable(
            f"{' and '.join(str(each.path) for each in systems)}: expected photographs of {manifest} that all graded, "
            f"got {len(shared)} ({', '.join(str(len(side)) for side in sides)} by each alone). Compare systems on the "
            "same photographs; write image as the manifest does, in every table."
        )
    kept = [side[side["image"].isin(shared)].reset_index(drop=True) for side in sides]
    return kept, {str(each.path): len(side) - len(own) for each, side, own in zip(systems, sides, kept, strict=True)}


def _table(
    systems: Sequence[Given],
    rows: Sequence[pd.DataFrame],
    found: Comparison,
    about: dict[str, Any],
    method: str,
) -> list[System]:
    """Each system by itself, as `fundoscope evaluate` measures it, beside its difference to the first."""
    from fundoscope.evaluation.cases import cases_of
    from fundoscope.evaluation.report.comparison import System
    from fundoscope.evaluation.summary import summarise

    options = {name: about[name] for name in ("resamples", "seed", "level")}
    return [
        System(
            name=name,
            path=each.path,
            run=each.run,
            summary=summarise(cases_of(own), include_ungradable=True, method=method, **options),
            against=against,
        )
        for name, each, own, against in zip(
            _names([each.path for each in systems]), systems, rows, (None, *found.against), strict=True
        )
    ]


def _names(paths: Sequence[Path]) -> list[str]:
    """The last part of each path where that tells them apart, else all of it; a path given again is numbered."""
    last = [path.resolve().name for path in paths]
    names = last if len(set(last)) == len(last) else [str(path) for path in paths]
    seen: Counter[str] = Counter()
    for at, name in enumerate(names):
        seen[name] += 1
        names[at] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return names


def _print_table(table: list[System]) -> None:
    """As many systems beside each other as fit; their differences come below."""
    from fundoscope.evaluation.report.comparison import sections, seed_spreads, spread_words

    across = max(1, (answers.width - HEADING_WIDTH) // CELL_WIDTH)
    for start in range(0, len(table), across):
        shown = table[start : start + across]
        grid = Table("", *(each.name for each in shown), box=None, pad_edge=False)
        for column in grid.columns:
            column.overflow = "fold"
        for section in sections(shown, differences=False):
            grid.add_row(section.title, style="bold")
            for heading, cells in section.rows.items():
                grid.add_row(f"  {heading}", *(cell.text for cell in cells))
        answers.print(grid)
        answers.print()
    spreads = [spread_words(each) for each in seed_spreads(table)]
    for words in spreads:
        recipe, seeds, *values = words.items()
        answers.print(f"{recipe[1]}, mean +- standard deviation over {seeds[1]} seeds:", style="bold", markup=False)
        answers.print("  " + "; ".join(f"{name} {value}" for name, value in values), markup=False)
    if spreads:
        answers.print("Seeds: what chance in training moves; not the intervals of the photographs.\n", markup=False)


def _answer(
    given: list[Path], found: Comparison, about: dict[str, Any], margins: dict[str, float], method: str
) -> dict[str, Any]:
    """As JSON can hold it; `second` and `statistics` are of the first comparison."""
    from fundoscope.evaluation.statistics.interval import INTERVALS

    comparisons = [
        {
            "first": str(given[0]),
            "second": str(given[at + 1]),
            "statistics": _statistics(against, found.holm[at]),
            "mcnemar": {
                name: {**asdict(test), "p_holm": found.holm[at][name]} for name, test in against.mcnemar.items()
            },
            "not_worse": {name: asdict(verdict) for name, verdict in _verdicts(against, margins).items()},
        }
        for at, against in enumerate(found.against)
    ]
    return {
        "first": str(given[0]),
        "second": str(given[1]),
        **about,
        "statistics": comparisons[0]["statistics"],
        "systems": [str(path) for path in given],
        "interval": INTERVALS[method],
        "delong": found.delong_method,
        "mcnemar_unit": MCNEMAR_UNIT,
        "holm_family": found.family,
        "comparisons": comparisons,
    }


def _statistics(against: Against, corrected: dict[str, float]) -> dict[str, dict[str, Any]]:
    entries = {}
    for name, difference in against.differences.items():
        first, second = against.values[name]
        entry: dict[str, Any] = {"first": first, "second": second, "difference": difference.estimate}
        entry |= {"low": difference.low, "high": difference.high, "undefined": difference.undefined}
        if name in against.delong:
            test = against.delong[name]
            entry |= {"delong_low": test.low, "delong_high": test.high, "delong_z": test.z, "delong_p": test.p}
            entry["p_holm"] = corrected[name]
        entries[name] = {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in entry.items()
        }
    return entries


def _verdicts(against: Against, margins: dict[str, float]) -> dict[str, Any]:
    from fundoscope.evaluation.statistics.significance import not_worse
    from fundoscope.evaluation.systems import LOWER_IS_BETTER

    return {
        name: not_worse(against.differences[name], margin, lower_is_better=name in LOWER_IS_BETTER)
        for name, margin in margins.items()
    }


def _print(first: str, second: str, against: Against, corrected: dict[str, float], about: dict[str, Any]) -> None:
    table = Table("", first, second, box=None)
    table.add_column(f"first minus second ({about['level'] * 100:g} % CI)", no_wrap=True)
    table.add_column("p (Holm)")
    for column in table.columns[1:3]:
        column.overflow = "fold"
    untold = [name for name, both in against.values.items() if all(map(math.isnan, both))]
    for name, d in against.differences.items():
        if name in untold:
            continue
        bounds = f"({d.low:+.3f} to {d.high:+.3f})" if d.low == d.low else "(no interval)"
        tested = f"{against.delong[name].p:.3g} ({corrected[name]:.3g})" if name in against.delong else ""
        a, b = against.values[name]
        table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{d.estimate:+.3f} {bounds}", tested)
    answers.print(table)
    if untold:
        answers.print(f"Not compared, for not all tables tell: {', '.join(untold)}.", markup=False)
    for name, test in against.mcnemar.items():
        answers.print(
            f"McNemar, {name} ({MCNEMAR_UNIT}): only the first {test.only_first}, only the second {test.only_second}; "
            f"exact p {test.p_exact:.3g} (Holm {corrected[name]:.3g}), mid-p {test.p_mid:.3g}.",
            markup=False,
        )


def _print_margins(first: Path, second: Path, against: Against, margins: dict[str, float]) -> None:
    words = {True: "yes", False: "not shown", None: "cannot be said: no interval"}
    for name, verdict in _verdicts(against, margins).items():
        answers.print(
            f"Worse by less than {verdict.margin:g} in {name}: {first} {words[verdict.first]}; "
            f"{second} {words[verdict.second]}.",
            markup=False,
            soft_wrap=True,
        )


def _basis(about: dict[str, Any], method: str, systems: int, table: list[System]) -> list[str]:
    """What the numbers rest on, in sentences."""
    lines = [
        f"{about['photographs']} photographs of {about['patients']} patients that {'both' if systems == 2 else 'all'} "
        f"graded; {about['resamples']} draws of patients, seed {about['seed']}.",
        f"Reference: {about['manifest']}{', split ' + about['split'] if about['split'] else ''}.",
        f"Intervals: {about['level'] * 100:g} %, {method} bootstrap; those of differences are paired.",
    ]
    lines += [
        f"{path} graded {count} more photographs, which are left out."
        for path, count in about["left_out"].items()
        if count
    ]
    lines += [
        f"{each.path} kept the weights that were best on the photographs it is measured on: its numbers are too good."
        for each in table
        if each.run and each.run.chosen_on_what_is_measured
    ]
    if about["without_patient"]:
        lines.append(
            f"{about['without_patient']} photographs have no patient and are taken as independent: where they are of "
            "the same person, intervals are too narrow and p-values too small."
        )
    return lines
