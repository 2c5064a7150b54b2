"""Programs that compute a release's graph on the CPU: the interface of each, and onnxruntime, which is always here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from fundoscope.arrays import Canvases, RawOutput
from fundoscope.errors import BadRelease
from fundoscope.runtime.release import OpenRelease

Pairs = UInt8[np.ndarray, "photo 2 side side 3"]
"""What a both-eyes network takes: prepared photographs, each followed by the same patient's other eye; all zeros
where there is none, which no prepared photograph is."""

Pair = UInt8[np.ndarray, "2 side side 3"]
"""One of them."""

Computed = Float32[np.ndarray, "photo ..."]
"""One output of the graph."""

Shape = tuple[int | None, ...]
"""Lengths of an array's axes; None where any length is right."""


@runtime_checkable
class Session(Protocol):
    """A graph that is loaded and whose inputs and outputs were checked. Safe to call from several threads at once."""

    @property
    def program(self) -> str:
        """Name and version of what computes."""

    def run(self, names: Sequence[str], canvases: Canvases | Pairs) -> list[Computed]:
        """Return the outputs of these names, in their order."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output as the graph declares it."""

    name: str
    kind: str
    """Kind of its numbers as ONNX has it: tensor(uint8), tensor(float)."""
    shape: tuple[int | str | None, ...]
    """A length that the graph leaves open is a name or None."""


class OnnxRuntimeSession:
    """A graph in onnxruntime."""

    def __init__(self, session: Any, program: str) -> None:
        self.program = program
        self._session = session

    def run(self, names: Sequence[str], canvases: Canvases | Pairs) -> list[Computed]:
        """Compute one forward pass of the whole batch, in the thread that asks."""
        return list(self._session.run(list(names), {"canvases": canvases}))


def open_onnxruntime(opened: OpenRelease, *, threads: int) -> OnnxRuntimeSession:
    """Load the graph.

    Args:
        opened: A release as `release.open_release` returns it.
        threads: Cores that one forward pass may use. With 1 it runs wholly in the thread that asked, so that
            as many passes as there are such threads run side by side.

    Raises:
        BadRelease: If onnxruntime cannot load it, or its inputs and outputs are not the contract's.
    """
    try:
        session = _onnxruntime_session(opened.model, threads)
    except Exception as problem:  # onnxruntime's own exceptions share no base but Exception
        raise BadRelease(
            f"{opened.path}: {_onnxruntime_name()} cannot load model.onnx: {reason_of(problem)}. "
            "Install a newer onnxruntime, or export the release again."
        ) from None
    check_ports(opened, _ports(session.get_inputs()), _ports(session.get_outputs()))
    return OnnxRuntimeSession(session, _onnxruntime_name())


def run_graph(model: bytes, canvases: Canvases | Pairs, *, threads: int = 1) -> dict[str, Computed]:
    """Compute all outputs of a graph once by onnxruntime and return them by name; nothing about the graph is checked.

    Args:
        model: Serialised ONNX graph with the input `canvases`.
        canvases: What it takes.
        threads: Cores that the forward pass may use.
    """
    session = _onnxruntime_session(model, threads)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"canvases": canvases}), strict=True))


def _onnxruntime_session(model: bytes, threads: int) -> Any:
    """Load a graph in onnxruntime: the one place that does. Its stubs are no types of their own, hence Any."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads that spin would slow the decoding beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _onnxruntime_name() -> str:
    import onnxruntime as ort

    return f"onnxruntime {ort.__version__}"


def _ports(declared: Iterable[Any]) -> list[Port]:
    return [Port(port.name, port.type, tuple(port.shape)) for port in declared]


def check_ports(opened: OpenRelease, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    """Refuse a graph that does not take and give what the release says.

    Raises:
        BadRelease: If a name, a kind or a length is another.
    """
    release = opened.release
    _check_port(inputs, {"canvases": ("tensor(uint8)", (None, *canvas_shape(opened)))}, opened, "inputs")
    expected: dict[str, tuple[str, Shape]] = {
        "raw": ("tensor(float)", (None, opened.task.outputs(release.head, release.labels))),
        "features": ("tensor(float)", (None, release.features)),
    }
    if release.heatmap != "none":
        expected["heatmap"] = ("tensor(float)", (None, None, None))
    _check_port(outputs, expected, opened, "outputs")


def canvas_shape(opened: OpenRelease) -> tuple[int, ...]:
    """Return the shape of what the network takes of one photograph: its canvas, or its own and the other eye's."""
    side, eyes = opened.recipe.side, opened.release.eyes
    return (side, side, 3) if eyes == 1 else (eyes, side, side, 3)


def _check_port(ports: Sequence[Port], expected: dict[str, tuple[str, Shape]], opened: OpenRelease, what: str) -> None:
    declared = {port.name: (port.kind, port.shape) for port in ports}
    fits = set(declared) == set(expected) and all(
        declared[name][0] == kind and _agrees(declared[name][1], shape) for name, (kind, shape) in expected.items()
    )
    if not fits:
        raise BadRelease(
            f"{opened.path}: the {what} of model.onnx must be {_described(expected)}, got {_described(declared)}. "
            "Export the release again."
        )


def _agrees(declared: tuple[int | str | None, ...], expected: Shape) -> bool:
    """Return whether lengths agree; what the graph leaves open (a name or nothing) may be anything."""
    return len(declared) == len(expected) and all(
        not isinstance(length, int) or wanted is None or length == wanted
        for length, wanted in zip(declared, expected, strict=True)
    )


def _described(ports: dict[str, Any]) -> str:
    return "; ".join(f"{name} {kind} {_lengths(shape)}" for name, (kind, shape) in ports.items())


def _lengths(shape: tuple[int | str | None, ...]) -> str:
    return "(" + ", ".join("any" if length is None else str(length) for length in shape) + ")"


def reason_of(problem: Exception) -> str:
    """Return the reason that a program gives, in one line: OpenVINO puts it last, after the place in its source."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    if lines and lines[0].startswith("Exception from"):
        lines.reverse()
    return (lines or [type(problem).__name__])[0][:200].rstrip(".")


@dataclass(frozen=True, slots=True)
class Outputs:
    """The network's outputs for a batch."""

    raw: RawOutput
    """The head's output, in the head's own units."""
    features: Float32[np.ndarray, "photo feature"]
    """What the head reads."""
    heatmap: Float32[np.ndarray, "photo row column"] | None
    """Relevance for the answer, >= 0, largest value 1 (all zero where nothing supported it); None: not exported."""


class Network:
    """A graph whose inputs and outputs were checked. Safe to call from several threads at once."""

    def __init__(self, session: Session, *, has_heatmap: bool) -> None:
        self.program = session.program
        """Name and version of what computes it."""
        self._session = session
        self._names = ["raw", "features", "heatmap"] if has_heatmap else ["raw", "features"]

    def run(self, canvases: Canvases | Pairs) -> Outputs:
        """Compute one forward pass; the heatmap, of the first photograph of a pair, comes out of the same pass."""
        raw, features, *heatmap = self._session.run(self._names, canvases)
        return Outputs(raw, features, heatmap[0] if heatmap else None)
