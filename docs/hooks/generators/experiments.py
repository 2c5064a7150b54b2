"""Experiments that ship and the keys of an experiment file, from `fundoscope.training.experiment`.

Read off the source: a field's documentation is the text that stands under it, which no object keeps.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator

from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.file import first_comment, shipped_experiments
from fundoscope.training.experiment.schema import NO_SECTIONS, READERS, SECTIONS, Experiment
from generators.markdown import plain, table


def experiments() -> str:
    """Return a table of the experiments that ship."""
    lines = ((f"`{name}`", plain(first_comment(path))) for name, path in shipped_experiments().items())
    return table(("experiment", "what it is"), lines)


def experiment_keys() -> str:
    """Return a list of all keys of every section, with defaults and documentation."""
    hints = typing.get_type_hints(Experiment)
    parts = ["## Before the sections", *(_key(Experiment, name, "") for name in NO_SECTIONS)]
    for name in SECTIONS:
        section = hints[name]
        parts += [f"## {name}", plain(inspect.getdoc(section) or ""), *_section(section, f"{name}.")]
    return "\n\n".join(part for part in parts if part)


def documentation(section: type) -> dict[str, str]:
    """Return the text under each field of a dataclass, by the field's name."""
    body = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            value = below.value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts[field.target.id] = " ".join(inspect.cleandoc(value.value).split())
    return texts


def _section(section: type, prefix: str) -> Iterator[str]:
    for field in dataclasses.fields(section):
        yield _key(section, field.name, prefix)


def _key(section: type, name: str, prefix: str) -> str:
    text = documentation(section).get(name)
    if not text:
        raise LookupError(f"{prefix}{name}: expected a text under the field of {section.__name__}, got none. Write it.")
    (field,) = (field for field in dataclasses.fields(section) if field.name == name)
    reader, allowed = READERS.get(f"{prefix}{name}"), _allowed(section, name)
    lines = [
        plain(text),
        f"One of {allowed}." if allowed else "",
        f"Only read with {plain(reader[1])}." if reader else "",
    ]
    default = _default(section, field)
    return f"`{prefix}{name}`{f' = `{default}`' if default else ''}\n:   {' '.join(line for line in lines if line)}"


def _default(section: type, field: dataclasses.Field[object]) -> str:
    """Return the default as an experiment file writes it; of a recipe, the one that an experiment has."""
    if section is Recipe:
        return _toml(getattr(Experiment(name="docs").recipe, field.name))
    if field.default is not dataclasses.MISSING:
        return _toml(field.default)
    return "" if field.default_factory is dataclasses.MISSING else _toml(field.default_factory())


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return "" if value is None else str(value)


def _allowed(section: type, name: str) -> str:
    """Return the words that a key may have, where it has but a few."""
    hint = typing.get_type_hints(section)[name]
    return ", ".join(f"`{_toml(value)}`" for value in _words(hint))


def _words(hint: object) -> Iterator[object]:
    """Yield the values of a Literal, and those of the Literals in it."""
    if typing.get_origin(hint) is typing.Literal:
        yield from typing.get_args(hint)
