"""The one preprocessing, for training and for serving: a `Recipe` says how, `prepare` does it.

    photograph -> crop -> resize -> enhance -> canvas (uint8) -> normalise -> what a network takes

Every step is a pure function of the photograph and the recipe, and leaves a `Placement` that takes
places on the photograph to the canvas and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from fundoscope.arrays import Canvas, Canvases, Mask, Photo
from fundoscope.photo.artefacts.retouch import Spot, retouch
from fundoscope.photo.enhance import ben_graham, clahe
from fundoscope.photo.field_copy import WORKING_PX as QUALITY_PX
from fundoscope.photo.fov import Field, find_field
from fundoscope.records import is_number

CROPS = ("none", "rows", "square", "circle", "radius", "scan")

SCAN_REGION = (445 / 496, 621 / 768)
"""Shares of a scan's height and width that the crop `scan` keeps (Inferrera et al.): devices and reports write into the
corners, and the ends of a scan are cut off more often than its middle."""
ENHANCEMENTS = ("none", "ben_graham", "clahe")

DARK_ROW = 12
"""Mean brightness (of 255, brightest channel) up to which a row counts as dark."""

FIELD_OF_FRAME = 0.8
"""Least share of the frame's shorter side that a field's diameter is expected to have when decoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a photograph becomes what a network takes."""

    side: int
    """Side of the canvas in pixels."""
    crop: str = "circle"
    """none: the whole picture, stretched to a square. square: padded to a square. rows: dark rows removed, then
    padded (DRStageNet). circle: the square box round the field, black outside it. radius: scaled so that the
    field's radius fills the canvas, cut or padded to a square (Graham). scan: the central part of an OCT scan,
    stretched to a square (`SCAN_REGION`); the picture is then judged as a scan, not as a photograph."""
    margin: float = 0.0
    """Room left round the field, as a share of its radius; negative cuts into it. For circle and radius."""
    enhance: str = "none"
    """none, ben_graham (local mean colour subtracted) or clahe (lightness equalised locally)."""
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Subtracted from RGB in [0, 1]."""
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    """Divides RGB after the mean is subtracted."""
    oversampling: float = 1.0
    """A large JPEG is decoded reduced (to 1/2, 1/4 or 1/8), with so many times the pixels a side that the canvas needs
    at least. More is slower and nearer to what decoding it whole gives (docs/results/speed.md)."""

    def __post_init__(self) -> None:
        _check(16 <= self.side <= 4096, "side", "a whole number from 16 to 4096", self.side)
        _check(self.crop in CROPS, "crop", f"one of {', '.join(CROPS)}", self.crop)
        _check(self.enhance in ENHANCEMENTS, "enhance", f"one of {', '.join(ENHANCEMENTS)}", self.enhance)
        _check(-0.5 <= self.margin <= 1, "margin", "a number from -0.5 to 1", self.margin)
        _check(len(self.mean) == 3 and bool(np.isfinite(self.mean).all()), "mean", "three numbers", self.mean)
        _check(1 <= self.oversampling <= 8, "oversampling", "a number from 1 to 8", self.oversampling)
        _check(
            len(self.std) == 3 and all(0 < part < np.inf for part in self.std),
            "std",
            "three positive numbers",
            self.std,
        )

    @property
    def is_scan(self) -> bool:
        """Whether it prepares OCT scans: pictures without a round field of view."""
        return self.crop == "scan"

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON can hold it."""
        return {**asdict(self), "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Recipe:
        """The recipe that `to_dict` wrote.

        Raises:
            ValueError: If a key is unknown, `side` is missing, or a value is not allowed; it names the key.
        """
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(mapping) - known):
            raise ValueError(f"recipe.{unknown[0]} is unknown; expected keys among {', '.join(sorted(known))}")
        if "side" not in mapping:
            raise ValueError("recipe.side is missing; expected a whole number of pixels")
        return cls(**{name: _read_value(name, value) for name, value in mapping.items()})

    @property
    def decode_px(self) -> int:
        """Shortest side that a decoded photograph needs, so that the canvas is no enlargement of it.

        A field of view may be smaller than the frame that it is taken in, hence more than `side`
        where the recipe crops to the field. Never less than what the quality is measured on, lest
        the same photograph be sharp for one network and blurred for another.
        """
        if self.is_scan:
            return int(np.ceil(self.oversampling * self.side / min(SCAN_REGION)))
        field_px = max(self.side / (1 + self.margin) if self.crop in ("circle", "radius") else 0, QUALITY_PX)
        return int(np.ceil(self.oversampling * max(self.side, int(np.ceil(field_px / FIELD_OF_FRAME)))))


def _check(sound: bool, name: str, expected: str, came: object) -> None:
    if not sound:
        raise _wrong(name, expected, came)


def _read_value(name: str, value: object) -> Any:
    if name == "side":
        if is_number(value) and float(value).is_integer():
            return int(value)
        raise _wrong(name, "a whole number of pixels", value)
    if name in ("margin", "oversampling"):
        if is_number(value):
            return float(value)
        raise _wrong(name, "a number", value)
    if name in ("mean", "std"):
        if isinstance(value, list | tuple) and len(value) == 3 and all(map(is_number, value)):
            return tuple(float(part) for part in value)
        raise _wrong(name, "three numbers", value)
    if isinstance(value, str):
        return value
    raise _wrong(name, "a word", value)


def _wrong(name: str, expected: str, came: object) -> ValueError:
    return ValueError(f"recipe.{name} must be {expected}, got {came!r}")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the photograph lies on the canvas: canvas = photograph * scale + offset.

    Places are continuous, pixel (0, 0) covering [0, 1) x [0, 1); its centre is at (0.5, 0.5).
    """

    scale: float
    """Canvas pixels to a pixel of the photograph, down the rows."""
    row_offset: float
    column_offset: float
    stretch: float = 1.0
    """Along the columns the scale is this many times as large; 1 unless the recipe's crop is none."""

    @property
    def column_scale(self) -> float:
        """Canvas pixels to a pixel of the photograph, along the columns."""
        return self.scale * self.stretch

    def to_canvas(self, row: float, column: float) -> tuple[float, float]:
        """A place (row, column) of the photograph, on the canvas."""
        return row * self.scale + self.row_offset, column * self.column_scale + self.column_offset

    def to_photo(self, row: float, column: float) -> tuple[float, float]:
        """A place (row, column) of the canvas, on the photograph."""
        return (row - self.row_offset) / self.scale, (column - self.column_offset) / self.column_scale


@dataclass(frozen=True, slots=True)
class Prepared:
    """A photograph as a network sees it, before normalisation."""

    canvas: Canvas
    field: Field | None
    """The field of view in pixels of the canvas; None if none was found, or none given where the recipe needs none."""
    placement: Placement
    retouched: tuple[Spot, ...] = ()
    """Specks of the sensor that were painted over, in pixels of the photograph."""


def prepare(photo: Photo, recipe: Recipe, *, field: Field | None = None, specks: Sequence[Spot] = ()) -> Prepared:
    """Paint over the sensor's specks, crop, resize and enhance a photograph as the recipe says.

    Args:
        photo: Upright 8-bit RGB of any size.
        recipe: What to do.
        field: The field of view, in pixels of `photo`; looked for if None. Where a recipe crops to
            the field and there is none, the whole picture is padded to a square instead.
        specks: Where the camera's dust map has specks, in pixels of `photo`; those outside the field are left alone.
    """
    needed = recipe.crop in ("circle", "radius") or recipe.enhance == "ben_graham"
    field = find_field(photo) if field is None and needed else field
    photo, retouched = retouch(photo, specks, field)
    if field is not None and field.light_surround:
        # Networks have seen no other surround than black.
        photo = _clear_outside(photo, field)
    box = _box(photo, recipe, field)
    canvas = _lay(photo, box, recipe.side)
    placement = box.placement(recipe.side)
    laid = _field_on_canvas(field, placement)
    if recipe.crop == "circle" and laid is not None:
        canvas = _clear_outside(canvas, laid)
    return Prepared(_enhance(canvas, recipe, laid), laid, placement, retouched)


def shown_retina(
    placement: Placement, field: Field | None, *, size: tuple[int, int], side: int, grid: tuple[int, int] | None = None
) -> Mask:
    """Cells of a grid over the canvas whose centres show retina: inside the field, as far as the photograph reaches.

    Many cameras cut the circle off above and below. What lies beyond the frame is black on the canvas: counted as
    field it would be the easiest lesion-free ground, and flatter every map.

    Args:
        placement: Of the photograph on the canvas.
        field: In pixels of the photograph; all of it counts where none was found.
        size: (height, width) of the photograph.
        side: Of the canvas in pixels.
        grid: Rows and columns; None: the canvas's own pixels.
    """
    rows, columns = grid or (side, side)
    down = ((np.arange(rows) + 0.5) * side / rows - placement.row_offset)[:, None] / placement.scale
    along = ((np.arange(columns) + 0.5) * side / columns - placement.column_offset) / placement.column_scale
    shown = ((down > 0) & (down < size[0])) & ((along > 0) & (along < size[1]))
    if field is not None:
        shown &= (down - field.row) ** 2 + (along - field.column) ** 2 <= field.radius**2
    return np.asarray(shown)


@dataclass(frozen=True, slots=True)
class _Box:
    """The part of a photograph that becomes the canvas, in whole pixels; it may reach beyond the frame."""

    top: int
    left: int
    height: int
    width: int
    first: int
    """First row that is shown; rows before it are black."""
    last: int
    """Row after the last that is shown."""

    def placement(self, side: int) -> Placement:
        rows, columns = side / self.height, side / self.width
        return Placement(rows, -self.top * rows, -self.left * columns, stretch=columns / rows)


def _box(photo: Photo, recipe: Recipe, field: Field | None) -> _Box:
    height, width = photo.shape[:2]
    if recipe.crop == "none":
        return _Box(0, 0, height, width, 0, height)
    if recipe.crop in ("circle", "radius") and field is not None:
        side = max(1, round(2 * field.radius * (1 + recipe.margin)))
        return _Box(round(field.row - side / 2), round(field.column - side / 2), side, side, 0, height)
    if recipe.is_scan:
        rows, columns = (max(1, round(share * side)) for share, side in zip(SCAN_REGION, (height, width), strict=True))
        return _Box((height - rows) // 2, (width - columns) // 2, rows, columns, 0, height)
    first, last = lit_rows(photo) if recipe.crop == "rows" else (0, height)
    side = max(last - first, width)
    return _Box((first + last - side) // 2, (width - side) // 2, side, side, first, last)


def lit_rows(photo: Photo) -> tuple[int, int]:
    """First row that is not dark, and the row after the last; the whole picture if all are dark.

    DRStageNet (Markovich et al., 2023) removes the black rows above and below the retina. A row's
    brightness is taken from some 200 of its pixels.
    """
    sample = photo[:, :: max(1, photo.shape[1] // 200)]
    lit = np.flatnonzero(sample.mean(axis=1).max(axis=1) > DARK_ROW)
    return (int(lit[0]), int(lit[-1]) + 1) if len(lit) else (0, len(photo))


def _lay(photo: Photo, box: _Box, side: int) -> Canvas:
    """The box as a canvas: averaged where it is reduced, interpolated where it is enlarged, black beyond the frame."""
    top, bottom = max(box.first, box.top), min(box.last, box.top + box.height)
    left, right = max(0, box.left), min(photo.shape[1], box.left + box.width)
    if bottom <= top or right <= left:
        return np.zeros((side, side, 3), np.uint8)
    part = photo[top:bottom, left:right]
    beyond = (top - box.top, box.top + box.height - bottom, left - box.left, box.left + box.width - right)
    if any(beyond):
        part = np.asarray(cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT, value=(0, 0, 0)))
    how = cv2.INTER_AREA if min(box.height, box.width) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (side, side), interpolation=how))


def _clear_outside(picture: Photo, field: Field) -> Photo:
    """Return a photograph or canvas with black outside the field of view."""
    cleared = np.zeros_like(picture)
    cv2.copyTo(picture, field.mask(*picture.shape[:2]).astype(np.uint8), cleared)
    return cleared


def _field_on_canvas(field: Field | None, placement: Placement) -> Field | None:
    """The field on the canvas; where the canvas is stretched, the circle of the same area."""
    if field is None:
        return None
    row, column = placement.to_canvas(field.row, field.column)
    radius = field.radius * placement.scale * float(np.sqrt(placement.stretch))
    return replace(field, row=row, column=column, radius=radius)


def _enhance(canvas: Canvas, recipe: Recipe, field: Field | None) -> Canvas:
    if recipe.enhance == "clahe":
        return clahe(canvas)
    if recipe.enhance == "ben_graham":
        if field is None:
            return ben_graham(canvas, radius_px=recipe.side / 2, kept=float("inf"))
        return ben_graham(canvas, radius_px=field.radius, centre=(field.row, field.column))
    return canvas


def normalise(canvases: Canvases, recipe: Recipe) -> Float32[np.ndarray, "photo 3 side side"]:
    """Prepared photographs as a network takes them: (RGB / 255 - mean) / std, channels first."""
    std = np.asarray(recipe.std, np.float64)
    gain = (1 / (255 * std)).astype(np.float32)
    bias = (-np.asarray(recipe.mean) / std).astype(np.float32)
    return np.ascontiguousarray((canvases * gain + bias).transpose(0, 3, 1, 2))
