"""What is exported: one ONNX graph with the heatmap inside, and whether it agrees with torch.

The graph takes prepared photographs as they are (uint8) and normalises them itself, so that no
caller can forget it. The heatmap is Grad-CAM on the last feature map A: for pooled features
f = mean(A), d(score)/dA is d(score)/df divided by the number of cells, so the map is
relu(sum_c d(score)/df_c * A_c) in closed form (Selvaraju et al., ICCV 2017, eq. 1 and 2). Networks that pool otherwise
(transformers, VGG, MobileNetV3), and heads without that gradient, are exported with `heatmap: none`. With both eyes
the map is the graded photograph's: the score's gradient with respect to its own half of what the head reads.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fundoscope.decide.heads import probabilities
from fundoscope.errors import BadRelease
from fundoscope.training.heads import Head
from fundoscope.training.network import GradingNetwork
from fundoscope.training.objectives.supervised import Normalise

RAW_TOLERANCE = 1e-4
"""Largest deviation of the raw output from torch's."""

MAP_CORRELATION = 0.999
"""Smallest correlation of a heatmap with torch's."""


class PlainGraph(nn.Module):
    """What is exported where no heatmap exists: prepared photographs in; raw output and features out."""

    outputs: tuple[str, ...] = ("raw", "features")
    heatmap = "none"

    def __init__(self, network: GradingNetwork, normalise: Normalise) -> None:
        super().__init__()
        self.network, self.normalise = network.eval(), normalise

    def forward(self, canvases: UInt8[Tensor, "photo *eyes side side 3"]) -> tuple[Tensor, ...]:
        """Raw output (photo, output) and features (photo, feature)."""
        _, seen, raw = self.read(self.normalise(canvases))
        return raw, self.network.reported(self.own(seen))

    def read(self, pictures: Float[Tensor, "photo *eyes 3 side side"]) -> tuple[Tensor, Tensor, Tensor]:
        """What is before pooling, what the head reads and raw output; averaged with the mirror image where asked."""
        maps, seen, raw = self._read_once(pictures)
        if self.network.flip_average:
            mirrored, mirrored_seen, mirrored_raw = self._read_once(pictures.flip(-1))
            raw, seen, maps = (
                (raw + mirrored_raw) / 2,
                (seen + mirrored_seen) / 2,
                (maps + mirrored.flip(-1)) / 2,
            )
        return maps, seen, raw

    def own(self, seen: Float[Tensor, "photo seen"]) -> Float[Tensor, "photo feature"]:
        """The graded photograph's part of what the head reads, or of what is as wide."""
        return seen if self.network.eyes == 1 else seen[:, : self.network.features]

    def _read_once(self, pictures: Float[Tensor, "photo *eyes 3 side side"]) -> tuple[Tensor, Tensor, Tensor]:
        laid, there = self.network.lay_out(pictures)
        maps = self.network.maps(laid)
        seen = self.network.join(self.network.pool(maps), there)
        return maps if there is None else maps[: pictures.shape[0]], seen, self.network.head(seen)


class ReleaseGraph(PlainGraph):
    """The same with the heatmap in closed form, for networks whose features are the mean of their last map."""

    outputs = ("raw", "features", "heatmap")
    heatmap = "grad-cam"

    def forward(
        self, canvases: UInt8[Tensor, "photo *eyes side side 3"]
    ) -> tuple[Float[Tensor, "photo output"], Float[Tensor, "photo feature"], Float[Tensor, "photo row column"]]:
        """Raw output, features, and a heatmap with largest value 1 (0 where nothing spoke for the answer)."""
        maps, seen, raw = self.read(self.normalise(canvases))
        speaks = self.own(self.network.head.relevance(seen, raw))
        heat = (maps * speaks[:, :, None, None]).sum(dim=1).relu()
        # An added epsilon would vanish in the exported graph; a floor does not.
        return raw, self.network.reported(self.own(seen)), heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)


def release_graph(
    network: GradingNetwork, normalise: Normalise, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]
) -> PlainGraph:
    """The graph to export: with a heatmap where it has a closed form, which a few photographs tell, else without."""
    mapped = ReleaseGraph(network, normalise)
    says_why = type(network.head).relevance is not Head.relevance
    return mapped if says_why and pools_plainly(mapped, canvases) else PlainGraph(network, normalise)


def to_onnx(graph: PlainGraph, side: int) -> bytes:
    """The serialised ONNX graph, with a free number of photographs."""
    eyes = () if graph.network.eyes == 1 else (graph.network.eyes,)
    example = torch.zeros(2, *eyes, side, side, 3, dtype=torch.uint8)
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations; parity is what is checked
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=["canvases"],
                output_names=list(graph.outputs),
                dynamic_shapes={"canvases": {0: torch.export.Dim("photo", min=1, max=4096)}},
                verbose=False,
            )
    finally:
        noisy.setLevel(level)
    if program is None:
        raise BadRelease("the ONNX exporter returned nothing; this version of torch is not supported")
    return bytes(without_traces(program.model_proto).SerializeToString())


def without_traces(model: Any) -> Any:
    """An ONNX model without the exporter's notes: its stack traces name files of the machine it ran on."""
    for graph in (model.graph, *model.functions):
        for part in (*graph.node, *graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if not isinstance(part, str):
                part.ClearField("metadata_props")
                part.ClearField("doc_string")
        graph.ClearField("metadata_props")
        graph.ClearField("doc_string")
    for weight in model.graph.initializer:
        weight.ClearField("metadata_props")
        weight.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    return model


def pools_plainly(graph: PlainGraph, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]) -> bool:
    """Whether the features are the plain mean of the last map, on which the heatmap's closed form rests."""
    with torch.inference_mode():
        laid, _ = graph.network.lay_out(graph.normalise(torch.from_numpy(canvases)))
        maps = graph.network.maps(laid)
        features = graph.network.pool(maps)
    if maps.ndim != 4 or maps.shape[:2] != features.shape:
        return False
    return torch.allclose(maps.mean(dim=(2, 3)), features, rtol=1e-3, atol=1e-4)


def check_pooling(graph: ReleaseGraph, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]) -> None:
    """Make sure that a graph with a heatmap has the pooling that its closed form rests on.

    Raises:
        BadRelease: If the backbone computes something else between its last map and its features.
    """
    if not pools_plainly(graph, canvases):
        raise BadRelease(
            "export: expected a backbone whose features are the mean of its last map, got one with layers in between; "
            "its heatmap has no closed form, and no release is written. Export it without a heatmap (release_graph)"
        )


def check_parity(
    graph: PlainGraph, model: bytes, canvases: UInt8[np.ndarray, "photo *eyes side side 3"], head: str
) -> None:
    """Compare the exported graph with torch on real photographs.

    Raises:
        BadRelease: If a raw output deviates by more than 1e-4, a heatmap correlates below 0.999, is no
            Grad-CAM, or a grade changes. The message says how far off it was.
    """
    if isinstance(graph, ReleaseGraph):
        check_pooling(graph, canvases[:1])
    with torch.inference_mode():
        expected = dict(zip(graph.outputs, (each.numpy() for each in graph(torch.from_numpy(canvases))), strict=True))
    given = run_onnx(model, canvases)
    worst = float(np.abs(given["raw"] - expected["raw"]).max())
    if not worst <= RAW_TOLERANCE:
        raise BadRelease(f"export: expected raw outputs within {RAW_TOLERANCE} of torch's, got {worst:.2e}; no release")
    if "heatmap" in expected:
        lowest = min(_correlation(a, b) for a, b in zip(given["heatmap"], expected["heatmap"], strict=True))
        if not lowest >= MAP_CORRELATION:
            raise BadRelease(
                f"export: expected heatmaps to correlate >= {MAP_CORRELATION} with torch's, got {lowest:.4f}"
            )
    changed = int(np.sum(_grades(head, given["raw"]) != _grades(head, expected["raw"])))
    if changed:
        raise BadRelease(f"export: {changed} of {len(canvases)} photographs changed their grade; no release is written")


def run_onnx(model: bytes, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]) -> dict[str, np.ndarray]:
    """Outputs of an ONNX graph by name, computed with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"canvases": canvases}), strict=True))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if first.std() < 1e-9 or second.std() < 1e-9:  # a flat map agrees with a flat map only
        return 1.0 if np.allclose(first, second, atol=1e-4) else 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _grades(head: str, raw: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities(head, raw.astype(np.float64)).argmax(axis=1))
