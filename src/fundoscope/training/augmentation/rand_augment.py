"""RandAugment: a few operations drawn from fifteen, of a given magnitude.

Cubuk, Zoph, Shlens and Le, "RandAugment: practical automated data augmentation with a reduced search space",
NeurIPS 2020, in the form that timm calls `rand-m9-mstd0.5-inc1` and RETFound was fine-tuned with: two
operations with replacement, each carried out with probability 0.5, magnitudes from N(9, 0.5) cut to
[0, 10], and every operation growing with its magnitude. Two things differ, both for fundus photographs:
what comes in from outside is black (timm: grey), and what is dark round the field stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageOps

from fundoscope.arrays import Canvas
from fundoscope.photo.disturbances.background import keep_surround
from fundoscope.training.experiment.ranges import Augment

FULL = 10.0
"""The largest magnitude."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation with the value its magnitude came to."""

    name: str
    value: float
    """Degrees, share of the side, slope, factor, bits or threshold, as the operation has it; 0 where it has none."""


def draw_operations(rng: np.random.Generator, ranges: Augment) -> tuple[Operation, ...]:
    """Draw the operations on one photograph."""
    drawn = []
    for name in rng.choice(list(LEVELS), size=ranges.rand_augment):
        magnitude = float(np.clip(rng.normal(ranges.rand_magnitude, ranges.rand_magnitude_std), 0.0, FULL))
        sign = 1.0 if rng.random() < 0.5 else -1.0
        if rng.random() < ranges.rand_probability:
            drawn.append(Operation(str(name), LEVELS[str(name)](magnitude / FULL, sign)))
    return tuple(drawn)


def apply_operation(canvas: Canvas, operation: Operation) -> Canvas:
    """Apply one operation to a photograph."""
    if operation.name in MOVES:
        return _moved(canvas, operation, cv2.INTER_LINEAR)
    changed = np.array(RECOLOURS[operation.name](Image.fromarray(canvas), operation.value))
    return keep_surround(canvas, changed)


def move_by_operation(mask: UInt8[np.ndarray, "side side kind"], operation: Operation) -> np.ndarray:
    """Move lesion maps as the operation moves the photograph; changes of colour leave them."""
    if operation.name not in MOVES:
        return mask
    return _moved(mask, operation, cv2.INTER_NEAREST).reshape(mask.shape)


def _moved(picture: np.ndarray, operation: Operation, interpolation: int) -> np.ndarray:
    side = picture.shape[0]
    matrix = MOVES[operation.name](operation.value, side)
    return np.asarray(cv2.warpAffine(picture, matrix, (side, side), flags=interpolation), dtype=np.uint8)


def _turn(degrees: float, side: int) -> np.ndarray:
    return np.asarray(cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0))


def _shear_right(slope: float, side: int) -> np.ndarray:
    # The edge of the frame stays, not the centre of the first pixel.
    return np.array([[1.0, -slope, -slope / 2], [0.0, 1.0, 0.0]])


def _shear_down(slope: float, side: int) -> np.ndarray:
    return np.array([[1.0, 0.0, 0.0], [-slope, 1.0, -slope / 2]])


def _shift_right(share: float, side: int) -> np.ndarray:
    return np.array([[1.0, 0.0, -share * side], [0.0, 1.0, 0.0]])


def _shift_down(share: float, side: int) -> np.ndarray:
    return np.array([[1.0, 0.0, 0.0], [0.0, 1.0, -share * side]])


MOVES: dict[str, Callable[[float, int], np.ndarray]] = {
    "turn": _turn,
    "shear_right": _shear_right,
    "shear_down": _shear_down,
    "shift_right": _shift_right,
    "shift_down": _shift_down,
}
"""Operations that move lesions too, as 2 x 3 matrices that take a point to where it goes."""


def _brighter_shadows(picture: Image.Image, value: float) -> Image.Image:
    """Add to what is darker than mid-grey ("solarise add")."""
    return picture.point([min(255, level + int(value)) if level < 128 else level for level in range(256)] * 3)


RECOLOURS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "auto_contrast": lambda picture, _: ImageOps.autocontrast(picture),
    "equalise": lambda picture, _: ImageOps.equalize(picture),
    "invert": lambda picture, _: ImageOps.invert(picture),
    "posterise": lambda picture, bits: ImageOps.posterize(picture, int(bits)),
    "solarise": lambda picture, threshold: ImageOps.solarize(picture, int(threshold)),
    "solarise_add": _brighter_shadows,
    "colour": lambda picture, factor: ImageEnhance.Color(picture).enhance(factor),
    "contrast": lambda picture, factor: ImageEnhance.Contrast(picture).enhance(factor),
    "brightness": lambda picture, factor: ImageEnhance.Brightness(picture).enhance(factor),
    "sharpness": lambda picture, factor: ImageEnhance.Sharpness(picture).enhance(factor),
}
"""Operations that change colours only."""


def _factor(level: float, sign: float) -> float:
    return max(0.1, 1.0 + sign * 0.9 * level)


LEVELS: dict[str, Callable[[float, float], float]] = {
    "auto_contrast": lambda level, sign: 0.0,
    "equalise": lambda level, sign: 0.0,
    "invert": lambda level, sign: 0.0,
    "turn": lambda level, sign: sign * 30.0 * level,
    # Bits that are kept. At full magnitude timm keeps none, which is a black picture; we keep one.
    "posterise": lambda level, sign: max(1.0, 4.0 - int(4 * level)),
    "solarise": lambda level, sign: 256.0 - min(256, int(256 * level)),
    "solarise_add": lambda level, sign: float(min(128, int(110 * level))),
    "colour": _factor,
    "contrast": _factor,
    "brightness": _factor,
    "sharpness": _factor,
    "shear_right": lambda level, sign: sign * 0.3 * level,
    "shear_down": lambda level, sign: sign * 0.3 * level,
    "shift_right": lambda level, sign: sign * 0.45 * level,
    "shift_down": lambda level, sign: sign * 0.45 * level,
}
"""What a magnitude (0 to 1) and a sign come to, for each of the fifteen operations."""
