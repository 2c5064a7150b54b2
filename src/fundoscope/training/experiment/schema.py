"""A whole experiment as a frozen dataclass, and which of its values contradict one another or would be ignored."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from fundoscope.decide.heads import CUT_HEADS
from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.bounds import Bounds, check_bounds, check_name
from fundoscope.training.experiment.distillation import Distil
from fundoscope.training.experiment.photographs import Data, Domains, Sampling
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.sections import LOSSES_OF, Contrast, Fit, Lesions, Loss, Network, Optimiser, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A whole experiment, resolved: nothing about the training is decided elsewhere."""

    name: str
    """Name of the experiment; its run is written to `runs/NAME`. By default the name of the file."""
    seed: int = 0
    """Seed of all random numbers: initial weights, order of the photographs, augmentation, dropout."""
    data: Data = field(default_factory=Data)
    domains: Domains = field(default_factory=Domains)
    recipe: Recipe = field(default_factory=lambda: Recipe(side=384))
    augment: Augment = field(default_factory=Augment)
    sampling: Sampling = field(default_factory=Sampling)
    network: Network = field(default_factory=Network)
    lesions: Lesions = field(default_factory=Lesions)
    loss: Loss = field(default_factory=Loss)
    contrast: Contrast = field(default_factory=Contrast)
    distil: Distil = field(default_factory=Distil)
    optimiser: Optimiser = field(default_factory=Optimiser)
    fit: Fit = field(default_factory=Fit)
    release: Release = field(default_factory=Release)

    objective: str = "supervised"
    """What is minimised: a key of `OBJECTIVES`, which says which sections the experiment has."""

    def __post_init__(self) -> None:
        for part in self.name.split("/"):  # shipped experiments of one study share a folder
            check_name(part, "name")
        check_name(self.name.replace("/", "-"), "name")
        check_bounds(self, "", {"seed": Bounds(0, 2**32 - 1)})
        if self.objective not in OBJECTIVES:
            raise BadExperiment(
                f"objective: expected one of {', '.join(OBJECTIVES)}, got {self.objective!r}. Change objective"
            )
        _check_sections(self, OBJECTIVES[self.objective])
        OBJECTIVES[self.objective].check(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that its objective reads as plain JSON values; `experiment_from_dict` reads it back."""
        sections = OBJECTIVES[self.objective].sections
        names = [f.name for f in dataclasses.fields(self) if f.name in sections or f.name in NO_SECTIONS]
        values = {name: getattr(self, name) for name in names}
        for name, value in values.items():
            if isinstance(value, Recipe):
                values[name] = value.to_dict()
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                values[name] = dataclasses.asdict(value)
        return typing.cast("dict[str, Any]", json.loads(json.dumps(values)))


NO_SECTIONS: Final = ("name", "seed", "objective")
"""Keys of an experiment that stand before its sections."""

SECTIONS: Final = tuple(f.name for f in dataclasses.fields(Experiment) if f.name not in NO_SECTIONS)
"""Names of all sections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveKind:
    """What an objective reads of an experiment, and what it makes sure of before anything is loaded."""

    check: Callable[[Experiment], None]
    """Raises `BadExperiment` where values contradict one another."""
    sections: frozenset[str] = frozenset(SECTIONS)
    """Sections that it reads; an experiment with anything in another one is refused."""
    unread: tuple[str, ...] = ()
    """Keys, as `section.key`, of its sections that it does not read."""


def check_supervised(experiment: Experiment) -> None:
    """Make sure that head, losses, target, folds and release of a supervised experiment fit one another.

    Raises:
        BadExperiment: The message names the key.
    """
    network, loss, data, fit = experiment.network, experiment.loss, experiment.data, experiment.fit
    _check_heads(network, loss)
    check_unused(experiment)
    experiment.domains.check(data, fit)
    experiment.contrast.check(experiment.augment)
    experiment.distil.check(network, experiment.contrast, experiment.augment)
    if network.eyes == 2:
        _check_eyes(experiment)
    if data.target == "grade" and network.head == "signs":
        raise BadExperiment("network.head 'signs': expected data.target 'signs' with data.labels, got 'grade'")
    if data.target != "grade":
        _check_target(experiment)
    if fit.rebalance_epochs and not {loss.name, loss.second} & {"coral", "corn"}:
        raise BadExperiment(
            "fit.rebalance_epochs: expected loss.name or loss.second to be coral or corn, which have cuts, "
            f"got {loss.name!r} and {loss.second!r}"
        )
    if fit.export and not _is_calibrated(experiment):
        raise BadExperiment(
            "fit.export: expected data.folds with fit.final = true, or data.validate without folds, for held-out "
            "predictions set the temperature and the thresholds; got neither. Add one, or set fit.export = false"
        )


OBJECTIVES: Final[dict[str, ObjectiveKind]] = {"supervised": ObjectiveKind(check=check_supervised)}
"""Objectives by the name that an experiment file gives them."""


def _check_sections(experiment: Experiment, kind: ObjectiveKind) -> None:
    """Refuse what differs from its default and the objective does not read: its author counts on it."""
    defaults = {f.name: f.default_factory for f in dataclasses.fields(Experiment) if f.name in SECTIONS}
    for name, default in defaults.items():
        assert callable(default)
        if name not in kind.sections and getattr(experiment, name) != default():
            raise BadExperiment(
                f"{name}: expected no such section with objective = {experiment.objective!r}, which reads "
                f"{', '.join(sorted(kind.sections))}. Leave it out"
            )
    for key in kind.unread:
        section, name = key.split(".")
        values = getattr(experiment, section)
        if getattr(values, name) != _default(values, name):
            raise BadExperiment(
                f"{key}: expected no such key with objective = {experiment.objective!r}, which does not read it, "
                f"got {getattr(values, name)!r}. Leave it out"
            )


def _is_calibrated(experiment: Experiment) -> bool:
    """Whether the network that is exported has predictions of photographs that it, or its like, never saw."""
    if experiment.data.folds or experiment.domains.protocol != "none":
        return experiment.fit.final
    return bool(experiment.data.validate)


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
    """Another target than the grade has heads, losses, samplers and folds that suit it."""
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
        "release.neighbours": (experiment.release.neighbours, (0,)),
        "release.descriptions": (experiment.release.descriptions, ((),)),
    }  # fmt: skip
    for key, (got, allowed) in suits.items():
        if got not in allowed:
            expected = " or ".join(repr(value) for value in allowed)
            raise BadExperiment(
                f"{key}: expected {expected} with data.target {data.target!r} (the others are made for grades), got "
                f"{got!r}"
            )


Read = Callable[[Experiment], bool]

READERS: Final[dict[str, tuple[Read, str]]] = {
    "network.hidden_dropout": (lambda e: e.network.hidden > 0, "network.hidden above 0"),
    "network.weights_licence": (lambda e: bool(e.network.weights), "network.weights"),
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
    "distil.weight": (lambda e: bool(e.distil.teachers), "distil.teachers"),
    "distil.temperature": (lambda e: bool(e.distil.teachers), "distil.teachers"),
    "distil.view": (lambda e: bool(e.distil.teachers), "distil.teachers"),
    "optimiser.milestones": (lambda e: e.optimiser.schedule == "steps", "optimiser.schedule = 'steps'"),
    "optimiser.milestone_factor": (lambda e: e.optimiser.schedule == "steps", "optimiser.schedule = 'steps'"),
    "optimiser.momentum": (lambda e: e.optimiser.name == "sgd", "optimiser.name = 'sgd'"),
    "optimiser.floor": (lambda e: e.optimiser.schedule == "cosine", "optimiser.schedule = 'cosine'"),
    "fit.rebalance_rate": (lambda e: e.fit.rebalance_epochs > 0, "fit.rebalance_epochs above 0"),
    "fit.keep": (lambda e: _watched(e), "held-out photographs: data.validate, data.folds or a domains.protocol"),
    "fit.patience": (lambda e: _watched(e), "held-out photographs: data.validate, data.folds or a domains.protocol"),
    "release.neighbour_metric": (lambda e: _votes(e), "release.neighbours or fit.compare_modes"),
    "release.neighbour_weights": (lambda e: _votes(e), "release.neighbours or fit.compare_modes"),
    "release.score": (
        lambda e: e.network.head in CUT_HEADS and not e.release.neighbours,
        f"network.head {' or '.join(CUT_HEADS)}, whose grades are not votes",
    ),
    "release.heatmap_layers": (lambda e: e.release.heatmap != "none", "a release.heatmap"),
    "domains.targets": (lambda e: e.domains.protocol != "none", "a domains.protocol"),
    "domains.never_train": (lambda e: e.domains.protocol != "none", "a domains.protocol"),
}
"""Option -> what reads it."""


def check_unused(experiment: Experiment) -> None:
    """Refuse an option that differs from its default and that nothing reads.

    Raises:
        BadExperiment: The message names the option and what would read it.
    """
    for key, (reads, reader) in READERS.items():
        section, name = key.split(".")
        values = getattr(experiment, section)
        value = getattr(values, name)
        if value != _default(values, name) and not reads(experiment):
            raise BadExperiment(
                f"{key}: expected {reader}, which alone reads it, got {value!r} without. Leave it out, or add what "
                "reads it"
            )


def _default(section: object, name: str) -> object:
    assert dataclasses.is_dataclass(section)
    (key,) = (f for f in dataclasses.fields(section) if f.name == name)
    return key.default if key.default_factory is dataclasses.MISSING else key.default_factory()


def _watched(experiment: Experiment) -> bool:
    """Whether any fit of the experiment is validated."""
    data = experiment.data
    return bool(data.validate or data.folds) or experiment.domains.protocol != "none"


def _votes(experiment: Experiment) -> bool:
    return experiment.release.neighbours > 0 or experiment.fit.compare_modes
