"""A small photograph that travels with a release, and what reading and preparing it gave when the release was made.

The golden outputs begin at prepared canvases, so they cannot see a changed decoder, resize or crop. This photograph
closes the gap: `verify` reads it as any other file, prepares it by the release's recipe and compares. It is a painted
retina, stored as a JPEG that lies on its side (EXIF orientation) and is so large that it is decoded reduced; its field
of view is cut off above and below. Reading it therefore passes through orientation, DCT-scaled decoding, the search for
the field, padding, cropping and resizing.

**Tolerance.** Decoders may differ: the JPEG standard prescribes no arithmetic, so implementations of the inverse DCT
round differently and some upsample colour differently. A changed resize or crop changes edges instead, that is, the
luminance of few pixels by much. Both measures below are therefore compared with limits:

- `luminance`: the 99.9th percentile of the absolute difference in luminance, in grey levels (limit 2);
- `mean`: the mean absolute difference over all pixels and colours, in grey levels (limit 1).

Measured on eleven recipes with canvases of 64 to 512 px and every crop, without enhancement; the reference is Pillow 13
with libjpeg-turbo (range over the recipes):

| what was changed                                                 | luminance   | mean         |
|------------------------------------------------------------------|-------------|--------------|
| OpenCV's reduced decoding; libjpeg-turbo with plain upsampling   | 0           | 0            |
| libjpeg-turbo's fast DCT                                         | 0.7 to 0.8  | 0.39 to 0.59 |
| every decoded value off by up to 1 grey level at random          | 0.9 to 1.0  | 0.04 to 0.27 |
| every decoded value off by up to 2 grey levels at random         | 0.9 to 1.7  | 0.07 to 0.48 |
| resize: box filter (Pillow instead of OpenCV's area)             | 2.8 to 20   | 0.19 to 0.73 |
| resize: bilinear or bicubic with smoothing (Pillow)              | 3.6 to 15   | 0.16 to 0.97 |
| resize: bilinear, bicubic or Lanczos without smoothing (OpenCV)  | 6.3 to 53   | 0.20 to 3.6  |
| resize: nearest neighbour                                        | 56 to 84    | 1.3 to 6.1   |
| decoded whole instead of at half its size                        | 4.6 to 53   | 0.19 to 1.1  |
| crop shifted by one pixel down or to the right                   | 7.5 to 59   | 0.48 to 1.5  |
| crop larger by two pixels                                        | 7.4 to 55   | 0.36 to 1.2  |
| gamma of 1.05                                                    | 4.6         | 1.8 to 2.7   |
| red and blue exchanged                                           | 29          | 39 to 60     |

The size after decoding is compared exactly, which catches another decoder scale also where the canvas hides it.
Enhancement amplifies differences between decoders several times over, so it is checked apart: applied to the stored
canvas before enhancement, it must give the stored one within the same limits (Ben Graham's sigma off by 1 %: 29).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import ExifTags, Image

from fundoscope.arrays import Canvas, Photo, arrays_from
from fundoscope.errors import BadRelease, UnreadablePhotograph
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import Prepared, Recipe, prepare
from fundoscope.runtime.checks import Check

GOLDEN_PHOTOGRAPH: Final = "golden_photograph.jpg"
GOLDEN_CANVAS: Final = "golden_canvas.npz"

LUMINANCE_LIMIT: Final = 2.0
"""Largest 99.9th percentile of the absolute difference in luminance, in grey levels."""

MEAN_LIMIT: Final = 1.0
"""Largest mean absolute difference, in grey levels."""

LUMINANCE: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601, as in JPEG)."""

REDUCED_FROM: Final = 2.08
"""Shorter side of the photograph in units of `Recipe.decode_px`: from 2 on it is decoded at half its size."""

LARGEST_DECODE_PX: Final = 2048
"""Recipes that need more get a photograph that is decoded whole: a reduced one would be no small file."""

SIDE_STEP_PX: Final = 6
"""How much larger the next photograph is painted where rounding in a decoder would move the crop of this one."""

NOISY_COPIES: Final = 4
"""Copies with every value off by up to 2 grey levels at random, on which the crop must stay where it is."""

ON_ITS_SIDE: Final = 6
"""EXIF orientation of the stored picture: turn it clockwise by a right angle to see it upright."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenPhotograph:
    """The photograph, and what was made of it when the release was made."""

    jpeg: bytes
    """The file."""
    decoded: tuple[int, int]
    """Height and width after decoding, upright."""
    plain: Canvas
    """Cropped and resized, before enhancement."""
    canvas: Canvas
    """What the network takes; `plain` where the recipe enhances nothing."""
    field: Field | None
    """The field of view in pixels of the canvas."""

    def files(self) -> dict[str, bytes]:
        """Return the two files of a release, by name."""
        arrays: dict[str, Any] = {"decoded": np.array(self.decoded), "plain": self.plain}
        if not np.array_equal(self.plain, self.canvas):
            arrays["canvas"] = self.canvas
        if self.field is not None:
            field = self.field
            arrays["field"] = np.array([field.row, field.column, field.radius, field.confidence])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return {GOLDEN_PHOTOGRAPH: self.jpeg, GOLDEN_CANVAS: buffer.getvalue()}


@lru_cache(maxsize=8)
def make_golden_photograph(recipe: Recipe) -> GoldenPhotograph:
    """Paint a photograph that suits a recipe, and read and prepare it by that recipe."""
    factor = REDUCED_FROM if recipe.decode_px <= LARGEST_DECODE_PX else REDUCED_FROM / 2
    for side_px in range(round(factor * recipe.decode_px), 4 * recipe.decode_px, SIDE_STEP_PX):
        jpeg = _painted_jpeg(side_px)
        photograph, plain = _read_and_prepare(jpeg, recipe)
        if _crop_is_stable(photograph.pixels, recipe):
            break
    return GoldenPhotograph(
        jpeg=jpeg,
        decoded=(photograph.pixels.shape[0], photograph.pixels.shape[1]),
        plain=plain.canvas,
        canvas=_enhance(plain.canvas, plain.field, recipe),
        field=plain.field,
    )


def _painted_jpeg(side_px: int) -> bytes:
    spec = RetinaSpec(side_px=side_px, grade=3, framing="cropped")
    upright = paint_retina(spec, rng=np.random.default_rng(1)).photo
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = ON_ITS_SIDE
    buffer = io.BytesIO()
    # 4:2:0, as most fundus cameras store colour.
    Image.fromarray(np.rot90(upright)).save(buffer, "JPEG", quality=85, subsampling=2, exif=exif)
    return buffer.getvalue()


def _crop_is_stable(pixels: Photo, recipe: Recipe) -> bool:
    """Return whether the crop, which is rounded to whole pixels, stays where it is when a decoder rounds otherwise."""
    rng = np.random.default_rng(0)
    placements = set()
    for _ in range(NOISY_COPIES):
        noise = rng.integers(-2, 3, size=pixels.shape)
        copy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        placements.add(prepare(copy, recipe, field=find_field(copy)).placement)
    return placements == {prepare(pixels, recipe, field=find_field(pixels)).placement}


def golden_photograph_from(contents: Mapping[str, bytes], recipe: Recipe, path: Path) -> GoldenPhotograph | None:
    """Return the golden photograph among a release's files; None where there is none, as in releases from before it.

    Raises:
        BadRelease: If one of its two files is missing, or the arrays are not those of `GoldenPhotograph.files`.
    """
    present = [name for name in (GOLDEN_PHOTOGRAPH, GOLDEN_CANVAS) if name in contents]
    if not present:
        return None
    if len(present) == 1:
        raise BadRelease(
            f"{path}: expected {GOLDEN_PHOTOGRAPH} and {GOLDEN_CANVAS} together, got {present[0]} alone. "
            "Fetch the release again."
        )
    try:
        arrays = arrays_from(contents[GOLDEN_CANVAS])
        field = None
        if "field" in arrays:
            row, column, radius, confidence = (float(value) for value in arrays["field"])
            field = Field(row, column, radius, confidence)
        height, width = (int(length) for length in arrays["decoded"])
        plain = arrays["plain"]
    except (ValueError, KeyError, TypeError) as problem:
        raise BadRelease(f"{path}: expected decoded and plain in {GOLDEN_CANVAS}, got {problem}.") from None
    canvas = arrays.get("canvas", plain)
    shape = (recipe.side, recipe.side, 3)
    for stored_canvas in (plain, canvas):
        if stored_canvas.shape != shape or stored_canvas.dtype != np.uint8:
            raise BadRelease(
                f"{path}: canvases in {GOLDEN_CANVAS} must be uint8 {shape}, "
                f"got {stored_canvas.dtype} {stored_canvas.shape}."
            )
    return GoldenPhotograph(
        jpeg=contents[GOLDEN_PHOTOGRAPH], decoded=(height, width), plain=plain, canvas=canvas, field=field
    )


def check_golden_photograph(golden: GoldenPhotograph | None, recipe: Recipe) -> tuple[Check, ...]:
    """Read and prepare the photograph here, and compare with what came of it where the release was made.

    Raises nothing: what goes wrong is a check that failed. See the module's text for the tolerance.
    """
    if golden is None:
        words = "the release has no golden photograph: decoding and preprocessing are not checked"
        return (Check("golden photograph", None, words),)
    try:
        photograph, plain = _read_and_prepare(golden.jpeg, recipe)
        enhanced = _enhance(golden.plain, golden.field, recipe)
    except (UnreadablePhotograph, ValueError) as problem:
        return (Check("golden photograph", False, f"expected to be read and prepared, got: {problem}"),)
    decoded = photograph.pixels.shape[:2]
    size = Check(
        "golden photograph",
        decoded == golden.decoded,
        f"decoded to {decoded[1]} x {decoded[0]} px (expected {golden.decoded[1]} x {golden.decoded[0]})",
    )
    checks = [size, _compare("golden canvas", plain.canvas, golden.plain)]
    if recipe.enhance != "none":
        checks.append(_compare("golden enhancement", enhanced, golden.canvas))
    return tuple(checks)


def _read_and_prepare(jpeg: bytes, recipe: Recipe) -> tuple[Photograph, Prepared]:
    """Read the photograph from a file, as grading does, and prepare it up to the enhancement."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / GOLDEN_PHOTOGRAPH
        path.write_bytes(jpeg)
        photograph = read_photo(path, target_px=recipe.decode_px)
    # Grading searches for the field whatever the crop, because the quality gate needs it.
    field = find_field(photograph.pixels)
    return photograph, prepare(photograph.pixels, replace(recipe, enhance="none"), field=field)


def _enhance(plain: Canvas, field: Field | None, recipe: Recipe) -> Canvas:
    """Apply the enhancement alone: a canvas that fills the canvas is neither cropped nor resized."""
    return prepare(plain, replace(recipe, crop="none"), field=field).canvas


def _compare(name: str, canvas: Canvas, golden: Canvas) -> Check:
    difference = canvas.astype(np.float64) - golden
    luminance = float(np.quantile(np.abs(difference @ np.array(LUMINANCE)), 0.999))
    mean = float(np.abs(difference).mean())
    words = (
        f"luminance differs by {luminance:.1f} grey levels in the 99.9th percentile (at most {LUMINANCE_LIMIT:g}), "
        f"colours by {mean:.2f} in the mean (at most {MEAN_LIMIT:g})"
    )
    return Check(name, luminance <= LUMINANCE_LIMIT and mean <= MEAN_LIMIT, words)
