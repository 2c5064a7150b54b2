"""Experiment files: TOML read into frozen dataclasses, every field explained, unknown keys refused.

`read_experiment("default_release", ["fit.epochs=5"])` finds a shipped experiment or a path, applies
the overrides, and checks everything before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.batches.sampler import Sampling
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
)
from fundoscope.training.experiment.unused_options import check_unread


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
        ("contrast.weight", experiment.contrast.weight, "whose twins are of one photograph"),
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


def shipped_experiments() -> dict[str, Path]:
    """Name and path of every experiment that ships with the package, in order of name."""
    folder = Path(str(resources.files("fundoscope") / "experiments"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def read_experiment(name: str, overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """Read a shipped experiment or a TOML file and apply `section.key=value` overrides.

    With `smoke` the file's own section `smoke` comes between the two: the same experiment, small enough to be tried
    in a minute.

    Raises:
        BadExperiment: If there is no such experiment, the file is not TOML, a key is unknown, a
            value is of the wrong type, or values contradict one another. The message names the key.
    """
    path = shipped_experiments().get(name, Path(name))
    if not path.is_file():
        known = ", ".join(shipped_experiments()) or "none"
        raise BadExperiment(f"{name}: expected a shipped experiment ({known}) or the path of a TOML file; no such file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadExperiment(f"{path}: expected a TOML file: {error}") from error
    values.setdefault("name", path.stem)
    small = values.pop("smoke", None)
    if smoke and not isinstance(small, dict):
        raise BadExperiment(f"{path}: expected a section smoke for a trial run, there is none")
    if smoke:
        values = _merged(values, typing.cast("dict[str, Any]", small))
    for override in overrides:
        _apply(values, override)
    return experiment_from_dict(values, where=str(path))


def experiment_from_dict(values: Mapping[str, Any], *, where: str) -> Experiment:
    """Build an experiment from nested plain values; `where` names their origin in messages."""
    return typing.cast("Experiment", _build(Experiment, values, where, ""))


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values, with those of `changes` in place of theirs."""
    merged = dict(values)
    for key, change in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, change) if isinstance(below, Mapping) and isinstance(change, Mapping) else change
    return merged


def _apply(values: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` in nested values; the value is read as TOML, else as text."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise BadExperiment(f"{override!r}: expected section.key=value, for instance fit.epochs=10")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.split(".")
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise BadExperiment(f"{key}: {section} is a value, not a section")
    place[last] = value


def _build(kind: type, values: Mapping[str, Any], where: str, prefix: str) -> object:
    """Construct a dataclass from a mapping, recursing into sections; errors name the full key."""
    if kind is Recipe:
        try:
            return Recipe.from_dict(values)
        except (TypeError, ValueError) as error:
            raise BadExperiment(f"{where}: recipe: {error}") from error
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        section = prefix.rstrip(".") or "an experiment"
        raise BadExperiment(f"{where}: unknown key {prefix}{unknown[0]}; {section} knows {', '.join(hints)}")
    built = {key: _value(hints[key], value, where, f"{prefix}{key}") for key, value in values.items()}
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in built and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadExperiment(f"{where}: {prefix}{missing[0]} is missing")
    return kind(**built)


def _value(hint: Any, value: Any, where: str, key: str) -> Any:
    """Check one value against its type, turning lists into tuples and whole numbers into floats."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise BadExperiment(f"{where}: {key}: expected a section, got {value!r}")
        return _build(hint, value, where, f"{key}.")
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise BadExperiment(f"{where}: {key}: expected one of {typing.get_args(hint)}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        return _items(typing.get_args(hint), value, where, key)
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    expected = hint.__name__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
    raise BadExperiment(f"{where}: {key}: expected {expected}, got {value!r}")


def _items(kinds: tuple[Any, ...], values: Sequence[Any], where: str, key: str) -> tuple[Any, ...]:
    """Check a list's values, each against its own type or all against the same."""
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise BadExperiment(f"{where}: {key}: expected {len(kinds)} values, got {values!r}")
    return tuple(_value(kind, item, where, key) for kind, item in zip(kinds, values, strict=True))


def first_comment(path: Path) -> str:
    """The first line of an experiment file's leading comment: what it is."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
