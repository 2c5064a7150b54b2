"""Optional parts of the installation, asked for in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fundoscope.errors import MissingExtra


@contextmanager
def needs_extra(what: str, extra: str = "train") -> Iterator[None]:
    """Name the extra that brings a package which an import inside the block does not find.

    Args:
        what: Verb or option that needs it.
        extra: Name of the extra.

    Raises:
        MissingExtra: If a package other than fundoscope is not installed.

    Example:
        >>> with needs_extra("--checkpoint"):
        ...     import json
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("fundoscope"):
            raise
        raise MissingExtra(what, extra) from error
