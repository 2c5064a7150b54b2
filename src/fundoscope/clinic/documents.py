"""What the clinic's papers for people have in common: their form, and sentences that stand in each.

A copy of a release with another threshold carries the figures and the card of the release that it was made from. Both
say so: a figure belongs to the threshold that it was measured at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

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


DECISION_FIGURES: Final = "decision_"
"""How the names of figures begin that depend on the threshold."""

EARLIER: Final = "before, at the threshold "
"""How the name of a part of a release's evaluation begins that was measured before the copy was made."""

NOTICE: Final = "> **This copy was "
"""How the notice at the head of a copy's card begins."""


def earlier_figures(evaluation: Mapping[str, Any], threshold: float, *, all_of_them: bool) -> dict[str, Any]:
    """Set apart the figures of a release's evaluation that do not hold for a copy of it.

    Args:
        evaluation: Of the release that the copy is made from.
        threshold: At which its decisions were made.
        all_of_them: The copy answers otherwise altogether (it is calibrated anew); False: only its decisions differ.

    Returns:
        The evaluation, what does not hold under a name that says the threshold.
    """
    holding: dict[str, Any] = {}
    earlier: dict[str, Any] = {}
    for name, figures in evaluation.items():
        if name.startswith(EARLIER):
            holding[name] = figures
        elif all_of_them:
            earlier[name] = figures
        elif isinstance(figures, Mapping):
            parts: dict[bool, dict[str, Any]] = {True: {}, False: {}}
            for key, value in figures.items():
                parts[str(key).startswith(DECISION_FIGURES)][key] = value
            holding |= {name: parts[False]} if parts[False] else {}
            earlier |= {name: parts[True]} if parts[True] else {}
        else:
            holding[name] = figures
    return holding | ({f"{EARLIER}{threshold:.6g}": earlier} if earlier else {})


def card_of_copy(card: str, made: str, threshold: float, earlier: float, section: str) -> str:
    """Return the model card of a copy: a notice below its title, the original's text, and a section of its own.

    Args:
        card: The original's; a notice of an earlier copy is left out.
        made: How the copy was made: a participle and what belongs to it.
        threshold: In force in the copy.
        earlier: The original's threshold.
        section: In Markdown, with a heading of the second level.
    """
    title, _, rest = card.strip().partition("\n")
    body = "\n".join(line for line in rest.splitlines() if not line.startswith(NOTICE)).strip()
    notice = (
        f"{NOTICE}{made}.** It refers from {threshold:.6g}. What stands before the section of that name is the card of "
        f"the release that it was made from: decisions, and figures of decisions, are there at the threshold "
        f"{earlier:.6g}, and what is said there of protocols is not of this copy."
    )
    return "\n\n".join(part for part in (title, notice, body, section.strip()) if part) + "\n"
