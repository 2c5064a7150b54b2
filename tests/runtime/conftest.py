"""What the tests of this package share: the makers of tiny releases."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

_TINY = runpy.run_path(str(Path(__file__).parents[1] / "tiny_release.py"))


@pytest.fixture(scope="session")
def tiny() -> dict[str, object]:
    """The makers of tiny releases, for tests that need one with a fault."""
    return _TINY
