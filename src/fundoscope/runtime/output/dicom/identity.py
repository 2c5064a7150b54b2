"""Whose objects are written: the patient's as the files name them, or, on request, nobody's.

What is removed follows the Basic Application Level Confidentiality Profile (PS3.15, E.2) as far as our own objects hold
such elements: of a photograph's file nothing else is copied (`sources`).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from fundoscope.runtime.output.codes import PROFILE
from fundoscope.runtime.output.dicom.concepts import concept
from fundoscope.runtime.output.dicom.sources import PATIENT, STUDY, Study

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

DUMMY_DATE: Final = "19000101"
"""In the place of dates that no object may lack."""

DUMMY_TIME: Final = "000000"

TEMPORAL: Final = ("DA", "TM", "DT")
"""Value representations of dates and times."""

NEVER_ABSENT: Final = ("ContentDate", "ContentTime")
EMPTIED: Final = ("StudyDate", "StudyTime", "PatientBirthDate")


class Identity:
    """Patient, study and identifiers of what is written, as the files have them."""

    is_removed: bool = False

    def values(self, study: Study) -> dict[str, str]:
        """Return the elements of patient and study."""
        return study.values

    def uid(self, original: str) -> str:
        """Return how an object, a series or a study of the files is called."""
        return original

    def finish(self, dataset: Dataset) -> None:
        """Make the last changes to an object before it is written."""


class RemovedIdentity(Identity):
    """Others in their place: the same for the same patient, study and object throughout one run, and random."""

    is_removed = True

    def __init__(self) -> None:
        self._uids: dict[str, str] = {}
        self._patients: dict[tuple[str, str], str] = {}

    def values(self, study: Study) -> dict[str, str]:
        """Return a made-up patient and nothing of the study but a new identifier."""
        original = study.values
        # Without an identifier of the patient it is not known which studies are of one: each stands alone.
        key = (original["PatientID"], original["IssuerOfPatientID"]) if original["PatientID"] else (study.uid, "")
        name = self._patients.setdefault(key, f"ANON-{secrets.token_hex(8)}")
        replaced = dict.fromkeys((*PATIENT, *STUDY), "")
        return replaced | {"PatientID": name, "PatientName": f"{name}^", "StudyInstanceUID": self.uid(study.uid)}

    def uid(self, original: str) -> str:
        """Return another identifier, the same for the same original."""
        from pydicom.uid import generate_uid

        if original not in self._uids:
            self._uids[original] = str(generate_uid(prefix=None))
        return self._uids[original]

    def finish(self, dataset: Dataset) -> None:
        """Remove all dates and times, and say what was done."""
        for part in list(_parts(dataset)):
            for element in [element for element in part if element.VR in TEMPORAL]:
                if element.keyword in EMPTIED:
                    element.value = ""
                elif element.keyword in NEVER_ABSENT:
                    element.value = DUMMY_DATE if element.VR == "DA" else DUMMY_TIME
                else:
                    del part[element.tag]
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = "Patient, study and identifiers replaced, dates removed"
        dataset.DeidentificationMethodCodeSequence = [concept(PROFILE)]
        dataset.LongitudinalTemporalInformationModified = "REMOVED"


def _parts(dataset: Dataset) -> Iterator[Dataset]:
    """Yield a data set and the items of all its sequences."""
    yield dataset
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _parts(item)
