"""The photographs of a run as DICOM objects: which study each belongs to, and what a report takes over from its file.

Only the elements that are named here go on into what is written; nothing else of a file is copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fundoscope.photo.decoding.header import element_text, quiet, read_elements

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

UID: Final = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
"""How unique identifiers are written (PS3.5, 9.1), in at most `UID_SIGNS`."""

UID_SIGNS: Final = 64

SEXES: Final = ("M", "F", "O")

NAME_SIGNS: Final = 64
"""Of a person's name in one script (PS3.5, 6.2)."""

NAME_PARTS: Final = 5
"""Family name, given name, middle name, prefix and suffix."""

LENGTHS: Final = {
    "PatientID": 64, "IssuerOfPatientID": 64, "StudyID": 16, "AccessionNumber": 16,
}  # fmt: skip
"""Signs that an identifier may have. A longer one is not cut, which would make another identifier of it."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

PATIENT: Final = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
"""Elements of the patient that are taken over."""

STUDY: Final = (
    "StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName",
    "StudyDescription",
)  # fmt: skip
"""Elements of the study that are taken over."""

AGREED: Final = ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")
"""Elements that are taken over only if all files of a study which have them agree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One photograph's file: what it says of patient, study and itself."""

    number: int
    """Of its row, from 0."""
    values: dict[str, str]
    """The elements of `PATIENT` and `STUDY`, empty where the file says nothing."""
    series_uid: str
    sop_class_uid: str
    sop_uid: str
    modality: str
    rows: int
    columns: int
    unwritable: tuple[str, ...]
    """Identifiers among `LENGTHS` that the standard does not allow to be written: too long, or several."""
    burned_in: str
    """BurnedInAnnotation: YES, NO, or empty where the file does not say."""

    @property
    def can_be_referenced(self) -> bool:
        """Whether a report can name the photograph: its identifiers are there, and its class is one of images."""
        return all(map(is_uid, (self.series_uid, self.sop_uid))) and is_image_class(self.sop_class_uid)

    @property
    def patient(self) -> tuple[str, str]:
        """The patient's identifier and its issuer."""
        return self.values["PatientID"], self.values["IssuerOfPatientID"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """The photographs of one study, in the order of their rows."""

    uid: str
    sources: tuple[Source, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of its rows."""
        return tuple(source.number for source in self.sources)

    @property
    def images(self) -> tuple[Source, ...]:
        """Photographs that a report can name, each once."""
        return tuple({source.sop_uid: source for source in self.sources if source.can_be_referenced}.values())

    @property
    def values(self) -> dict[str, str]:
        """Elements of patient and study: of each the first that a file of the study has, of `AGREED` the only one."""
        first = {
            keyword: next((source.values[keyword] for source in self.sources if source.values[keyword]), "")
            for keyword in (*PATIENT, *STUDY)
        }
        return first | dict.fromkeys(self._contradicted(), "")

    def _contradicted(self) -> list[str]:
        """Return the elements of `AGREED` of which the files have several values."""
        return [name for name in AGREED if len({source.values[name] for source in self.sources} - {""}) > 1]

    def dropped(self) -> tuple[str, ...]:
        """Return elements that are left out: the standard does not allow them as they are, or the files disagree."""
        contradicted = self._contradicted()
        return tuple(
            name
            for name in (*PATIENT, *STUDY)
            if name in contradicted or (name in STUDY and any(name in source.unwritable for source in self.sources))
        )

    def fault(self, *, without_identity: bool = False) -> str | None:
        """Return why no report can be written of the study; None where one can.

        Args:
            without_identity: Whether the patient's identifiers are replaced.
        """
        if not without_identity and any(name in source.unwritable for name in PATIENT for source in self.sources):
            return (
                f"study {self.uid}: expected one PatientID and IssuerOfPatientID of at most {LENGTHS['PatientID']} "
                "letters, got a longer one, several, or control characters. No report is written of it: correct the "
                "files, and grade it again."
            )
        patients = {source.patient for source in self.sources if source.patient[0]}
        if len(patients) > 1:
            return (
                f"study {self.uid}: expected photographs of one patient, got {len(patients)} different PatientIDs. No "
                "report is written of it: correct the files, and grade it again."
            )
        if "PatientBirthDate" in self._contradicted() and not all(source.patient[0] for source in self.sources):
            return (
                f"study {self.uid}: expected photographs of one patient, got several dates of birth and a file without "
                "PatientID. No report is written of it: correct the files, and grade it again."
            )
        if not self.images:
            return (
                f"study {self.uid}: expected a photograph with SOP class, SOP instance and series UID, got none. No "
                "report is written of it: export the photographs again."
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """The studies of a run, and how many of its photographs belong to none."""

    studies: tuple[Study, ...]
    not_dicom: int
    """Photographs that are no DICOM files."""
    without_study: int
    """DICOM files without a valid StudyInstanceUID."""


def gather_studies(paths: Sequence[Path]) -> Studies:
    """Read the headers of photographs and gather those of one study, in the order of their first photographs."""
    groups: dict[str, list[Source]] = {}
    not_dicom = without_study = 0
    for number, path in enumerate(paths):
        elements = read_elements(path)
        if elements is None:
            not_dicom += 1
            continue
        with quiet():
            source = _source(elements, number)
        uid = source.values["StudyInstanceUID"]
        if is_uid(uid):
            groups.setdefault(uid, []).append(source)
        else:
            without_study += 1
    studies = tuple(Study(uid=uid, sources=tuple(sources)) for uid, sources in groups.items())
    return Studies(studies=studies, not_dicom=not_dicom, without_study=without_study)


def is_uid(text: str) -> bool:
    """Return whether a text is a unique identifier: digits and points only, so that it can name a folder, too."""
    return len(text) <= UID_SIGNS and UID.fullmatch(text) is not None


@cache
def is_image_class(uid: str) -> bool:
    """Return whether a storage class is one of images that a report's image library can describe."""
    from highdicom.sr import ImageLibraryEntryDescriptors
    from pydicom.dataset import Dataset

    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID, image.Modality = uid, uid, "OP"
    image.Rows = image.Columns = 1
    try:
        ImageLibraryEntryDescriptors(image)
    except Exception:  # of a class that the library does not know, or that needs elements photographs do not have
        return False
    return True


def _source(elements: Dataset, number: int) -> Source:
    values = {keyword: element_text(elements, keyword) for keyword in (*PATIENT, *STUDY)}
    unwritable = tuple(name for name, length in LENGTHS.items() if not _is_writable(values[name], length))
    values |= dict.fromkeys((name for name in unwritable if name in STUDY), "")
    sex = values["PatientSex"].upper()
    values |= {
        "PatientSex": sex if sex in SEXES else "",
        "PatientName": _name(values["PatientName"]),
        "ReferringPhysicianName": _name(values["ReferringPhysicianName"]),
        "PatientBirthDate": _stamp(values["PatientBirthDate"], "%Y%m%d"),
        "StudyDate": _stamp(values["StudyDate"], "%Y%m%d"),
        "StudyTime": _time(values["StudyTime"]),
        "StudyDescription": CONTROL.sub(" ", values["StudyDescription"]).replace("\\", " ")[:NAME_SIGNS],
    }
    return Source(
        number=number,
        values=values,
        unwritable=unwritable,
        series_uid=element_text(elements, "SeriesInstanceUID"),
        sop_class_uid=element_text(elements, "SOPClassUID"),
        sop_uid=element_text(elements, "SOPInstanceUID"),
        modality=element_text(elements, "Modality"),
        rows=_whole(elements.get("Rows")),
        columns=_whole(elements.get("Columns")),
        burned_in=element_text(elements, "BurnedInAnnotation").upper(),
    )


def _name(text: str) -> str:
    """Return a person's name in at most three scripts, each cut to the parts and length that the standard allows."""
    scripts = CONTROL.sub("", text).replace("\\", " ").split("=")[:3]
    return "=".join("^".join(script.split("^")[:NAME_PARTS])[:NAME_SIGNS] for script in scripts)


def _is_writable(text: str, length: int) -> bool:
    return len(text) <= length and "\\" not in text and CONTROL.search(text) is None


def _stamp(text: str, form: str) -> str:
    """Return a date if the calendar has it; empty where not: such a value may not be written again."""
    try:
        datetime.strptime(text, form)
    except ValueError:
        return ""
    return text if len(text) == len(datetime.now().strftime(form)) else ""


def _time(text: str) -> str:
    """Return a time of day to the second or minute; empty where it is none."""
    digits = text.split(".")[0]
    return _stamp(digits, "%H%M%S") or _stamp(digits, "%H%M")


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
