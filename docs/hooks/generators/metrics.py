"""The glossary of metrics: each key of `evaluation.json` with its formula, its direction and its source.

Formulas and texts are written in `glossary.toml`; what the keys are called is `evaluation.report.words.ROWS`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from fundoscope.evaluation.report.words import ROWS
from generators.markdown import formula, plain, with_formulas

GLOSSARY: Final = Path(__file__).with_name("glossary.toml")

BETTER: Final = {"higher": "higher is better", "lower": "lower is better", "neither": "neither is better"}
"""What `better` of an entry may be; any other word is the value that is best."""


def metrics() -> str:
    """Return a section for each entry of the glossary, in its order.

    Raises:
        LookupError: If a statistic of an evaluation's tables has no entry.
    """
    parts = [part for section in sections() for part in _section(section)]
    missing = [key for key in ROWS if entry_of(key) is None]
    if missing:
        raise LookupError(f"{GLOSSARY.name}: expected an entry for every statistic, got none for {', '.join(missing)}.")
    return "\n\n".join(parts)


def sections() -> list[dict[str, Any]]:
    """Return the sections of the glossary, each with its `metric` entries."""
    return list(tomllib.loads(GLOSSARY.read_text(encoding="utf-8"))["section"])


def entry_of(key: str) -> Mapping[str, Any] | None:
    """Return the first entry of the glossary that is about a key of `evaluation.json`; None if there is none."""
    entries = (entry for section in sections() for entry in section["metric"])
    return next((entry for entry in entries if re.fullmatch(entry["keys"], key)), None)


def _section(section: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {section['title']}"
    if "text" in section:
        yield with_formulas(section["text"].strip())
    for entry in section["metric"]:
        yield from _entry(entry)


def _entry(entry: Mapping[str, Any]) -> Iterator[str]:
    yield f"### {entry['name']}"
    if "formula" in entry:
        yield formula(entry["formula"]).strip()
    yield with_formulas(entry["text"].strip())
    better = BETTER.get(entry["better"], f"best is {entry['better']}")
    source = f"Source: {plain(entry['source'])}." if "source" in entry else ""
    yield " ".join(part for part in (f"**{better[0].upper()}{better[1:]}.**", source) if part)
    yield "\n".join(f"- `{key}`: {plain(words)}" for key, words in _keys(entry))


def _keys(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of an entry: those of an evaluation's tables, then those that it names itself."""
    for key, words in ROWS.items():
        if entry_of(key) is not None and re.fullmatch(entry["keys"], key):
            yield key, words.strip()
    yield from entry.get("also", {}).items()
