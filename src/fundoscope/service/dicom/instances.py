"""A DICOM object that was sent, by C-STORE or STOW-RS: whether it is a photograph, and its way into the intake.

Both ways answer by the same numbers: statuses of C-STORE (PS3.4, B.2.3) are STOW-RS's failure reasons (PS3.18, I.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fundoscope.photo.decoding.dicom_kind import is_own_heatmap
from fundoscope.photo.decoding.header import element_text, is_dicom, quiet, read_elements
from fundoscope.service.store.files import Incoming
from fundoscope.service.work.intake import Intake, Submission

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SUCCESS: Final = 0x0000
PROCESSING_FAILURE: Final = 0x0110
CLASS_NOT_SUPPORTED: Final = 0x0122
OUT_OF_RESOURCES: Final = 0xA700
DOES_NOT_MATCH: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000

PHOTOGRAPHS: Final = (
    "1.2.840.10008.5.1.4.1.1.77.1.5.1",
    "1.2.840.10008.5.1.4.1.1.77.1.5.2",
    "1.2.840.10008.5.1.4.1.1.77.1.4",
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.7.4",
)
"""SOP classes that are accepted: ophthalmic photography of 8 and 16 bits; VL photographs, secondary capture and that of
several frames in colour, as which cameras without ophthalmic objects store photographs."""

UNNAMED: Final = "photograph.dcm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Identifiers of an object, empty where it has none."""

    class_uid: str = ""
    uid: str = ""
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of an object."""

    status: int
    instance: Instance
    sentence: str = ""
    """Why it was not kept."""
    case: str | None = None
    """Identifier of its case."""

    @property
    def succeeded(self) -> bool:
        """Whether it lies on the disk, in the database and in the queue."""
        return self.status == SUCCESS


def store_instance(
    intake: Intake, incoming: Incoming, *, sender: str, expected: Instance | None = None, limit: int | None = None
) -> Stored:
    """Accept a photograph exactly as an upload is; when this returns success, it outlasts a crash.

    Args:
        intake: Of the service.
        incoming: The file, with its meta information; kept or removed.
        sender: Who sent it.
        expected: Identifiers that it was sent as; those that are empty are not compared.
        limit: Most bytes of a photograph, where this one has more and its bytes were thrown away.

    Raises:
        QueueFull: If the queue has no place: nothing was accepted.
    """
    try:
        if limit is not None:
            sentence = f"object: expected at most {limit} bytes, got more. Export it smaller."
            return Stored(CANNOT_UNDERSTAND, expected or Instance(), sentence)
        incoming.end()
        elements = read_elements(incoming.path) if is_dicom(incoming.head) else None
        if elements is None:
            sentence = "object: expected a DICOM file, got something else. Send DICOM files only."
            return Stored(CANNOT_UNDERSTAND, expected or Instance(), sentence)
        with quiet():
            instance, is_heatmap = _identify(elements), is_own_heatmap(elements)
        refusal = _refuse(instance, expected or Instance(), is_heatmap=is_heatmap)
        return refusal or _submit(intake, incoming, instance, sender)
    finally:
        incoming.discard()


def _identify(elements: Dataset) -> Instance:
    return Instance(
        class_uid=element_text(elements, "SOPClassUID"),
        uid=element_text(elements, "SOPInstanceUID"),
        study_uid=element_text(elements, "StudyInstanceUID"),
    )


def _refuse(instance: Instance, expected: Instance, *, is_heatmap: bool) -> Stored | None:
    """Return the answer to an object that is no photograph, or not the one that it was sent as."""
    for name in ("class_uid", "uid", "study_uid"):
        wanted = getattr(expected, name)
        if wanted and getattr(instance, name) != wanted:
            words = {"class_uid": "SOP class", "uid": "SOP instance", "study_uid": "study"}[name]
            sentence = f"object: expected the {words} that it was sent as, got another. Export it again."
            return Stored(DOES_NOT_MATCH, instance, sentence)
    if instance.class_uid not in PHOTOGRAPHS:
        sentence = "object: expected a photograph, got another SOP class. Send photographs only."
        return Stored(CLASS_NOT_SUPPORTED, instance, sentence)
    if is_heatmap:
        sentence = "object: expected a photograph, got a heatmap of fundoscope. Send photographs only."
        return Stored(CLASS_NOT_SUPPORTED, instance, sentence)
    return None


def _submit(intake: Intake, incoming: Incoming, instance: Instance, sender: str) -> Stored:
    name = f"{instance.uid}.dcm" if instance.uid else UNNAMED
    (outcome,) = intake.submit([Submission(incoming=incoming, name=name)], sender=sender)
    if outcome.status == "refused":
        return Stored(CANNOT_UNDERSTAND, instance, outcome.error or "")
    return Stored(SUCCESS, instance, case=outcome.case)
