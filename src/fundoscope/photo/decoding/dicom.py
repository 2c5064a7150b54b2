"""Pixels of single-frame ophthalmic photographs in DICOM files. What else the files say is read by `header`."""

from __future__ import annotations

import warnings
import zlib
from typing import TYPE_CHECKING, Any, Final

from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.dicom_bytes import BoundedReads, deflated_part, without_deflation
from fundoscope.photo.decoding.dicom_kind import is_own_heatmap, other_kind
from fundoscope.photo.decoding.dicom_pixels import to_photo
from fundoscope.photo.decoding.header import QUIET
from fundoscope.photo.decoding.jpeg import read_frame
from fundoscope.photo.decoding.picture import camera_name, check_pixels

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_GDCM_ONLY: Final = {
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
}
"""Transfer syntaxes that need python-gdcm."""

INFLATED_BYTES: Final = 128 * 2**20
"""Most bytes that a deflated file may have when it is inflated: 44 megapixels of 8-bit colour."""

_STEP_BYTES: Final = 2**20

_BITS: Final = (8, 16)
"""Bits that a channel may be stored in."""


def read_dicom(data: bytes, path: str, *, max_pixels: int) -> dict[str, Any]:
    """Pixels of a DICOM file, as keywords of `photo.read.Photograph`.

    Raises:
        UnreadablePhotograph: If it holds no single 8- to 16-bit picture, is too large, is damaged, or
            is compressed in a way that needs the `[dicom]` extra.
    """
    import pydicom

    _check_inflated_size(data, path)
    try:
        # Values that break the standard's rules are common and harmless here.
        with QUIET, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(BoundedReads(without_deflation(data)), force=True)
            _check(dataset, path, max_pixels)
            _name_syntax(dataset)
            _check_stored_size(dataset, path)
    except UnreadablePhotograph:
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged files
        raise UnreadablePhotograph(
            f"{path}: expected a DICOM picture, got a file that is damaged. Export it again."
        ) from error
    try:
        _choose_decoder(dataset, path)
        pixels, notes = to_photo(dataset.pixel_array, dataset, path)
    except UnreadablePhotograph:
        raise
    except MemoryError:
        raise UnreadablePhotograph(
            f"{path}: expected a picture that fits into memory, this one does not. Export it smaller."
        ) from None
    except Exception as error:  # so do its decoders
        raise _cannot_decode(dataset, path) from error
    camera = camera_name(dataset.get("Manufacturer"), dataset.get("ManufacturerModelName"))
    return {
        "pixels": pixels,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "notes": notes,
        "camera": camera,
    }


def _check_inflated_size(data: bytes, path: str) -> None:
    """Refuse a deflated file that would inflate to more than memory should hold, before anything keeps it."""
    deflated = deflated_part(data)
    if deflated is None:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size = 0
    try:
        while deflated and not inflater.eof:
            size += len(inflater.decompress(deflated, _STEP_BYTES))
            deflated = inflater.unconsumed_tail
            if size > INFLATED_BYTES:
                raise UnreadablePhotograph(
                    f"{path}: expected a deflated DICOM file of at most {INFLATED_BYTES >> 20} MiB when it is "
                    "inflated, got more. Export it without compression."
                )
    except zlib.error:
        raise UnreadablePhotograph(
            f"{path}: expected a DICOM picture, got a file that is damaged. Export it again."
        ) from None


def _name_syntax(dataset: Dataset) -> None:
    """Name the transfer syntax of a file without meta information: its pixels are as its elements are stored."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit


def _check(dataset: Dataset, path: str, max_pixels: int) -> None:
    if "PixelData" not in dataset:
        raise UnreadablePhotograph(
            f"{path}: expected a DICOM picture, got {_kind(dataset)} without pixels. Export the photograph itself."
        )
    if is_own_heatmap(dataset):
        raise UnreadablePhotograph(
            f"{path}: expected a photograph, got the heatmap of an earlier report. Name the photograph itself."
        )
    if kind := other_kind(dataset):
        raise UnreadablePhotograph(
            f"{path}: expected a colour photograph, got another kind of picture: {kind}. Red-free, infrared and "
            "fluorescence pictures and angiograms are not graded: export the colour photograph."
        )
    frames = int(dataset.get("NumberOfFrames", 1) or 1)
    if frames != 1:
        raise UnreadablePhotograph(
            f"{path}: expected a single photograph, got a DICOM file of {frames} frames. Export one frame."
        )
    check_pixels(int(dataset.Columns), int(dataset.Rows), path, max_pixels)
    samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
    if samples not in (1, 3) or bits not in _BITS or not 1 <= int(dataset.BitsStored) <= bits:
        raise UnreadablePhotograph(
            f"{path}: expected a grey or colour picture of 8 or 16 bits, got {samples} x {bits} bits a pixel. "
            "Export the photograph itself."
        )


def _check_stored_size(dataset: Dataset, path: str) -> None:
    """Refuse pixels that contradict the header, before they are decoded: fewer, more, or of another size."""
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if dataset.file_meta.TransferSyntaxUID.is_compressed and not dataset.file_meta.TransferSyntaxUID.is_deflated:
        width, height = _compressed_size(dataset)
        if (width, height) not in ((0, 0), (columns, rows)):
            raise UnreadablePhotograph(
                f"{path}: expected a picture of {columns} x {rows} as its header says, got one of {width} x {height}. "
                "Export it again."
            )
        return
    needed = rows * columns * int(dataset.SamplesPerPixel) * int(dataset.BitsAllocated) // 8
    if str(dataset.PhotometricInterpretation) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        needed = needed * 2 // 3
    stored = len(dataset.PixelData)
    if stored < needed:
        raise UnreadablePhotograph(
            f"{path}: expected {needed} bytes of pixels, got {stored}: the file is damaged or truncated. "
            "Export it again."
        )
    if stored >= 2 * needed > 0:
        raise UnreadablePhotograph(
            f"{path}: expected a single photograph, got pixels for {stored // needed}. Export one frame."
        )


def _compressed_size(dataset: Dataset) -> tuple[int, int]:
    """Width and height of the compressed picture itself; zeros where its kind does not begin with them."""
    from pydicom.encaps import get_frame

    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if stream[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: the size less the offset (ISO 15444-1, A.5.1)
        right, lower, left, upper = (int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20))
        return right - left, lower - upper
    frame = read_frame(stream) if stream[:2] == b"\xff\xd8" else None
    return (0, 0) if frame is None else (frame.width, frame.height)


def _choose_decoder(dataset: Dataset, path: str) -> None:
    """Let Pillow decode what it can: GDCM ends the whole process on some damaged pictures.

    To GDCM are left JPEG Lossless, JPEG-LS and more than 8 bits, once the picture's own header agrees with the file's.
    """
    from pydicom.encaps import get_frame
    from pydicom.pixels.decoders.base import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        return
    plugins = get_decoder(syntax).available_plugins
    if "pillow" in plugins and int(dataset.BitsStored) <= 8:
        dataset.pixel_array_options(decoding_plugin="pillow")
        return
    stream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    if stream[:2] != b"\xff\xd8" or "gdcm" not in plugins:
        return
    frame = read_frame(stream)
    # An end in the last bytes only: after it stands at most one byte that fills up.
    complete = b"\xff\xd9" in stream[-4:]
    agrees = frame is not None and frame.channels == int(dataset.SamplesPerPixel)
    if not (frame and agrees and complete and int(dataset.BitsStored) <= frame.precision <= int(dataset.BitsAllocated)):
        raise UnreadablePhotograph(
            f"{path}: expected a whole DICOM picture ({syntax.name}), got one that is damaged or contradicts its "
            "header. Export it again."
        )


def _cannot_decode(dataset: Dataset, path: str) -> UnreadablePhotograph:
    from pydicom.pixels import decoders
    from pydicom.pixels.decoders.base import Decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    known = [decoder for decoder in vars(decoders).values() if isinstance(decoder, Decoder)]
    available = any(syntax == decoder.UID and decoder.is_available for decoder in known)
    if not available and syntax in _GDCM_ONLY:
        return UnreadablePhotograph(
            f"{path}: the DICOM file is compressed as {_GDCM_ONLY[syntax]}, which needs another package. "
            "Run: pip install 'fundoscope[dicom]'"
        )
    if not available:
        return UnreadablePhotograph(
            f"{path}: expected a DICOM picture of a common compression, got {syntax.name}, which cannot be read here. "
            "Export it without compression."
        )
    return UnreadablePhotograph(
        f"{path}: expected a whole DICOM picture ({syntax.name}), got one that is damaged or contradicts its header. "
        "Export it again."
    )


def _kind(dataset: Dataset) -> str:
    """The name of what a file stores, if the standard has one."""
    uid = dataset.get("SOPClassUID")
    name = str(getattr(uid, "name", ""))
    return name if name and name != str(uid) else "a DICOM file"
