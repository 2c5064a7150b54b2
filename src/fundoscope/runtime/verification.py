"""Whether a release is whole and computes here what it computed where it was made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fundoscope.errors import BadRelease
from fundoscope.runtime.backends.golden import Check, golden_checks
from fundoscope.runtime.backends.network import DEFAULT_BACKEND, load_network
from fundoscope.runtime.release import open_release

__all__ = ["Check", "Verification", "verify_release"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Verification:
    """All that was looked at, in order; what could not be reached because of an earlier failure is not in it."""

    path: Path
    name: str
    """Id and hash of the release; empty where it could not be opened."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def verify_release(path: Path | str, *, backend: str = DEFAULT_BACKEND) -> Verification:
    """Compare every hash, load the network, compute the golden outputs again. Failures are checks, not errors.

    Args:
        path: Folder or `.zip`.
        backend: One of `network.BACKENDS`, which computes them.

    Raises:
        BadRequest: If there is no such backend.
        MissingExtra: If it is not installed.
    """
    checks: list[Check] = []
    place = Path(path)
    name = ""
    with suppress(BadRelease):
        opened = _try(
            checks,
            "files",
            lambda: open_release(place),
            lambda found: f"{len(found.release.files)} files are as their SHA-256 says; schema, recipe, head known",
        )
        name = opened.name
        network = _try(
            checks,
            "network",
            lambda: load_network(opened, backend=backend),
            lambda found: f"loads in {found.program}; inputs and outputs fit the release",
        )
        checks.extend(golden_checks(opened, network))
    return Verification(place, name, tuple(checks))


def _try(checks: list[Check], name: str, step: Callable[[], Result], words: Callable[[Result], str]) -> Result:
    try:
        result = step()
    except BadRelease as problem:
        checks.append(Check(name, False, str(problem)))
        raise
    checks.append(Check(name, True, words(result)))
    return result
