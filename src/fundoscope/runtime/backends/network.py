"""A release's network on the CPU: prepared photographs in, raw output, features and heatmap out.

onnxruntime computes it, or another program where that is asked for and installed. Before it is asked anything else it
must give the release's golden outputs; with onnxruntime once for each release, of which a note is kept (`accepted`).
"""

from __future__ import annotations

from typing import Final

from fundoscope.errors import BadRequest
from fundoscope.runtime.backends.accepted import note_accepted, was_accepted
from fundoscope.runtime.backends.golden import accept
from fundoscope.runtime.backends.sessions import Network, Outputs, Pair, Pairs, Session, open_onnxruntime
from fundoscope.runtime.release import OpenRelease

__all__ = ["BACKENDS", "DEFAULT_BACKEND", "Network", "Outputs", "Pair", "Pairs", "load_network", "open_network"]

DEFAULT_BACKEND: Final = "onnxruntime"
BACKENDS: Final = (DEFAULT_BACKEND, "openvino")
"""Programs that compute a graph."""


def open_network(opened: OpenRelease, *, threads: int = 1, callers: int = 1, backend: str = DEFAULT_BACKEND) -> Network:
    """Load the release's graph for the CPU.

    Args:
        opened: A release as `release.open_release` returns it.
        threads: Cores that one forward pass may use. With 1, as many passes as there are callers run side by side.
        callers: Threads that will ask at a time. onnxruntime takes any number; OpenVINO lets more of them wait.
        backend: One of `BACKENDS`. The golden outputs are computed and compared first; with onnxruntime only where that
            was not done on this computer before.

    Raises:
        BadRelease: If the backend cannot load the graph, its inputs and outputs are not the contract's, or the
            backend does not compute the release's golden outputs, the heatmap among them.
        BadRequest: If there is no such backend.
        MissingExtra: If it is not installed.
    """
    network = load_network(opened, threads=threads, callers=callers, backend=backend)
    if backend != DEFAULT_BACKEND:
        accept(opened, network, advice="Use onnxruntime instead, which is the default.")
    elif not was_accepted(opened, network):
        accept(opened, network, advice="Do not use it: fetch or export it again, and see fundoscope verify.")
        note_accepted(opened, network)
    return network


def load_network(opened: OpenRelease, *, threads: int = 1, callers: int = 1, backend: str = DEFAULT_BACKEND) -> Network:
    """As `open_network`, without the golden outputs: for whoever compares them and says what came of it."""
    return Network(
        _session(opened, threads=threads, callers=callers, backend=backend),
        has_heatmap=opened.release.heatmap != "none",
    )


def _session(opened: OpenRelease, *, threads: int, callers: int, backend: str) -> Session:
    if backend == DEFAULT_BACKEND:
        return open_onnxruntime(opened, threads=threads)
    if backend == "openvino":
        from fundoscope.runtime.backends.openvino_session import open_openvino

        return open_openvino(opened, threads=threads, callers=callers)
    raise BadRequest(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}. Choose one of them.")
