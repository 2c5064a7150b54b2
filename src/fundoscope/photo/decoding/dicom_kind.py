"""What a DICOM file is of, by its header: a colour photograph, another kind of picture, or none.

Red-free, infrared and fluorescence pictures and angiograms look like photographs to a network, and must not be graded:
they are refused by name. So are the heatmaps that fundoscope writes itself, which come back with their study.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fundoscope.photo.decoding.header import element_text

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OWN_MANUFACTURER: Final = "fundoscope"
"""Manufacturer of the objects that fundoscope writes (`runtime.output.dicom`)."""

SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"

CHANNELS: Final = {
    "405739002": "red-free", "G-A132": "red-free",
    "414497003": "infrared", "R-102BE": "infrared",
    "415770004": "ultraviolet", "R-102BF": "ultraviolet",
    "371240000": "red channel", "G-A11A": "red channel",
    "371246006": "green channel", "G-A11E": "green channel",
    "405738005": "blue channel", "G-A12F": "blue channel",
}  # fmt: skip
"""Channels of CID 4206 that are no colour, in SNOMED CT and its older form. A colour picture has the channel "full
spectrum", or red, green and blue together."""

COLOURS: Final = frozenset({"red channel", "green channel", "blue channel"})

IMAGE_TYPES: Final = {
    "REDFREE": "red-free", "RED": "red channel", "BLUE": "blue channel", "GREEN": "green channel", "IR": "infrared",
    "INFRARED": "infrared", "FA": "fluorescein angiography", "ICG": "indocyanine green angiography",
    "AF": "autofluorescence", "FAF": "autofluorescence", "AUTOFLUORESCENCE": "autofluorescence",
}  # fmt: skip
"""Words in the fourth value of ImageType of ophthalmic photographs (PS3.3, C.8.17.2.1.1), and how some cameras
extend them."""

FILTERS: Final = {
    "445465004": "red-free (green filter)", "445340000": "red-free (yellow-green filter)",
    "422915004": "blue-green light", "445084008": "blue light", "445279009": "red light",
}  # fmt: skip
"""Optical filters of CID 4204. An infrared filter is none of them: in cameras it keeps infrared out."""

AGENTS: Final = {
    "350086004": "fluorescein angiography",
    "7292004": "indocyanine green angiography", "C-B0156": "indocyanine green angiography",
}  # fmt: skip
"""Imaging agents of CID 4200."""

WORDS: Final = (
    (re.compile(r"auto-?fluorescence|\bfaf\b", re.IGNORECASE), "autofluorescence"),
    (re.compile(r"fluorescein|\bffa\b", re.IGNORECASE), "fluorescein angiography"),
    (re.compile(r"indocyanine|\bicga?\b", re.IGNORECASE), "indocyanine green angiography"),
    (re.compile(r"red[- ]?free", re.IGNORECASE), "red-free"),
    (re.compile(r"infra-?red", re.IGNORECASE), "infrared"),
)
"""What meanings of codes and names of agents say of the picture."""

NO_PICTURE: Final = re.compile(
    rb"\x02\0\x02\0UI..1\.2\.840\.10008\."
    rb"(?:1\.3\.10|5\.1\.4\.1\.1\.(?:(?:88|11|104|9|66)\.[\d.]+|66))[\0\x02]",
    re.DOTALL,
)
"""Meta information of files that store no picture: directories, structured reports, presentation states, documents,
waveforms, raw data and segmentations."""


def stores_no_picture(head: bytes) -> bool:
    """Return whether the first bytes of a DICOM file say that it stores no picture, as reports beside a study do."""
    return NO_PICTURE.search(head) is not None


def is_own_heatmap(dataset: Dataset) -> bool:
    """Return whether a file is a heatmap that fundoscope wrote: it shows a photograph that has been graded already."""
    return (
        element_text(dataset, "SOPClassUID") == SECONDARY_CAPTURE
        and element_text(dataset, "Manufacturer") == OWN_MANUFACTURER
    )


def other_kind(dataset: Dataset) -> str | None:
    """Return the name of a picture that is no colour photograph; None of one that its header does not tell from one."""
    return _by_image_type(dataset) or _by_channel(dataset) or _by_filter(dataset) or _by_agent(dataset)


def _by_image_type(dataset: Dataset) -> str | None:
    values = element_text(dataset, "ImageType").upper().split("\\")
    return next((IMAGE_TYPES[value.strip()] for value in values[2:] if value.strip() in IMAGE_TYPES), None)


def _by_channel(dataset: Dataset) -> str | None:
    """Return the channel by its code, else by its meaning; red, green and blue together are a colour picture."""
    names = [_channel(item) for item in _items(dataset, "ChannelDescriptionCodeSequence")]
    if set(names) == COLOURS:
        return None
    return next((name for name in names if name is not None), None)


def _channel(item: Dataset) -> str | None:
    return CHANNELS.get(element_text(item, "CodeValue")) or _in_words(element_text(item, "CodeMeaning"))


def _by_filter(dataset: Dataset) -> str | None:
    """Return the light that a filter before the lamp or the sensor leaves, where that is no full colour."""
    for keyword in ("LightPathFilterTypeStackCodeSequence", "ImagePathFilterTypeStackCodeSequence"):
        for item in _items(dataset, keyword):
            if name := FILTERS.get(element_text(item, "CodeValue")):
                return name
    return None


def _by_agent(dataset: Dataset) -> str | None:
    """Return the angiography whose agent the header names."""
    for item in _items(dataset, "ContrastBolusAgentSequence"):
        if name := AGENTS.get(element_text(item, "CodeValue")) or _in_words(element_text(item, "CodeMeaning")):
            return name
    return _in_words(element_text(dataset, "ContrastBolusAgent"))


def _in_words(text: str) -> str | None:
    return next((name for pattern, name in WORDS if pattern.search(text)), None)


def _items(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    try:
        yield from dataset.get(keyword) or ()
    except Exception:  # as `header.read_header`: what is damaged says nothing
        return
