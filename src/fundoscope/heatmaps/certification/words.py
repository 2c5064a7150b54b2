"""Describe a certificate: a table of methods and tests, and what else a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fundoscope.heatmaps.certification.criteria import TESTS
from fundoscope.pages import number_words
from fundoscope.runtime.certificate import Certificate, Outcome, Verdict

MARKS: Final = {"passed": "+", "failed": "x", "not run": "."}
"""How a table shows a result."""


def header() -> list[str]:
    """Return the columns of the table."""
    return ["method", *TESTS, "certified"]


def table_rows(verdicts: Sequence[Verdict]) -> Iterator[list[str]]:
    """Yield a row for each method: mark, value and interval of every test."""
    for verdict in verdicts:
        cells = {test.name: _cell(test) for test in verdict.tests}
        yield [verdict.method, *(cells.get(name, "") for name in TESTS), "yes" if verdict.certified else "no"]


def details(certificate: Certificate) -> Iterator[str]:
    """Yield sentences about the release's own method, what was tested on and what was left out."""
    for test in certificate.own.tests:
        yield f"{test.result}: {test.words()}"
    free = certificate.own.lesion_free
    if free:
        figures = ", ".join(f"{name.replace('_', ' ')} {number_words(value)}" for name, value in free.items())
        yield f"on {certificate.photographs['lesion_free']} photographs without lesions, means: {figures}"
    yield f"judged by {certificate.judged_by}"
    for entry in certificate.photographs["left_out"]:
        yield f"left out: {entry['image']}: {entry['why']}"


def _cell(tested: Outcome) -> str:
    if tested.value is None:
        return MARKS[tested.result]
    low, high = (number_words(bound, ".2f") for bound in (tested.low, tested.high))
    return f"{MARKS[tested.result]} {tested.value:.2f} ({low}, {high})"
