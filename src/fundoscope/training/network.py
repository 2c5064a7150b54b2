"""A grading network: backbone, pooled features, head, and where asked a lesion map and an auxiliary head."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.training.backbone import build_backbone, feature_width
from fundoscope.training.heads import Head, build_head, build_second_head
from fundoscope.training.sections import Lesions, Network

LESION_KINDS = ("red", "bright")
"""Channels of the lesion map: haemorrhages and microaneurysms; hard and soft exudates."""

Pictures = Float[Tensor, "photo 3 side side"]


class Output(NamedTuple):
    """What a forward pass gives."""

    raw: Float[Tensor, "photo output"]
    features: Float[Tensor, "photo feature"]
    lesions: Float[Tensor, "photo kind row column"] | None
    second: Float[Tensor, "photo output2"] | None = None
    """Raw output of the auxiliary head, while training with one."""


class GradingNetwork(nn.Module):
    """Pooled-feature grader. Input: normalised pictures (photo, 3, side, side), RGB."""

    backbone: Any  # timm's networks have methods that torch's types do not know
    head: Head

    def __init__(self, network: Network, lesions: Lesions | None = None) -> None:
        super().__init__()
        self.backbone = build_backbone(network.backbone, network.weights, drop_path=network.drop_path)
        self.features = feature_width(self.backbone)
        self.dropout = nn.Dropout(network.dropout)
        self.head = build_head(network, self.features)
        self.flip_average = network.flip_average
        self.frozen = network.freeze
        self.lesion_index = lesions.index if lesions and lesions.weight else None
        self.lesion_head = nn.Conv2d(self._lesion_width(), len(LESION_KINDS), 1) if self.lesion_index else None
        self.second_head = build_second_head(network, self.head)
        self._freeze()

    def forward(self, pictures: Pictures) -> Output:
        """Raw output, pooled features and, where there are such heads, the lesion logits and the second raw output."""
        if self.lesion_head is None:
            maps, lesions = self.maps(pictures), None
        else:
            maps, inner = self.backbone.forward_intermediates(pictures, indices=None, norm=False)
            lesions = self.lesion_head(inner[self.lesion_index])
        features = self.pool(maps)
        embedded = self.head.embed(self.dropout(features))
        second = None if self.second_head is None else self.second_head(embedded)
        return Output(self.head.read(embedded), features, lesions, second)

    def maps(self, pictures: Pictures) -> Float[Tensor, "photo feature row column"]:
        """The backbone's last feature map."""
        maps: Tensor = self.backbone.forward_features(pictures)
        return maps

    def pool(self, maps: Float[Tensor, "photo feature row column"]) -> Float[Tensor, "photo feature"]:
        """The pooled feature vector."""
        features: Tensor = self.backbone.forward_head(maps, pre_logits=True)
        return features

    def grade(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Raw output and features as they are reported: averaged with the mirror image where asked."""
        raw, features, *_ = self(pictures)
        if self.flip_average:
            mirrored, mirrored_features, *_ = self(pictures.flip(-1))
            raw, features = (raw + mirrored) / 2, (features + mirrored_features) / 2
        return raw, features

    def train(self, mode: bool = True) -> GradingNetwork:
        """Training mode for all but the frozen parts, whose batch norms keep their statistics."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def _freeze(self) -> None:
        for part in self._frozen_parts():
            part.requires_grad_(False)

    def _frozen_parts(self) -> list[nn.Module]:
        return [self.backbone.get_submodule(name) for name in self.frozen]

    def _lesion_width(self) -> int:
        with torch.no_grad():
            _, inner = self.backbone.eval().forward_intermediates(torch.zeros(1, 3, 64, 64), norm=False)
        return int(inner[self.lesion_index].shape[1])
