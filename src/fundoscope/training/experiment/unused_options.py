"""Options that nothing would read: an experiment that sets one is refused, for its author counts on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from fundoscope.errors import BadExperiment

if TYPE_CHECKING:
    from fundoscope.training.experiment.schema import Experiment

Read = Callable[["Experiment"], bool]

READERS: Final[dict[str, tuple[Read, str]]] = {
    "network.hidden_dropout": (lambda e: e.network.hidden > 0, "network.hidden above 0"),
    "network.projection": (
        lambda e: "prototype" in (e.network.head, e.network.second_head),
        "a prototype head",
    ),
    "network.fellow_dropout": (lambda e: e.network.eyes == 2, "network.eyes = 2"),
    "lesions.index": (lambda e: e.lesions.weight > 0, "lesions.weight above 0"),
    "lesions.positive": (lambda e: e.lesions.weight > 0, "lesions.weight above 0"),
    "loss.focal_gamma": (lambda e: "focal" in (e.loss.name, e.loss.second), "a focal loss"),
    "loss.second_weight": (lambda e: e.loss.second != "none", "a loss.second"),
    "contrast.temperature": (lambda e: e.contrast.weight > 0, "contrast.weight above 0"),
    "optimiser.milestones": (lambda e: e.optimiser.schedule == "steps", "optimiser.schedule = 'steps'"),
    "optimiser.milestone_factor": (lambda e: e.optimiser.schedule == "steps", "optimiser.schedule = 'steps'"),
    "optimiser.momentum": (lambda e: e.optimiser.name == "sgd", "optimiser.name = 'sgd'"),
    "optimiser.floor": (lambda e: e.optimiser.schedule == "cosine", "optimiser.schedule = 'cosine'"),
    "fit.rebalance_rate": (lambda e: e.fit.rebalance_epochs > 0, "fit.rebalance_epochs above 0"),
    "fit.keep": (lambda e: _watched(e), "held-out photographs: data.validate, data.folds or a domains.protocol"),
    "fit.patience": (lambda e: _watched(e), "held-out photographs: data.validate, data.folds or a domains.protocol"),
    "release.neighbour_metric": (lambda e: _votes(e), "release.neighbours or fit.compare_modes"),
    "release.neighbour_weights": (lambda e: _votes(e), "release.neighbours or fit.compare_modes"),
    "release.heatmap_layers": (lambda e: e.release.heatmap != "none", "a release.heatmap"),
    "domains.targets": (lambda e: e.domains.protocol != "none", "a domains.protocol"),
    "domains.never_train": (lambda e: e.domains.protocol != "none", "a domains.protocol"),
}
"""Option -> what reads it."""


def check_unread(experiment: Experiment) -> None:
    """Refuse an option that differs from its default and that nothing reads.

    Raises:
        BadExperiment: The message names the option and what would read it.
    """
    for key, (reads, reader) in READERS.items():
        section, name = key.split(".")
        values = getattr(experiment, section)
        given = getattr(values, name)
        if given != _default(values, name) and not reads(experiment):
            raise BadExperiment(
                f"{key}: expected {reader}, which alone reads it, got {given!r} without. Leave it out, or add what "
                "reads it"
            )


def _default(section: object, name: str) -> object:
    assert dataclasses.is_dataclass(section)
    (found,) = (each for each in dataclasses.fields(section) if each.name == name)
    return found.default


def _watched(experiment: Experiment) -> bool:
    """Whether any fit of the experiment is validated."""
    data = experiment.data
    return bool(data.validate or data.folds) or experiment.domains.protocol != "none"


def _votes(experiment: Experiment) -> bool:
    return experiment.release.neighbours > 0 or experiment.fit.compare_modes
