"""Whether a release is whole and computes here what it computed where it was made."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fundoscope.errors import BadRelease
from fundoscope.runtime.backends.golden import golden_checks
from fundoscope.runtime.backends.network import DEFAULT_BACKEND, load_network
from fundoscope.runtime.checks import Check
from fundoscope.runtime.golden_photograph import check_golden_photograph
from fundoscope.runtime.release import open_release

__all__ = ["Check", "Verification", "verify_release"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of every check, in order; a failure to open the release or its network ends them."""

    path: Path
    name: str
    """Id and hash of the release; empty where it could not be opened."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether no check failed; one that could not be made is named, but does not fail the release."""
        return all(check.passed is not False for check in self.checks)


def verify_release(path: Path | str, *, backend: str = DEFAULT_BACKEND) -> Verification:
    """Compare hashes, prepare the golden photograph, load the network, compute the golden outputs again.

    Failures are checks that did not pass, not errors.

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
            lambda opened: f"{len(opened.release.files)} files are as their SHA-256 says; schema, recipe, head known",
        )
        name = opened.name
        checks.extend(check_golden_photograph(opened.golden_photograph, opened.recipe))
        network = _try(
            checks,
            "network",
            lambda: load_network(opened, backend=backend),
            lambda network: f"loads in {network.program}; inputs and outputs fit the release",
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
