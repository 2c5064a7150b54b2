"""Fill in the parts of the documentation site that are made from the code, so that they cannot go stale.

A page marks the place with a comment, `<!-- generate: NAME -->`; `GENERATORS[NAME]()` returns its Markdown.
A formula in LaTeX between `$$` and `$$`, alone on its line, becomes MathML: no script from elsewhere draws it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

# MkDocs loads a hook as a single file; its package of generators lies beside it.
sys.path.insert(0, str(Path(__file__).parent))

from generators import attribution, columns, commands, experiments, metrics, sources, stress
from generators.markdown import formula, with_whole_words

MARK: Final = re.compile(r"^<!-- generate: ([a-z_]+) -->$", re.MULTILINE)
FORMULA: Final = re.compile(r"^\$\$(.+)\$\$$", re.MULTILINE)

GENERATORS: Final[dict[str, Callable[[], str]]] = {
    "attribution_methods": attribution.methods,
    "commands": commands.commands,
    "experiment_keys": experiments.experiment_keys,
    "experiments": experiments.experiments,
    "manifest_columns": columns.manifest_columns,
    "metrics": metrics.metrics,
    "prediction_columns": columns.prediction_columns,
    "sources": sources.sources,
    "stress_set": stress.stress_set,
}
"""What a comment names, and what makes it."""


def filled_in(markdown: str) -> str:
    """Return a page with every comment replaced by what it names, and every formula by MathML.

    Raises:
        KeyError: If a comment names nothing that can be generated.
    """
    page = MARK.sub(lambda mark: GENERATORS[mark[1]](), markdown)
    return FORMULA.sub(lambda line: formula(line[1]), page)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in a page; MkDocs calls this by its name."""
    return filled_in(markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Finish the HTML of a page; MkDocs calls this by its name."""
    return with_whole_words(html)
