"""A release's graph in OpenVINO: faster than onnxruntime on some CPUs, and wrong of some graphs without saying so.

So nothing it computes is believed before `golden.accept` has compared it with what the release was made with. It
runs in single precision (on CPUs with AMX it would choose bfloat16), one photograph at a time (a graph of one
photograph is the only one it compiles of a traced transformer), and offline: its Python package reports each import
to its makers over the network, which is prevented here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Lock
from types import ModuleType
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Canvases
from fundoscope.errors import BadRelease, MissingExtra
from fundoscope.runtime.backends.sessions import Computed, Pairs, Port, canvas_shape, check_ports, reason_of
from fundoscope.runtime.release import OpenRelease

TELEMETRY: Final = "openvino_telemetry"
"""Package that sends the reports; without it OpenVINO uses a stand-in of its own that does nothing."""

_importing = Lock()


class OpenVinoSession:
    """A graph in OpenVINO, compiled for one photograph, and as many places to compute it as there are callers."""

    def __init__(self, compiled: Any, program: str, *, callers: int) -> None:
        self.program = program
        self._idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(callers):
            self._idle.put(compiled.create_infer_request())

    def run(self, names: Sequence[str], canvases: Canvases | Pairs) -> list[Computed]:
        """Compute a forward pass for each photograph; a thread beyond the announced callers waits for its turn."""
        request = self._idle.get()
        try:
            computed = [_computed(request, names, canvases[i : i + 1]) for i in range(len(canvases))]
        finally:
            self._idle.put(request)
        return [np.concatenate(output) for output in zip(*computed, strict=True)]


def _computed(request: Any, names: Sequence[str], canvases: Canvases | Pairs) -> list[Computed]:
    outputs = request.infer({"canvases": canvases})
    return [outputs[name] for name in names]


def open_openvino(opened: OpenRelease, *, threads: int, callers: int) -> OpenVinoSession:
    """Load the graph; what it computes is not compared with anything yet.

    Args:
        opened: A release as `release.open_release` returns it.
        threads: Cores that one forward pass may use.
        callers: Threads that will ask at a time.

    Raises:
        BadRelease: If OpenVINO cannot load or compile it, or its inputs and outputs are not the contract's.
        MissingExtra: If OpenVINO is not installed.
    """
    openvino = _openvino()
    program = f"openvino {openvino.__version__.partition('-')[0]}"
    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": callers,
        "INFERENCE_NUM_THREADS": callers * threads,
        # Two programs that pin their threads choose the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        model = core.read_model(opened.model)
    except Exception as problem:  # OpenVINO's own exceptions share no base but Exception
        raise _refusal(opened, program, "load", problem) from None
    check_ports(opened, _ports(model.inputs), _ports(model.outputs))
    try:
        _unshare(openvino, model)
        model.reshape({"canvases": [1, *canvas_shape(opened)]})
        compiled = core.compile_model(model, "CPU", options)
        return OpenVinoSession(compiled, program, callers=callers)
    except Exception as problem:
        raise _refusal(opened, program, "compile", problem) from None


def _unshare(openvino: Any, model: Any) -> None:
    """Give weights that the graph transposes a constant of their own.

    A traced backward pass uses a layer's weights as they are and transposed; where they are square, OpenVINO 2026.4.1
    loses one of the two transpositions, and a transformer's heatmap with it.
    """
    for step in model.get_ordered_ops():
        if step.get_type_name() != "Transpose":
            continue
        sources = [port.get_source_output().get_node() for port in step.inputs()]
        if all(source.get_type_name() == "Constant" for source in sources):
            weights, axes = (source.data for source in sources)
            own = openvino.op.Constant(np.ascontiguousarray(np.transpose(weights, axes)))
            step.output(0).replace(own.output(0))


def _refusal(opened: OpenRelease, program: str, verb: str, problem: Exception) -> BadRelease:
    return BadRelease(
        f"{opened.path}: {program} cannot {verb} model.onnx: {reason_of(problem)}. "
        "Use onnxruntime instead, which is the default."
    )


def _ports(declared: Iterable[Any]) -> list[Port]:
    kinds = {"u8": "tensor(uint8)", "f32": "tensor(float)"}
    ports = []
    for port in declared:
        name, kind = min(port.get_names(), default=""), port.get_element_type().get_type_name()
        shape = port.get_partial_shape()
        lengths = () if shape.rank.is_dynamic else tuple(None if n.is_dynamic else n.get_length() for n in shape)
        ports.append(Port(name, kinds.get(kind, kind), lengths))
    return ports


def _openvino() -> Any:
    with _importing, _silenced():
        try:
            import openvino
        except ImportError as error:
            raise MissingExtra("the backend openvino", "openvino") from error
    return openvino


@contextmanager
def _silenced() -> Iterator[None]:
    """Import without telemetry: no network at run time, ever."""
    if "openvino" in sys.modules:
        yield
        return
    own = sys.modules.get(TELEMETRY)
    # A module that is no package: what is imported from below it is not there.
    sys.modules[TELEMETRY] = ModuleType(TELEMETRY)
    try:
        yield
    finally:
        sys.modules.pop(TELEMETRY, None)
        if own is not None:
            sys.modules[TELEMETRY] = own
