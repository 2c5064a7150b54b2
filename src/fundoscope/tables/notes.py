"""Sentences about what was converted while a table was read: nothing is read otherwise than written without one.

They go to the logger `fundoscope.tables`; the command line prints them on standard error.
"""

from __future__ import annotations

import logging
from typing import Final

LOGGER: Final = "fundoscope.tables"

_log = logging.getLogger(LOGGER)


def note(sentence: str) -> None:
    """Say what was converted."""
    _log.warning("%s", sentence)
