"""Public data sets that can be imported, from `fundoscope.data.imports`."""

from __future__ import annotations

from collections.abc import Iterator

from fundoscope.data.imports import SOURCES
from fundoscope.data.source import Source
from generators.markdown import plain


def sources() -> str:
    """Return a list of the data sets, each with its licence, where to get it, its citation and what to know of it."""
    return "\n\n".join(_entry(name, source) for name, source in SOURCES.items())


def _entry(name: str, source: Source) -> str:
    return "\n".join([f"### {plain(source.title)}", "", *_lines(name, source)])


def _lines(name: str, source: Source) -> Iterator[str]:
    yield f"`fundoscope data import {name} FOLDER -o {name}.csv`"
    yield ""
    yield f"{plain(source.what)}."
    yield ""
    yield f"- Licence: {plain(source.licence)}"
    yield f"- From: {plain(source.where)}"
    yield f"- Cite: {plain(source.citation)}"
    yield f"- Layout: {source.layout}, read in {plain('; '.join(source.layout_from))}"
    for note in source.notes:
        yield f"- {plain(note)}"
