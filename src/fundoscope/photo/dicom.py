"""Single-frame ophthalmic photographs in DICOM files: pixels, and whose eye it is."""

from __future__ import annotations

import io
import re
import threading
import warnings
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph

_GDCM_ONLY: Final = {
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
}
"""Transfer syntaxes that need python-gdcm."""

QUIET: Final = threading.Lock()
"""Held while warnings are silenced, because that changes the whole process."""

_EYES: Final = {"L": "left", "R": "right"}


def is_dicom(data: bytes) -> bool:
    """Whether the bytes are a DICOM file: a preamble of 128 bytes, then DICM (PS3.10, 7.1)."""
    return data[128:132] == b"DICM"


def read_dicom(data: bytes, path: str, *, max_pixels: int) -> dict[str, Any]:
    """Pixels and facts of a DICOM file, as keywords of `photo.read.Photograph`.

    Raises:
        UnreadablePhotograph: If it holds no single 8- to 16-bit picture, is too large, is damaged, or
            is compressed in a way that needs the `[dicom]` extra.
    """
    import pydicom

    try:
        # Values that break the standard's rules are common and harmless here.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(data))
            _check(dataset, path, max_pixels)
            facts = _facts(dataset)
    except UnreadablePhotograph:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged files
        raise UnreadablePhotograph(
            f"{path}: expected a DICOM picture, got a file that is damaged ({_first_line(error)}). Export it again."
        ) from error
    try:
        pixels = _pixels(dataset, path)
    except UnreadablePhotograph:
        raise
    except Exception as error:  # so do its decoders
        raise _cannot_decode(dataset, path, error) from error
    return {"pixels": pixels, "height": pixels.shape[0], "width": pixels.shape[1], **facts}


def _check(dataset: Any, path: str, max_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise UnreadablePhotograph(
            f"{path}: expected a DICOM picture, got {_kind(dataset)} without pixels. Export the photograph itself."
        )
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise UnreadablePhotograph(
            f"{path}: expected a single photograph, got a DICOM file of {frames} frames. Export one frame."
        )
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns > max_pixels:
        raise UnreadablePhotograph(
            f"{path}: expected at most {max_pixels / 1e6:.0f} megapixels, got {columns} x {rows}. Export it smaller."
        )


def _pixels(dataset: Any, path: str) -> Photo:
    """RGB of 8 bits. pydicom turns YBR into RGB while it decodes; palettes are looked up here."""
    from pydicom.pixels.processing import apply_color_lut

    values = dataset.pixel_array
    kind = str(dataset.PhotometricInterpretation)
    depth = int(dataset.BitsStored)
    if kind == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)
        depth = 8 * values.dtype.itemsize
    if depth != 8:
        values = np.clip(np.rint(values.astype(np.float64) * (255 / (2**depth - 1))), 0, 255)
    values = values.astype(np.uint8)
    if kind == "MONOCHROME1":
        values = 255 - values
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.ndim != 3 or values.shape[2] != 3:
        raise UnreadablePhotograph(
            f"{path}: expected a grey or colour picture, got pixels of shape {values.shape}. "
            "Export the photograph itself."
        )
    return np.ascontiguousarray(values)


def _facts(dataset: Any) -> dict[str, Any]:
    side = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "")
    return {
        "patient": str(dataset.get("PatientID") or "") or None,
        "eye": _EYES.get(side),
        "taken": _when(dataset),
    }


def _when(dataset: Any) -> str | None:
    """The time of the photograph as ISO 8601, as precisely as the file says it."""
    stamp = str(dataset.get("AcquisitionDateTime") or "")
    if not stamp:
        for what in ("Acquisition", "Content", "Study"):
            day = str(dataset.get(f"{what}Date") or "")
            if day:
                stamp = day + str(dataset.get(f"{what}Time") or "")
                break
    digits = re.split(r"[.+-]", stamp)[0]
    if len(digits) < 8 or not digits.isdigit():
        return None
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    return f"{day}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}" if len(digits) >= 14 else day


def _cannot_decode(dataset: Any, path: str, error: Exception) -> UnreadablePhotograph:
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax in _GDCM_ONLY:
        return UnreadablePhotograph(
            f"{path}: the DICOM file is compressed as {_GDCM_ONLY[syntax]}, which needs another package. "
            "Run: pip install 'fundoscope[dicom]'"
        )
    name = getattr(syntax, "name", "an unknown way")
    return UnreadablePhotograph(
        f"{path}: the DICOM picture, compressed as {name}, cannot be decoded ({_first_line(error)}). Export it again."
    )


def _kind(dataset: Any) -> str:
    uid = dataset.get("SOPClassUID")
    return str(getattr(uid, "name", None) or "a DICOM file")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
