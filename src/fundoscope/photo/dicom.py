"""Pixels of single-frame ophthalmic photographs in DICOM files. What else the files say is read by `photo.header`."""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.header import QUIET

_GDCM_ONLY: Final = {
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
}
"""Transfer syntaxes that need python-gdcm."""


def read_dicom(data: bytes, path: str, *, max_pixels: int) -> dict[str, Any]:
    """Pixels of a DICOM file, as keywords of `photo.read.Photograph`.

    Raises:
        UnreadablePhotograph: If it holds no single 8- to 16-bit picture, is too large, is damaged, or
            is compressed in a way that needs the `[dicom]` extra.
    """
    import pydicom

    try:
        # Values that break the standard's rules are common and harmless here.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            _check(dataset, path, max_pixels)
            _name_syntax(dataset)
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
    return {"pixels": pixels, "height": pixels.shape[0], "width": pixels.shape[1]}


def _name_syntax(dataset: Any) -> None:
    """Name the transfer syntax of a file without meta information: its pixels are as its elements are stored."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


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
