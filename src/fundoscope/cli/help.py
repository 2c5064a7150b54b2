"""Help of a verb: its options in two columns, one line each, so that 80 columns hold it."""

from __future__ import annotations

import enum
import textwrap
from typing import Any, Final, get_args

from typer.core import TyperCommand

from fundoscope.cli.console import answers

METAVARS: Final = {"path": "PATH", "text": "TEXT", "str": "TEXT", "integer": "N", "int": "N", "float": "X"}
"""What stands for a value, by the name of its type."""

LONGEST_CHOICE: Final = 16
"""Columns of the values to choose from that stand beside an option; longer ones stand in its help."""

WIDEST: Final = 100
"""Columns that help takes at most: longer lines are hard to read."""


class Verb(TyperCommand):
    """A command whose help has one line for each argument and option: the first sentence of its help text.

    The reference in the documentation has the whole text.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, description, arguments and options."""
        width = min(answers.width, WIDEST)
        lines = [" ".join(["Usage:", ctx.command_path, *self.collect_usage_pieces(ctx)])]
        for paragraph in (self.help or "").replace("\f", "").split("\n\n"):
            lines += ["", *textwrap.wrap(" ".join(paragraph.split()), width)]
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        options = [
            one for one in self.get_params(ctx) if one.param_type_name == "option" and not getattr(one, "hidden", False)
        ]
        rows = {
            "Arguments": [(argument_name(one), line_of(one)) for one in arguments],
            "Options": [(option_name(one), line_of(one)) for one in options],
        }
        left = max((len(name) for section in rows.values() for name, _ in section), default=0)
        for title, section in rows.items():
            lines += ["", f"{title}:"] if section else []
            for name, text in section:
                hanging = " " * (left + 4)
                lines += textwrap.wrap(
                    f"  {name.ljust(left)}  {text}", width, subsequent_indent=hanging, break_on_hyphens=False
                )
        formatter.write("\n".join(lines) + "\n")

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the pieces of the usage line: [OPTIONS], and each argument as its help has it."""
        pieces = ["[OPTIONS]"]
        for one in self.get_params(ctx):
            if one.param_type_name == "argument":
                name = argument_name(one)
                pieces.append(name if one.required or name.startswith("[") else f"[{name}]")
        return pieces


def argument_name(argument: Any) -> str:
    """Return how an argument is shown, such as `MANIFEST` or `PATH...`."""
    name = str(argument.metavar or argument.name.upper().rstrip("_"))
    return name if argument.nargs == 1 or "..." in name or argument.metavar else f"{name}..."


def option_name(option: Any) -> str:
    """Return how an option is shown, such as `-o, --out PATH` or `--json`."""
    if option.secondary_opts:  # of a pair the one that changes the default
        return str((option.secondary_opts if option.default else option.opts)[0])
    names = ", ".join(sorted(option.opts, key=lambda name: name.startswith("--")))
    if option.is_flag or option.count:
        return names
    return f"{names} {option.metavar or _metavar(option)}"


def _kind(parameter: Any) -> Any:
    """Return the type of a parameter's value: a Python type or, in earlier versions of typer, click's."""
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None:
        return parameter.type
    return (get_args(descriptor.annotation) or (descriptor.annotation,))[0]


def _metavar(parameter: Any) -> str:
    choices = "|".join(_choices(parameter))
    if choices:
        return choices if len(choices) <= LONGEST_CHOICE else "NAME"
    kind = _kind(parameter)
    name = kind.__name__ if isinstance(kind, type) else kind.name  # "integer range" is click's of a bounded integer
    return METAVARS.get(str(name).lower().partition(" ")[0], "VALUE")


def _choices(parameter: Any) -> list[str]:
    kind = _kind(parameter)
    choices = kind if isinstance(kind, enum.EnumMeta) else getattr(kind, "choices", ())
    return [str(choice.value if isinstance(choice, enum.Enum) else choice) for choice in choices]


def line_of(parameter: Any) -> str:
    """Return the first sentence of a parameter's help, with the values to choose from and the default."""
    text = " ".join((parameter.help or "").split())
    sentence, stop, _ = text.partition(". ")
    line = sentence + ("." if stop else "")
    choices = _choices(parameter)
    if len("|".join(choices)) > LONGEST_CHOICE and not any(choice in sentence for choice in choices):
        line += f" One of {', '.join(choices)}."
    default = parameter.default.value if isinstance(parameter.default, enum.Enum) else parameter.default
    if (
        parameter.show_default
        and isinstance(default, str | int | float)
        and default != ""
        and not isinstance(default, bool)
    ):
        line += f" [{default}]"
    return line
