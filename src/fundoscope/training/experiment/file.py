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
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.bounds import check_path
from fundoscope.training.experiment.schema import Experiment


def shipped_experiments() -> dict[str, Path]:
    """Name and path of every experiment that ships with the package, in order of name."""
    folder = Path(str(resources.files("fundoscope") / "experiments"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.toml"))}


def experiment_text(name: str) -> str:
    """Return the text of an experiment file, comments included.

    Raises:
        BadExperiment: If there is no such experiment, or the file is not text.
    """
    path = _experiment_path(name)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadExperiment(f"{path}: expected a TOML file: {error}") from error


def _experiment_path(name: str) -> Path:
    """Return the path of a shipped experiment, or of a file.

    Raises:
        BadExperiment: If there is no such experiment.
    """
    path = shipped_experiments().get(name, Path(name))
    check_path(name, "NAME")
    if not path.is_file():
        names = ", ".join(shipped_experiments()) or "none"
        raise BadExperiment(f"{name}: expected a shipped experiment ({names}) or the path of a TOML file; no such file")
    return path


def read_experiment(name: str, overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """Read a shipped experiment or a TOML file and apply `section.key=value` overrides.

    With `smoke` the file's own section `smoke` comes between the two: the same experiment, small enough to be tried
    in a minute.

    Raises:
        BadExperiment: If there is no such experiment, the file is not TOML, a key is unknown, a
            value is of the wrong type, or values contradict one another. The message names the key.
    """
    path = _experiment_path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadExperiment(f"{path}: expected a TOML file: {error}") from error
    values.setdefault("name", path.stem)
    small = values.pop("smoke", None)
    if smoke and not isinstance(small, dict):
        raise BadExperiment(f"{path}: expected a section smoke for a trial run, there is none")
    if smoke:
        values = _merged(values, typing.cast("dict[str, Any]", small))
    return _overridden(values, overrides, where=str(path))


def with_overrides(experiment: Experiment, overrides: Sequence[str]) -> Experiment:
    """Return an experiment with `section.key=value` overrides applied.

    Raises:
        BadExperiment: As `read_experiment`.
    """
    return _overridden(experiment.to_dict(), overrides, where=experiment.name)


def experiment_from_dict(values: Mapping[str, Any], *, where: str) -> Experiment:
    """Build an experiment from nested plain values; `where` names their origin in messages."""
    return typing.cast("Experiment", _build(Experiment, values, Origin(where), ""))


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the values of an experiment come from: a file, and overrides of it."""

    file: str
    overrides: Mapping[str, str] = field(default_factory=dict)
    """Each as it was typed, by its key."""

    def of(self, key: str) -> str:
        """Return where a key's value comes from, for messages."""
        for overridden, override in self.overrides.items():
            if f"{key}.".startswith(f"{overridden}.") or f"{overridden}.".startswith(f"{key}."):
                return f"command line, {override}"
        return self.file

    def refusal(self, problem: BadExperiment) -> BadExperiment:
        """Return a refusal of a key's value with the override behind it that gave the value."""
        keys = str(problem).partition(": ")[0].replace(",", " ").split()
        origin = next((self.of(key) for key in keys if self.of(key) != self.file), None)
        return problem if origin is None else BadExperiment(f"{problem} [{origin}]")


def _overridden(values: dict[str, Any], overrides: Sequence[str], *, where: str) -> Experiment:
    for override in overrides:
        _apply(values, override)
    origin = Origin(where, {override.partition("=")[0]: override for override in overrides})
    return typing.cast("Experiment", _build(Experiment, values, origin, ""))


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


def _build(kind: type, values: Mapping[str, Any], origin: Origin, prefix: str) -> object:
    """Construct a dataclass from a mapping, recursing into sections; errors name the full key."""
    if kind is Recipe:
        try:
            return Recipe.from_dict(values)
        except (TypeError, ValueError) as error:
            key = next((word for word in str(error).split() if word.startswith("recipe.")), "recipe")
            raise BadExperiment(f"{origin.of(key)}: recipe: {error}") from error
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        section = prefix.rstrip(".") or "an experiment"
        where = origin.of(f"{prefix}{unknown[0]}")
        raise BadExperiment(f"{where}: unknown key {prefix}{unknown[0]}; {section} knows {', '.join(hints)}")
    built = {key: _value(hints[key], value, origin, f"{prefix}{key}") for key, value in values.items()}
    missing = [
        f.name
        for f in dataclasses.fields(kind)
        if f.name not in built and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise BadExperiment(f"{origin.file}: {prefix}{missing[0]} is missing")
    try:
        return kind(**built)
    except BadExperiment as problem:
        raise origin.refusal(problem) from None


def _value(hint: Any, value: Any, source: Origin, key: str) -> Any:
    """Check one value against its type, turning lists into tuples and whole numbers into floats."""
    origin, where = typing.get_origin(hint), source.of(key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise BadExperiment(f"{where}: {key}: expected a section, got {value!r}")
        return _build(hint, value, source, f"{key}.")
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise BadExperiment(f"{where}: {key}: expected one of {typing.get_args(hint)}, got {value!r}")
        return value
    if origin is tuple and isinstance(value, (list, tuple)):
        return _items(typing.get_args(hint), value, source, key)
    if origin is dict and isinstance(value, Mapping):
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    if origin is None and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    expected = hint.__name__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
    raise BadExperiment(f"{where}: {key}: expected {expected}, got {value!r}")


def _items(kinds: tuple[Any, ...], values: Sequence[Any], source: Origin, key: str) -> tuple[Any, ...]:
    """Check a list's values, each against its own type or all against the same."""
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(values)
    if len(kinds) != len(values):
        raise BadExperiment(f"{source.of(key)}: {key}: expected {len(kinds)} values, got {values!r}")
    return tuple(_value(kind, item, source, key) for kind, item in zip(kinds, values, strict=True))


def first_comment(path: Path) -> str:
    """The first line of an experiment file's leading comment: what it is."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
