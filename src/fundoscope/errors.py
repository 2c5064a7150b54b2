"""What can go wrong, sorted by who must act.

    FundoscopeError
    |- UnreadablePhotograph   whoever took or copied the picture
    |- BadTable               whoever keeps the manifest or the predictions table
    |- BadExperiment          whoever wrote the experiment file or its overrides
    |- BadCheckpoint          whoever trained or fetched the weights
    |- BadRelease             whoever made or copied the release
    |- BadRequest             whoever typed the command: an empty folder, an unknown name
    `- MissingExtra           whoever installed the program

Every message has four parts: which thing, what was expected, what came, what to do. Mistakes that
only a programmer can make are `ValueError` and `TypeError`.
"""

from __future__ import annotations

from collections.abc import Mapping


class FundoscopeError(Exception):
    """Anything that a person outside the code can mend; its text is one sentence for that person."""


class UnreadablePhotograph(FundoscopeError):
    """A file that holds no picture this program can read.

    Attributes:
        header: What the file says of its photograph all the same, by field of `photo.read.Photograph`.
    """

    def __init__(self, message: str, *, header: Mapping[str, str | None] | None = None) -> None:
        super().__init__(message)
        self.header = dict(header or {})


class BadTable(FundoscopeError):
    """A manifest or predictions table that is not as the columns' contract says."""


class BadExperiment(FundoscopeError):
    """An experiment file, or an override of it, that cannot be run."""


class BadCheckpoint(FundoscopeError):
    """Weights that do not fit the network they are loaded into, or a run that cannot be resumed."""


class BadRelease(FundoscopeError):
    """A release that is damaged, of an unknown schema, or not runnable here."""


class BadRequest(FundoscopeError):
    """A command that asks for something that is not there."""


class MissingExtra(FundoscopeError):
    """A feature whose optional dependencies are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs packages that are not installed. Run: pip install 'fundoscope[{extra}]'")
        self.extra = extra
