"""One function for every way of explaining a network: prepared photographs in, a map for each out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from fundoscope.errors import BadRequest
from fundoscope.training.attribution.cam import CAMS, fuse
from fundoscope.training.attribution.capture import (
    LAST,
    as_maps,
    captured,
    captured_attention,
    default_layer,
    named_layers,
    token_grid,
)
from fundoscope.training.attribution.reference import STEPS, integrated_gradients, occlusion
from fundoscope.training.attribution.rollout import Readout, grad_rollout, last_attention, patches, rollout
from fundoscope.training.attribution.targets import Target, score
from fundoscope.training.networks.clip import ClipImageTower
from fundoscope.training.networks.grading import GradingNetwork, laid_back
from fundoscope.training.networks.normalisation import Normalise

Pictures = Float[Tensor, "photo *eyes 3 row column"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way of explaining."""

    name: str = "grad-cam"
    """One of `METHODS`."""
    layers: tuple[str, ...] = ()
    """Modules of the backbone whose maps are taken, by a class activation map; empty: the last one. Several: fused."""
    discard: float = 0.0
    """Share of the smallest attentions that GradRollout sets to 0."""
    steps: int = STEPS
    """Of integrated gradients."""
    window: int = 0
    """Side in pixels of the square that occlusion covers with; 0: an eighth of the photograph's."""
    target: Target = field(default_factory=Target)


@dataclass(frozen=True, slots=True)
class Attribution:
    """What moved the answer, and where."""

    map: Float[Tensor, "photo row column"]
    """>= 0, in the units of the method; a cell for each place of its grid."""
    residual: Float[Tensor, " photo"] | None = None
    """What the attributions together miss of the score's difference, where the method promises none."""

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.map.shape[1], self.map.shape[2]


class Answered(NamedTuple):
    """What networks say, and the heatmap of it, from one pass forward and one backward."""

    raw: Float[Tensor, "photo output"]
    """The mean of the networks' raw outputs."""
    features: Float[Tensor, "photo feature"]
    """As they are reported, those of several networks side by side."""
    map: Float[Tensor, "photo row column"]


def explain(
    networks: Sequence[GradingNetwork],
    normalise: Normalise,
    canvases: UInt8[Tensor, "photo *eyes row column 3"],
    method: Method,
) -> Attribution:
    """Explain a network's answers to prepared photographs, or the mean answers of several of one experiment.

    A network that averages with the mirror image is explained on both. One of both eyes is explained on the graded
    photograph.

    Args:
        networks: In evaluation mode; their weights are left as they are.
        normalise: The recipe's.
        canvases: uint8 RGB, as `photo.recipe.prepare` makes them.
        method: How, and what of the answer.

    Raises:
        BadRequest: If there is no such method, or the network has not what it needs.
    """
    if method.name in IN_ONE_PASS:
        return Attribution(answer_and_explain(networks, normalise(canvases), method).map.detach())
    if method.name not in SLOW:
        raise BadRequest(f"method: expected one of {', '.join(METHODS)}, got {method.name!r}")
    pictures = normalise(canvases)
    own, rest = (pictures, None) if pictures.ndim == 4 else (pictures[:, 0], pictures[:, 1])

    def score_of(graded: Float[Tensor, "photo 3 row column"]) -> Float[Tensor, " photo"]:
        eyes = graded if rest is None else torch.stack([graded, rest], dim=1)
        raw = torch.stack([network.grade(eyes)[0] for network in networks]).mean(dim=0)
        return score(networks[0].head, raw, method.target)

    return SLOW[method.name](score_of, own, normalise, method)


def answer_and_explain(networks: Sequence[GradingNetwork], pictures: Pictures, method: Method) -> Answered:
    """What the networks say of normalised pictures, and the heatmap, by a method of `IN_ONE_PASS`."""
    make = _cam if method.name in CAMS else _attention
    views = networks[0].views(pictures)
    with torch.enable_grad():
        looks = [(flipped, make(network, view, method)) for network in networks for view, flipped in views]
        raw = torch.stack([look.raw for _, look in looks]).mean(dim=0)
        total = score(networks[0].head, raw, method.target).sum()
        held = [layer for _, look in looks for layer in look.held]
        slopes = iter(_gradients(total, held, method))
    layered: list[list[Tensor]] = []
    for flipped, look in looks:
        maps = look.read([next(slopes) for _ in look.held])
        layered.append([laid_back(layer, mirrored=flipped) for layer in maps])
    means = [torch.stack(same).mean(dim=0).relu() for same in zip(*layered, strict=True)]
    features = torch.cat(
        [
            torch.stack([look.features for _, look in looks[at : at + len(views)]]).mean(dim=0)
            for at in range(0, len(looks), len(views))
        ],
        dim=1,
    )
    return Answered(raw, features, means[0] if len(means) == 1 else fuse(means))


class _Look(NamedTuple):
    """One network's pass over one view of the pictures."""

    raw: Tensor
    features: Tensor
    held: list[Tensor]
    """What gradients are asked of."""
    read: Callable[[list[Tensor]], list[Tensor]]
    """From these gradients to signed maps, one for each layer."""


def _forward(network: GradingNetwork, laid: Tensor, there: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """The last map, raw output and reported features."""
    last = network.maps(laid)
    joined = network.join(network.pool(last), there)
    own = joined if network.eyes == 1 else joined[:, : network.features]
    return last, network.head(joined), network.reported(own)


def _cam(network: GradingNetwork, pictures: Pictures, method: Method) -> _Look:
    names = method.layers or (default_layer(network.backbone),)
    inner = tuple(name for name in names if name != LAST)
    modules = dict(zip(inner, named_layers(network.backbone, inner), strict=True))
    laid, there = network.lay_out(pictures.detach().requires_grad_())
    with captured(list(modules.values())) as outputs:
        last, raw, features = _forward(network, laid, there)
    held = [last if name == LAST else outputs[modules[name]] for name in names]
    grid, count = token_grid(network.backbone, laid), pictures.shape[0]

    def read(slopes: list[Tensor]) -> list[Tensor]:
        return [
            CAMS[method.name](as_maps(layer, grid, name)[:count].detach(), as_maps(slope, grid, name)[:count])
            for name, layer, slope in zip(names, held, slopes, strict=True)
        ]

    return _Look(raw, features, held, read)


def _attention(network: GradingNetwork, pictures: Pictures, method: Method) -> _Look:
    laid, there = network.lay_out(pictures.detach().requires_grad_())
    with captured_attention(network.backbone) as attentions:
        _, raw, features = _forward(network, laid, there)
    grid, readout, count = token_grid(network.backbone, laid), readout_of(network.backbone), pictures.shape[0]
    assert grid is not None, "a network whose attention was captured has tokens"

    def read(slopes: list[Tensor]) -> list[Tensor]:
        graded = [attention[:count].detach() for attention in attentions]
        reach = _JOIN[method.name](graded, [slope[:count] for slope in slopes], method.discard)
        return [patches(reach, grid, readout)]

    return _Look(raw, features, attentions, read)


def _gradients(total: Tensor, held: list[Tensor], method: Method) -> tuple[Tensor, ...]:
    slopes = torch.autograd.grad(total, held, allow_unused=True)
    if any(slope is None for slope in slopes):
        raise BadRequest(
            f"layers: expected such as the answer depends on, got {', '.join(method.layers)}, of which one does not "
            "move it. Choose others"
        )
    return slopes


def readout_of(backbone: Any) -> Readout:
    """What of a transformer's tokens the head reads.

    Raises:
        BadRequest: If it is neither the class token nor the mean of the patches.
    """
    if isinstance(backbone, ClipImageTower) or backbone.global_pool == "token":
        return "class_token"
    if backbone.global_pool == "avg":
        return "mean"
    raise BadRequest(
        f"method: expected a transformer that reads its class token or the mean of its patches, got one that pools by "
        f"{backbone.global_pool!r}. Set network.pool"
    )


_JOIN: Final[dict[str, Callable[[list[Tensor], list[Tensor], float], Tensor]]] = {
    "rollout": lambda attentions, _, __: rollout(attentions),
    "grad-rollout": lambda attentions, slopes, discard: grad_rollout(attentions, slopes, discard=discard),
    "last-attention": lambda attentions, slopes, _: last_attention(attentions, slopes),
}

ScoreOf = Callable[[Float[Tensor, "photo 3 row column"]], Float[Tensor, " photo"]]


def _integrated(of: ScoreOf, own: Tensor, normalise: Normalise, method: Method) -> Attribution:
    """Along the way from black, which is what lies outside the field of view."""
    black = normalise(torch.zeros(own.shape[0], *own.shape[2:], 3, dtype=torch.uint8, device=own.device))
    relevance, residual = integrated_gradients(of, own, black, steps=method.steps)
    return Attribution(relevance.sum(dim=1).relu().detach(), residual.detach())


def _occlusion(of: ScoreOf, own: Tensor, normalise: Normalise, method: Method) -> Attribution:
    """Covered with the photograph's mean colour."""
    window = method.window or max(2, own.shape[-1] // 8)
    fill = own.mean(dim=(2, 3), keepdim=True).expand_as(own)
    return Attribution(occlusion(of, own, fill, window=window, stride=max(1, window // 2)))


SLOW: Final[dict[str, Callable[[ScoreOf, Tensor, Normalise, Method], Attribution]]] = {
    "integrated-gradients": _integrated,
    "occlusion": _occlusion,
}
"""References that ask the networks many times."""

NEEDS_ATTENTION: Final = tuple(_JOIN)
"""What only a transformer can be explained by."""

IN_ONE_PASS: Final = (*CAMS, *_JOIN)
"""What a pass forward and one backward give."""

METHODS: Final = (*IN_ONE_PASS, *SLOW)
"""Every way of explaining, by its name."""
