"""Plain text, tables and formulas as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from latex2mathml.converter import convert

INLINE = re.compile(r"\$([^$]+)\$")
LONGEST_WORD = 28
"""Letters of a word that is kept whole: longer ones would not fit a phone."""

_CODE = re.compile(r"(?<!<pre>)<code>([^<]+)</code>")
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
    # In a span: MathML at the beginning of a line would be a block of its own.
    return INLINE.sub(lambda latex: f"<span>{convert(latex[1], display='inline')}</span>", text)


def with_whole_words(html: str) -> str:
    """Return a page whose code in sentences and tables breaks between its words, never after a hyphen or a slash."""
    return _CODE.sub(lambda code: f"<code>{' '.join(map(_kept_whole, code[1].split(' ')))}</code>", html)


def _kept_whole(word: str) -> str:
    return f'<span class="word">{word}</span>' if len(word) <= LONGEST_WORD else word
