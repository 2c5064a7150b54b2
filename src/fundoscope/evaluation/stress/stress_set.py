"""The stress set: disturbances of light, optics, sensor and framing in five doses, the same for every system.

Each is applied to the photograph itself, before the field of view is looked for, so that a system may refuse what it
is shown. What is random is drawn from the set's seed, the disturbance and the photograph, never from the dose: a
larger dose is the same disturbance, stronger. A change of any number or formula here needs another `VERSION`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Photo
from fundoscope.photo.disturbances.framing import FieldCut, TightCrop, crop_tightly, cut_field, magnify
from fundoscope.photo.disturbances.fundus_aug import add_halo, add_spots, dig_hole, draw_halo, draw_hole, draw_spots
from fundoscope.photo.disturbances.light import Tone, Vignette, darken_edge, render_tone
from fundoscope.photo.disturbances.optics import Motion, Noise, add_noise, compress, defocus, move
from fundoscope.photo.disturbances.region import change_field
from fundoscope.photo.disturbances.specks import Speck, draw_specks, paint_specks
from fundoscope.photo.fov import Field

VERSION: Final = 1

SEED: Final = 20_260_715

DOSES: Final = 5

CAMERAS: Final = 3
"""Cameras with a pattern of dust each; which one a photograph was taken with is drawn."""

MOST_SPECKS: Final = 160

SPECK_RADIUS: Final = (0.0012, 0.005)
"""As shares of the field's diameter."""

SPECK_DEPTH: Final = (0.1, 0.5)

CLEAN: Final = "clean"
"""Stands for the untouched photograph in the place of a disturbance's name; its dose is 0."""

Apply = Callable[[Photo, Field, float, np.random.Generator], np.ndarray]
"""Called with a photograph, its field of view, the amount of the dose and the generator of this photograph."""

CroppedOrWhole = UInt8[np.ndarray, "disturbed_height disturbed_width 3"]
"""A disturbed photograph: smaller than the original where it is cropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """One disturbance in its five doses."""

    name: str
    amounts: tuple[float, ...]
    """From the mildest dose to the strongest, in the unit."""
    unit: str
    """What the amounts are, in words."""
    apply: Apply


def disturb(photo: Photo, disturbance: Disturbance, dose: int, field: Field, *, sha256: str) -> CroppedOrWhole:
    """Apply a dose of a disturbance to a photograph.

    Args:
        photo: Upright 8-bit RGB.
        disturbance: One of `DISTURBANCES`.
        dose: 1 to `DOSES`.
        field: The field of view of the untouched photograph.
        sha256: Of the photograph's file: seeds what is random.
    """
    key = [SEED, list(DISTURBANCES).index(disturbance.name), int(sha256[:15], 16)]
    return disturbance.apply(photo, field, disturbance.amounts[dose - 1], np.random.default_rng(key))


def set_name() -> str:
    """Return the name of the set with the first digits of the hash of its definition."""
    definition = {
        "version": VERSION,
        "seed": SEED,
        "cameras": CAMERAS,
        "specks": [MOST_SPECKS, *SPECK_RADIUS, *SPECK_DEPTH],
        "disturbances": {one.name: [one.unit, *one.amounts] for one in DISTURBANCES.values()},
    }
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
    return f"stress-{VERSION}@{digest[:12]}"


def _camera_specks(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    camera = int(rng.integers(CAMERAS))
    return paint_specks(photo, _specks(np.random.default_rng([SEED, camera]))[: round(amount)], field)


def _free_dust(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return paint_specks(photo, _specks(rng)[: round(amount)], field)


def _specks(rng: np.random.Generator) -> tuple[Speck, ...]:
    return draw_specks(rng, count=(MOST_SPECKS, MOST_SPECKS), radius=SPECK_RADIUS, depth=SPECK_DEPTH)


def _lens_spots(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    spots = draw_spots(rng)
    while len(spots) < amount:
        spots += draw_spots(rng)
    return change_field(photo, field, lambda canvas: add_spots(canvas, spots[: round(amount)]))


def _halo(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    halo = replace(draw_halo(rng), strength=amount)
    return change_field(photo, field, lambda canvas: add_halo(canvas, halo))


def _hole(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    hole = draw_hole(rng)
    stronger = replace(hole, base=amount * hole.base, slope=amount * hole.slope)
    return change_field(photo, field, lambda canvas: dig_hole(canvas, stronger))


def _white_balance(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    direction = rng.uniform(-1, 1, size=3)
    red, green, blue = (1 + amount) ** (direction / np.abs(direction).max())
    return render_tone(photo, Tone(float(red), float(green), float(blue)))


def _gamma(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return render_tone(photo, Tone(gamma=amount if rng.random() < 0.5 else 1 / amount))


def _vignetting(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    down, right = rng.uniform(-0.3, 0.3, size=2) * field.radius
    row, column = (field.row + down) / photo.shape[0], (field.column + right) / photo.shape[1]
    return darken_edge(photo, Vignette(float(row), float(column), amount), field)


def _defocus(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return change_field(photo, field, lambda canvas: defocus(canvas, amount))


def _motion(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    motion = Motion(amount, float(rng.uniform(0, 180)))
    return change_field(photo, field, lambda canvas: move(canvas, motion))


def _noise(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return add_noise(photo, Noise(amount, amount / 4, int(rng.integers(2**32))))


def _jpeg(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return compress(photo, round(amount))


def _narrow_angle(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return magnify(photo, amount, field)


def _field_cut(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    side = ("top", "bottom", "left", "right")[int(rng.integers(4))]
    return cut_field(photo, FieldCut(**{side: amount}), field)


def _crescent(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> Photo:
    return cut_field(photo, FieldCut(crescent=amount, crescent_degrees=float(rng.uniform(0, 360))), field)


def _tight_crop(photo: Photo, field: Field, amount: float, rng: np.random.Generator) -> CroppedOrWhole:
    return crop_tightly(photo, TightCrop(amount), field)


DISTURBANCES: Final[dict[str, Disturbance]] = {
    name: Disturbance(name=name, amounts=tuple(map(float, amounts)), unit=unit, apply=apply)
    for name, unit, amounts, apply in (
        ("camera_specks", "specks of one of three cameras", (10, 20, 40, 80, 160), _camera_specks),
        ("free_dust", "specks anywhere", (10, 20, 40, 80, 160), _free_dust),
        ("lens_spots", "bright spots", (4, 8, 16, 32, 64), _lens_spots),
        ("halo", "strength", (0.4, 0.8, 1.2, 1.6, 2.0), _halo),
        ("hole", "depth, 1 as published", (0.4, 0.7, 1.0, 1.5, 2.0), _hole),
        ("white_balance", "gain of the channel that changes most, less 1", (0.1, 0.2, 0.3, 0.45, 0.6), _white_balance),
        ("gamma", "exponent or its inverse", (1.2, 1.4, 1.7, 2.1, 2.6), _gamma),
        ("vignetting", "light lost at the edge", (0.3, 0.5, 0.7, 0.85, 1.0), _vignetting),
        ("defocus", "standard deviation, share of the diameter", (0.001, 0.002, 0.004, 0.006, 0.01), _defocus),
        ("motion", "path, share of the diameter", (0.004, 0.008, 0.015, 0.025, 0.04), _motion),
        ("noise", "standard deviation at full light", (0.03, 0.06, 0.1, 0.15, 0.25), _noise),
        ("jpeg", "quality", (60, 40, 25, 15, 8), _jpeg),
        ("narrow_angle", "magnification within the field", (1.1, 1.2, 1.3, 1.45, 1.6), _narrow_angle),
        ("field_cut", "share of the diameter cut off one side", (0.05, 0.1, 0.15, 0.22, 0.3), _field_cut),
        ("crescent", "width, share of the diameter", (0.05, 0.1, 0.15, 0.22, 0.3), _crescent),
        ("tight_crop", "side of the square, share of the diameter", (0.7, 0.65, 0.6, 0.55, 0.5), _tight_crop),
    )
}
"""All disturbances, by name, in the order of tables."""
