"""What another camera would have done to the photograph: framing, optics, dust, sensor and rendering.

Applied to canvases in the order in which light passes a camera: the field is cut, light falls off, the picture moves,
dust on the sensor shades it, noise is added, colours are balanced, a JPEG is written.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Canvas
from fundoscope.photo.disturbances.background import keep_surround
from fundoscope.photo.disturbances.framing import FieldCut, cut_field, hidden_by
from fundoscope.photo.disturbances.light import Tone, Vignette, darken_edge, render_tone
from fundoscope.photo.disturbances.optics import Motion, Noise, add_noise, compress, move
from fundoscope.photo.disturbances.specks import Speck, draw_specks, paint_specks
from fundoscope.training.experiment.ranges import Augment

DECENTRED = 0.15
"""Largest distance of a vignette's centre from the canvas's along each axis, as a share of the side."""

CAMERA_KEY = 0x5EC5
"""First part of the seed of every camera's pattern, so that it repeats no other draw of a run."""


@dataclass(frozen=True, slots=True)
class CameraParams:
    """What is done to one canvas, in the order of the fields."""

    cut: FieldCut | None = None
    vignette: Vignette | None = None
    motion: Motion | None = None
    specks: tuple[Speck, ...] = ()
    """The fixed pattern of a camera and free dust together."""
    noise: Noise | None = None
    tone: Tone | None = None
    jpeg: int = 0
    """Quality, 1 to 100; 0: not compressed."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CameraParams:
        """Read the parameters that `dataclasses.asdict` wrote."""
        kinds: dict[str, Callable[..., Any]] = {
            "cut": FieldCut, "vignette": Vignette, "motion": Motion, "noise": Noise, "tone": Tone
        }  # fmt: skip
        read: dict[str, Any] = {name: kind(**values[name]) if values[name] else None for name, kind in kinds.items()}
        return cls(specks=tuple(Speck(**speck) for speck in values["specks"]), jpeg=values["jpeg"], **read)


@dataclass(frozen=True, slots=True)
class TightFrame:
    """A square of the canvas that is shown alone."""

    left: float
    """Of the square, as a share of the canvas's side; `top` likewise."""
    top: float
    side: float
    """Of the square, as a share of the canvas's."""
    shown: float
    """Side that it is shown at in the middle of the canvas, as a share of the canvas's; black outside."""

    def window(self) -> tuple[float, float, float, float]:
        """Return (left, top, width, height) of what the whole canvas would show."""
        width = self.side / self.shown
        beyond = (width - self.side) / 2
        return self.left - beyond, self.top - beyond, width, width


PARTS = ("cut", "crescent", "vignette", "motion", "specks", "dust", "noise", "tone", "jpeg")
"""Parts with a generator of their own, in the order their seeds are drawn; new ones go to the end."""


def draw_camera(own: Mapping[str, np.random.Generator], ranges: Augment, *, seed: int) -> CameraParams:
    """Draw what happens to one canvas.

    Args:
        own: A generator for each of `PARTS`.
        ranges: How often and how far.
        seed: Of the run. Together with its number it gives the pattern of each virtual camera.
    """

    def happens(part: str, probability: float) -> bool:
        return bool(own[part].random() < probability)

    specks = _camera_pattern(own["specks"], ranges, seed) if happens("specks", ranges.specks) else ()
    dust = draw_specks(own["dust"], **_speck_ranges(ranges)) if happens("dust", ranges.dust) else ()
    toned = happens("tone", ranges.tone_probability) and (ranges.gain or ranges.gamma)
    return CameraParams(
        cut=_draw_cut(own, ranges, cut=happens("cut", ranges.cut), crescent=happens("crescent", ranges.crescent)),
        vignette=_draw_vignette(own["vignette"], ranges) if happens("vignette", ranges.vignette) else None,
        motion=_draw_motion(own["motion"], ranges) if happens("motion", ranges.motion) else None,
        specks=(*specks, *dust),
        noise=_draw_noise(own["noise"], ranges) if happens("noise", ranges.noise) else None,
        tone=_draw_tone(own["tone"], ranges) if toned else None,
        jpeg=round(own["jpeg"].uniform(*ranges.jpeg_quality)) if happens("jpeg", ranges.jpeg) else 0,
    )


def apply_optics(canvas: Canvas, params: CameraParams) -> Canvas:
    """Apply what lies before the lens's own faults (FundusAug): the cut of the field, and vignetting."""
    canvas = cut_field(canvas, params.cut) if params.cut is not None else canvas
    return darken_edge(canvas, params.vignette) if params.vignette is not None else canvas


def apply_sensor(canvas: Canvas, params: CameraParams) -> Canvas:
    """Apply what comes after the lens: movement, dust, noise, tone and compression."""
    changed = move(canvas, params.motion) if params.motion is not None else canvas
    changed = paint_specks(changed, params.specks) if params.specks else changed
    changed = add_noise(changed, params.noise) if params.noise is not None else changed
    if params.tone is not None or params.jpeg:
        rendered = render_tone(changed, params.tone) if params.tone is not None else changed
        rendered = compress(rendered, params.jpeg) if params.jpeg else rendered
        changed = keep_surround(canvas, rendered)
    return changed


def hide_lesions(mask: UInt8[np.ndarray, "side side kind"], params: CameraParams) -> np.ndarray:
    """Return lesion maps without what the cut of the field hides."""
    if params.cut is None:
        return mask
    kept = mask.copy()
    kept[hidden_by(params.cut, *mask.shape[:2])] = 0
    return kept


@functools.lru_cache(maxsize=1024)
def _pattern(seed: int, camera: int, ranges: Augment) -> tuple[Speck, ...]:
    return draw_specks(np.random.default_rng([CAMERA_KEY, seed, camera]), **_speck_ranges(ranges))


def _camera_pattern(rng: np.random.Generator, ranges: Augment, seed: int) -> tuple[Speck, ...]:
    """Return the pattern of one of the run's cameras: the same whenever that camera is drawn."""
    return _pattern(seed, int(rng.integers(ranges.speck_cameras)), ranges)


def _speck_ranges(ranges: Augment) -> dict[str, Any]:
    fewest, most = ranges.speck_count
    return {"count": (round(fewest), round(most)), "radius": ranges.speck_radius, "depth": ranges.speck_depth}


def _draw_cut(own: Mapping[str, np.random.Generator], ranges: Augment, *, cut: bool, crescent: bool) -> FieldCut | None:
    """Cut one side, two opposite ones or all of them, and lay a crescent on the rim."""
    rng, round_rng = own["cut"], own["crescent"]
    depths = rng.uniform(*ranges.cut_depth, size=4)
    sides = _SIDES[int(rng.integers(len(_SIDES)))] if cut else (0, 0, 0, 0)
    width, degrees = round_rng.uniform(*ranges.crescent_width), round_rng.uniform(0, 360)
    if not cut and not crescent:
        return None
    top, bottom, left, right = (float(depth) * side for depth, side in zip(depths, sides, strict=True))
    return FieldCut(
        top, bottom, left, right,
        crescent=float(width) if crescent else 0.0, crescent_degrees=float(degrees) if crescent else 0.0,
    )  # fmt: skip


_SIDES = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1))
"""Which of (top, bottom, left, right) are cut together."""


def _draw_vignette(rng: np.random.Generator, ranges: Augment) -> Vignette:
    row, column = (float(value) for value in 0.5 + rng.uniform(-DECENTRED, DECENTRED, size=2))
    return Vignette(row, column, float(rng.uniform(*ranges.vignette_strength)), float(rng.uniform(1.5, 4.0)))


def _draw_motion(rng: np.random.Generator, ranges: Augment) -> Motion:
    return Motion(float(rng.uniform(*ranges.motion_length)), float(rng.uniform(0, 180)))


def _draw_noise(rng: np.random.Generator, ranges: Augment) -> Noise:
    shot, read = (float(rng.uniform(*ranges.noise_level)) for _ in range(2))
    return Noise(shot, read / 2, int(rng.integers(2**32)))


def _draw_tone(rng: np.random.Generator, ranges: Augment) -> Tone:
    red, green, blue = (float((1 + ranges.gain) ** rng.uniform(-1, 1)) for _ in range(3))
    return Tone(red, green, blue, float((1 + ranges.gamma) ** rng.uniform(-1, 1)))


def draw_tight_frame(rng: np.random.Generator, ranges: Augment) -> TightFrame:
    """Draw a square that lies within the canvas's inscribed circle where it is small enough, else about its middle."""
    side = float(rng.uniform(*ranges.tight_share))
    room = max(0.0, math.sqrt(0.5) - side) / 2
    left, top = (0.5 - side / 2 + float(offset) for offset in rng.uniform(-room, room, size=2))
    return TightFrame(left, top, side, shown=float(rng.uniform(*ranges.tight_shown)))
