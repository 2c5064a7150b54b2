"""Whether a network computes here what its release's network computed where it was made: the golden outputs."""

from __future__ import annotations

import numpy as np

from fundoscope.arrays import Array
from fundoscope.errors import BadRelease
from fundoscope.runtime.backends.sessions import Network, Outputs, reason_of
from fundoscope.runtime.checks import Check
from fundoscope.runtime.release import OpenRelease


def golden_checks(opened: OpenRelease, network: Network) -> tuple[Check, ...]:
    """Compute the golden photographs, one at a time as in grading, and compare each output; raises nothing."""
    canvases = opened.golden["canvases"]
    try:
        outputs = [network.run(canvases[i : i + 1]) for i in range(len(canvases))]
    except Exception as problem:  # the programs' own exceptions share no base but Exception
        return (Check("golden outputs", False, f"expected to be computed, got: {reason_of(problem)}"),)
    names = [name for name in ("raw", "features", "heatmap") if name in opened.golden]
    return tuple(_compare(name, outputs, opened.golden[name], opened.release.golden_tolerance) for name in names)


def accept(opened: OpenRelease, network: Network, *, advice: str) -> None:
    """Refuse a network that does not compute the release's golden outputs, the heatmap as much as the grade.

    Args:
        opened: The release.
        network: Its network in a program.
        advice: What to do where it is refused: the end of the message.

    Raises:
        BadRelease: If one of them disagrees.
    """
    wrong = [f"{check.name}: {check.detail}" for check in golden_checks(opened, network) if not check.passed]
    if wrong:
        raise BadRelease(
            f"{opened.name}: expected {network.program} to compute the release's golden outputs, got "
            f"{'; '.join(wrong)}. {advice}"
        )


def _compare(name: str, outputs: list[Outputs], golden: Array, tolerance: float) -> Check:
    values = np.concatenate([getattr(photograph, name) for photograph in outputs])
    title = f"golden {name}"
    if values.shape != golden.shape:
        return Check(title, False, f"expected the shape {golden.shape}, got {values.shape}")
    scale = max(1.0, float(np.abs(golden).max()))
    deviation = float(np.abs(values - golden).max()) / scale
    # Written so that NaN fails.
    passed = deviation <= tolerance
    likeness = "" if passed or name != "heatmap" else f", correlation {_correlation(values, golden)}"
    words = f"{len(golden)} photographs, largest deviation {deviation:.1e} (at most {tolerance:g}){likeness}"
    return Check(title, passed, words)


def _correlation(first: Array, second: Array) -> str:
    """Return the correlation of all values of two maps; a map of one value has none."""
    if not (np.ptp(first) > 0 and np.ptp(second) > 0):
        return "undefined"
    return f"{np.corrcoef(first.ravel(), second.ravel())[0, 1]:.3f}"
