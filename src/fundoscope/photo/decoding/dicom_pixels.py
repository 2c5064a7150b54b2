"""From the stored values of a DICOM picture to 8-bit RGB in sRGB: depth, window, inversion, palette and profile.

Values are turned in blocks of rows, so that a deep picture needs no more memory than its own few bytes a pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float64, Num, UInt8
from PIL import Image

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.colour import ADOBE_EXPONENT, ADOBE_PRIMARIES, matrix_profile, to_srgb
from fundoscope.photo.decoding.picture import LEAST_WHITE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

BLOCK_ROWS: Final = 128

WHOLE: Final = 0.02
"""Share of the range by which a window of a colour picture may miss its ends and still change nothing."""

Stored = Num[np.ndarray, "height width *channel"]
Block = Num[np.ndarray, "rows width *channel"]
Light = Float64[np.ndarray, "rows width *channel"]
"""From 0, black, to 1, white."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of the values that is shown from black to white (PS3.3, C.11.2.1.2)."""

    centre: float
    width: float
    function: str

    @property
    def ends(self) -> tuple[float, float]:
        """Values that are black and white."""
        if self.function == "LINEAR":
            return self.centre - 0.5 - (self.width - 1) / 2, self.centre - 0.5 + (self.width - 1) / 2
        return self.centre - self.width / 2, self.centre + self.width / 2

    def light(self, values: Light) -> Light:
        """Return values as light."""
        if self.function == "SIGMOID":
            return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - self.centre) / self.width, -700, 700))))
        black, white = self.ends
        return np.asarray((values - black) / max(white - black, 1e-9))


def to_photo(values: Stored, dataset: Dataset, path: str) -> tuple[Photo, tuple[str, ...]]:
    """Turn decoded values into 8-bit RGB, and say what was done to them.

    Args:
        values: As pydicom decodes them, colours as RGB.
        dataset: Whose pixels they are.
        path: Its name, for messages.

    Raises:
        UnreadablePhotograph: If it is not known which values are black and white.
    """
    kind = str(dataset.PhotometricInterpretation)
    grey = kind.startswith("MONOCHROME")
    if values.ndim != (2 if grey or kind == "PALETTE COLOR" else 3) or values.shape[2:] not in ((), (3,)):
        raise UnreadablePhotograph(
            f"{path}: expected a grey or colour picture, got pixels of shape {values.shape}. "
            "Export the photograph itself."
        )
    if grey:
        levels, notes = _grey(values, dataset, path)
        return np.repeat(levels[..., None], 3, axis=2), notes
    colours = _colours(values, dataset, path)
    profile = _profile(dataset)
    if profile is None:
        return np.ascontiguousarray(colours), ()
    converted, sentence = to_srgb(Image.fromarray(colours), profile)
    return np.asarray(converted), (sentence,) if sentence else ()


def _colours(values: Stored, dataset: Dataset, path: str) -> UInt8[np.ndarray, "height width 3"]:
    from pydicom.pixels.processing import apply_color_lut

    depth = int(dataset.BitsStored)
    if str(dataset.PhotometricInterpretation) == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        depth = 8 * values.dtype.itemsize
    else:
        _check_depth(values, depth, path)
    high = 2**depth - 1
    window = _window(dataset, path)
    if window is not None and max(abs(window.ends[0]), abs(window.ends[1] - high)) > WHOLE * high + 1:
        raise UnreadablePhotograph(
            f"{path}: expected no window on a colour picture, got {_words(window)}, which the standard keeps to grey "
            "ones. Export the photograph with 8 bits."
        )
    if values.dtype == np.uint8 and depth == 8:
        return np.asarray(values)
    return _eight_bits(values, lambda block: block / high)


def _grey(values: Stored, dataset: Dataset, path: str) -> tuple[UInt8[np.ndarray, "height width"], tuple[str, ...]]:
    """Grey levels by the modality's values, the window or table for display, and the inversion (PS3.4, N.2)."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi

    depth = int(dataset.BitsStored)
    signed = int(dataset.get("PixelRepresentation", 0)) == 1
    low, high = (-(2 ** (depth - 1)), 2 ** (depth - 1) - 1) if signed else (0, 2**depth - 1)
    if "ModalityLUTSequence" in dataset:
        black, white = 0.0, float(2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    else:
        slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
        black, white = sorted((slope * low + intercept, slope * high + intercept))
    table = dataset.get("VOILUTSequence")
    window = None if table else _window(dataset, path)
    if not table and window is None:
        _check_depth(values, depth, path)

    def light(block: Block) -> Light:
        shown = apply_modality_lut(block, dataset)
        if table:
            shown = apply_voi(np.asarray(shown, np.int64), dataset)
            return np.asarray(shown / (2 ** int(table[0].LUTDescriptor[2]) - 1))
        shown = np.asarray(shown, np.float64)
        return (shown - black) / (white - black) if window is None else window.light(shown)

    levels = _eight_bits(values, light)
    if str(dataset.PhotometricInterpretation) == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE":
        levels = 255 - levels
    if table:
        return levels, ("Grey levels are shown by the table in the file.",)
    changes = window is not None and window.ends != (black, white)
    return levels, (f"Grey levels are shown by {_words(window)} in the file.",) if window and changes else ()


def _eight_bits(values: Stored, light: Callable[[Block], Light]) -> UInt8[np.ndarray, "height width *channel"]:
    levels = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        levels[block] = np.clip(np.rint(255 * light(values[block])), 0, 255)
    return levels


def _check_depth(values: Stored, depth: int, path: str) -> None:
    """Refuse 16 bits of which only 14 or fewer are used: nothing says which value is white."""
    high = int(values.max(initial=0))
    if depth == 16 and 0 < high < LEAST_WHITE:
        raise UnreadablePhotograph(
            f"{path}: expected 16 bits a channel that reach white (65535), got no value above {high}: 10, 12 or 14 "
            "bits may be stored in them, and the file names no window. Export it with 8 bits."
        )


def _window(dataset: Dataset, path: str) -> Window | None:
    """The first window that the file names."""
    centre, width = (_first(dataset.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    standard = function in ("LINEAR", "LINEAR_EXACT", "SIGMOID")
    if not standard or not np.isfinite([centre, width]).all() or width <= 0 or (function == "LINEAR" and width < 1):
        raise UnreadablePhotograph(
            f"{path}: expected a window to show grey levels by, got width {width:g} and function {function[:16]}. "
            "Export the photograph with 8 bits."
        )
    return Window(centre, width, function)


def _first(value: object) -> float | None:
    """The first of a tag's values, which may be one or several."""
    if value is None or value == "":
        return None
    first = value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value
    # By its text: pydicom gives numbers of its own kinds, and untyped.
    return float(str(first))


def _words(window: Window) -> str:
    return f"the window {window.centre:g} / {window.width:g}"


def _profile(dataset: Dataset) -> bytes | None:
    """The ICC profile of a colour picture, or of the space that it names."""
    for part in (dataset, *(dataset.get("OpticalPathSequence") or ())):
        if profile := part.get("ICCProfile"):
            return bytes(profile)
    if str(dataset.get("ColorSpace") or "").strip().upper() == "ADOBERGB":
        return matrix_profile(ADOBE_PRIMARIES, exponent=ADOBE_EXPONENT, name="Adobe RGB (DICOM)")
    return None
