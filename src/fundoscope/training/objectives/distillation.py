"""Teachers: trained networks, and the loss against their mean answer (Hinton, Vinyals & Dean 2015).

Of heads with cuts each cut is a question of its own with two answers, whose probability the teachers soften: the mean
of their cut logits, as an exported ensemble has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from fundoscope.photo.recipe import Recipe
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained network and how it is shown photographs."""

    network: GradingNetwork
    recipe: Recipe
    """Its mean and standard deviation and, where that is smaller than the student's, its side are used."""


class Teachers:
    """Several trained networks that answer together; frozen, and no part of what a fit stores."""

    def __init__(self, teachers: Sequence[Teacher], *, head: str, temperature: float) -> None:
        """Freeze the networks.

        Args:
            teachers: At least one.
            head: The head of all of them and of the student: a name in `experiment.distillation.SOFT_HEADS`.
            temperature: Divides all logits.
        """
        self.head, self.temperature = head, temperature
        self._members = [
            (teacher.network.eval().requires_grad_(False), Normalise(teacher.recipe), teacher.recipe.side)
            for teacher in teachers
        ]

    @torch.no_grad()
    def answers(self, canvases: UInt8[Tensor, "photo side side 3"]) -> Float[Tensor, "photo output"]:
        """Return the probabilities of their mean logits: of each grade, or of `grade > k` for each cut."""
        outputs = []
        for network, normalise, side in self._members:
            module = network.to(canvases.device)
            pictures = normalise.to(canvases.device)(canvases, side=min(side, canvases.shape[1]))
            outputs.append(module(pictures.contiguous(memory_format=torch.channels_last)).raw.float())
        logits = torch.stack(outputs).mean(dim=0) / self.temperature
        return logits.softmax(dim=1) if self.head == "softmax" else logits.sigmoid()

    def loss(
        self, raw: Float[Tensor, "photo output"], answers: Float[Tensor, "photo output"]
    ) -> Float[Tensor, " photo"]:
        """Return each photograph's cross-entropy with the teachers' answers, summed over cuts where there are such.

        It is multiplied by the square of the temperature, so that its gradient keeps its size (section 2 of the paper).
        """
        logits = raw / self.temperature
        if self.head == "softmax":
            cells = -(answers * logits.log_softmax(dim=1))
        else:
            cells = F.binary_cross_entropy_with_logits(logits, answers, reduction="none")
        return cells.sum(dim=1) * self.temperature**2
