"""A release's network, run by onnxruntime on the CPU: prepared photographs in, raw output, features and heatmap out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from fundoscope.arrays import Canvases, RawOutput
from fundoscope.decide.heads import outputs_of
from fundoscope.errors import BadRelease
from fundoscope.runtime.release import OpenRelease

Pairs = UInt8[np.ndarray, "photo 2 side side 3"]
"""What a both-eyes network takes: prepared photographs, each followed by the same patient's other eye; all zeros
where there is none, which no prepared photograph is."""

Pair = UInt8[np.ndarray, "2 side side 3"]
"""One of them."""

Shape = tuple[int | None, ...]
"""Lengths of an array's axes; None where any length is right."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the network says about a batch."""

    raw: RawOutput
    """The head's output, in the head's own units."""
    features: Float32[np.ndarray, "photo feature"]
    """What the head reads."""
    heatmap: Float32[np.ndarray, "photo row column"] | None
    """Relevance for the grade, >= 0, largest value 1 (all 0 where nothing spoke for it); None where not exported."""


class Network:
    """An onnxruntime session whose inputs and outputs were checked. Safe to call from several threads at once."""

    def __init__(self, session: Any, *, has_heatmap: bool) -> None:
        self._session = session
        self._names = ["raw", "features", "heatmap"] if has_heatmap else ["raw", "features"]

    def run(self, canvases: Canvases | Pairs) -> Outputs:
        """One forward pass; the heatmap, of the first photograph of a pair, comes out of the same pass."""
        raw, features, *heatmap = self._session.run(self._names, {"canvases": canvases})
        return Outputs(raw, features, heatmap[0] if heatmap else None)


def open_network(opened: OpenRelease, *, threads: int = 1) -> Network:
    """Load the release's graph for the CPU.

    Args:
        opened: A release as `release.open_release` returns it.
        threads: Cores that one forward pass may use. With 1 it runs wholly in the thread that asked, so that
            as many passes as there are such threads run side by side.

    Raises:
        BadRelease: If onnxruntime cannot load the graph, or its inputs and outputs are not the contract's.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin would slow the decoding beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(opened.model, options, providers=["CPUExecutionProvider"])
    except Exception as problem:  # onnxruntime's own exceptions share no base but Exception
        raise BadRelease(
            f"{opened.path}: onnxruntime {ort.__version__} cannot load model.onnx: {_first_line(problem)}. "
            "Install a newer onnxruntime, or export the release again."
        ) from None
    _check_ports(session, opened)
    return Network(session, has_heatmap=opened.release.heatmap != "none")


def _check_ports(session: Any, opened: OpenRelease) -> None:
    release, side = opened.release, opened.recipe.side
    eyes: Shape = () if release.eyes == 1 else (release.eyes,)
    taken: dict[str, tuple[str, Shape]] = {"canvases": ("tensor(uint8)", (None, *eyes, side, side, 3))}
    _check_port(session.get_inputs(), taken, opened, "inputs")
    outputs: dict[str, tuple[str, Shape]] = {
        "raw": ("tensor(float)", (None, outputs_of(release.head))),
        "features": ("tensor(float)", (None, release.features)),
    }
    if release.heatmap != "none":
        outputs["heatmap"] = ("tensor(float)", (None, None, None))
    _check_port(session.get_outputs(), outputs, opened, "outputs")


def _check_port(ports: list[Any], expected: dict[str, tuple[str, Shape]], opened: OpenRelease, what: str) -> None:
    found = {port.name: (port.type, tuple(port.shape)) for port in ports}
    fits = set(found) == set(expected) and all(
        found[name][0] == kind and _agrees(found[name][1], shape) for name, (kind, shape) in expected.items()
    )
    if not fits:
        raise BadRelease(
            f"{opened.path}: the {what} of model.onnx must be {_described(expected)}, got {_described(found)}. "
            "Export the release again."
        )


def _agrees(found: tuple[int | str | None, ...], expected: Shape) -> bool:
    """Whether lengths agree; what the graph leaves open (a name or nothing) may be anything."""
    return len(found) == len(expected) and all(
        not isinstance(length, int) or wanted is None or length == wanted
        for length, wanted in zip(found, expected, strict=True)
    )


def _described(ports: dict[str, Any]) -> str:
    return "; ".join(f"{name} {kind} {_lengths(shape)}" for name, (kind, shape) in ports.items())


def _lengths(shape: tuple[int | str | None, ...]) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"


def _first_line(problem: Exception) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0][:200]
