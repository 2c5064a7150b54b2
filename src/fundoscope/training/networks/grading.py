"""A grading network: backbone, pooled features, head, and where asked both eyes, a lesion map and an auxiliary head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fundoscope.errors import BadExperiment
from fundoscope.grades import GRADES
from fundoscope.training.experiment.sections import Lesions, Network
from fundoscope.training.networks.backbone import build_backbone, feature_width
from fundoscope.training.networks.freezing import freeze_parts, frozen_parts, keep_frozen
from fundoscope.training.networks.fusion import Fusion
from fundoscope.training.networks.heads import Head, Prototype, build_head, build_second_head

LESION_KINDS = ("red", "bright")
"""Channels of the lesion map: haemorrhages and microaneurysms; hard and soft exudates."""

PROBE = 64
"""Side in pixels of the picture that shapes are measured with, where any will do."""

Pictures = Float[Tensor, "photo *eyes 3 side side"]
"""Normalised pictures; for a network of both eyes pairs, the graded one first (`fusion`)."""


class Output(NamedTuple):
    """What a forward pass gives."""

    raw: Float[Tensor, "photo output"]
    features: Float[Tensor, "photo feature"]
    """Pooled, of the graded photograph alone."""
    lesions: Float[Tensor, "photo kind row column"] | None
    second: Float[Tensor, "photo output2"] | None = None
    """Raw output of the auxiliary head, while training with one."""


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape; a single one as it is, with no needless node in an exported graph."""
    return tensors[0] if len(tensors) == 1 else torch.stack(list(tensors)).mean(dim=0)


def laid_back(maps: Tensor, *, mirrored: bool) -> Tensor:
    """Return maps (..., row, column) of a view as they lie on the photograph."""
    return maps.flip(-1) if mirrored else maps


class GradingNetwork(nn.Module):
    """Pooled-feature grader. Input: normalised pictures (photo, 3, side, side), RGB; of both eyes (photo, 2, 3, ...).

    With both eyes the head reads the features of the graded photograph and of its fellow, side by side. The features
    that are reported stay the graded photograph's own: one vector for a photograph, whether or not the other eye was
    there, to compare photographs by.
    """

    backbone: Any  # timm's networks have methods that torch's types do not know
    head: Head

    def __init__(
        self, network: Network, lesions: Lesions | None = None, *, side: int | None = None, outputs: int = GRADES
    ) -> None:
        """Build it for pictures of `side` pixels; None: of the side that the backbone was published for."""
        super().__init__()
        self.backbone = build_backbone(network, side=side)
        self.features = feature_width(self.backbone)
        self.fusion = Fusion(self.features) if network.eyes == 2 else None
        self.eyes = network.eyes
        self.seen = self.features * network.eyes
        self.dropout = nn.Dropout(network.dropout)
        self.head = build_head(network, self.seen, outputs=outputs)
        self.flip_average = network.flip_average
        self.still = frozen_parts(self.backbone, network)
        self.frozen_batch_norm = network.frozen_batch_norm
        self.lesion_index = lesions.index if lesions and lesions.weight else None
        self.lesion_head = None
        if self.lesion_index is not None:
            self.lesion_head = nn.Conv2d(self._lesion_width(self.lesion_index, side), len(LESION_KINDS), 1)
        self.second_head = build_second_head(network, self.head)
        freeze_parts(self.backbone, self.still)

    def forward(self, pictures: Pictures) -> Output:
        """Raw output, pooled features and, where there are such heads, the lesion logits and the second raw output."""
        count = len(pictures)
        laid, there = self.lay_out(pictures)
        if self.lesion_head is None:
            maps, lesions = self.maps(laid), None
        else:
            maps, inner = self.backbone.forward_intermediates(laid, indices=None, norm=False)
            lesions = self.lesion_head(inner[self.lesion_index][:count])
        features = self.pool(maps)
        embedded = self.head.embed(self.dropout(self.join(features, there)))
        second = None if self.second_head is None else self.second_head(embedded)
        return Output(self.head.read(embedded), features[:count], lesions, second)

    def lay_out(self, pictures: Pictures) -> tuple[Float[Tensor, "picture 3 side side"], Bool[Tensor, " photo"] | None]:
        """The pictures that the backbone looks at, graded ones first; with both eyes, which have a fellow there."""
        return (pictures, None) if self.fusion is None else self.fusion.lay_out(pictures)

    def join(
        self, features: Float[Tensor, "picture feature"], there: Bool[Tensor, " photo"] | None
    ) -> Float[Tensor, "photo seen"]:
        """What the head reads, from the features of what `lay_out` gave."""
        if self.fusion is None or there is None:
            return features
        joined: Tensor = self.fusion(features, there)
        return joined

    def maps(self, pictures: Pictures) -> Float[Tensor, "photo ..."]:
        """What the backbone gives before pooling: a map (photo, feature, row, column), or a transformer's tokens."""
        maps: Tensor = self.backbone.forward_features(pictures)
        return maps

    def pool(self, maps: Float[Tensor, "photo ..."]) -> Float[Tensor, "photo feature"]:
        """The pooled feature vector."""
        features: Tensor = self.backbone.forward_head(maps, pre_logits=True)
        return features

    def grade(self, pictures: Pictures) -> tuple[Tensor, Tensor]:
        """Raw output and features as they are reported: averaged with the mirror image where asked."""
        raw, features, _ = self.grade_twice(pictures)
        return raw, features

    def grade_twice(self, pictures: Pictures) -> tuple[Tensor, Tensor, Tensor | None]:
        """The same and, where there is a second head, its raw output."""
        outputs = [self(view) for view, _ in self.views(pictures)]
        raw, features = mean_of([o.raw for o in outputs]), mean_of([o.features for o in outputs])
        second = None if outputs[0].second is None else mean_of([o.second for o in outputs])
        return raw, self.reported(features), second

    def views(self, pictures: Pictures) -> list[tuple[Pictures, bool]]:
        """Return the views whose outputs are averaged when grading, each with whether it is mirrored.

        A map of a mirrored view is laid back over the photograph by `laid_back`.
        """
        return [(pictures, False), (pictures.flip(-1), True)] if self.flip_average else [(pictures, False)]

    def reported(self, features: Float[Tensor, "photo feature"]) -> Float[Tensor, "photo reported"]:
        """What photographs are compared by: with prototypes the projection that these see, else the pooled features."""
        return self.head.project(features) if isinstance(self.head, Prototype) else features

    @property
    def reported_width(self) -> int:
        """Length of what `reported` gives."""
        return int(self.head.prototypes.shape[1]) if isinstance(self.head, Prototype) else self.features

    def train(self, mode: bool = True) -> GradingNetwork:
        """Training mode for all but the frozen parts, whose batch norms keep their statistics."""
        super().train(mode)
        keep_frozen(self.backbone, self.still, batch_norm=self.frozen_batch_norm)
        return self

    def _lesion_width(self, index: int, side: int | None) -> int:
        if not hasattr(self.backbone, "forward_intermediates"):
            raise BadExperiment(
                "lesions.weight: expected 0 for a backbone without inner maps, got more. Change network.backbone"
            )
        pictures = torch.zeros(1, 3, side or PROBE, side or PROBE)
        with torch.no_grad():
            _, inner = self.backbone.eval().forward_intermediates(pictures, norm=False)
        if not -len(inner) <= index < len(inner):
            raise BadExperiment(
                f"lesions.index: expected one of the backbone's {len(inner)} inner maps, from {-len(inner)} to "
                f"{len(inner) - 1}, got {index}. Change lesions.index"
            )
        return int(inner[index].shape[1])
