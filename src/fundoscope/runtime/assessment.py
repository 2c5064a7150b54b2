"""Quality assessment: everything about a photograph that is known before the network runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fundoscope.arrays import Canvas, Photo
from fundoscope.photo.fov import find_field
from fundoscope.photo.quality import Gate, judge, measure_quality
from fundoscope.photo.read import Photograph
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.runtime.reading import Reading


def assess(
    reading: Reading, photograph: Photograph | Photo, recipe: Recipe, gate: Gate, *, requires_field: bool = True
) -> tuple[Reading, Photo, Canvas | None]:
    """Assess and prepare a photograph.

    Args:
        reading: What is known of it already: its name.
        photograph: A file that was read, or upright 8-bit RGB pixels.
        recipe: How it is prepared.
        gate: What counts as gradable.
        requires_field: Whether a picture without a circular field of view is ungradable (`Task.requires_field`). If
            not, such a picture has no quality and passes.

    Returns:
        The reading with `status` graded or ungradable, its pixels, and its canvas: None where a field is required and
        there is none, but not where the photograph is only ungradable.
    """
    if isinstance(photograph, np.ndarray):
        pixels = photograph
    else:
        pixels = photograph.pixels
        reading = replace(
            reading,
            sha256=photograph.sha256,
            patient=photograph.patient,
            eye=photograph.eye,
            taken=photograph.taken,
        )
    field = find_field(pixels)
    reading = replace(reading, field=field, decoded=(pixels.shape[0], pixels.shape[1]))
    if field is None and not requires_field:
        reading = replace(reading, status="graded")
    else:
        parts = measure_quality(pixels, field)
        verdict = judge(parts, gate)
        reading = replace(
            reading,
            status="graded" if verdict.gradable and field is not None else "ungradable",
            reason=verdict.reason,
            quality=verdict.quality,
            parts=parts,
        )
        if field is None:
            return reading, pixels, None
    prepared = prepare(pixels, recipe, field=field)
    return replace(reading, placement=prepared.placement, side=len(prepared.canvas)), pixels, prepared.canvas
