"""The result of one check of a release."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One property of a release that was checked, or could not be."""

    name: str
    passed: bool | None
    """None: not checked, because the release lacks what the check needs."""
    detail: str
    """What was measured, in words."""
