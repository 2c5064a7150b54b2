"""Experiment files: TOML with overrides, read into the dataclasses of `schema`; unknown keys are refused.

`read_experiment("default_release", ["fit.epochs=5"])` finds a shipped experiment or a path, applies
the overrides, and checks everything before anything is loaded.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.schema import Experiment


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
        names = ", ".join(shipped_experiments()) or "none"
        raise BadExperiment(f"{name}: expected a shipped experiment ({names}) or the path of a TOML file; no such file")
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


def with_overrides(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return an experiment with `section.key=value` overrides applied.

    Raises:
        BadExperiment: As `read_experiment`.
    """
    values = experiment.to_dict()
    for override in overrides:
        _apply(values, override)
    return experiment_from_dict(values, where="the command line")


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
