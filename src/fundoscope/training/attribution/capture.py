"""What a network holds inside while it looks: the maps of its layers, and a transformer's attention.

Both are collected by the network's own forward pass, so that gradients with respect to them can be taken; a layer's
tokens are laid out on the grid that they came from, and all prefix tokens (class token, registers) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.errors import BadRequest
from fundoscope.training.networks.clip import ClipImageTower

LAST = "last"
"""The layer that a map is taken of by default: the last that keeps a place for everything."""


class Grid(NamedTuple):
    """How a transformer's tokens lie."""

    prefix: int
    """Tokens that stand for no place: the class token and registers."""
    rows: int
    columns: int


Maps = Float[Tensor, "photo channel row column"]
Attention = Float[Tensor, "photo head query key"]
"""Softmax attention of a block, rows summing to 1."""


def token_grid(backbone: nn.Module, pictures: Float[Tensor, "photo 3 row column"]) -> Grid | None:
    """How a transformer's tokens of such pictures lie; None for any other network."""
    network: Any = backbone
    height, width = pictures.shape[-2:]
    if isinstance(backbone, ClipImageTower):
        patch = network.visual.conv1.kernel_size
        return Grid(1, height // patch[0], width // patch[1])
    if not hasattr(network, "blocks") or not hasattr(getattr(network, "patch_embed", None), "patch_size"):
        return None
    patch = network.patch_embed.patch_size
    return Grid(int(getattr(network, "num_prefix_tokens", 1)), height // patch[0], width // patch[1])


def default_layer(backbone: nn.Module) -> str:
    """Name of the layer whose map is taken by default.

    Of a transformer that is what the last block's attention reads (its first norm): behind that attention, where the
    class token is what the head reads, it alone goes on, and no other token matters any more.
    """
    network: Any = backbone
    if isinstance(backbone, ClipImageTower):
        return f"visual.transformer.resblocks.{len(network.visual.transformer.resblocks) - 1}.ln_1"
    if hasattr(network, "blocks") and hasattr(network.blocks[-1], "norm1"):
        return f"blocks.{len(network.blocks) - 1}.norm1"
    return LAST


def named_layers(backbone: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    """The layers of these names.

    Raises:
        BadRequest: If the network has none of a name.
    """
    modules = dict(backbone.named_modules())
    unknown = [name for name in names if name not in modules or not name]
    if unknown:
        stages = [info["module"] for info in getattr(backbone, "feature_info", [])]
        raise BadRequest(
            f"layer: expected a module of {type(backbone).__name__}, got {unknown[0]!r}. It has "
            f"{', '.join(stages or [name for name, _ in backbone.named_children()])}"
        )
    return [modules[name] for name in names]


@contextmanager
def captured(layers: list[nn.Module]) -> Iterator[dict[nn.Module, Tensor]]:
    """Collects what the layers give during a forward pass."""
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _: Any, output: Tensor) -> None:
        outputs[module] = output

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def as_maps(tokens_or_maps: Tensor, grid: Grid | None, layer: str) -> Maps:
    """A layer's output as a map: channels first, or tokens laid out on their grid.

    Raises:
        BadRequest: If the output has no places.
    """
    output = tokens_or_maps
    if grid is not None and output.ndim == 3 and output.shape[1] == grid.prefix + grid.rows * grid.columns:
        places = output[:, grid.prefix :].transpose(1, 2)  # (photo, channel, patch)
        return places.reshape(output.shape[0], -1, grid.rows, grid.columns)  # (photo, channel, row, column)
    if output.ndim == 4:
        return output
    raise BadRequest(
        f"layer {layer!r}: expected one that keeps places (photo, channel, row, column, or tokens on their grid), got "
        f"an output of shape {tuple(output.shape)}. Choose an earlier layer"
    )


def attends(backbone: nn.Module) -> bool:
    """Whether it is a transformer whose every token looks at every token, so that its attention can be followed."""
    network: Any = backbone
    if isinstance(backbone, ClipImageTower):
        return True
    blocks = [getattr(block, "attn", None) for block in getattr(network, "blocks", [])]
    return bool(blocks) and all(hasattr(each, "attn_drop") and hasattr(each, "fused_attn") for each in blocks)


@contextmanager
def captured_attention(backbone: nn.Module) -> Iterator[list[Attention]]:
    """Collects the softmax attention of every block, in the order of the blocks, whatever order they are called in.

    Raises:
        BadRequest: If the network has no blocks whose every token looks at every token.
    """
    network: Any = backbone
    held: dict[int, Tensor] = {}
    attentions: list[Attention] = []
    if isinstance(backbone, ClipImageTower):
        blocks = [block.attn for block in network.visual.transformer.resblocks]
        undo = [_watch_multihead(attention, held, at) for at, attention in enumerate(blocks)]
    else:
        if not attends(backbone):
            raise BadRequest(
                f"method: expected a vision transformer, whose blocks attend to all tokens, got "
                f"{type(backbone).__name__}. Choose grad-cam"
            )
        blocks = [block.attn for block in network.blocks]
        undo = [_watch(attention, held, at) for at, attention in enumerate(blocks)]
    try:
        yield attentions
        attentions.extend(held[at] for at in range(len(blocks)))
    finally:
        for back in undo:
            back()


def _watch(attention: Any, held: dict[int, Tensor], at: int) -> Any:
    """timm's attention: fused kernels never form the matrix, so they are switched off while it is watched."""
    fused = attention.fused_attn

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        held[at] = output

    attention.fused_attn = False
    handle = attention.attn_drop.register_forward_hook(keep)

    def back() -> None:
        handle.remove()
        attention.fused_attn = fused

    return back


def _watch_multihead(attention: nn.MultiheadAttention, held: dict[int, Tensor], at: int) -> Any:
    """torch's own, which open_clip uses: computed plainly while it is watched, with the same weights."""
    plainly: Any = attention

    def forward(query: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        photos, tokens, width = query.shape
        projected = torch.nn.functional.linear(query, plainly.in_proj_weight, plainly.in_proj_bias)
        # (photo, token, 3 x head x channel) -> (3, photo, head, token, channel)
        heads = projected.reshape(photos, tokens, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = heads.unbind(0)
        weights = (queries * queries.shape[-1] ** -0.5 @ keys.transpose(-2, -1)).softmax(dim=-1)
        held[at] = weights
        joined = (weights @ values).transpose(1, 2).reshape(photos, tokens, width)  # heads side by side again
        return attention.out_proj(joined), None

    plainly.forward = forward

    def back() -> None:
        del plainly.forward

    return back
