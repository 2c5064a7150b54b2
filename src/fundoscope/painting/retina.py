"""A painted fundus photograph: background, macula, disc, vessels, lesions, then the camera's part.

Nothing here is meant to train or to judge a grader; it is meant to look enough like a retina that
reading, finding the field, preparing and reporting can be shown and tested without anybody's eye.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from fundoscope.arrays import Mask, Photo
from fundoscope.painting.lesions import draw_lesions, lesion_planes
from fundoscope.painting.sheet import Plane, Sheet
from fundoscope.painting.vessels import grow_vessels

FRAMINGS = {
    "full": (4 / 3, 0.47, 0.5, 0.5),
    "cropped": (1.5, 0.60, 0.5, 0.47),
    "off-centre": (4 / 3, 0.42, 0.47, 0.61),
}
"""Width over height of the frame; the field's radius and centre row over the height; centre column over the width."""

DISC_RADIUS = 0.135
"""In radii of the field."""

Picture = Float32[np.ndarray, "height width 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetinaSpec:
    """What to paint."""

    side_px: int = 512
    """Height of the photograph; its width follows from the framing."""
    grade: int = 0
    """ICDR grade, 0 to 4: decides the lesions."""
    eye: str = "right"
    """right (disc on the right) or left."""
    framing: str = "full"
    """full, cropped (top and bottom cut off, as in IDRiD) or off-centre."""
    brightness: float = 1.0
    """Factor on the light; 1 is a well-exposed photograph."""
    notch: bool = True
    """Whether the camera's tab shows at the field's rim."""
    blur_px: float = 0.0
    """Standard deviation of the defocus, in pixels."""

    def __post_init__(self) -> None:
        if self.side_px < 32:
            raise ValueError(f"side_px must be at least 32, got {self.side_px}")
        if self.grade not in range(5):
            raise ValueError(f"grade must be 0 to 4, got {self.grade}")
        if self.eye not in ("left", "right"):
            raise ValueError(f"eye must be left or right, got {self.eye!r}")
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {self.framing!r}")
        if self.brightness < 0 or self.blur_px < 0:
            raise ValueError(f"brightness and blur_px must not be negative, got {self.brightness} and {self.blur_px}")


@dataclass(frozen=True, slots=True)
class Painted:
    """A painted photograph and the truth about it."""

    photo: Photo
    field: tuple[float, float, float]
    """Row, column and radius of the field of view, in pixels."""
    disc: tuple[float, float, float]
    """Row, column and radius of the optic disc, in pixels."""
    lesion_mask: Mask
    vessel_mask: Mask
    grade: int


def paint_retina(spec: RetinaSpec, *, rng: np.random.Generator) -> Painted:
    """Paint one retina; the same generator state gives the same picture.

    Lesions are drawn after everything else of the eye, so that one generator state with two grades
    gives the same eye with and without them.
    """
    sheet = _sheet(spec)
    disc = (float(rng.uniform(0.44, 0.52)), float(rng.uniform(-0.07, 0.05)))
    fovea = (disc[0] - float(rng.uniform(0.52, 0.58)), disc[1] + float(rng.uniform(0.04, 0.09)))
    picture = _background(sheet, rng, fovea)
    picture = _disc(sheet, rng, picture, disc)
    veins, arteries = (sheet.lines(strokes) for strokes in grow_vessels(rng, disc, fovea))
    picture = _soak(picture, sheet.blurred(veins, 0.0015), (0.30, 0.52, 0.45))
    picture = _soak(picture, sheet.blurred(arteries, 0.0015), (0.12, 0.40, 0.38))
    grain = rng.standard_normal((sheet.height, sheet.width, 3)).astype(np.float32)
    planes = lesion_planes(sheet, draw_lesions(rng, spec.grade, disc, fovea))
    picture = _paint_lesions(picture, planes)
    inside = sheet.coordinates()
    within = np.hypot(*inside) <= 1
    return Painted(
        photo=_expose(sheet, spec, picture, grain),
        field=(sheet.row, sheet.column, sheet.radius),
        disc=(*sheet.to_pixels(*disc), DISC_RADIUS * sheet.radius),
        lesion_mask=(np.maximum.reduce(list(planes.values())) > 0.4) & within,
        vessel_mask=(np.maximum(veins, arteries) > 0.4) & within,
        grade=spec.grade,
    )


def _sheet(spec: RetinaSpec) -> Sheet:
    aspect, radius, row, column = FRAMINGS[spec.framing]
    width = round(spec.side_px * aspect)
    column = 1 - column if spec.eye == "left" else column
    return Sheet(
        spec.side_px, width, row * spec.side_px, column * width, radius * spec.side_px, mirrored=spec.eye == "left"
    )


def _background(sheet: Sheet, rng: np.random.Generator, fovea: tuple[float, float]) -> Picture:
    """Orange fundus with uneven light, choroidal texture and the darker macula; RGB about 0 to 1."""
    right, down = sheet.coordinates()
    colour = np.array([0.74, 0.36, 0.14]) * rng.uniform(0.92, 1.06, 3)
    tilt = rng.normal(0, 0.06, 2)
    light = 1.02 - 0.30 * (right**2 + down**2) + tilt[0] * right + tilt[1] * down
    light = light + 0.03 * sheet.noise(rng, grain=0.5)
    choroid = 0.020 * sheet.noise(rng, grain=0.09) + 0.016 * sheet.noise(rng, grain=0.04)
    fine = 0.010 * sheet.noise(rng, grain=0.015)
    from_fovea = np.hypot(right - fovea[0], down - fovea[1])
    macula = 0.28 * np.exp(-((from_fovea / 0.16) ** 2)) + 0.16 * np.exp(-((from_fovea / 0.05) ** 2))
    reflex = 0.10 * np.exp(-((from_fovea / 0.012) ** 2))
    layers = [
        colour[0] * (light + 0.7 * choroid + fine - 0.55 * macula + reflex),
        colour[1] * (light + 1.6 * choroid + 1.5 * fine - macula + 2 * reflex),
        colour[2] * (light + 1.2 * choroid + fine - 0.9 * macula + 2 * reflex),
    ]
    return np.stack(layers, axis=2).astype(np.float32)


def _disc(sheet: Sheet, rng: np.random.Generator, picture: Picture, disc: tuple[float, float]) -> Picture:
    """The optic disc: a yellow ellipse, paler on the temporal side, with a bright cup and a faint halo."""
    right, down = sheet.coordinates()
    across, along = (right - disc[0]) / (0.92 * DISC_RADIUS), (down - disc[1]) / (1.05 * DISC_RADIUS)
    away = np.hypot(across, along)
    body = _step((1 - away) / 0.055)
    halo = np.exp(-np.maximum(0, away - 1) / 0.7)
    cup = _step((rng.uniform(0.35, 0.5) - np.hypot(across + 0.12, along)) / 0.10)
    colour = np.array([0.96, 0.70, 0.36], np.float32) * (1 - 0.05 * across[..., None])
    picture = picture * (1 + 0.10 * halo[..., None])
    picture = picture + (colour - picture) * (0.86 * body[..., None])
    return np.asarray(picture + np.array([0.03, 0.16, 0.20], np.float32) * cup[..., None], np.float32)


def _step(values: Plane) -> Plane:
    """A smooth step from 0 to 1."""
    return np.asarray(0.5 + 0.5 * np.tanh(values / 2), np.float32)


def _soak(picture: Picture, plane: Plane, absorbed: tuple[float, float, float]) -> Picture:
    """Paint that swallows a share of each colour: vessels and blood."""
    return np.asarray(picture * (1 - plane[..., None] * np.array(absorbed, np.float32)), np.float32)


def _cover(picture: Picture, plane: Plane, colour: tuple[float, float, float], opacity: float) -> Picture:
    return np.asarray(picture + (np.array(colour, np.float32) - picture) * (opacity * plane[..., None]), np.float32)


def _paint_lesions(picture: Picture, planes: dict[str, Plane]) -> Picture:
    picture = _cover(picture, planes["white"], (0.92, 0.82, 0.60), 0.60)
    picture = _soak(picture, planes["red"], (0.34, 0.66, 0.55))
    picture = _cover(picture, planes["yellow"], (0.98, 0.86, 0.40), 0.85)
    picture = _soak(picture, planes["tufts"], (0.16, 0.52, 0.45))
    return _cover(picture, planes["pool"], (0.36, 0.05, 0.03), 0.92)


def _expose(sheet: Sheet, spec: RetinaSpec, picture: Picture, grain: Picture) -> Photo:
    """The camera's part: aperture with its tab, defocus, brightness, the sensor's noise and black level."""
    right, down = sheet.coordinates()
    aperture = np.clip((1 - np.hypot(right, down)) * sheet.radius + 0.5, 0, 1)
    if spec.notch:
        aperture = np.maximum(aperture, _tab(sheet, right, down))
    seen = picture * (spec.brightness * aperture[..., None])
    if spec.blur_px:
        # The aperture stands before the sensor: it stays sharp while the eye is out of focus.
        seen = cv2.GaussianBlur(picture * spec.brightness, (0, 0), spec.blur_px) * aperture[..., None]
    noisy = 255 * seen + np.array([3.5, 2.5, 2.0], np.float32) + 1.1 * grain
    return np.asarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


def _tab(sheet: Sheet, right: Plane, down: Plane) -> Plane:
    """A small square tab on the upper right of the picture's rim, whichever eye it is."""
    right = -right if sheet.mirrored else right
    along, across = (right - down) / np.sqrt(2), (right + down) / np.sqrt(2)
    room = np.minimum(0.025 - np.abs(across), 1.022 - along) * sheet.radius
    return np.asarray(np.clip(room + 0.5, 0, 1) * (along > 0.9), np.float32)
