"""Both eyes of a patient: the features of the graded photograph and of its fellow, side by side, for one head.

As the second place of EyePACS' competition did with pooled features (there without training through them), and as
Huang's paired network. Neither a flag of left or right nor the order of the eyes goes in: mirroring augments both, and
photographs and manifests often do not say. What stands first is graded.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Pictures = Float[Tensor, "photo 3 side side"]
Pairs = Float[Tensor, "photo 2 3 side side"]
"""Normalised pictures, each followed by its fellow; a fellow of all zeros means that there is none."""


class Fusion(nn.Module):
    """Lays out what the backbone looks at, and joins what it saw.

    In place of the features of a fellow that is missing stands a learnt vector, which starts as zeros: such a fellow
    says nothing until training has found what its absence means.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.stand_in = nn.Parameter(torch.zeros(features))

    def lay_out(self, pairs: Pairs) -> tuple[Float[Tensor, "picture 3 side side"], Bool[Tensor, " photo"]]:
        """The graded pictures, then the fellows; and which photographs have one.

        In training only the fellows that are there follow, so that black pictures enter no batch norm's statistics;
        else all of them, for a graph with a fixed way through it.
        """
        own, fellows = pairs.unbind(1)
        there = fellows.flatten(1).abs().amax(dim=1) > 0
        return torch.cat([own, fellows[there] if self.training else fellows]), there

    def forward(
        self, pooled: Float[Tensor, "picture feature"], there: Bool[Tensor, " photo"]
    ) -> Float[Tensor, "photo both"]:
        """Each graded photograph's features, and beside them its fellow's or the learnt vector.

        Args:
            pooled: The features of what `lay_out` gave.
            there: Which photographs have a fellow, as `lay_out` said.
        """
        own, fellows = pooled[: there.shape[0]], pooled[there.shape[0] :]
        if self.training:
            fellows = torch.zeros_like(own).index_put((there,), fellows)
        return torch.cat([own, torch.where(there[:, None], fellows, self.stand_in.to(own.dtype))], dim=1)
