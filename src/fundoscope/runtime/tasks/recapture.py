"""What to do in the patient's room about a photograph that cannot be graded, while the patient is still there."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

from fundoscope.photo.quality import FAULTS

ADVICE: Final = MappingProxyType(
    {
        "not_a_scan": "scan",
        "cut_off": "scan_position",
        "weak_signal": "scan_signal",
        "no_retina": "align",
        "several_retinas": "one_retina",
        "no_colour": "colour",
        "squashed": "original",
        "light_surround": "original",
        "too_small": "larger",
        "field_size": "centre",
        "lid": "lid",
        "dark": "more_light",
        "bright": "less_light",
        "sharpness": "focus",
        "contrast": "lens",
        "vessels": "lens",
    }
)
"""The advice against each of `photo.quality.FAULTS`, in the order in which it is followed: what hides the others first.

The texts are `recapture.<advice>` of `runtime.language`.
"""

AGAIN: Final = "again"
"""The advice where no fault is known: of a file that could not be read."""


def recapture_advice(faults: Sequence[str]) -> tuple[str, ...]:
    """Return what to do about a photograph that cannot be graded, each advice once, in the order to follow.

    Dim and soft pictures have few vessels and little contrast, so that a dirty lens is named only where neither light
    nor focus explains them.

    Args:
        faults: Names of `photo.quality.FAULTS`; none where the file could not be read.

    Raises:
        ValueError: If a fault is unknown.
    """
    if unknown := set(faults) - set(FAULTS):
        raise ValueError(f"faults: expected names of photo.quality.FAULTS, got {', '.join(sorted(unknown))}")
    advice = dict.fromkeys(ADVICE[fault] for fault in ADVICE if fault in faults)
    if {"focus", "more_light", "less_light", "lid", "centre"} & advice.keys():
        advice.pop("lens", None)
    return tuple(advice) or (AGAIN,)
