"""Supervised grading: the grade's loss or losses, and beside them the lesions' where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from fundoscope.training.augmentation.mixing import mixed_loss
from fundoscope.training.batches.items import Batch, SupervisedViews
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Loss
from fundoscope.training.networks.grading import GradingNetwork, Output
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.objectives.distillation import Teachers
from fundoscope.training.objectives.losses import LOSSES, class_weights, cut_weights, lesion_loss, nt_xent
from fundoscope.training.objectives.objective import Objective, Optimisation, Outputs, Progress
from fundoscope.training.objectives.optimiser import build_optimiser, rate_factor, side_at
from fundoscope.training.objectives.validation import MONITORS, figures


class Supervised(Objective):
    """A grading network, the losses of what is known of its photographs, and one optimiser for all of it."""

    network: GradingNetwork
    weights: Tensor

    def __init__(
        self, experiment: Experiment, network: GradingNetwork, grades: Tensor, *, teachers: Teachers | None = None
    ) -> None:
        """Prepare the losses.

        Args:
            experiment: The whole experiment.
            network: The network that is trained.
            grades: What the training rows are learnt as; frequencies are counted on them.
            teachers: Trained networks to learn from besides (`experiment.distil`).
        """
        super().__init__()
        self.network = network
        self.epochs = experiment.fit.epochs + experiment.fit.rebalance_epochs
        self.optimiser, self.fit = experiment.optimiser, experiment.fit
        self.head, self.target = experiment.network.head, target_of(experiment.data)
        self.monitor = MONITORS[self.target.kind]
        plain_view = teachers is not None and experiment.distil.view == "plain"
        self.views = SupervisedViews(
            experiment.augment,
            experiment.seed,
            second_view=experiment.contrast.weight > 0,
            fellow_dropout=experiment.network.fellow_dropout,
            plain_view=plain_view,
        )
        self.taught_on = "plain_view" if plain_view else "canvas"
        self.teachers, self.taught = teachers, experiment.distil.weight
        self.normalise = Normalise(experiment.recipe)
        self.lesions = experiment.lesions
        self.loss = GradeLoss(experiment.loss.name, experiment.loss, grades)
        second = experiment.loss.second
        self.second = None if second == "none" else GradeLoss(second, experiment.loss, grades)
        self.weight, self.second_weight = experiment.loss.weight, experiment.loss.second_weight
        self.contrast = experiment.contrast
        kind = experiment.loss.class_weights
        self.weighed = kind == "grade_source"
        per_label = class_weights(grades, "none" if self.weighed else kind) if grades.ndim == 1 else torch.ones(1)
        self.register_buffer("weights", per_label, persistent=False)

    def optimisers(self, steps_per_epoch: int) -> Sequence[Optimisation]:
        """Return one optimiser: layer-wise rates for the backbone, the full rate for all else."""
        steps = self.fit.epochs * steps_per_epoch
        parts = [part for name, part in self.network.named_children() if name != "backbone"]
        optimiser = build_optimiser(self.network.backbone, nn.ModuleList(parts), self.optimiser)

        def factor(step: int) -> float:
            return rate_factor(step, steps, self.optimiser) if step < steps else self.fit.rebalance_rate

        return [Optimisation(optimiser, factor)]

    def step(self, batch: Batch, progress: Progress, *, turn: int = 0) -> dict[str, Tensor]:
        """Return the losses of a batch by name; `loss` is their weighted sum."""
        share = min(1.0, progress.epoch / self.fit.epochs)
        self._rebalance(progress.epoch >= self.fit.epochs)
        return self.losses(batch, side=side_at(share, self.fit.sides), share=share)

    def losses(self, batch: Batch, *, side: int | None = None, share: float = 0.0) -> dict[str, Tensor]:
        """Return the losses of a batch by name; `loss` is their weighted sum.

        Args:
            batch: As `SupervisedViews` shows it.
            side: Side in px that the pictures are shrunk to first; None: as prepared.
            share: Share of the experiment's epochs that is done; the contrast's weight falls with it.
        """
        if not self.contrast.weight:
            return self._supervised(self.network(self.normalise(batch["canvas"], side=side)), batch)
        plain, second = (self.network(self.normalise(batch[name], side=side)) for name in ("canvas", "second_view"))
        losses = self._supervised(second, batch)
        features = plain.features.float(), second.features.float()
        contrast = nt_xent(*features, temperature=self.contrast.temperature).mean()
        total = share * losses["loss"] + (1 - share) * self.contrast.weight * contrast
        return {**losses, "loss": total, "contrast_loss": contrast.detach()}

    def validate(self, batch: Batch) -> dict[str, Tensor]:
        """Return the raw output of held-out photographs beside what is known of them."""
        raw, _ = self.grade(batch["canvas"])
        return {"raw": raw, "grade": batch["grade"]}

    def validation_figures(self, outputs: Outputs) -> dict[str, float]:
        """Return kappa and error of grades, kappa and accuracy of classes, or the mean AUROC of signs."""
        raw, grades = outputs["raw"].double().numpy(), outputs["grade"].numpy()
        return figures(self.target, self.head, raw, grades)

    def _rebalance(self, on: bool) -> None:
        """Weigh the photographs above each cut by sqrt(below / above) from here on, or as the experiment says."""
        for loss in (self.loss, self.second):
            if loss is not None:
                loss.rebalanced = on

    def _supervised(self, output: Output, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Losses by name of what is known of the photographs: their grades and, where marked, their lesions."""
        losses = self._taught(output, batch, self._graded(output, batch))
        if output.lesions is None or "lesions" not in batch:
            return losses
        target = lesion_cells(batch["lesions"], tuple(output.lesions.shape[-2:]))
        is_marked = batch["lesions_known"].to(target.dtype)
        cells = lesion_loss(output.lesions.float(), target, is_marked, positive=self.lesions.positive)
        lesion = cells.sum() / is_marked.sum().clamp_min(1)
        total = losses["loss"] + self.lesions.weight * lesion
        return {**losses, "loss": total, "lesion_loss": lesion.detach()}

    def _taught(self, output: Output, batch: Mapping[str, Tensor], losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses with the teachers' share in their sum; as they are where there are no teachers."""
        if self.teachers is None:
            return losses
        answers = self.teachers.answers(batch[self.taught_on])
        distil = self.teachers.loss(output.raw.float(), answers).mean()
        total = (1 - self.taught) * losses["loss"] + self.taught * distil
        return {**losses, "loss": total, "distil_loss": distil.detach()}

    def _graded(self, output: Output, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Means over the batch of the grade's losses by name, and `loss`, their weighted sum.

        A mixed photograph has the losses of its own grade and of its partner's, by the share of each.
        """
        per_photograph = self._each(output, batch["grade"], batch["weight"] if self.weighed else None)
        if "grade_partner" in batch:
            weight, share = batch["weight_partner"] if self.weighed else None, batch["share"].float()
            partners = self._each(output, batch["grade_partner"], weight)
            per_photograph = {name: mixed_loss(own, partners[name], share) for name, own in per_photograph.items()}
        means = {name: losses.mean() for name, losses in per_photograph.items()}
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
        per_photograph = {"grade_loss": self.loss(output.raw.float(), grades) * weights}
        if self.second is not None:
            raw = output.raw if output.second is None else output.second
            per_photograph["second_loss"] = self.second(raw.float(), grades) * weights
        return per_photograph

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
