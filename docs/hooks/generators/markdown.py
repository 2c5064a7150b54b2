"""Plain text, tables and formulas as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from latex2mathml.converter import convert

INLINE = re.compile(r"\$([^$]+)\$")
_SPECIAL = re.compile(r"([\\*_<>\[\]])")


def plain(text: str) -> str:
    """Return a text of the program as Markdown that shows it unchanged; what stands in backticks stays code."""
    pieces = " ".join(text.split()).split("`")
    if len(pieces) % 2 == 0:  # an odd backtick is no code
        return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("`", r"\`")
    return "`".join(piece if at % 2 else _SPECIAL.sub(r"\\\1", piece) for at, piece in enumerate(pieces))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |" for cells in lines)


def formula(latex: str) -> str:
    """Return a formula as a block of MathML, which browsers draw without a script."""
    return f"\n{convert(latex, display='block')}\n"


def with_formulas(text: str) -> str:
    """Return Markdown whose formulas in LaTeX, between dollar signs, are MathML."""
    return INLINE.sub(lambda latex: convert(latex[1], display="inline"), text)
