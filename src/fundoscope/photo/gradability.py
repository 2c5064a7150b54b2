"""Whether a photograph can be graded: one retina, found, good enough and seen to be one. One place for all that ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fundoscope.arrays import Photo
from fundoscope.photo.evidence import shows_retina
from fundoscope.photo.field_copy import FieldCopy
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.montage import shows_several_retinas
from fundoscope.photo.no_field import squashed_words, why_no_field
from fundoscope.photo.quality import NOTHING, Gate, Quality, Verdict, is_bright, judge, measure_quality

SEVERAL: Final = Verdict(
    False, "reject", "more than one retina in the picture: expected a photograph of one. Crop it to one retina."
)

NO_EVIDENCE: Final = Verdict(
    False, "reject", "neither vessels nor an optic disc to be seen: not a fundus photograph, or not of the retina"
)

LIGHT_SURROUND: Final = Verdict(
    False, "reject", "the retina lies on white or grey: expected it on black, as cameras give it. Export the original"
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


def assess_gradability(photo: Photo, gate: Gate, *, requires_field: bool = True) -> Gradability:
    """Find the field of view of a photograph, measure its quality and compare it with the gate.

    Args:
        photo: Upright 8-bit RGB.
        gate: What the photograph must reach.
        requires_field: Whether a picture without a field of view is refused.
    """
    field = find_field(photo)
    if field is None and not requires_field:
        return Gradability(field=None, quality=None, verdict=None)
    if field is None and (reason := squashed_words(photo)):
        return Gradability(field=None, quality=NOTHING, verdict=Verdict(False, "reject", reason))
    if shows_several_retinas(photo, field):
        return Gradability(field=None, quality=None, verdict=SEVERAL)
    if field is None:
        return Gradability(field=None, quality=NOTHING, verdict=Verdict(False, "reject", why_no_field(photo)))
    copy = FieldCopy(photo, field)
    quality = measure_quality(photo, field, copy)
    verdict = judge(quality, gate, bright=is_bright(photo, field))
    if verdict.gradable and not shows_retina(photo, field, copy):
        verdict = NO_EVIDENCE
    if verdict.gradable and field.light_surround:
        verdict = LIGHT_SURROUND
    return Gradability(field=field, quality=quality, verdict=verdict)
