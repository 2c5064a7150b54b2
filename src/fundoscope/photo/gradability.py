"""Whether a picture can be graded: one retina, found, good enough and seen to be one. One place for all that ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fundoscope.arrays import Photo
from fundoscope.photo.evidence import shows_retina
from fundoscope.photo.field_copy import FieldCopy
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.montage import shows_several_retinas
from fundoscope.photo.no_field import squashed, why_no_field
from fundoscope.photo.quality import NOTHING, Gate, Quality, Verdict, is_bright, judge, measure_quality
from fundoscope.photo.scans.gradability import assess_scan

SEVERAL: Final = Verdict(
    False,
    "reject",
    "more than one retina in the picture: expected a photograph of one. Crop it to one retina.",
    ("several_retinas",),
)

NO_EVIDENCE: Final = Verdict(
    False,
    "reject",
    "neither vessels nor an optic disc to be seen: not a fundus photograph, or not of the retina",
    ("no_retina",),
)

LIGHT_SURROUND: Final = Verdict(
    False,
    "reject",
    "the retina lies on white or grey: expected it on black, as cameras give it. Export the original",
    ("light_surround",),
)
"""On such a picture it is not known where the rim ends, and the answer depends on it: of the first 40 of IDRiD's
training photographs, laid on white and saved as JPEG, the default release (2.1) gives one another most probable grade,
and moves the probability of referable disease by up to 0.046."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradability:
    """What was found in a photograph before anything is graded."""

    field: Field | None
    """The field of view; None where there is none, or more than one retina."""
    quality: Quality | None
    """Measured inside the field; None where there is more than one retina, or nothing was asked."""
    verdict: Verdict | None
    """None for a picture without a field where none is required: nothing is asked of it."""


LID: Final = 0.5
"""Brightness of the upper or lower quarter of the field, as a share of its middle half's, below which a lid or lashes
cover it. The least among 120 of IDRiD's training photographs (seed 0) is 0.72."""


def lid_in_the_way(copy: FieldCopy) -> bool:
    """Return whether the upper or lower quarter of the field is much darker than its middle, as under a lid."""
    rows = np.flatnonzero(copy.inside.any(axis=1))
    if not len(rows):
        return False
    light = copy.pixels.max(axis=2)
    first, last = rows[0], rows[-1] + 1
    quarter = max(1, (last - first) // 4)
    upper, middle, lower = (
        float(light[begin:end][copy.inside[begin:end]].mean())
        for begin, end in ((first, first + quarter), (first + quarter, last - quarter), (last - quarter, last))
    )
    return min(upper, lower) < LID * middle


def assess_gradability(photo: Photo, gate: Gate, *, requires_field: bool = True, is_scan: bool = False) -> Gradability:
    """Find the field of view of a photograph, measure its quality and compare it with the gate.

    Args:
        photo: Upright 8-bit RGB.
        gate: What the photograph must reach.
        requires_field: Whether a picture without a field of view is refused.
        is_scan: Whether it is to be an OCT scan (`Recipe.is_scan`), of which neither field nor gate is asked.
    """
    field = find_field(photo)
    if is_scan:
        return Gradability(field=None, quality=None, verdict=assess_scan(photo, field=field))
    if field is None and not requires_field:
        return Gradability(field=None, quality=None, verdict=None)
    if field is None and (ellipse := squashed(photo)):
        return Gradability(field=None, quality=NOTHING, verdict=ellipse)
    if shows_several_retinas(photo, field):
        return Gradability(field=None, quality=None, verdict=SEVERAL)
    if field is None:
        return Gradability(field=None, quality=NOTHING, verdict=why_no_field(photo))
    copy = FieldCopy(photo, field)
    quality = measure_quality(photo, field, copy)
    verdict = judge(quality, gate, bright=is_bright(photo, field))
    if not verdict.gradable and lid_in_the_way(copy):
        verdict = replace(verdict, faults=(*verdict.faults, "lid"))
    if verdict.gradable and not shows_retina(photo, field, copy):
        verdict = NO_EVIDENCE
    if verdict.gradable and field.light_surround:
        verdict = LIGHT_SURROUND
    return Gradability(field=field, quality=quality, verdict=verdict)
