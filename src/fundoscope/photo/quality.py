"""Can this photograph be graded? Five classical measures inside the field of view, and a gate over them.

No learned quality network may be shipped, so the measures are filters whose meaning can be said in
a sentence. All are taken on a copy whose field of view is `WORKING_PX` wide, so that they do not
depend on the camera's resolution, and each is mapped to [0, 1] by a fixed increasing ramp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Photo
from fundoscope.photo.field_copy import GREEN, WORKING_PX, FieldCopy, Inside, Plane
from fundoscope.photo.fov import Field
from fundoscope.records import is_number

LEAST_PART = 0.05
"""Share of the working square that must lie inside field and frame for anything to be measured."""

NOISE_SHARE = 0.35
"""Noise between 1 and 2 px over noise below 1 px: 0.22 for white noise, more where it was averaged while reducing."""

WIDE_PX = 400.0
"""Width of a field of view from which more pixels show no more that matters here."""

SHARPNESS = (0.15, 0.50)
CONTRAST = (0.05, 0.30)
WILD = (0.75, 1.1)
EXPOSURE = (8.0, 48.0)
VESSELS = (0.0, 0.08)
"""Where each ramp begins and ends; set on IDRiD's training photographs and on blurred and darkened copies."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a retina can be seen, each in [0, 1]; 0 throughout where no field of view was found."""

    field_size: float
    """Share of the field's circle inside the frame, times how many pixels it is wide (1 from 400 px)."""
    sharpness: float
    """Fine detail (vessel edges) against coarse detail in the green channel."""
    exposure: float
    """Neither too dark nor washed out."""
    contrast: float
    """Spread of the green channel round its local mean, as a share of that mean; less where it is wilder than any
    retina's."""
    vessels: float
    """Share of the field covered by long dark ridges."""

    @property
    def overall(self) -> float:
        """The weakest of the five."""
        return min(self.field_size, self.sharpness, self.exposure, self.contrast, self.vessels)


NOTHING = Quality(0.0, 0.0, 0.0, 0.0, 0.0)


def measure_quality(photo: Photo, field: Field | None, copy: FieldCopy | None = None) -> Quality:
    """Measure a photograph inside its field of view.

    Args:
        photo: Upright 8-bit RGB.
        field: As `find_field` gave it; None gives zeros.
        copy: Of the field; made here if None.
    """
    if field is None or field.radius < 8:
        return NOTHING
    copy = FieldCopy(photo, field) if copy is None else copy
    relative, inside = copy.green, copy.inside
    if inside.mean() < LEAST_PART:
        return NOTHING
    inside = cv2.erode(inside.astype(np.uint8), np.ones((11, 11), np.uint8)).astype(bool)
    if not inside.any():
        return NOTHING
    low, high = np.quantile(relative[inside][::7], [0.05, 0.95])
    return Quality(
        field_size=_field_size(photo, field),
        sharpness=_sharpness(relative, inside),
        exposure=_exposure(photo, field),
        contrast=_ramp(float(high - low), *CONTRAST) * (1 - _ramp(float(high - low), *WILD)),
        vessels=_vessels(copy, inside),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a photograph must reach to be graded; a release carries its own."""

    field_size: float = 0.4
    sharpness: float = 0.25
    exposure: float = 0.25
    contrast: float = 0.15
    vessels: float = 0.05
    good: float = 0.5
    """A gradable photograph is good, not merely usable, from this weakest measure on."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise ValueError(f"gate.{name} must lie in [0, 1], got {value!r}")

    def to_dict(self) -> dict[str, float]:
        """The gate as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Gate:
        """The gate that `to_dict` wrote; what is left out has its default.

        Raises:
            ValueError: If a key is unknown or a value is no number in [0, 1]; it names the key.
        """
        names = {field.name for field in fields(cls)}
        for name, value in mapping.items():
            if name not in names:
                raise ValueError(f"gate.{name} is unknown; expected keys among {', '.join(sorted(names))}")
            if not is_number(value):
                raise ValueError(f"gate.{name} must be a number in [0, 1], got {value!r}")
        return cls(**{name: float(value) for name, value in mapping.items()})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a photograph can be graded, and why not."""

    gradable: bool
    quality: str
    """good, usable or reject."""
    reason: str
    """In words, with the number that was reached; empty when good."""
    faults: tuple[str, ...] = ()
    """Why it cannot be graded, the worst first, as names of `FAULTS`; empty where it can."""


FAULTS: Final = (
    "field_size", "dark", "bright", "sharpness", "contrast", "vessels", "lid", "no_retina", "several_retinas",
    "light_surround", "squashed", "too_small", "no_colour", "not_a_scan", "weak_signal", "cut_off",
)  # fmt: skip
"""What may keep a photograph, or a scan (the last three), from being graded. `lid` stands beside another: it says where
that comes from."""


_COMPLAINTS = {
    "field_size": "too little of the retina in the picture",
    "exposure": "too dark",
    "sharpness": "out of focus",
    "contrast": "too little contrast",
    "vessels": "no vessels to be seen",
}

_OF_BRIGHT = {"too dark": "washed out", "rather dark": "rather pale"}
"""What is said instead of a photograph that is bright."""

_RESERVATIONS = {
    "field_size": "part of the retina is missing",
    "exposure": "rather dark",
    "sharpness": "rather soft",
    "contrast": "little contrast",
    "vessels": "vessels are hard to see",
}


def judge(quality: Quality, gate: Gate, *, bright: bool = False) -> Verdict:
    """Compare a photograph's measures with the gate; the worst shortfall comes first in the reason.

    Args:
        quality: As `measure_quality` gave it.
        gate: What must be reached.
        bright: Whether it is light that lowers the exposure (`is_bright`).
    """
    if quality == NOTHING:
        return Verdict(False, "reject", "no retina found: not a fundus photograph", ("no_retina",))
    measured, needed = asdict(quality), asdict(gate)
    missed = [name for name in _COMPLAINTS if measured[name] < needed[name]]
    if missed:
        missed.sort(key=lambda name: measured[name] / needed[name])
        words = "; ".join(_complaint(name, measured[name], needed[name], bright) for name in missed)
        exposure = "bright" if bright else "dark"
        return Verdict(False, "reject", words, tuple(exposure if name == "exposure" else name for name in missed))
    weak = [name for name in _COMPLAINTS if measured[name] < gate.good]
    if weak:
        worst = min(weak, key=lambda name: measured[name])
        said = _of_light(_RESERVATIONS[worst], bright)
        return Verdict(True, "usable", f"{said} ({worst.replace('_', ' ')} {measured[worst]:.2f})")
    return Verdict(True, "good", "")


def _of_light(words: str, bright: bool) -> str:
    return _OF_BRIGHT.get(words, words) if bright else words


def _complaint(name: str, came: float, needed: float, bright: bool) -> str:
    return f"{_of_light(_COMPLAINTS[name], bright)} ({name.replace('_', ' ')} {came:.2f}, at least {needed:.2f} needed)"


def _field_size(photo: Photo, field: Field) -> float:
    """Share of the circle inside the frame times a ramp over its width in pixels."""
    step = max(1, int(field.radius // 64))
    circle_px = np.pi * field.radius**2 / step**2
    height, width = (len(range(0, side, step)) for side in photo.shape[:2])
    visible_px = int(field.scaled(1 / step).mask(height, width).sum())
    return min(1.0, visible_px / circle_px) * min(1.0, 2 * field.radius / WIDE_PX)


def _sharpness(relative: Plane, inside: Inside) -> float:
    """Energy between 1 and 2 px against that between 2 and 6 px, less what noise has of it."""
    fine, middle, coarse = (cv2.GaussianBlur(relative, (0, 0), sigma) for sigma in (1.0, 2.0, 6.0))
    grain = float((relative - fine)[inside].std())
    detail = max(0.0, float((fine - middle)[inside].std()) ** 2 - (NOISE_SHARE * grain) ** 2) ** 0.5
    return _ramp(detail / max(1e-6, float((middle - coarse)[inside].std())), *SHARPNESS)


def _exposure(photo: Photo, field: Field) -> float:
    """Ramp over the median luminance, less the share of washed-out pixels."""
    pixels = _pixels(photo, field)
    if not len(pixels):
        return 0.0
    # Red is often saturated on a good photograph; green only on the disc and on exudates.
    washed_out = float((pixels[:, GREEN] > 235).mean())
    return _ramp(_median_luminance(pixels), *EXPOSURE) * (1 - _ramp(washed_out, 0.05, 0.5))


def is_bright(photo: Photo, field: Field) -> bool:
    """Return whether a photograph is so bright that darkness lowers nothing of its exposure."""
    pixels = _pixels(photo, field)
    return bool(len(pixels)) and _median_luminance(pixels) >= EXPOSURE[1]


def _pixels(photo: Photo, field: Field) -> UInt8[np.ndarray, "pixel 3"]:
    """Some thousands of the pixels inside the field."""
    step = max(1, int(field.radius // 64))
    small = photo[::step, ::step]
    return np.asarray(small[field.scaled(1 / step).mask(*small.shape[:2])])


def _median_luminance(pixels: UInt8[np.ndarray, "pixel 3"]) -> float:
    return float(np.median(pixels @ np.array([0.299, 0.587, 0.114])))


def _vessels(copy: FieldCopy, inside: Inside) -> float:
    """Share of the field on dark ridges that are long."""
    _, _, parts, _ = cv2.connectedComponentsWithStats(copy.ridges * inside, connectivity=8)
    lengths = parts[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1, initial=0)
    covered = parts[1:, cv2.CC_STAT_AREA][lengths > WORKING_PX / 8].sum()
    return _ramp(float(covered) / max(1, int(inside.sum())), *VESSELS)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
