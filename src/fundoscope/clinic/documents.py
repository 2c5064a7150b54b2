"""What the clinic's papers for people have in common: their form, and sentences that stand in each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fundoscope.grades import NOT_A_DEVICE


def markdown(title: str, verdict: str, *lists: Iterable[str]) -> str:
    """Write a document in Markdown: title, verdict in bold, lists, and the notice that this is no medical device."""
    parts = [
        f"# {title}",
        f"**{verdict}**",
        *("\n".join(f"- {line}" for line in lines) for lines in lists),
        NOT_A_DEVICE,
    ]
    return "\n\n".join(parts) + "\n"


def came(patients: int, counts: Mapping[str, Any]) -> str:
    """Describe how many patients there are and how many photographs."""
    return f"{patients} patients ({counts['photographs']} photographs, {counts['not_graded']} not graded)"


def nameless(photographs: int) -> str:
    """Describe how photographs without a patient were counted."""
    return f"{photographs} photographs name no patient; each was counted as one."
