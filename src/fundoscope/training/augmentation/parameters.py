"""Augmentation: draw parameters, then apply them. The record can be stored, replayed and looked at.

One after the other: a movement of the plane, a change of colours, RandAugment's operations, what the
optics spoil (FundusAug between cut field and motion), dust, noise and rendering of another camera
(`camera.py`), a box of noise. Each part has a generator of its own, so that switching one
on changes no other's draws.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace

import cv2
import numpy as np
from jaxtyping import UInt8

from fundoscope.arrays import Canvas, Mask
from fundoscope.photo.disturbances.background import brightest
from fundoscope.photo.disturbances.framing import FieldCut, hidden_by, inscribed_field
from fundoscope.photo.disturbances.fundus_aug import (
    SIDE,
    Halo,
    Hole,
    Spot,
    add_halo,
    add_spots,
    dig_hole,
    draw_halo,
    draw_hole,
    draw_spots,
    sharpen,
)
from fundoscope.photo.disturbances.optics import defocus
from fundoscope.training.augmentation.camera import (
    PARTS as CAMERA_PARTS,
)
from fundoscope.training.augmentation.camera import (
    CameraParams,
    TightFrame,
    apply_optics,
    apply_sensor,
    draw_camera,
    draw_tight_frame,
    hide_lesions,
)
from fundoscope.training.augmentation.rand_augment import Operation, apply_operation, draw_operations, move_by_operation
from fundoscope.training.experiment.ranges import Augment

WHOLE = (0.0, 0.0, 1.0, 1.0)
"""The window that shows the picture as it is."""

NOISE_MEAN, NOISE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's channels, as shares of full range: noise in an erased box is standard normal after normalisation."""


@dataclass(frozen=True, slots=True)
class Erased:
    """A box of noise."""

    left: float
    """Shares of the side."""
    top: float
    width: float
    height: float
    seed: int
    """Of the noise."""

    def box_px(self, side: int) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) in pixels, at least one each way."""
        top, left = round(self.top * side), round(self.left * side)
        bottom, right = round((self.top + self.height) * side), round((self.left + self.width) * side)
        return top, max(bottom, top + 1), left, max(right, left + 1)


@dataclass(frozen=True, slots=True)
class AugmentParams:
    """What is done to one photograph, in the order of the fields' groups."""

    turn_degrees: float = 0.0
    """Counter-clockwise rotation about the centre."""
    flip: bool = False
    """Mirrored left to right, before the rotation."""
    zoom: float = 1.0
    """Magnification about the centre."""
    shift_right: float = 0.0
    """Share of the side."""
    shift_down: float = 0.0
    """Share of the side."""
    brightness: float = 0.0
    """Added, as a share of full range."""
    contrast: float = 1.0
    """Factor on the distance from mid-grey."""
    saturation: float = 1.0
    """Factor on the distance from each pixel's own grey."""
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Gain of red, green and blue."""
    flip_down: bool = False
    """Mirrored top to bottom, before the rotation."""
    stretch: float = 1.0
    """Factor on the width and divisor of the height, before the rotation."""
    side_padding: float = 0.0
    """Width of the black bar put on either side before all other movement, as a share of the side."""
    window: tuple[float, float, float, float] = WHOLE
    """(left, top, width, height) of the part that is shown after all other movement, as shares of the side."""
    hue_degrees: float = 0.0
    """Turn of the colours about the grey axis."""
    grey: bool = False
    operations: tuple[Operation, ...] = ()
    """Of RandAugment."""
    sharpness: float = 1.0
    """0 soft, 1 unchanged, 2 sharpened."""
    halo: Halo | None = None
    hole: Hole | None = None
    spots: tuple[Spot, ...] = ()
    blur: float = 0.0
    """Standard deviation, as a share of the side."""
    erased: Erased | None = None
    masked: bool = False
    """Black outside the circle that the canvas has room for, once moved: another angle of view has its own edge."""
    tight: TightFrame | None = None
    """A square cut out after all other movement."""
    camera: CameraParams = field(default_factory=CameraParams)

    def to_json(self) -> str:
        """The parameters as one line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> AugmentParams:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for name in ("tint", "window"):
            values[name] = tuple(values[name])
        values["operations"] = tuple(Operation(**value) for value in values["operations"])
        values["spots"] = tuple(Spot(**value) for value in values["spots"])
        if values["halo"]:
            values["halo"] = Halo(**{**values["halo"], "colour": tuple(values["halo"]["colour"])})
        values["hole"] = Hole(**values["hole"]) if values["hole"] else None
        values["erased"] = Erased(**values["erased"]) if values["erased"] else None
        values["tight"] = TightFrame(**values["tight"]) if values["tight"] else None
        values["camera"] = CameraParams.from_dict(values["camera"])
        return cls(**values)


PARTS = ("how_often", "flip_down", "stretch", "side_padding", "window", "hue", "grey", "operations", "sharpness",
         "halo", "hole", "spots", "blur", "erased", "zoom", "tight", *CAMERA_PARTS)  # fmt: skip
"""Parts of the parameters with a generator of their own, in the order their seeds are drawn; new ones go to the end."""


def draw_params(rng: np.random.Generator, ranges: Augment, *, run_seed: int = 0) -> AugmentParams:
    """Draw parameters from the ranges; the same generator state gives the same parameters.

    Args:
        rng: Of the photograph and its place in the run.
        ranges: How often and how far.
        run_seed: Gives the patterns of the run's virtual cameras, which many photographs share.
    """
    first = AugmentParams(
        turn_degrees=_around(rng, ranges.turn_degrees),
        flip=bool(ranges.flip and rng.random() < 0.5),
        zoom=_factor(rng, ranges.scale),
        shift_right=_around(rng, ranges.shift),
        shift_down=_around(rng, ranges.shift),
        brightness=_around(rng, ranges.brightness),
        contrast=_factor(rng, ranges.contrast),
        saturation=_factor(rng, ranges.saturation),
        tint=(_factor(rng, ranges.tint), _factor(rng, ranges.tint), _factor(rng, ranges.tint)),
    )
    seeds = dict(zip(PARTS, rng.integers(0, 2**63, size=len(PARTS)).tolist(), strict=True))
    own = {part: np.random.default_rng(seed) for part, seed in seeds.items()}
    params = _draw_colours(own, ranges, _draw_plane(own, ranges, first))
    params = replace(
        _draw_spoiling(own, ranges, _draw_view(own, ranges, params)), camera=draw_camera(own, ranges, seed=run_seed)
    )
    return _sometimes(own["how_often"], ranges, params)


def _sometimes(rng: np.random.Generator, ranges: Augment, params: AugmentParams) -> AugmentParams:
    """Take back the turn, or the change of colours, where it was not the photograph's turn."""
    turned, coloured = rng.random(2)
    if turned >= ranges.turn_probability:
        params = replace(params, turn_degrees=0.0)
    if coloured >= ranges.colour_probability:
        params = replace(params, brightness=0.0, contrast=1.0, saturation=1.0, tint=(1.0, 1.0, 1.0), hue_degrees=0.0)
    return params


def _draw_plane(own: dict[str, np.random.Generator], ranges: Augment, params: AugmentParams) -> AugmentParams:
    padded = own["side_padding"].random() < ranges.side_padding
    return replace(
        params,
        flip_down=bool(own["flip_down"].random() < ranges.flip_down),
        stretch=_factor(own["stretch"], ranges.stretch),
        side_padding=float(own["side_padding"].uniform(*ranges.side_padding_share)) if padded else 0.0,
        window=_draw_window(own["window"], ranges),
    )


def _draw_view(own: dict[str, np.random.Generator], ranges: Augment, params: AugmentParams) -> AugmentParams:
    """Draw another angle of view, and a tight crop."""
    zooms = ranges.zoom != (1.0, 1.0) and own["zoom"].random() < ranges.zoom_probability
    tight = own["tight"].random() < ranges.tight
    return replace(
        params,
        zoom=params.zoom * float(own["zoom"].uniform(*ranges.zoom)) if zooms else params.zoom,
        masked=bool(zooms and not tight),
        tight=draw_tight_frame(own["tight"], ranges) if tight else None,
    )


def _draw_colours(own: dict[str, np.random.Generator], ranges: Augment, params: AugmentParams) -> AugmentParams:
    return replace(
        params,
        hue_degrees=_around(own["hue"], ranges.hue_degrees),
        grey=bool(own["grey"].random() < ranges.grey),
        operations=draw_operations(own["operations"], ranges),
    )


def _draw_spoiling(own: dict[str, np.random.Generator], ranges: Augment, params: AugmentParams) -> AugmentParams:
    def falls(part: str, probability: float) -> bool:
        return bool(own[part].random() < probability)

    return replace(
        params,
        sharpness=float(own["sharpness"].uniform(0, 2)) if falls("sharpness", ranges.sharpness) else 1.0,
        halo=draw_halo(own["halo"]) if falls("halo", ranges.halo) else None,
        hole=draw_hole(own["hole"]) if falls("hole", ranges.hole) else None,
        spots=draw_spots(own["spots"]) if falls("spots", ranges.spot) else (),
        blur=float(own["blur"].uniform(0.1, 3)) / SIDE if falls("blur", ranges.blur) else 0.0,
        erased=_draw_erased(own["erased"], ranges) if falls("erased", ranges.erase) else None,
    )


def _draw_window(rng: np.random.Generator, ranges: Augment) -> tuple[float, float, float, float]:
    """A crop of random area and shape that fits; the whole picture where ten draws did not (as torchvision)."""
    if not ranges.crops or rng.random() >= ranges.crop_probability:
        return WHOLE
    for _ in range(10):
        area, ratio = rng.uniform(*ranges.crop_area), math.exp(rng.uniform(*np.log(ranges.crop_ratio)))
        width, height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if width <= 1 and height <= 1:
            left, top = rng.uniform(0, (1 - width, 1 - height))
            return float(left), float(top), width, height
    return WHOLE


def _draw_erased(rng: np.random.Generator, ranges: Augment) -> Erased | None:
    """Zhong, Zheng, Kang, Li and Yang, AAAI 2020: random area, shape between 0.3 and 1/0.3, anywhere it fits."""
    for _ in range(10):
        area, ratio = rng.uniform(*ranges.erase_area), math.exp(rng.uniform(*np.log([0.3, 1 / 0.3])))
        width, height = math.sqrt(area / ratio), math.sqrt(area * ratio)
        if width < 1 and height < 1:
            left, top = (float(value) for value in rng.uniform(0, (1 - width, 1 - height)))
            return Erased(left, top, width, height, int(rng.integers(2**32)))
    return None


def apply_params(canvas: Canvas, params: AugmentParams) -> Canvas:
    """Apply parameters to a prepared photograph. Pixels from outside the frame are black."""
    side = canvas.shape[0]
    moved = cv2.warpAffine(
        canvas, plane(params, side), (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    hidden = _hidden(params, side)
    if hidden is not None:
        moved[hidden] = 0
    changed = _recolour(moved, params)
    for operation in params.operations:
        changed = apply_operation(changed, operation)
    changed = _spoil(apply_optics(changed, params.camera), params)
    return _erase(apply_sensor(changed, params.camera), params.erased)


def movement_of(params: AugmentParams) -> AugmentParams:
    """Return the parameters that move the canvas and decide what of it is shown, without any that change its look."""
    return AugmentParams(
        turn_degrees=params.turn_degrees,
        flip=params.flip,
        zoom=params.zoom,
        shift_right=params.shift_right,
        shift_down=params.shift_down,
        flip_down=params.flip_down,
        stretch=params.stretch,
        side_padding=params.side_padding,
        window=params.window,
        masked=params.masked,
        tight=params.tight,
    )


def _hidden(params: AugmentParams, side: int) -> Mask | None:
    """Return what lies outside the field of another angle of view, or outside a tight crop."""
    if params.tight is not None:
        margin = (1 - params.tight.shown) / 2
        return hidden_by(FieldCut(margin, margin, margin, margin), side, side)
    return ~inscribed_field(side, side).mask(side, side) if params.masked else None


def move_mask(mask: UInt8[np.ndarray, "side side kind"], params: AugmentParams) -> UInt8[np.ndarray, "side side kind"]:
    """Move lesion maps (0 or 255, one channel per kind) as `apply_params` moves the photograph.

    Lesions in an erased box are gone: nobody could see them.
    """
    side = mask.shape[0]
    moved = cv2.warpAffine(mask, plane(params, side), (side, side), flags=cv2.INTER_NEAREST)
    moved = moved.reshape(mask.shape).astype(np.uint8)
    hidden = _hidden(params, side)
    if hidden is not None:
        moved[hidden] = 0
    for operation in params.operations:
        moved = move_by_operation(moved, operation)
    moved = hide_lesions(moved, params.camera)
    if params.erased is not None:
        top, bottom, left, right = params.erased.box_px(side)
        moved[top:bottom, left:right] = 0
    return moved


def plane(params: AugmentParams, side: int) -> np.ndarray:
    """The 2 x 3 matrix that takes a point (x, y) of the canvas to where the parameters move it, RandAugment apart."""
    centre = (side - 1) / 2
    mirror = (-1.0 if params.flip else 1.0) * params.stretch
    upturn = (-1.0 if params.flip_down else 1.0) / params.stretch
    angle = math.radians(params.turn_degrees)
    cos, sin = params.zoom * math.cos(angle), params.zoom * math.sin(angle)
    # Rows run down, so a counter-clockwise turn has its signs swapped.
    matrix = np.array([[cos * mirror, sin * upturn], [-sin * mirror, cos * upturn]])
    target = np.array([centre + params.shift_right * side, centre + params.shift_down * side])
    moved = np.column_stack([matrix, target - matrix @ np.array([centre, centre])])
    if params.side_padding:
        bar = params.side_padding
        moved = moved @ np.vstack([_shown((-bar, 0.0, 1 + 2 * bar, 1.0), side), [0, 0, 1]])
    if params.window != WHOLE:
        moved = _shown(params.window, side) @ np.vstack([moved, [0, 0, 1]])
    if params.tight is not None:
        moved = _shown(params.tight.window(), side) @ np.vstack([moved, [0, 0, 1]])
    return moved


def _shown(window: tuple[float, float, float, float], side: int) -> np.ndarray:
    """The 2 x 3 matrix that enlarges a window (left, top, width, height in shares of the side) to the canvas."""
    left, top, width, height = window
    # Pixels are squares: the first one's centre lies half a pixel inside the frame.
    across = [1 / width, 0.0, (0.5 - left * side) / width - 0.5]
    down = [0.0, 1 / height, (0.5 - top * side) / height - 0.5]
    return np.array([across, down])


def _recolour(canvas: Canvas, params: AugmentParams) -> Canvas:
    """One 3 x 3 matrix and one offset do tint, hue, saturation, contrast and brightness together."""
    grey = np.full((3, 3), 1 / 3)
    matrix = (params.saturation * np.eye(3) + (1 - params.saturation) * grey) @ np.diag(params.tint)
    if params.hue_degrees:
        matrix = matrix @ _hue(params.hue_degrees)
    offset = 127.5 * (1 - params.contrast) + 255 * params.brightness
    coloured = cv2.transform(canvas, np.column_stack([params.contrast * matrix, np.full(3, offset)]))
    if params.grey:
        coloured = cv2.cvtColor(cv2.cvtColor(coloured, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    # What lies outside the photograph stays black: its edge must not tell how it was brightened.
    inside = brightest(canvas)
    kept = np.zeros_like(coloured)
    cv2.copyTo(coloured, inside, kept)
    return kept


def _hue(degrees: float) -> np.ndarray:
    """Rotation of RGB about its grey axis (Rodrigues' formula): 120 degrees take red to green."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    return cos * np.eye(3) + sin * across + (1 - cos) * np.full((3, 3), 1 / 3)


def _spoil(canvas: Canvas, params: AugmentParams) -> Canvas:
    """FundusAug in its published order: sharpness, halo, hole, spots, blur."""
    spoilt = sharpen(canvas, params.sharpness) if params.sharpness != 1.0 else canvas
    spoilt = add_halo(spoilt, params.halo) if params.halo is not None else spoilt
    spoilt = dig_hole(spoilt, params.hole) if params.hole is not None else spoilt
    spoilt = add_spots(spoilt, params.spots)
    return defocus(spoilt, params.blur) if params.blur else spoilt


def _erase(canvas: Canvas, erased: Erased | None) -> Canvas:
    if erased is None:
        return canvas
    top, bottom, left, right = erased.box_px(canvas.shape[0])
    noise = np.random.default_rng(erased.seed).normal(NOISE_MEAN, NOISE_STD, (bottom - top, right - left, 3))
    covered = canvas.copy()
    covered[top:bottom, left:right] = np.clip(np.rint(255 * noise), 0, 255).astype(np.uint8)
    return covered


def _around(rng: np.random.Generator, reach: float) -> float:
    return float(rng.uniform(-reach, reach))


def _factor(rng: np.random.Generator, reach: float) -> float:
    return float((1 + reach) ** rng.uniform(-1, 1))
