"""Which photographs the release of a run would answer: those that its quality gate finds gradable.

A network that is trained and measured on photographs that its release refuses to grade has figures of something else
than its use. So they are left out unless the experiment keeps them (`data.keep_ungradable`), and counted either way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from fundoscope.errors import BadExperiment
from fundoscope.training.batches.rows import Rows
from fundoscope.training.experiment.photographs import Data

NAMED = 3
"""Photographs that a report names."""


def is_gradable(rows: Rows) -> np.ndarray:
    """Return for each row whether the release would answer its photograph; true where nothing was assessed."""
    return np.array([not stored.ungradable for stored in rows.stored], dtype=bool)


def leave_out_ungradable(rows: Rows, data: Data, say: Callable[[str], None], *, splits: Sequence[str]) -> Rows:
    """Return the rows to be used: those that the release would answer, or all if the experiment keeps them.

    Args:
        rows: Prepared rows.
        data: Says whether ungradable photographs are kept.
        say: Called with a line about the ungradable ones, if there are any.
        splits: What the rows are for, for messages.

    Raises:
        BadExperiment: If none is left.
    """
    gradable = is_gradable(rows)
    if gradable.all():
        return rows
    refused = rows.take(np.flatnonzero(~gradable))
    counted = f"{len(refused)} of {len(rows)} photographs ({', '.join(splits)})"
    why = f"{_reasons(refused)}; {_names(refused)}"
    if data.keep_ungradable:
        say(
            f"{counted} are not gradable ({why}): they are used all the same (data.keep_ungradable), but the release "
            "will not grade photographs like them"
        )
        return rows
    if not gradable.any():
        raise BadExperiment(
            f"{data.manifest}: expected photographs that the release will grade, got {len(rows)} ({', '.join(splits)}) "
            f"of which none is gradable ({why}). Give whole fundus photographs, or set data.keep_ungradable=true: the "
            "network then learns from them, but the release will not grade photographs like them"
        )
    say(
        f"{counted} are not gradable ({why}): they are left out, for the release will not grade photographs like them; "
        "data.keep_ungradable=true keeps them"
    )
    return rows.take(np.flatnonzero(gradable))


def _reasons(rows: Rows) -> str:
    """Count the reasons, without the measures that each photograph has of its own."""
    counts = Counter(re.split(r"[:;(]", stored.ungradable)[0].strip() for stored in rows.stored)
    return ", ".join(f"{reason}: {count}" for reason, count in counts.most_common(NAMED))


def _names(rows: Rows) -> str:
    names = [str(image) for image in rows.frame["image"].iloc[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(names) + more
