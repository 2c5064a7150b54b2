"""What `fundoscope stress` prints: the figures of a system, and its comparison with another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fundoscope.cli.console import answers, print_text
from fundoscope.cli.layout import fitted

if TYPE_CHECKING:
    from fundoscope.evaluation.stress.compare import StressComparison
    from fundoscope.evaluation.stress.summary import StressSummary


def print_stress(summary: StressSummary | None, about: Mapping[str, Any], comparison: StressComparison | None) -> None:
    """Print a system's figures, those of its comparison, and what they mean; either may be absent."""
    from fundoscope.evaluation.report import stress as words

    lines: list[str] = []
    if summary is not None:
        print_text(summary.table.system, style="bold")
        headlines = Table(box=None, pad_edge=False, show_header=False)
        for name, value in words.headline_rows(summary).items():
            headlines.add_row(name, value)
        answers.print(fitted(headlines))
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for at, title in enumerate(words.short_heading()):
            table.add_column(title, justify="left" if at == 0 else "right", no_wrap=True)
        for row in words.short_rows(summary):
            table.add_row(*row)
        answers.print(table)
        lines = [*words.legend_lines(), *words.basis_lines(summary, about)]
    if comparison is not None:
        answers.print()
        print_text(f"{', '.join(comparison.first)} against {words.comparison_title(comparison)}:")
        against = Table("", "first", "second", "difference (paired)", box=None, pad_edge=False)
        for cells in words.comparison_rows(comparison):
            against.add_row(*cells)
        answers.print(fitted(against))
        lines = [*words.comparison_lines(comparison), *lines]
    for line in lines:
        print_text(line)
