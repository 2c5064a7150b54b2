"""Whether a release is whole and computes here what it computed where it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from fundoscope.errors import BadRelease
from fundoscope.runtime.network import Network, Outputs, open_network
from fundoscope.runtime.release import Array, OpenRelease, open_release

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str
    """What was found, in words."""


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


def verify_release(path: Path | str) -> Verification:
    """Compare every hash, load the network, compute the golden outputs again. Raises nothing: failures are checks."""
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
            checks, "network", lambda: open_network(opened), lambda _: "loads; inputs and outputs fit the release"
        )
        checks.extend(_golden_checks(opened, network))
    return Verification(place, name, tuple(checks))


def _try(checks: list[Check], name: str, step: Callable[[], Result], words: Callable[[Result], str]) -> Result:
    try:
        result = step()
    except BadRelease as problem:
        checks.append(Check(name, False, str(problem)))
        raise
    checks.append(Check(name, True, words(result)))
    return result


def _golden_checks(opened: OpenRelease, network: Network) -> Iterator[Check]:
    # One photograph at a time, as in grading.
    canvases = opened.golden["canvases"]
    outputs = [network.run(canvases[i : i + 1]) for i in range(len(canvases))]
    for name in ("raw", "features", "heatmap"):
        if name in opened.golden:
            yield _compare(name, outputs, opened.golden[name], opened.release.golden_tolerance)


def _compare(name: str, outputs: list[Outputs], golden: Array, tolerance: float) -> Check:
    got = np.concatenate([getattr(each, name) for each in outputs])
    title = f"golden {name}"
    if got.shape != golden.shape:
        return Check(title, False, f"expected the shape {golden.shape}, got {got.shape}")
    scale = max(1.0, float(np.abs(golden).max()))
    deviation = float(np.abs(got - golden).max()) / scale
    # Written so that NaN fails.
    passed = deviation <= tolerance
    return Check(title, passed, f"{len(golden)} photographs, largest deviation {deviation:.1e} (at most {tolerance:g})")
