"""FHIR R4 resources of one examination: a bundle with the report, an observation for each eye, and what they are of.

An eye that cannot be graded, or of which there is no photograph, has an observation without a value that says why
(`dataAbsentReason`), and never a grade. Nothing is said of macular oedema, so that the answers of LOINC 105914-6, which
assert something about it, are not used. All statuses are `preliminary`: a program answered, nobody has confirmed it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_OID, UUID, uuid5

from fundoscope.grades import EYES, NOT_A_DEVICE, REFERABLE
from fundoscope.runtime.answers import EyeAnswer, PatientAnswer
from fundoscope.runtime.language.texts import IN_ENGLISH
from fundoscope.runtime.output import codes
from fundoscope.runtime.output.codes import Triple
from fundoscope.runtime.output.html import next_step_words
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row, is_blank

Resource = dict[str, Any]
"""A resource as JSON has it."""

NAMESPACE: Final = uuid5(NAMESPACE_OID, "fundoscope.fhir")
"""Of the identifiers of resources: the same examination, graded again by the same release, has the same ones."""

SYSTEMS: Final[Mapping[str, str]] = {
    "LN": "http://loinc.org",
    "SCT": "http://snomed.info/sct",
    "DCM": "http://dicom.nema.org/resources/ontology/DCM",
}
"""FHIR's names of coding schemes, by DICOM's."""

ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
CATEGORY: Final = "http://terminology.hl7.org/CodeSystem/observation-category"
UCUM: Final = "http://unitsofmeasure.org"
DICOM_UID: Final = "urn:dicom:uid"

WHOLE_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)")
"""A moment as FHIR takes it: with its time zone, which cameras do not write."""

DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")

OID: Final = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

UNDATED: Final = "undated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What one bundle is of: a patient's photographs of one study or one day."""

    key: str
    """What makes it this examination: patient, study or day, or the one photograph."""
    rows: Sequence[Row]
    """Rows of the predictions table."""
    answer: PatientAnswer
    """For these rows, which it counts from 0."""


class Bundle:
    """Builds the bundle of one examination."""

    def __init__(self, examination: Examination, opened: OpenRelease) -> None:
        self.examination = examination
        self.opened = opened
        self.entries: list[Resource] = []

    def build(self) -> Resource:
        """Return the bundle: its report comes first."""
        device = self._add("Device", "release", self._device())
        media = [
            self._add("Media", f"photograph {number}", self._media(row))
            for number, row in enumerate(self.examination.rows)
        ]
        answer = self.examination.answer
        eyes = [
            self._add("Observation", f"eye {number}", self._eye(eye, device, media))
            for number, eye in enumerate(answer.eyes)
        ]
        eyes += [
            self._add("Observation", f"missing {eye}", self._missing(eye, device))
            for eye in answer.missing
            if eye in EYES
        ]
        report = self._entry("DiagnosticReport", "report", self._report(eyes, media))
        if answer.next_step is not None:
            self._add("ServiceRequest", "next step", self._request(report["fullUrl"]))
        bundle: Resource = printable(
            {
                "resourceType": "Bundle",
                "id": str(self._uuid("bundle")),
                "identifier": {"system": "urn:ietf:rfc:3986", "value": self._uuid("bundle").urn},
                "type": "collection",
                "timestamp": self._issued(),
                "entry": [report, *self.entries],
            }
        )
        return bundle

    def _uuid(self, part: str) -> UUID:
        return uuid5(NAMESPACE, "\n".join((self.opened.digest, self.examination.key, part)))

    def _entry(self, kind: str, part: str, content: Resource) -> Resource:
        identity = self._uuid(part)
        return {"fullUrl": identity.urn, "resource": {"resourceType": kind, "id": str(identity), **content}}

    def _add(self, kind: str, part: str, content: Resource) -> str:
        """Append a resource; return what refers to it."""
        entry = self._entry(kind, part, content)
        self.entries.append(entry)
        return str(entry["fullUrl"])

    def _device(self) -> Resource:
        release = self.opened.release
        return {
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": f"urn:sha256:{self.opened.digest}"}],
            "status": "active",
            "deviceName": [{"name": release.id, "type": "model-name"}],
            "type": concept(codes.ARTIFICIAL_INTELLIGENCE),
            "version": [{"value": release.version}],
            "note": [{"text": NOT_A_DEVICE}],
        }

    def _media(self, row: Row) -> Resource:
        identifiers = []
        if row["sop_uid"]:
            identifiers.append(uid_identifier(row["sop_uid"]))
        if row["sha256"]:
            identifiers.append({"system": "urn:ietf:rfc:3986", "value": f"urn:sha256:{row['sha256']}"})
        unread = {"note": [{"text": str(row["reason"])}]} if row["status"] == "unreadable" else {}
        return {
            **({"identifier": identifiers} if identifiers else {}),
            "status": "completed",
            "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/media-type", "code": "image"}]},
            **self._subject(),
            **_when(row["taken"], "createdDateTime"),
            "bodySite": _site(row["eye"]),
            # The picture itself stays where it is: no path of this computer goes out.
            "content": {"title": "Photograph of the retina"},
            **unread,
        }

    def _eye(self, eye: EyeAnswer, device: str, media: Sequence[str]) -> Resource:
        rows = [self.examination.rows[number] for number in eye.photographs]
        grade = codes.grade_of(eye, self.examination.rows)
        absent = absence(rows) if grade is None else None
        reasons = list(dict.fromkeys(str(row["reason"]) for row in rows if row["reason"]))
        components = [_text_component("Decision", eye.decision)]
        for row in rows:
            components += self._components(row)
        return {
            **self._observation(eye.eye, device),
            "derivedFrom": [{"reference": media[number]} for number in eye.photographs],
            **({"dataAbsentReason": absent} if grade is None else {"valueCodeableConcept": answer_of(grade, eye.eye)}),
            **({"note": [{"text": reason} for reason in reasons]} if reasons else {}),
            "component": components,
        }

    def _missing(self, eye: str, device: str) -> Resource:
        return {
            **self._observation(eye, device),
            "dataAbsentReason": {
                "coding": [{"system": ABSENT, "code": "not-performed", "display": "Not Performed"}],
                "text": IN_ENGLISH(f"note.one_eye.{eye}"),
            },
        }

    def _observation(self, eye: str | None, device: str) -> Resource:
        return {
            "status": "preliminary",
            "category": [{"coding": [{"system": CATEGORY, "code": "imaging", "display": "Imaging"}]}],
            "code": concept(codes.severity(eye)),
            **self._subject(),
            **self._effective(),
            "issued": self._issued(),
            "bodySite": _site(eye),
            "device": {"reference": device},
        }

    def _components(self, row: Row) -> list[Resource]:
        """Return what is said of one photograph beside its grade; nothing of one without an answer of the network."""
        components = []
        quality = row["quality"]
        if not is_blank(quality) and quality in codes.QUALITIES:
            components.append(
                {
                    "code": concept(codes.QUALITY_ASSESSMENT),
                    "valueCodeableConcept": concept(codes.QUALITIES[str(quality)]),
                }
            )
        if row["status"] != "graded":
            return components
        threshold = self.opened.grading.operating_point.threshold
        components += [
            _number_component(codes.PROBABILITY, f"of grade {REFERABLE} or higher", float(row["p_referable"])),
            _number_component(codes.OPERATING_POINT, "referred from this probability on", float(threshold)),
        ]
        if not is_blank(row["grades_set"]):
            components.append(_text_component("Prediction set", str(row["grades_set"])))
        return components

    def _report(self, eyes: Sequence[str], media: Sequence[str]) -> Resource:
        answer = self.examination.answer
        step = next_step_words(answer, IN_ENGLISH)
        oedema = IN_ENGLISH(f"{self.opened.task.name}.not_looked_for")
        sentences = [f"{answer.decision}.", step, *answer.notes, oedema, NOT_A_DEVICE]
        study = next((row["study_uid"] for row in self.examination.rows if row["study_uid"]), None)
        return {
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": self._uuid("report").urn}],
            "status": "preliminary",
            "category": [
                {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "IMG"}]},
            ],
            "code": concept(codes.IMAGING_REPORT),
            **self._subject(),
            **self._effective(),
            "issued": self._issued(),
            "result": [{"reference": eye} for eye in eyes],
            **({"imagingStudy": [{"identifier": uid_identifier(study)}]} if study else {}),
            "media": [{"link": {"reference": picture}} for picture in media],
            "conclusion": " ".join(filter(None, sentences)),
            "conclusionCode": [{"text": answer.decision}],
        }

    def _request(self, report: str) -> Resource:
        answer = self.examination.answer
        return {
            "status": "draft",
            "intent": "proposal",
            "code": {"text": next_step_words(answer, IN_ENGLISH)},
            **(self._subject() or {"subject": {"display": "Patient not stated"}}),
            "supportingInfo": [{"reference": report}],
            "note": [{"text": NOT_A_DEVICE}],
        }

    def _subject(self) -> Resource:
        answer, rows = self.examination.answer, self.examination.rows
        if answer.patient is None:
            return {}
        source = rows[0]["source"]
        identifier = {"value": str(answer.patient), **({"assigner": {"display": str(source)}} if source else {})}
        return {"subject": {"type": "Patient", "identifier": identifier}}

    def _effective(self) -> Resource:
        times = sorted(str(row["taken"]) for row in self.examination.rows if row["taken"])
        return _when(times[0], "effectiveDateTime") if times else {}

    def _issued(self) -> str:
        return max(str(row["graded_at"]) for row in self.examination.rows)


def absence(rows: Sequence[Row]) -> Resource:
    """Return why an eye has no grade: no photograph could be read, or none that was read can be graded."""
    unread = all(row["status"] == "unreadable" for row in rows)
    code, display = ("error", "Error") if unread else ("unknown", "Unknown")
    reasons = dict.fromkeys(str(row["reason"]) for row in rows if row["reason"])
    text = "The photograph could not be read" if unread else "The photograph cannot be graded"
    return {
        "coding": [{"system": ABSENT, "code": code, "display": display}, *([] if unread else [_insufficient()])],
        "text": ": ".join(filter(None, (text, " ".join(reasons)))),
    }


def answer_of(grade: int, eye: str | None) -> Resource:
    """Return a grade in LOINC's answers, and in SNOMED CT by eye where it has a concept for it."""
    answers = [codes.ANSWERS[grade], codes.grade_code(grade, eye)]
    return {"coding": [coding(code) for code in dict.fromkeys(answers)], "text": codes.ANSWERS[grade][2]}


def coding(code: Triple) -> Resource:
    """Return a code as FHIR has it."""
    value, scheme, _ = code
    return {"system": SYSTEMS[scheme], "code": value, "display": codes.published_name(code)}


def concept(code: Triple) -> Resource:
    """Return a concept of one code."""
    return {"coding": [coding(code)], "text": code[2]}


def uid_identifier(uid: object) -> Resource:
    """Return the identifier of a DICOM object; as it stands where it breaks the rules, as some cameras' do."""
    text = str(uid)
    return {"system": DICOM_UID, "value": f"urn:oid:{text}"} if OID.fullmatch(text) else {"value": text}


def printable(part: Any) -> Any:
    """Return a part of a resource with a mark in place of each control character, which FHIR's strings may not have."""
    if isinstance(part, dict):
        return {key: printable(value) for key, value in part.items()}
    if isinstance(part, list):
        return [printable(value) for value in part]
    return CONTROL.sub("\ufffd", part) if isinstance(part, str) else part


def _insufficient() -> Resource:
    return coding(codes.INSUFFICIENT_QUALITY)


def _site(eye: str | None) -> Resource:
    side = f", {eye} eye" if eye else ""
    return {"coding": [coding(codes.RETINA)], "text": f"Retina{side}"}


def _when(moment: object, key: str) -> Resource:
    """Return a moment as FHIR takes it: its day only where the time zone is not known, and nothing without a day."""
    text = "" if is_blank(moment) else str(moment)
    day = DAY.match(text)
    if day is None or not _is_date(day[0]):
        return {}
    return {key: text if WHOLE_MOMENT.fullmatch(text) and _is_date(text) else day[0]}


def _is_date(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _number_component(code: Triple, words: str, share: float) -> Resource:
    return {
        "code": {"coding": [coding(code)], "text": f"{code[2]} {words}"},
        "valueQuantity": {"value": share, "unit": "1", "system": UCUM, "code": "1"},
    }


def _text_component(name: str, text: str) -> Resource:
    return {"code": {"text": name}, "valueString": text}
