"""Losses: raw output and grades in, one loss per photograph out. No reduction, no state."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fundoscope.grades import GRADES

PerPhoto = Float[Tensor, " photo"]
Labels = Int[Tensor, " photo"]


def coral(raw: Float[Tensor, "photo cut"], grades: Labels) -> PerPhoto:
    """CORAL: sum over the cuts of the binary cross-entropy of `grade > cut`.

    Cao, Mirjalili, Raschka, Pattern Recognition Letters 140 (2020), eq. 4. `raw` holds K-1 cut logits,
    from a shared weight vector or from independent ones.
    """
    levels = (grades[:, None] > torch.arange(raw.shape[1], device=raw.device)).to(raw.dtype)
    return F.binary_cross_entropy_with_logits(raw, levels, reduction="none").sum(dim=1)


def cross_entropy(raw: Float[Tensor, "photo grade"], grades: Labels, *, label_smoothing: float = 0.0) -> PerPhoto:
    """Cross-entropy of unnormalised logits; smoothing spreads that share over all grades."""
    return F.cross_entropy(raw, grades, label_smoothing=label_smoothing, reduction="none")


def mse(raw: Float[Tensor, "photo 1"], grades: Labels) -> PerPhoto:
    """Squared distance of the regression value from the grade."""
    return (raw[:, 0] - grades.to(raw.dtype)) ** 2


def smooth_l1(raw: Float[Tensor, "photo 1"], grades: Labels) -> PerPhoto:
    """Huber's loss with its knee at 1 grade."""
    return F.smooth_l1_loss(raw[:, 0], grades.to(raw.dtype), reduction="none")


LOSSES: dict[str, Callable[..., PerPhoto]] = {
    "coral": coral,
    "cross_entropy": cross_entropy,
    "mse": mse,
    "smooth_l1": smooth_l1,
}


def lesion_loss(
    logits: Float[Tensor, "photo kind row column"],
    target: Float[Tensor, "photo kind row column"],
    known: Float[Tensor, " photo"],
    *,
    positive: float,
) -> PerPhoto:
    """Binary cross-entropy of lesions on a coarse grid, averaged over cells; 0 where none are known.

    Args:
        logits: Cell logits, unnormalised.
        target: Share of lesion in the cell's most lesioned pixel, 0 or 1.
        known: 1 for photographs whose lesions were marked (or that have none), else 0.
        positive: Weight of a cell with a lesion against one without.
    """
    weight = torch.tensor(positive, dtype=logits.dtype, device=logits.device)
    cells = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    return cells.mean(dim=(1, 2, 3)) * known


def class_weights(grades: Labels, kind: str) -> Float[Tensor, " grade"]:
    """Weight of each grade from its frequency in the training rows, scaled to mean 1 over those rows.

    `kind` is `none`, `inverse` (1 / frequency) or `inverse_sqrt`. A grade that does not occur gets 0.
    """
    counts = torch.bincount(grades, minlength=GRADES).double()
    power = {"none": 0.0, "inverse": 1.0, "inverse_sqrt": 0.5}[kind]
    weights = torch.where(counts > 0, counts.clamp_min(1) ** -power, torch.zeros_like(counts))
    return (weights * counts.sum() / (weights * counts).sum()).float()
