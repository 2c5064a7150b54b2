"""Supervised grading: the grade's loss or losses, and beside them the lesions' where they are known."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from fundoscope.training.augmentation.mixing import mixed_loss
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Loss
from fundoscope.training.networks.grading import GradingNetwork, Output
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.objectives.losses import LOSSES, class_weights, cut_weights, lesion_loss, nt_xent


class Supervised(nn.Module):
    """A grading network with what one step of it minimises."""

    weights: Tensor

    def __init__(self, experiment: Experiment, network: GradingNetwork, grades: Tensor) -> None:
        super().__init__()
        self.network = network
        self.normalise = Normalise(experiment.recipe)
        self.lesions = experiment.lesions
        self.loss = GradeLoss(experiment.loss.name, experiment.loss, grades)
        second = experiment.loss.second
        self.second = None if second == "none" else GradeLoss(second, experiment.loss, grades)
        self.weight, self.second_weight = experiment.loss.weight, experiment.loss.second_weight
        self.contrast = experiment.contrast
        kind = experiment.loss.class_weights
        self.weighed = kind == "grade_source"
        each = class_weights(grades, "none" if self.weighed else kind) if grades.ndim == 1 else torch.ones(1)
        self.register_buffer("weights", each, persistent=False)

    def rebalance(self, on: bool) -> None:
        """Weigh the photographs above each cut by sqrt(below / above) from here on, or as the experiment says."""
        for loss in (self.loss, self.second):
            if loss is not None:
                loss.rebalanced = on

    def step(self, batch: Mapping[str, Tensor], *, side: int | None = None, share: float = 0.0) -> dict[str, Tensor]:
        """Losses of a batch by name; `loss` is their weighted sum.

        `side` shrinks the pictures first; `share` of all epochs is done.
        """
        if not self.contrast.weight:
            return self._supervised(self.network(self.normalise(batch["canvas"], side=side)), batch)
        plain, second_view = (
            self.network(self.normalise(batch[name], side=side)) for name in ("canvas", "second_view")
        )
        losses = self._supervised(second_view, batch)
        features = plain.features.float(), second_view.features.float()
        drawn = nt_xent(*features, temperature=self.contrast.temperature).mean()
        total = share * losses["loss"] + (1 - share) * self.contrast.weight * drawn
        return {**losses, "loss": total, "contrast_loss": drawn.detach()}

    def _supervised(self, output: Output, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name of what is known of the photographs: their grades and, where marked, their lesions."""
        losses = self._graded(output, batch)
        if output.lesions is None or "lesions" not in batch:
            return losses
        target = lesion_cells(batch["lesions"], tuple(output.lesions.shape[-2:]))
        known = batch["lesions_known"].to(target.dtype)
        cells = lesion_loss(output.lesions.float(), target, known, positive=self.lesions.positive)
        lesion = cells.sum() / known.sum().clamp_min(1)
        total = losses["loss"] + self.lesions.weight * lesion
        return {**losses, "loss": total, "lesion_loss": lesion.detach()}

    def _graded(self, output: Output, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means over the batch of the grade's losses by name, and `loss`, their weighted sum.

        A mixed photograph has the losses of its own grade and of its partner's, by the share of each.
        """
        each = self._each(output, batch["grade"], batch["weight"] if self.weighed else None)
        if "grade_partner" in batch:
            weight, share = batch["weight_partner"] if self.weighed else None, batch["share"].float()
            partners = self._each(output, batch["grade_partner"], weight)
            each = {name: mixed_loss(own, partners[name], share) for name, own in each.items()}
        means = {name: losses.mean() for name, losses in each.items()}
        total = self.weight * means["grade_loss"] + self.second_weight * means.get("second_loss", 0.0)
        return {"loss": total} | {name: mean.detach() for name, mean in means.items()}

    def _each(
        self, output: Output, grades: Shaped[Tensor, "photo ..."], weights: Float[Tensor, " photo"] | None
    ) -> dict[str, Float[Tensor, " photo"]]:
        """Each photograph's first loss, and the second of the second head or, where there is none, of the same.

        They are weighed as given, else by grade or class; signs have no weights.
        """
        if weights is None:
            weights = self.weights[grades] if grades.ndim == 1 else self.weights
        weights = weights.float()
        each = {"grade_loss": self.loss(output.raw.float(), grades) * weights}
        if self.second is not None:
            raw = output.raw if output.second is None else output.second
            each["second_loss"] = self.second(raw.float(), grades) * weights
        return each

    def grade(self, canvases: UInt8[Tensor, "photo *eyes side side 3"]) -> tuple[Tensor, Tensor]:
        """Raw output and features of prepared photographs."""
        raw, features = self.network.grade(self.normalise(canvases))
        return raw.float(), features.float()


class GradeLoss(nn.Module):
    """A loss by its name, with those of the experiment's options that it reads."""

    weights: Tensor | None
    even: Tensor | None
    rebalanced = False
    """Whether the cuts are weighed by `even` instead of `weights`."""

    def __init__(self, name: str, settings: Loss, grades: Shaped[Tensor, "row ..."]) -> None:
        super().__init__()
        cuts = cut_weights(grades, "sqrt", conditional=name == "corn") if name in ("coral", "corn") else None
        self.function = LOSSES[name]
        self.options: dict[str, float] = {}
        self.keyword, weights = "", None
        if name == "cross_entropy":
            self.options = {"label_smoothing": settings.label_smoothing}
        elif name == "focal":
            self.options = {"gamma": settings.focal_gamma}
            self.keyword, weights = "alpha", torch.tensor(settings.focal_alpha) if settings.focal_alpha else None
        elif name in ("coral", "corn"):
            self.keyword, weights = "positive", cuts if settings.cut_weights == "sqrt" else None
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("even", cuts, persistent=False)

    def forward(
        self, raw: Float[Tensor, "photo output"], grades: Shaped[Tensor, "photo ..."]
    ) -> Float[Tensor, " photo"]:
        """One loss for each photograph."""
        weights = self.even if self.rebalanced and self.even is not None else self.weights
        tensors = {} if weights is None else {self.keyword: weights}
        return self.function(raw, grades, **self.options, **tensors)


def lesion_cells(
    lesions: UInt8[Tensor, "photo side side kind"], grid: tuple[int, ...]
) -> Float[Tensor, "photo kind row column"]:
    """Lesion maps on the network's grid: 1 where any pixel of the cell is marked."""
    maps = (lesions.float() / 255).permute(0, 3, 1, 2)
    return F.adaptive_max_pool2d(maps, grid)
