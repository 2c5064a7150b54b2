"""What certifying found, in words: a table of methods and tests, and what else a reader must know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fundoscope.heatmaps.certification.criteria import TESTS
from fundoscope.pages import number_words
from fundoscope.runtime.certificate import Certificate, Outcome, Verdict

MARKS: Final = {"passed": "+", "failed": "x", "not run": "."}
"""How a table shows a result."""


def header() -> list[str]:
    """Columns of the table."""
    return ["method", *TESTS, "certified"]


def table_rows(verdicts: Sequence[Verdict]) -> Iterator[list[str]]:
    """A row for each method: of each test its mark, value and interval."""
    for verdict in verdicts:
        cells = {each.name: _cell(each) for each in verdict.tests}
        yield [verdict.method, *(cells.get(name, "") for name in TESTS), "yes" if verdict.certified else "no"]


def details(certificate: Certificate) -> Iterator[str]:
    """Sentences about the release's own method, then what was tested on and what was left out."""
    for each in certificate.own.tests:
        yield f"{each.result}: {each.words()}"
    free = certificate.own.lesion_free
    if free:
        figures = ", ".join(f"{name.replace('_', ' ')} {number_words(value)}" for name, value in free.items())
        yield f"on {certificate.photographs['lesion_free']} photographs without lesions, means: {figures}"
    yield f"judged by {certificate.judged_by}"
    for each in certificate.photographs["left_out"]:
        yield f"left out: {each['image']}: {each['why']}"


def _cell(tested: Outcome) -> str:
    if tested.value is None:
        return MARKS[tested.result]
    low, high = (number_words(bound, ".2f") for bound in (tested.low, tested.high))
    return f"{MARKS[tested.result]} {tested.value:.2f} ({low}, {high})"
