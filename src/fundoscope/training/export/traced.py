"""A heatmap that needs gradients, inside the exported graph: the backward pass is traced like the forward one.

`torch.export` cannot look into `autograd.grad`, but `make_fx` can: what it records is both passes as plain operators,
and that exports like any network. The weights ask for no gradient, so only the way from the score to the layers is
recorded. The number of photographs stays free because it is traced with a fake batch whose length is a symbol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from fundoscope.errors import BadRequest
from fundoscope.runtime.runnable import HEATMAPS
from fundoscope.training.attribution.capture import token_grid
from fundoscope.training.attribution.explain import Method, answer_and_explain
from fundoscope.training.attribution.targets import Target
from fundoscope.training.experiment.sections import Release
from fundoscope.training.export.graph import PlainGraph, release_graph
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

TRACEABLE: Final = tuple(name for name in HEATMAPS if name != "none")
"""Ways of explaining that can be exported: those that a release may name."""


def heatmap_graph(
    networks: Sequence[GradingNetwork],
    normalise: Normalise,
    canvases: UInt8[np.ndarray, "photo *eyes side side 3"],
    release: Release,
) -> list[PlainGraph]:
    """What may be exported, best first: of `auto` a graph without a heatmap stands last, to fall back on.

    Args:
        networks: Of one experiment.
        normalise: The recipe's.
        canvases: A few photographs, which tell whether the heatmap has a closed form.
        release: Says how answers are to be explained.

    Raises:
        BadRequest: If there is no such way, or the network has not what it needs.
    """
    plain, name = PlainGraph(networks, normalise), release.heatmap
    if name == "none":
        return [plain]
    closed = release_graph(networks, normalise, canvases)
    if name in ("auto", "grad-cam") and not release.heatmap_layers and closed.heatmap == "grad-cam":
        return [closed]
    if name != "auto":
        return [TracedGraph(networks, normalise, Method(name=name, layers=release.heatmap_layers))]
    transformer = token_grid(networks[0].backbone, torch.zeros(1, 3, *canvases.shape[-3:-1])) is not None
    likely = Method(name="grad-rollout" if transformer else "grad-cam", layers=release.heatmap_layers)
    traced = TracedGraph(networks, normalise, likely)
    try:
        traced(torch.from_numpy(canvases[:1]))
    except BadRequest:
        return [plain]
    return [traced, plain]


class TracedGraph(PlainGraph):
    """Prepared photographs in; raw output, features and any heatmap of `TRACEABLE` out, for the answer.

    Raises:
        BadRequest: If the method cannot be exported.
    """

    outputs = ("raw", "features", "heatmap")

    def __init__(
        self, networks: GradingNetwork | Sequence[GradingNetwork], normalise: Normalise, method: Method
    ) -> None:
        super().__init__(networks, normalise)
        if method.name not in TRACEABLE or method.target != Target() or method.discard:
            raise BadRequest(
                f"release.heatmap: expected one of {', '.join(TRACEABLE)} for the answer, got {method.name!r} for "
                f"{method.target}. Others are shown by `fundoscope explain --checkpoint`"
            )
        self.method, self.heatmap = method, method.name
        self.requires_grad_(False)

    def forward(self, canvases: UInt8[Tensor, "photo *eyes side side 3"]) -> tuple[Tensor, Tensor, Tensor]:
        """Raw output, features, and a heatmap with largest value 1 (0 where nothing spoke for the answer)."""
        with plain_operators(self):
            raw, features, heat = answer_and_explain(list(self.networks), self.normalise(canvases), self.method)
        # An added epsilon would vanish in the exported graph; a floor does not.
        top = heat.amax(dim=(1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
        return raw.detach(), features.detach(), heat.detach() / top

    def exportable(self, example: UInt8[Tensor, "photo *eyes side side 3"]) -> nn.Module:
        """Both passes as plain operators, for any number of photographs."""
        free = [DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (example.ndim - 1)]
        mode = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
        fake = mode.from_tensor(example, symbolic_context=StatelessSymbolicContext(dynamic_sizes=free))
        operators: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
        operators[torch.ops.aten.convolution_backward.default] = _convolution_backward
        operators[torch.ops.aten.avg_pool2d_backward.default] = _mean_pool_backward
        traced: nn.Module = make_fx(
            lambda canvases: self(canvases),
            tracing_mode="symbolic",
            decomposition_table=operators,
            _allow_non_fake_inputs=True,
        )(fake)
        return traced


@contextmanager
def plain_operators(graph: nn.Module) -> Iterator[None]:
    """While it holds, the graph computes with operators whose gradients can be exported.

    Pooling to one cell is a mean (torch's own hides strides in it), and attention is not fused.
    """
    pooling = [module for module in graph.modules() if _pools_to_one_cell(module)]
    fused: list[Any] = [module for module in graph.modules() if getattr(module, "fused_attn", False)]
    for module in pooling:
        module.forward = _mean_cell
    for module in fused:
        module.fused_attn = False
    try:
        yield
    finally:
        for module in pooling:
            del module.forward
        for module in fused:
            module.fused_attn = True


def _pools_to_one_cell(module: nn.Module) -> bool:
    return isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size in (1, (1, 1))


def _mean_cell(maps: Tensor) -> Tensor:
    return maps.mean(dim=(2, 3), keepdim=True)


def _convolution_backward(
    gradient: Tensor, inputs: Tensor, weight: Tensor, bias_sizes: Any, *options: Any
) -> tuple[Tensor | None, None, None]:
    """The gradient of a convolution's input is a transposed convolution of the gradient; weights are not asked for."""
    stride, padding, dilation, transposed, _, groups, wanted = options
    if transposed or any(wanted[1:]):
        raise BadRequest("release.heatmap: expected plain convolutions with fixed weights, got others. Choose 'none'")
    return _pull_back(gradient, inputs, weight, (stride, padding, dilation), groups), None, None


def _mean_pool_backward(gradient: Tensor, inputs: Tensor, kernel: list[int], *options: Any) -> Tensor:
    """The gradient of a mean over windows: each cell's share goes to all of its window."""
    stride, padding, ceil, counts_padding, divisor = options
    if ceil or divisor or (any(padding) and not counts_padding):
        raise BadRequest("release.heatmap: expected means over whole windows, got a ragged pooling. Choose 'none'")
    channels = inputs.shape[1]
    weight = gradient.new_full((channels, 1, *kernel), 1 / (kernel[0] * kernel[1]))
    return _pull_back(gradient, inputs, weight, (stride or kernel, padding, [1, 1]), channels)


def _pull_back(
    gradient: Tensor, inputs: Tensor, weight: Tensor, steps: tuple[list[int], list[int], list[int]], groups: int
) -> Tensor:
    """A transposed convolution back to the size of the inputs; `steps` are stride, padding and dilation."""
    stride, padding, dilation = steps
    # What the stride could not see at the far edges.
    missing = [
        int(inputs.shape[2 + at])
        - ((int(gradient.shape[2 + at]) - 1) * stride[at] - 2 * padding[at])
        - (dilation[at] * (weight.shape[2 + at] - 1) + 1)
        for at in range(2)
    ]
    return F.conv_transpose2d(gradient, weight, None, stride, padding, missing, groups, dilation)
