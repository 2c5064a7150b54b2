"""The simplest convolutional network of the comparisons: three 3x3 convolutions, trained from scratch.

What the comparison of a CNN, a ResNet-50 and a ViT calls a simple CNN: each convolution is followed by
ReLU and a 2x2 max pooling; the features are the mean of the last map. It speaks timm's interface, so
that freezing, layer decay, lesion maps and export treat it like any other backbone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.errors import BadExperiment

WIDTHS = (32, 64, 128)
"""Channels after each convolution, unless `network.size = {widths = [...]}` says otherwise."""


class ThreeConvolutions(nn.Module):
    """Pictures (photo, 3, side, side) of any side from 8 px to features (photo, widths[2])."""

    def __init__(self, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        if len(widths) != 3 or not all(isinstance(width, int) and width > 0 for width in widths):
            raise BadExperiment(
                f"network.size.widths: expected the channels of three convolutions, got {widths!r}. Give three numbers"
            )
        before = (3, *widths[:2])
        self.stages = nn.ModuleList(_stage(old, new) for old, new in zip(before, widths, strict=True))
        self.num_features = widths[2]

    def forward_features(
        self, pictures: Float[Tensor, "photo 3 side side"]
    ) -> Float[Tensor, "photo feature row column"]:
        """The last map, an eighth of the side."""
        for stage in self.stages:
            pictures = stage(pictures)
        return pictures

    def forward_head(
        self, maps: Float[Tensor, "photo feature row column"], pre_logits: bool = True
    ) -> Float[Tensor, "photo feature"]:
        """Mean of each channel."""
        return maps.mean(dim=(2, 3))

    def forward(self, pictures: Float[Tensor, "photo 3 side side"]) -> Float[Tensor, "photo feature"]:
        """The features."""
        return self.forward_head(self.forward_features(pictures))

    def forward_intermediates(
        self, x: Float[Tensor, "photo 3 side side"], indices: None = None, norm: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """The last map and all three, in order."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return x, maps

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's grouping by depth, for layer decay: each convolution is a layer."""
        return {"stem": r"^stages\.0", "blocks": r"^stages\.(\d+)"}


def _stage(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
