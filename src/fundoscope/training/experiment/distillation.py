"""The section of an experiment file that lets a network learn from others that are trained already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.bounds import Bounds, check_bounds, check_path
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.sections import Contrast, Network

SOFT_HEADS: Final = ("softmax", "coral", "cumulative")
"""Heads whose raw outputs are logits of what the loss compares: of each grade, or of each cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distil:
    """Knowledge distillation (Hinton, Vinyals & Dean 2015): a student learns the mean answer of trained networks.

    The loss of a photograph is (1 - weight) times the loss of its reference grade plus weight times the cross-entropy
    of the student's probabilities with the teachers'. Every fit is taught by the networks of the teachers' fit of the
    same name (`fold0`, ..., `final`), which never saw the photographs that the student is held against.
    """

    teachers: tuple[str, ...] = ()
    """Folders of finished runs on the same photographs, target and folds; empty: off."""
    weight: float = 0.7
    """Share of the teachers in the loss; the reference has the rest."""
    temperature: float = 1.0
    """Divides the logits of teachers and student; above 1, more is learnt from what the teachers hold for unlikely."""
    view: Literal["same", "plain"] = "plain"
    """What the teachers are shown: what the student is, or that photograph in the same position without the
    disturbances of light and camera, which the student then learns to see through."""

    def __post_init__(self) -> None:
        check_bounds(
            self,
            "distil",
            {"weight": Bounds(0, 1, low_open=True), "temperature": Bounds(0, 100, low_open=True)},
        )
        for teacher in self.teachers:
            check_path(teacher, "distil.teachers")
        if len(set(self.teachers)) != len(self.teachers):
            raise BadExperiment(
                f"distil.teachers: expected every run once, got {', '.join(self.teachers)}. Leave out the repeated one"
            )

    def check(self, network: Network, contrast: Contrast, augment: Augment) -> None:
        """Refuse what cannot be learnt from teachers.

        Raises:
            BadExperiment: The message names the key.
        """
        if not self.teachers:
            return
        if network.head not in SOFT_HEADS:
            raise BadExperiment(
                f"distil.teachers: expected network.head {' or '.join(SOFT_HEADS)}, whose raw outputs are logits, got "
                f"{network.head!r}. Change network.head, or leave the teachers out"
            )
        for key, value in (
            ("network.second_head", network.second_head != "none"),
            ("contrast.weight", contrast.weight > 0),
            ("network.eyes", network.eyes == 2),
            ("augment.mixup, augment.cutmix", augment.mixes),
        ):
            if value:
                raise BadExperiment(
                    f"distil.teachers: expected none with {key}, which learns from other views or outputs than the "
                    "teachers answer, got some. Choose one of the two"
                )
