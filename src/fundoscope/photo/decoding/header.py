"""What a DICOM file says of its photograph: whose, which eye, when. Read whatever becomes of the pixels.

Of a damaged file as much is read as there is: what stands before the damage counts.
"""

from __future__ import annotations

import re
import threading
import unicodedata
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fundoscope.photo.decoding.dicom_bytes import PREAMBLE_BYTES, BoundedReads, deflated_part

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.tag import BaseTag

QUIET: Final = threading.Lock()
"""Held while warnings are silenced, because that changes the whole process."""

START_BYTES: Final = 512
"""As many say whether a file is a DICOM file."""

HEADER_BYTES: Final = 4 * 2**20
"""Of a file that is not read whole, or inflated, as much as is looked at for its header."""

PIXELS: Final = 0x7FE00008
"""Tags from here on are pixels, and are not read."""

FIRST_YEAR: Final = 1900
LAST_YEAR: Final = 2199
"""Years that a photograph may be of."""

_EXPLICIT_VR: Final = re.compile(rb"[A-Z]{2}")

_FIRST_ELEMENTS: Final = (b"\x08\0\x05\0CS", b"\x08\0\x08\0CS", b"\x08\0\x16\0UI")
"""How data sets begin: with their character set, the type of the image or its class."""

_EYES: Final = {"L": "left", "R": "right"}
_EYE_CODES: Final = {"7771000": "left", "G-A101": "left", "24028007": "right", "G-A100": "right"}
"""Codes of a side in SNOMED CT and its older form (PS3.16, CID 244)."""


_ANSWERS: Final = {"YES": "yes", "NO": "no"}

_POSITIONS: Final = {
    "111900": "Macula centered",
    "111901": "Disc centered",
    "111902": "Lesion centered",
    "111903": "Disc-macula centered",
}
"""Fields of CID 4207 that are graded most, by their codes: a file may name them in its own language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says of its photograph, DICOM's tags or EXIF's; None where it says nothing."""

    patient: str | None = None
    """PatientID without the blanks around it, which mean nothing (PS3.5, 6.2)."""
    patient_raw: str | None = None
    """PatientID as it is written, where that differs from `patient`."""
    issuer: str | None = None
    """IssuerOfPatientID: in which institution `patient` is a name."""
    eye: str | None = None
    """left or right; None also where the file contradicts itself."""
    taken: str | None = None
    """When, ISO 8601."""
    study_uid: str | None = None
    """StudyInstanceUID."""
    series_uid: str | None = None
    """SeriesInstanceUID."""
    sop_uid: str | None = None
    """SOPInstanceUID."""
    accession: str | None = None
    """AccessionNumber: the order that the study answers."""
    position: str | None = None
    """Where the field lies on the retina: a meaning of CID 4207."""
    horizontal_field: str | None = None
    """HorizontalFieldOfView, in degrees."""
    pupil_dilated: str | None = None
    """PupilDilated: yes or no."""
    burned_in: str | None = None
    """BurnedInAnnotation: yes or no; whether text stands in the picture."""

    def header(self) -> dict[str, str | None]:
        """Return these fields by name, also of a photograph, which has others besides."""
        return {field.name: getattr(self, field.name) for field in fields(Header)}


def is_dicom(data: bytes) -> bool:
    """Whether the bytes begin a DICOM file: with its preamble and DICM, or without them, with the first element."""
    return data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM" or _begins_with_an_element(data)


def _begins_with_an_element(data: bytes) -> bool:
    """Whether the bytes begin with a low element of group 2 or 8, as files without a preamble do."""
    if len(data) < 12 or data[:2] not in (b"\x02\x00", b"\x08\x00", b"\x00\x08"):
        return False
    little = data[:1] != b"\0"
    element = int.from_bytes(data[2:4], "little" if little else "big")
    if element > 0x00FF:
        return False
    if _EXPLICIT_VR.fullmatch(data[4:6]):
        return True
    # Without a value representation a length of 4 bytes stands here. First elements are short and of even length.
    length = int.from_bytes(data[4:8], "little")
    return little and length <= 256 and length % 2 == 0


def read_header(source: bytes | Path | str) -> Header:
    """Read what a DICOM file says of its photograph, as far as it can be read. Never raises because of the file.

    Args:
        source: The file's bytes, or where it lies; of one that is not a DICOM file the header is empty.
    """
    try:
        if isinstance(source, bytes):
            data = source
        else:
            with open(source, "rb") as file:
                data = file.read(HEADER_BYTES)
        return _read(data) if is_dicom(data) else Header()
    except Exception:  # pydicom raises nearly anything on damaged files
        return Header()


def read_elements(path: Path | str) -> Dataset | None:
    """Read the elements of a DICOM file that stand before its pixels; None where it is no DICOM file.

    Of a damaged file those before the damage. Values may break the standard's rules: they are checked when they are
    asked for, which is to be done within `quiet`.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(START_BYTES)
            if not is_dicom(start):
                return None
            data = start + file.read(HEADER_BYTES - len(start))
        with quiet():
            return _elements(data)
    except Exception:  # as `read_header`
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Silence pydicom's warnings of values that break the standard's rules, which are common and harmless here."""
    with QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def element_text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, empty where it is absent or damaged; several values with a backslash between them."""
    return _text(dataset, keyword)


def _read(data: bytes) -> Header:
    with quiet():
        dataset = _elements(data)
        patient, patient_raw = _identifier(dataset, "PatientID")
        return Header(
            patient=patient,
            patient_raw=patient_raw,
            issuer=_identifier(dataset, "IssuerOfPatientID")[0],
            eye=_eye(dataset),
            taken=_when(dataset),
            study_uid=_text(dataset, "StudyInstanceUID") or None,
            series_uid=_text(dataset, "SeriesInstanceUID") or None,
            sop_uid=_text(dataset, "SOPInstanceUID") or None,
            accession=_identifier(dataset, "AccessionNumber")[0],
            position=_position(dataset),
            horizontal_field=_degrees(dataset),
            pupil_dilated=_ANSWERS.get(_text(dataset, "PupilDilated").upper()),
            burned_in=_ANSWERS.get(_text(dataset, "BurnedInAnnotation").upper()),
        )


def _elements(data: bytes) -> Dataset:
    """Read the elements before the pixels; of a damaged file those before the damage."""
    tags: list[BaseTag] = []

    def before_pixels(tag: BaseTag, vr: str | None, length: int) -> bool:
        tags.append(tag)
        return int(tag) >= PIXELS

    try:
        dataset = _dataset(data, before_pixels)
    except Exception:  # as `read_header`
        damaged = int(tags[-1]) if tags else PIXELS
        dataset = _dataset(_without_meta(data), lambda tag, vr, length: int(tag) >= damaged)
    if "SOPClassUID" in dataset or _without_meta(data) is data:
        return dataset
    # Lengths in the meta information may be wrong, and those who follow them astray.
    return _dataset(_without_meta(data), lambda tag, vr, length: int(tag) >= PIXELS)


def _without_meta(data: bytes) -> bytes:
    """Return a file from the first element of its data set on, where that can be recognised; else the file itself."""
    starts = [at for start in _FIRST_ELEMENTS if (at := data.find(start, PREAMBLE_BYTES, HEADER_BYTES)) >= 0]
    return data[min(starts) :] if starts else data


def _dataset(data: bytes, stop_when: Callable[[BaseTag, str | None, int], bool]) -> Dataset:
    from pydicom.filereader import read_dataset, read_partial

    deflated = deflated_part(data)
    if deflated is None:
        return read_partial(BoundedReads(data), stop_when=stop_when, force=True)
    # No more of it is inflated than a header needs: a small file may inflate to any size.
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, HEADER_BYTES)
    return read_dataset(BoundedReads(inflated), False, True, stop_when=stop_when)


def _text(dataset: Dataset, keyword: str) -> str:
    """Return an element as text, several values with the backslash that stands between them in the file."""
    from pydicom.multival import MultiValue

    try:
        value = dataset.get(keyword)
    except Exception:  # as `read_header`: one damaged element must not cost the others
        return ""
    if value is None:
        return ""
    return ("\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)).strip("\0 ")


def _identifier(dataset: Dataset, keyword: str) -> tuple[str | None, str | None]:
    """Return an identifier without the blanks around it, and as it is written where that differs."""
    from pydicom.datadict import tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None or tag not in dataset:
        return None, None
    stored = dataset.get_item(tag)
    value = getattr(stored, "value", None)
    if isinstance(value, bytes):
        written = _decoded(value[:-1] if len(value) % 2 == 0 and value[-1:] in (b"\0", b" ") else value, dataset)
    else:
        written = _text(dataset, keyword)
    return clean_identifier(written)


def clean_identifier(written: str) -> tuple[str | None, str | None]:
    r"""Return an identifier as it is compared, and as it is written where that differs.

    Blanks around it are dropped, letters with accents are composed, and signs that no line of a table may have are
    escaped, so that `\r` in the result is a carriage return.
    """
    name = unicodedata.normalize("NFC", written).strip().strip("\0 ").strip()
    shown = _escaped(written)
    return _escaped(name) or None, None if _escaped(name) == shown else shown


def _escaped(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def _decoded(value: bytes, dataset: Dataset) -> str:
    """Decode text by the file's character set; bytes that it has no signs for are escaped, so that none are alike."""
    from pydicom.charset import convert_encodings, decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    try:
        names = dataset.get("SpecificCharacterSet")
        text = decode_bytes(value, convert_encodings(names), TEXT_VR_DELIMS)
    except Exception:  # as `read_header`
        text = "\ufffd"
    return value.decode("ascii", "backslashreplace") if "\ufffd" in text else text


def _eye(dataset: Dataset) -> str | None:
    """Return the eye that the elements of the image agree on; that of its series only where the image names none."""
    written = [text for part, keyword in _laterality(dataset) if (text := _text(part, keyword))]
    if not written and (series := _text(dataset, "Laterality")):
        # A series may be of both eyes, and names one of them all the same: what an image says of itself goes first.
        written = [series]
    sides = {_EYES.get(text) for text in written}
    sides |= {_EYE_CODES.get(_text(code, "CodeValue")) for code in _modifiers(dataset)} - {None}
    return sides.pop() if len(sides) == 1 else None


def _laterality(dataset: Dataset) -> Iterator[tuple[Dataset, str]]:
    """Yield where the side of an image may stand: in the image itself, or in what is said of its frames."""
    yield dataset, "ImageLaterality"
    for groups in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for group in _items(dataset, groups):
            for anatomy in _items(group, "FrameAnatomySequence"):
                yield anatomy, "FrameLaterality"


def _modifiers(dataset: Dataset) -> Iterator[Dataset]:
    for region in _items(dataset, "AnatomicRegionSequence"):
        yield from _items(region, "AnatomicRegionModifierSequence")


def _position(dataset: Dataset) -> str | None:
    """Return where the field lies, by its code or else in the file's own words."""
    for code in _items(dataset, "RelativeImagePositionCodeSequence"):
        name = _POSITIONS.get(_text(code, "CodeValue")) or clean_identifier(_text(code, "CodeMeaning"))[0]
        if name:
            return name
    return None


def _degrees(dataset: Dataset) -> str | None:
    """Return the horizontal field of view; None where it is no angle."""
    try:
        angle = float(_text(dataset, "HorizontalFieldOfView"))
    except ValueError:
        return None
    return f"{angle:g}" if 0 < angle <= 360 else None


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    try:
        return list(dataset.get(keyword) or ())
    except Exception:  # as `read_header`
        return ()


def _when(dataset: Dataset) -> str | None:
    """Return the time of the photograph as ISO 8601, as precisely as the file says it."""
    stamps = [_text(dataset, "AcquisitionDateTime")]
    for occasion in ("Acquisition", "Content", "Study"):
        if day := _text(dataset, f"{occasion}Date"):
            stamps.append(day + _text(dataset, f"{occasion}Time"))
    return next((moment for stamp in stamps if (moment := _moment(stamp)) is not None), None)


def _moment(stamp: str) -> str | None:
    """Convert DICOM's digits of a time to ISO 8601: to the second, or to the day where there are fewer."""
    digits = re.split(r"[.+-]", stamp)[0]
    if len(digits) < 8 or not digits.isdigit():
        return None
    day = f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"
    precise = f"{day}T{digits[8:10]}:{digits[10:12]}:{digits[12:14]}"
    return (checked_time(precise) if len(digits) >= 14 else None) or checked_time(day)


def checked_time(text: str) -> str | None:
    """Return a time in ISO 8601 if the calendar has it and photographs of its year exist; None of any other.

    Cameras whose clock was never set, and archives that hide dates, write 0000, 1000 or 9999.
    """
    try:
        return text if FIRST_YEAR <= datetime.fromisoformat(text).year <= LAST_YEAR else None
    except ValueError:
        return None
