"""`fundoscope compare`: several runs or tables of predictions, with confidence intervals of their differences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from fundoscope.cli.console import answers, needs_extra, print_json, print_text, say_written
from fundoscope.cli.evaluation.options import Interval, IntervalMethod, Level, Resamples, Seed
from fundoscope.cli.layout import fitted
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.evaluation.compare import Comparison, System

HEADING_WIDTH, CELL_WIDTH = 26, 25
"""Characters of the table on a terminal, whose width limits the number of systems side by side."""


def compare(
    systems: Annotated[
        list[Path],
        typer.Argument(
            metavar="SYSTEM... [MANIFEST]",
            help="Runs or tables of predictions, then a manifest. The first system is compared with each of "
            "the others; runs alone name their own manifest.",
        ),
    ],
    split: Annotated[str | None, typer.Option(help="Use only this split: train, val or test.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
    report: Annotated[
        Path | None, typer.Option(help="Folder for a report with figures. The table as HTML, Markdown and CSV.")
    ] = None,
    resamples: Resamples = 2000,
    seed: Seed = 0,
    level: Level = 0.95,
    interval: Interval = IntervalMethod.AUTO,
    margin: Annotated[
        list[str] | None,
        typer.Option(
            help="Non-inferiority margin of a metric. METRIC=VALUE, such as quadratic_kappa=0.05. Repeatable."
        ),
    ] = None,
) -> None:
    """Compare systems on the photographs graded by all of them: paired differences from the first, with intervals
    bootstrapped by patient.

    Exit status: 0 compared, 2 a table or run is not usable, or the systems share no photographs.
    """
    from fundoscope.evaluation.compare import ComparisonOptions, compare_tables
    from fundoscope.evaluation.report.comparison import write_report

    if report is not None:
        with needs_extra("the figures of a comparison", "research"):
            import_module("matplotlib")  # asked for now, not after minutes of computing
    manifest = None if systems[-1].is_dir() else systems[-1]
    compared = systems if manifest is None else systems[:-1]
    comparison = compare_tables(
        compared,
        manifest,
        split=split,
        options=ComparisonOptions(
            resamples=resamples,
            seed=seed,
            level=level,
            method=interval.value,
            margins=_margins(margin or []),
            with_table=report is not None or any(path.is_dir() for path in compared),
        ),
    )
    if report is not None:
        page, *_ = write_report(comparison, report)
        say_written(page)
    if as_json:
        print_json(comparison.to_dict())
    else:
        _print(comparison)


def _margins(texts: list[str]) -> dict[str, float]:
    """Read margins, by the name of the statistic."""
    from fundoscope.evaluation.systems import STATISTICS

    names = {name.lower().replace(" ", "_").replace("-", "_"): name for name in STATISTICS}
    margins = {}
    for text in texts:
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


def _print(comparison: Comparison) -> None:
    from fundoscope.evaluation.report.comparison import basis_lines

    if comparison.table:
        _print_table(comparison.table)
    for at in range(len(comparison.paired.against)):
        _print_differences(comparison, at)
        _print_lines(_margin_lines(comparison, at))
    paired = comparison.paired
    _print_lines(
        [
            f"p of AUROCs: {paired.delong_method}. "
            f"Holm: over all {paired.family} tests shown; intervals and margins are not corrected.",
            *basis_lines(comparison),
        ]
    )


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print_text(line)


def _print_table(systems: Sequence[System]) -> None:
    """Print as many systems side by side as fit, the others below; differences follow by themselves."""
    from fundoscope.evaluation.compare import seed_spreads
    from fundoscope.evaluation.report.comparison import sections, spread_words

    across = max(1, (answers.width - HEADING_WIDTH) // CELL_WIDTH)
    for start in range(0, len(systems), across):
        shown = systems[start : start + across]
        grid = Table("", *(system.name for system in shown), box=None, pad_edge=False)
        for section in sections(shown, differences=False):
            grid.add_row(section.title, style="bold")
            for heading, cells in section.rows.items():
                grid.add_row(f"  {heading}", *(cell.text for cell in cells))
        answers.print(fitted(grid))
        answers.print()
    spreads = [spread_words(spread) for spread in seed_spreads(systems)]
    for words in spreads:
        recipe, seeds, *values = words.items()
        print_text(f"{recipe[1]}, mean +- standard deviation over {seeds[1]} seeds:", style="bold")
        print_text("  " + "; ".join(f"{name} {value}" for name, value in values))
    if spreads:
        print_text("Seeds: variation from random training only, unlike the intervals.")
        answers.print()


def _print_differences(comparison: Comparison, at: int) -> None:
    """Print the first system against further system number `at`."""
    from fundoscope.evaluation.compare import MCNEMAR_UNIT

    against, corrected = comparison.paired.against[at], comparison.paired.holm[at]
    print_text(f"First: {comparison.names[0]}. Second: {comparison.names[at + 1]}.", style="bold")
    table = Table("", "first", "second", box=None, pad_edge=False)
    table.add_column(f"first minus second ({comparison.options.level * 100:g} % CI)")
    table.add_column("p (Holm)")
    undefined = [name for name, values in against.values.items() if all(map(math.isnan, values))]
    for name, difference in against.differences.items():
        if name in undefined:
            continue
        bounds = f"({difference.low:+.3f} to {difference.high:+.3f})"
        shown = f"{difference.estimate:+.3f} {'(no interval)' if math.isnan(difference.low) else bounds}"
        tested = f"{against.delong[name].p:.3g} ({corrected[name]:.3g})" if name in against.delong else ""
        first, second = against.values[name]
        table.add_row(name, f"{first:.3f}", f"{second:.3f}", shown, tested)
    answers.print(fitted(table))
    if undefined:
        print_text(f"Not compared, because not all tables answer it: {', '.join(undefined)}.")
    _print_lines(
        f"McNemar, {name} ({MCNEMAR_UNIT}): only the first {test.only_first}, only the second {test.only_second}; "
        f"exact p {test.p_exact:.3g} (Holm {corrected[name]:.3g}), mid-p {test.p_mid:.3g}."
        for name, test in against.mcnemar.items()
    )


def _margin_lines(comparison: Comparison, at: int) -> Iterator[str]:
    words = {True: "yes", False: "not shown", None: "undefined, as there is no interval"}
    first, second = comparison.paths[0], comparison.paths[at + 1]
    identical = comparison.paired.against[at].identical
    for name, verdict in comparison.verdicts(at).items():
        alike = " They answer every photograph alike." if name in identical else ""
        yield (
            f"Worse by less than {verdict.margin:g} in {name}: {first} {words[verdict.first]}; "
            f"{second} {words[verdict.second]}.{alike}"
        )
