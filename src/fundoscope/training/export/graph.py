"""What is exported: one ONNX graph with the heatmap inside, and whether it agrees with torch.

The graph takes prepared photographs as they are (uint8) and normalises them itself, so that no
caller can forget it. The heatmap is Grad-CAM on the last feature map A: for pooled features
f = mean(A), d(score)/dA is d(score)/df divided by the number of cells, so the map is
relu(sum_c d(score)/df_c * A_c) in closed form (Selvaraju et al., ICCV 2017, eq. 1 and 2). Where the answer is a mean
over views (mirror image) or networks, the score is of the mean, and each view's map is weighted by the gradient at its
own features: with a hidden layer that at their mean is another. Networks that pool otherwise
(transformers, VGG, MobileNetV3) have theirs traced (`traced`) or none. With both eyes
the map is the graded photograph's: the score's gradient with respect to its own half of what the head reads.

Several networks of one experiment may be exported as their mean (`ensemble`).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fundoscope.errors import BadRelease
from fundoscope.parallel import available_cores
from fundoscope.runtime.backends.sessions import run_graph
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.runtime.tasks.task import Task
from fundoscope.training.attribution.explain import Method, answer_and_explain
from fundoscope.training.networks.grading import GradingNetwork, laid_back, mean_of
from fundoscope.training.networks.normalisation import Normalise

RAW_TOLERANCE = 1e-4
"""Largest deviation of the raw output from torch's."""

HALF_TOLERANCE = 0.03
"""The same where weights are stored with 16 bits (11 significant), on logits of about -5 to 5."""

HALF_LENGTH = 1024
"""Weights of fewer numbers are stored with 32 bits all the same: biases, which are little and add up."""

FREE = 7
"""Photographs that a graph is traced with: a number that is no other length in it, so that none is taken for it."""

MAP_CORRELATION = 0.999
"""Smallest correlation of a heatmap with torch's, and of its closed form with the gradient of the whole answer."""

AUTOGRAD_PHOTOGRAPHS = 4
"""Photographs that a closed form is compared on: each costs a pass backward through the whole network."""


class PlainGraph(nn.Module):
    """What is exported where no heatmap exists: prepared photographs in; raw output and features out.

    Of several networks of one kind the raw output is the mean, and the features stand side by side.
    """

    outputs: tuple[str, ...] = ("raw", "features")
    heatmap = "none"
    networks: Any  # torch's ModuleList does not say what it holds

    def __init__(self, networks: GradingNetwork | Sequence[GradingNetwork], normalise: Normalise) -> None:
        super().__init__()
        several = [networks] if isinstance(networks, GradingNetwork) else networks
        self.networks, self.normalise = nn.ModuleList(network.eval() for network in several), normalise

    def forward(self, canvases: UInt8[Tensor, "photo *eyes side side 3"]) -> tuple[Tensor, ...]:
        """Return raw output (photo, output) and features (photo, feature)."""
        readings = self.read(self.normalise(canvases))
        return _mean_raw(readings), self._reported(readings)

    def read(self, pictures: Float[Tensor, "photo *eyes 3 side side"]) -> list[list[Read]]:
        """Return what each network makes of each view of the pictures: as they are and, where asked, mirrored."""
        return [
            [_read(network, view, mirrored=mirrored) for view, mirrored in network.views(pictures)]
            for network in self.networks
        ]

    def exportable(self, example: UInt8[Tensor, "photo *eyes side side 3"]) -> nn.Module:
        """Return what the exporter is given."""
        return self

    @property
    def eyes(self) -> int:
        """Photographs that one answer takes."""
        return int(self.networks[0].eyes)

    @property
    def width(self) -> int:
        """Length of the features."""
        return sum(network.reported_width for network in self.networks)

    def _reported(self, readings: list[list[Read]]) -> Tensor:
        seen = [mean_of([view.seen for view in views]) for views in readings]
        return torch.cat([net.reported(_own(net, mean)) for net, mean in zip(self.networks, seen, strict=True)], dim=1)


class ReleaseGraph(PlainGraph):
    """The same with the heatmap in closed form, for networks whose features are the mean of their last map.

    The score is a function of the mean raw output, so the heatmap of several networks, or views, is the sum of theirs.
    """

    outputs = ("raw", "features", "heatmap")
    heatmap = "grad-cam"

    def forward(
        self, canvases: UInt8[Tensor, "photo *eyes side side 3"]
    ) -> tuple[Float[Tensor, "photo output"], Float[Tensor, "photo feature"], Float[Tensor, "photo row column"]]:
        """Return raw output, features, and a heatmap with largest value 1 (0 where nothing supported the answer)."""
        readings = self.read(self.normalise(canvases))
        raw = _mean_raw(readings)
        relevance = [
            mean_of([_weighted(net, view, raw) for view in views])
            for net, views in zip(self.networks, readings, strict=True)
        ]
        heat = mean_of(relevance).relu()
        # An added epsilon would vanish in the exported graph; a floor does not.
        return raw, self._reported(readings), heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)


class Read(NamedTuple):
    """What a network makes of one view of pictures."""

    maps: Float[Tensor, "photo ..."]
    """What is before pooling, of the graded photographs, as it lies on the photograph."""
    seen: Float[Tensor, "photo seen"]
    """What the head reads."""
    raw: Float[Tensor, "photo output"]


def _read(network: GradingNetwork, pictures: Float[Tensor, "photo *eyes 3 side side"], *, mirrored: bool) -> Read:
    laid, there = network.lay_out(pictures)
    maps = network.maps(laid)
    seen = network.join(network.pool(maps), there)
    graded = maps if there is None else maps[: pictures.shape[0]]
    return Read(laid_back(graded, mirrored=mirrored), seen, network.head(seen))


def _mean_raw(readings: list[list[Read]]) -> Float[Tensor, "photo output"]:
    return mean_of([mean_of([view.raw for view in views]) for views in readings])


def _weighted(
    network: GradingNetwork, view: Read, raw: Float[Tensor, "photo output"]
) -> Float[Tensor, "photo row column"]:
    """Return a view's maps weighted by the gradient of the score of the mean answer, at the view's own features."""
    gradient = _own(network, network.head.relevance(view.seen, raw))  # (photo, feature)
    return (view.maps * gradient[:, :, None, None]).sum(dim=1)


def _own(network: GradingNetwork, seen: Float[Tensor, "photo seen"]) -> Float[Tensor, "photo feature"]:
    """Return the graded photograph's part of what the head reads, or of what is as wide."""
    return seen if network.eyes == 1 else seen[:, : network.features]


def release_graph(
    networks: GradingNetwork | Sequence[GradingNetwork],
    normalise: Normalise,
    canvases: UInt8[np.ndarray, "photo *eyes side side 3"],
) -> PlainGraph:
    """Return the graph to export: with a heatmap where it has a closed form, which a few photographs show."""
    mapped = ReleaseGraph(networks, normalise)
    return mapped if pools_plainly(mapped, canvases) else PlainGraph(networks, normalise)


def to_onnx(graph: PlainGraph, side: int) -> bytes:
    """Export the graph to ONNX, with a free number of photographs."""
    eyes = () if graph.eyes == 1 else (graph.eyes,)
    example = torch.zeros(FREE, *eyes, side, side, 3, dtype=torch.uint8)
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations; parity is what is checked
            program = torch.onnx.export(
                graph.exportable(example),
                (example,),
                dynamo=True,
                input_names=["canvases"],
                output_names=list(graph.outputs),
                dynamic_shapes=({0: torch.export.Dim("photo", min=1, max=4096)},),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as problem:
        reason = next((line for line in str(problem).splitlines() if "Error'>" in line), type(problem).__name__)
        raise BadRelease(
            f"export: expected a graph that ONNX has operators for, got {reason.split('>: ')[-1]}. "
            "Choose another release.heatmap or backbone"
        ) from problem
    finally:
        noisy.setLevel(level)
    if program is None:
        raise BadRelease("the ONNX exporter returned nothing; this version of torch is not supported")
    return bytes(without_traces(program.model_proto).SerializeToString())


def without_traces(model: Any) -> Any:
    """Remove the exporter's notes from an ONNX model: its stack traces name files of the machine it ran on."""
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
    """Return whether each network's features are the mean of its last map, as the heatmap's closed form requires."""
    with torch.inference_mode():
        pictures = graph.normalise(torch.from_numpy(canvases))
        return all(_pools_plainly(network, pictures) for network in graph.networks)


def _pools_plainly(network: GradingNetwork, pictures: Float[Tensor, "photo *eyes 3 side side"]) -> bool:
    maps = network.maps(network.lay_out(pictures)[0])
    features = network.pool(maps)
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


def check_closed_form(graph: ReleaseGraph, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]) -> None:
    """Compare heatmaps in closed form with Grad-CAM by autograd, the gradient of the whole answer.

    Raises:
        BadRelease: If one correlates below 0.999.
    """
    pictures = torch.from_numpy(canvases)
    with torch.no_grad():
        closed = graph(pictures)[2].numpy()
    defined = answer_and_explain(list(graph.networks), graph.normalise(pictures), Method()).map.detach().numpy()
    lowest = min(_correlation(a, b) for a, b in zip(closed, defined, strict=True))
    if not lowest >= MAP_CORRELATION:
        raise BadRelease(
            f"export: expected heatmaps that correlate >= {MAP_CORRELATION} with the gradient of the whole answer, got "
            f"{lowest:.4f}; no release is written. Choose another release.heatmap"
        )


def halve(model: bytes) -> bytes:
    """Store large weights of an ONNX graph as 16-bit floats, which it widens to 32 bits when it is loaded.

    Nothing is computed with 16 bits; onnxruntime folds the widening away, so speed and memory stay as they were.
    """
    import onnx
    from onnx import numpy_helper

    proto = onnx.load_from_string(model)
    widening = []
    for weight in proto.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype == np.float32 and values.size >= HALF_LENGTH:
            name, stored = weight.name, f"{weight.name}_16"
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), stored))
            widening.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*widening, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString())


def check_parity(
    graph: PlainGraph,
    model: bytes,
    canvases: UInt8[np.ndarray, "photo *eyes side side 3"],
    head: str,
    *,
    task: Task = DR_GRADE,
    tolerance: float = RAW_TOLERANCE,
) -> None:
    """Compare the exported graph with torch on real photographs.

    Args:
        graph: The graph in torch.
        model: The same, exported.
        canvases: Prepared photographs.
        head: The network's head.
        task: What it answers.
        tolerance: Largest deviation of a raw output.

    Raises:
        BadRelease: If a raw output deviates by more than the tolerance, a heatmap correlates below 0.999, is no
            Grad-CAM of the answer, or an answer changes. The message says how far off it was.
    """
    if isinstance(graph, ReleaseGraph):
        check_pooling(graph, canvases[:1])
        check_closed_form(graph, canvases[:AUTOGRAD_PHOTOGRAPHS])
    with torch.no_grad():
        expected = dict(
            zip(graph.outputs, (output.numpy() for output in graph(torch.from_numpy(canvases))), strict=True)
        )
    outputs = run_onnx(model, canvases)
    worst = float(np.abs(outputs["raw"] - expected["raw"]).max())
    if not worst <= tolerance:
        raise BadRelease(f"export: expected raw outputs within {tolerance} of torch's, got {worst:.2e}; no release")
    if "heatmap" in expected:
        lowest = min(_correlation(a, b) for a, b in zip(outputs["heatmap"], expected["heatmap"], strict=True))
        if not lowest >= MAP_CORRELATION:
            raise BadRelease(
                f"export: expected heatmaps to correlate >= {MAP_CORRELATION} with torch's, got {lowest:.4f}"
            )
    changed = task.decisions(head, outputs["raw"]) != task.decisions(head, expected["raw"])  # (photo,) or (photo, sign)
    count = int(changed.reshape(len(canvases), -1).any(axis=1).sum())
    if count:
        raise BadRelease(f"export: {count} of {len(canvases)} photographs changed their answer; no release is written")


def run_onnx(model: bytes, canvases: UInt8[np.ndarray, "photo *eyes side side 3"]) -> dict[str, np.ndarray]:
    """Return the outputs of an ONNX graph by name, computed with onnxruntime."""
    return run_graph(model, canvases, threads=available_cores())


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if first.std() < 1e-9 or second.std() < 1e-9:  # a flat map agrees with a flat map only
        return 1.0 if np.allclose(first, second, atol=1e-4) else 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])
