"""Supervised grading: the grade's loss, and beside it the lesions' where they are known."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fundoscope.photo.recipe import Recipe
from fundoscope.training.config import Experiment
from fundoscope.training.losses import LOSSES, class_weights, lesion_loss
from fundoscope.training.network import GradingNetwork


class Supervised(nn.Module):
    """A grading network with what one step of it minimises."""

    weights: Tensor

    def __init__(self, experiment: Experiment, network: GradingNetwork, grades: Tensor) -> None:
        super().__init__()
        self.network = network
        self.normalise = Normalise(experiment.recipe)
        self.lesions = experiment.lesions
        smoothing = (
            {"label_smoothing": experiment.loss.label_smoothing} if experiment.loss.name == "cross_entropy" else {}
        )
        self.loss = functools.partial(LOSSES[experiment.loss.name], **smoothing)
        self.register_buffer("weights", class_weights(grades, experiment.loss.class_weights), persistent=False)

    def step(self, batch: Mapping[str, Tensor], *, side: int | None = None) -> dict[str, Tensor]:
        """Losses of a batch by name; `loss` is their weighted sum. `side` shrinks the pictures first."""
        output = self.network(self.normalise(batch["canvas"], side=side))
        graded = (self.loss(output.raw.float(), batch["grade"]) * self.weights[batch["grade"]]).mean()
        if output.lesions is None or "lesions" not in batch:
            return {"loss": graded, "grade_loss": graded.detach()}
        target = lesion_cells(batch["lesions"], tuple(output.lesions.shape[-2:]))
        known = batch["lesions_known"].to(target.dtype)
        cells = lesion_loss(output.lesions.float(), target, known, positive=self.lesions.positive)
        lesion = cells.sum() / known.sum().clamp_min(1)
        total = graded + self.lesions.weight * lesion
        return {"loss": total, "grade_loss": graded.detach(), "lesion_loss": lesion.detach()}

    def grade(self, canvases: UInt8[Tensor, "photo side side 3"]) -> tuple[Tensor, Tensor]:
        """Raw output and features of prepared photographs."""
        raw, features = self.network.grade(self.normalise(canvases))
        return raw.float(), features.float()


class Normalise(nn.Module):
    """Prepared photographs to what the network takes: the torch twin of `photo.recipe.normalise`."""

    gain: Tensor
    offset: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
        self.register_buffer("gain", (1 / (255 * std)).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", (-mean / std).reshape(1, 3, 1, 1), persistent=False)

    def forward(
        self, canvases: UInt8[Tensor, "photo side side 3"], *, side: int | None = None
    ) -> Float[Tensor, "photo 3 small small"]:
        """(x / 255 - mean) / std, channels first, optionally shrunk to `side`."""
        pictures = canvases.permute(0, 3, 1, 2).float()
        if side is not None and side != canvases.shape[1]:
            pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
        return pictures * self.gain + self.offset


def lesion_cells(
    lesions: UInt8[Tensor, "photo side side kind"], grid: tuple[int, ...]
) -> Float[Tensor, "photo kind row column"]:
    """Lesion maps on the network's grid: 1 where any pixel of the cell is marked."""
    maps = (lesions > 0).float().permute(0, 3, 1, 2)
    return F.adaptive_max_pool2d(maps, grid)
