"""A whole experiment as a frozen dataclass, and which of its values contradict one another or would be ignored."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.sections import (
    LOSSES_OF,
    Contrast,
    Data,
    Domains,
    Fit,
    Lesions,
    Loss,
    Network,
    Optimiser,
    Release,
    Sampling,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A whole experiment, resolved: nothing about the training is decided elsewhere."""

    name: str
    seed: int = 0
    data: Data = field(default_factory=Data)
    domains: Domains = field(default_factory=Domains)
    recipe: Recipe = field(default_factory=lambda: Recipe(side=384))
    augment: Augment = field(default_factory=Augment)
    sampling: Sampling = field(default_factory=Sampling)
    network: Network = field(default_factory=Network)
    lesions: Lesions = field(default_factory=Lesions)
    loss: Loss = field(default_factory=Loss)
    contrast: Contrast = field(default_factory=Contrast)
    optimiser: Optimiser = field(default_factory=Optimiser)
    fit: Fit = field(default_factory=Fit)
    release: Release = field(default_factory=Release)

    def __post_init__(self) -> None:
        _check_heads(self.network, self.loss)
        check_unread(self)
        self.domains.check(self.data, self.fit)
        self.contrast.check(self.augment)
        if self.network.eyes == 2:
            _check_eyes(self)
        if self.data.target == "grade" and self.network.head == "signs":
            raise BadExperiment("network.head 'signs': expected data.target 'signs' with data.labels, got 'grade'")
        if self.data.target != "grade":
            _check_target(self)
        if self.fit.rebalance_epochs and not {self.loss.name, self.loss.second} & {"coral", "corn"}:
            raise BadExperiment(
                "fit.rebalance_epochs: expected loss.name or loss.second to be coral or corn, which have cuts, "
                f"got {self.loss.name!r} and {self.loss.second!r}"
            )
        if self.fit.export and not self._calibrated:
            raise BadExperiment(
                "fit.export: expected data.folds with fit.final = true, or data.validate without folds, for held-out "
                "predictions set the temperature and the thresholds; got neither. Add one, or set fit.export = false"
            )

    @property
    def _calibrated(self) -> bool:
        """Whether the network that is exported has predictions of photographs that it, or its like, never saw."""
        if self.data.folds or self.domains.protocol != "none":
            return self.fit.final
        return bool(self.data.validate)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON values; `experiment_from_dict` reads it back."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name, value in values.items():
            if isinstance(value, Recipe):
                values[name] = value.to_dict()
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                values[name] = dataclasses.asdict(value)
        return typing.cast("dict[str, Any]", json.loads(json.dumps(values)))


def _check_heads(network: Network, loss: Loss) -> None:
    """Every loss must fit the head it is for, every head must have a loss, prototypes a head that reads them."""
    if network.second_head != "none" and loss.second == "none":
        raise BadExperiment(
            f"loss.second: expected {' or '.join(LOSSES_OF[network.second_head])} for network.second_head = "
            f"{network.second_head!r}, got 'none'"
        )
    second = ("network.head", network.head)
    if network.second_head != "none":
        second = ("network.second_head", network.second_head)
    for key, name, (place, head) in (
        ("loss.name", loss.name, ("network.head", network.head)),
        ("loss.second", loss.second, second),
    ):
        if name != "none" and name not in LOSSES_OF[head]:
            raise BadExperiment(f"{key}: expected {' or '.join(LOSSES_OF[head])} for {place} = {head!r}, got {name!r}")
    if network.prototypes and "prototype" not in (network.head, network.second_head):
        raise BadExperiment(
            "network.prototypes: expected network.head or network.second_head to be 'prototype', which alone reads it, "
            f"got {network.head!r} and {network.second_head!r}"
        )


def _check_eyes(experiment: Experiment) -> None:
    """What a network of both eyes cannot be trained or graded with."""
    network, augment = experiment.network, experiment.augment
    if not 0 <= network.fellow_dropout < 1:
        raise BadExperiment(
            f"network.fellow_dropout: expected a share from 0 to below 1, got {network.fellow_dropout:g}. Change it"
        )
    if network.head == "prototype":
        raise BadExperiment(
            "network.head: expected another head than 'prototype' with network.eyes 2, for prototypes describe one "
            "photograph, got 'prototype'. Change one of the two"
        )
    if augment.mixes:
        raise BadExperiment(
            "augment: expected augment.mixup and augment.cutmix to be 0 with network.eyes 2, for a mixture of patients "
            f"has no fellow, got {augment.mixup:g} and {augment.cutmix:g}. Change one of the two"
        )
    for key, value, why in (
        ("contrast.weight", experiment.contrast.weight, "whose second views are of one photograph"),
        ("release.neighbours", experiment.release.neighbours, "whose other eye would have no vote"),
    ):
        if value:
            raise BadExperiment(f"{key}: expected 0 with network.eyes 2, {why}, got {value:g}. Change one of the two")


FREQUENCIES = ("none", "inverse", "inverse_sqrt")
"""Class weights and samplers that know nothing of grades."""


def _check_target(experiment: Experiment) -> None:
    """Another target than the grade has heads, losses, samplers and folds that suit it, and makes no release."""
    data, head, sampling = experiment.data, experiment.network.head, experiment.sampling.strategy
    signs = data.target == "signs"
    suits = {
        "network.head": (head, ("signs",) if signs else ("softmax",)),
        "network.second_head": (experiment.network.second_head, ("none",)),
        "loss.name": (experiment.loss.name, LOSSES_OF["signs"] if signs else ("cross_entropy", "focal")),
        "loss.second": (experiment.loss.second, ("none",)),
        "loss.focal_alpha": (bool(experiment.loss.focal_alpha), (False,)),
        "loss.class_weights": (experiment.loss.class_weights, ("none",) if signs else FREQUENCIES),
        "sampling.strategy": (sampling, ("none", "source") if signs else (*FREQUENCIES, "source", "balanced")),
        "domains.protocol": (experiment.domains.protocol, ("none",)),
        "fit.export": (experiment.fit.export, (False,)),
        "release.neighbours": (experiment.release.neighbours, (0,)),
    }  # fmt: skip
    for key, (got, allowed) in suits.items():
        if got not in allowed:
            expected = " or ".join(repr(each) for each in allowed)
            raise BadExperiment(
                f"{key}: expected {expected} with data.target {data.target!r} (the others are made for grades, and a "
                f"release grades retinopathy), got {got!r}"
            )


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
