"""FHIR bundles, checked by the published R4 models and the invariants that these do not hold."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.grades import CANNOT_GRADE, CANNOT_GRADE_REFER
from fundoscope.runtime.output.fhir.export import bundles_of
from fundoscope.runtime.release import OpenRelease, default_release, open_release

SIDES = {"left": "71490-7", "right": "71491-5"}
LOINC = ["LA18643-9", "LA18644-7", "LA18645-4", "LA18646-2", "LA18648-8"]
SNOMED = {
    "left": [None, "769184004", "769186002", "769188001", "770766000"],
    "right": [None, "769183005", "769185003", "769187006", "770765001"],
    None: [None, "312903003", "312904009", "312905005", "59276001"],
}

INVARIANTS = {
    "Observation": {
        "has a status": "status.exists()",
        "obs-6": "dataAbsentReason.empty() or value.empty()",
        "obs-7": "value.empty() or component.code.coding.intersect(code.coding).empty()",
        "a value or why there is none": "value.exists() or dataAbsentReason.exists()",
    },
    "DiagnosticReport": {"has a status": "status.exists()", "has results": "result.exists()"},
    "Media": {"has content": "content.exists()", "has a status": "status.exists()"},
    "ServiceRequest": {"has a subject": "subject.exists()", "is a proposal": "intent = 'proposal'"},
}


@pytest.fixture(scope="module")
def opened() -> OpenRelease:
    return open_release(default_release())


def row(eye: str | None, grade: int | None, decision: str, **more: Any) -> dict[str, Any]:
    graded = grade is not None
    plain = {
        "image": "/home/clinic/Ada Lovelace/a.jpg", "sha256": "ab" * 32, "source": None, "patient": "0042",
        "patient_raw": None, "eye": eye, "taken": "2026-03-02T08:00:00", "study_uid": None, "sop_uid": None,
        "graded_at": "2026-11-27T18:00:00+00:00", "status": "graded" if graded else "ungradable",
        "reason": "" if graded else "out of focus", "quality": "good" if graded else "reject",
        "p_referable": 0.25, "grade": grade, "decision": decision, "grades_set": "0,1" if graded else None,
    }  # fmt: skip
    return plain | more


def resources(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


@cache
def compiled(invariant: str) -> Callable[[dict[str, Any]], list[Any]]:
    import fhirpathpy
    from fhirpathpy.models import models

    return fhirpathpy.compile(invariant, models["r4"])


def references(part: object) -> Iterator[str]:
    """Yield what the parts of a resource refer to."""
    if isinstance(part, dict):
        yield from [part["reference"]] if "reference" in part else []
        for inner in part.values():
            yield from references(inner)
    if isinstance(part, list):
        for inner in part:
            yield from references(inner)


def texts(part: object) -> Iterator[str]:
    """Yield all strings of the parts of a resource."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    for value in inner:
        yield from texts(value)
    if isinstance(part, str):
        yield part


def faults(bundle: dict[str, Any]) -> list[str]:
    """Return what is wrong with a bundle: of the models, of the invariants, and references that lead nowhere."""
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    problems = []
    try:
        Bundle.model_validate(bundle)
    except ValidationError as problem:
        problems.append(str(problem).splitlines()[0])
    addresses = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        kind = entry["resource"]["resourceType"]
        for name, invariant in INVARIANTS.get(kind, {}).items():
            if compiled(invariant)(entry["resource"]) != [True]:
                problems.append(f"{kind}: {name}")
        problems += [f"{name} leads nowhere" for name in references(entry["resource"]) if name not in addresses]
    return problems


def answered(bundle: dict[str, Any], eye: str) -> dict[str, Any]:
    (observation,) = [
        resource for resource in resources(bundle, "Observation")
        if resource["code"]["coding"][0]["code"] == SIDES[eye]
    ]  # fmt: skip
    return observation


@pytest.mark.parametrize("eye", ["left", "right", None])
@pytest.mark.parametrize("grade", range(5))
def test_a_grade_has_loincs_answer_and_snomeds_disorder_of_its_own_eye(opened, eye, grade):
    (bundle,) = bundles_of([row(eye, grade, "refer" if grade > 1 else "rescreen")], opened)

    (observation,) = [one for one in resources(bundle, "Observation") if "valueCodeableConcept" in one]
    codes = [(code["system"], code["code"]) for code in observation["valueCodeableConcept"]["coding"]]

    snomed = [("http://snomed.info/sct", SNOMED[eye][grade])] if grade else []
    assert codes == [("http://loinc.org", LOINC[grade]), *snomed]
    if eye:
        assert observation["code"]["coding"][0]["code"] == SIDES[eye]
    assert faults(bundle) == []


@given(
    data=st.lists(
        st.tuples(
            st.sampled_from(["left", "right", None]),
            st.sampled_from([0, 1, 2, 3, 4, CANNOT_GRADE, CANNOT_GRADE_REFER, "unreadable"]),
            st.sampled_from([None, "0042", "Ünï", "x" * 300]),
            st.sampled_from([None, "2026-03-02", "2026-03-02T08:00:00", "2026-03-02T08:00:00+01:00", "in spring"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_came_out_the_bundles_are_valid_and_every_photograph_is_in_one(opened, data):
    rows = []
    for number, (eye, outcome, patient, taken) in enumerate(data):
        details = {"patient": patient, "taken": taken, "sha256": f"{number:064x}"}
        if isinstance(outcome, int):
            rows.append(row(eye, outcome, "refer" if outcome > 1 else "rescreen", **details))
        elif outcome == "unreadable":
            unread = {"status": "unreadable", "sha256": None, "quality": None, "p_referable": None}
            rows.append(row(eye, None, CANNOT_GRADE, **details | unread))
        else:
            rows.append(row(eye, None, outcome, **details))

    bundles = bundles_of(rows, opened)

    assert [faults(bundle) for bundle in bundles] == [[]] * len(bundles)
    assert sum(len(resources(bundle, "Media")) for bundle in bundles) == len(rows)
    assert len({bundle["id"] for bundle in bundles}) == len(bundles)


@pytest.mark.parametrize(
    ("status", "code"), [("ungradable", "unknown"), ("unreadable", "error")], ids=["ungradable", "unreadable"]
)
def test_an_eye_without_a_grade_says_why_and_has_no_value(opened, status, code):
    rows = [row("left", 0, "rescreen"), row("right", None, CANNOT_GRADE, status=status, reason="out of focus")]
    (bundle,) = bundles_of(rows, opened)

    observation = answered(bundle, "right")

    assert not any(key.startswith("value") for key in observation)
    assert observation["dataAbsentReason"]["coding"][0]["code"] == code
    assert "out of focus" in observation["dataAbsentReason"]["text"]
    (report,) = resources(bundle, "DiagnosticReport")
    assert report["conclusion"].startswith("cannot grade.")


def test_an_eye_that_was_not_photographed_is_said_to_be_missing_and_photographed_next(opened):
    (bundle,) = bundles_of([row("left", 0, "rescreen")], opened)

    assert answered(bundle, "right")["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    (request,) = resources(bundle, "ServiceRequest")
    assert request["code"]["text"].startswith("Photograph the right eye now")


def test_a_refused_photograph_has_no_probability(opened):
    (bundle,) = bundles_of([row("left", None, CANNOT_GRADE_REFER)], opened)

    assert "valueQuantity" not in str(answered(bundle, "left"))


def test_a_moment_without_a_time_zone_gives_its_day_only(opened):
    with_zone = "2026-03-02T08:00:00+01:00"
    bundles = [
        bundles_of([row("left", 0, "rescreen", taken=taken)], opened)[0] for taken in ("2026-03-02T08:00:00", with_zone)
    ]

    assert [answered(bundle, "left")["effectiveDateTime"] for bundle in bundles] == ["2026-03-02", with_zone]


def test_nothing_asserts_anything_of_oedema_and_no_path_goes_out(opened):
    text = str(bundles_of([row("left", 0, "rescreen"), row("right", 3, "refer")], opened))

    assert "were not looked for" in text
    assert not {"105914-6", "LA34398-0", "LA34399-8"} & set(re.findall(r"[\w-]+", text))
    assert "Lovelace" not in text


def test_the_worst_photograph_of_an_eye_decides_its_grade(opened):
    rows = [row("left", 3, "refer"), row("left", 1, "rescreen", sha256="cd" * 32)]
    (bundle,) = bundles_of(rows, opened)

    assert answered(bundle, "left")["valueCodeableConcept"]["coding"][0]["code"] == LOINC[3]


def test_two_examinations_of_a_patient_are_two_bundles_and_strangers_are_not_joined(opened):
    rows = [
        row("left", 0, "rescreen", taken="2026-03-02"),
        row("right", 0, "rescreen", taken="2026-09-02"),
        row("left", 0, "rescreen", patient=None),
        row("right", 0, "rescreen", patient=None),
    ]

    assert len(bundles_of(rows, opened)) == 4


def test_grading_again_gives_the_same_identifiers(opened):
    first = bundles_of([row("left", 0, "rescreen")], opened)
    again = bundles_of([row("left", 0, "rescreen", graded_at="2026-12-01T00:00:00+00:00")], opened)

    assert [entry["fullUrl"] for entry in first[0]["entry"]] == [entry["fullUrl"] for entry in again[0]["entry"]]


def test_a_photograph_of_nobody_known_keeps_its_identifiers_wherever_it_stands_in_the_run(opened):
    stranger = row("left", 0, "rescreen", patient=None)
    (alone,) = bundles_of([stranger], opened)

    bundles = bundles_of([row("left", 3, "refer"), stranger, stranger], opened)

    assert len({bundle["id"] for bundle in bundles}) == 3
    assert bundles[1]["id"] == alone["id"]


@pytest.mark.parametrize(
    "taken",
    ["2026-13-45", "2026-02-30T08:00:00", "2026-03-02T25:00:00Z", "2026-03-02T08:00:00+99:00", "20260302", " "],
)
def test_a_moment_that_is_none_makes_no_bundle_invalid(opened, taken):
    (bundle,) = bundles_of([row("left", 2, "refer", taken=taken)], opened)

    assert faults(bundle) == []
    assert answered(bundle, "left").get("effectiveDateTime") in (None, "2026-03-02")


@pytest.mark.parametrize("uid", ["1.2.03", "1.2.x", "abc def", "1." * 3])
def test_an_identifier_that_breaks_dicoms_rules_goes_out_as_it_stands(opened, uid):
    (bundle,) = bundles_of([row("left", 2, "refer", sop_uid=uid, study_uid=uid)], opened)

    (report,) = resources(bundle, "DiagnosticReport")
    assert resources(bundle, "Media")[0]["identifier"][0] == {"value": uid}
    assert report["imagingStudy"][0]["identifier"] == {"value": uid}


def test_identifiers_of_dicom_are_object_identifiers(opened):
    (bundle,) = bundles_of([row("left", 2, "refer", sop_uid="1.2.840.10", study_uid="1.2.840.0")], opened)

    (report,) = resources(bundle, "DiagnosticReport")
    assert resources(bundle, "Media")[0]["identifier"][0] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.10"}
    assert report["imagingStudy"][0]["identifier"] == {"system": "urn:dicom:uid", "value": "urn:oid:1.2.840.0"}


def test_control_characters_are_marked_and_lines_kept(opened):
    (bundle,) = bundles_of([row("left", None, CANNOT_GRADE, reason="a\x00b\x1b\nc")], opened)

    assert answered(bundle, "left")["note"] == [{"text": "a\ufffdb\ufffd\nc"}]
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "".join(texts(bundle)))


def test_without_identity_nothing_names_the_patient_or_the_time_and_eyes_stay_together(opened):
    details = {"source": "clinic", "study_uid": "1.2.3", "sop_uid": "1.2.3.4"}
    rows = [
        row("left", 0, "rescreen", **details),
        row("right", 3, "refer", **details, taken="2026-03-02T09:00:00"),
        row("left", 1, "rescreen", patient=None, patient_raw="ANONYMOUS"),
    ]
    bundles = bundles_of(rows, opened, de_identify=True)

    assert [faults(bundle) for bundle in bundles] == [[], []]
    assert len(resources(bundles[0], "Media")) == 2
    assert not [word for word in ("0042", "clinic", "1.2.3", "2026-03", "ab" * 32, "ANONYMOUS") if word in str(bundles)]
    again = bundles_of(rows, opened, de_identify=True)
    assert not {bundle["id"] for bundle in bundles} & {bundle["id"] for bundle in again}


WRONG = {
    "no status": lambda bundle: resources(bundle, "Observation")[0].pop("status"),
    "value and reason": lambda bundle: resources(bundle, "Observation")[0].update(
        dataAbsentReason={"text": "none"}, valueString="0"
    ),
    "no value": lambda bundle: resources(bundle, "Observation")[0].pop("valueCodeableConcept"),
    "a status that is none": lambda bundle: resources(bundle, "DiagnosticReport")[0].update(status="unsure", results=1),
    "no results": lambda bundle: resources(bundle, "DiagnosticReport")[0].pop("result"),
    "no code": lambda bundle: resources(bundle, "Observation")[0].pop("code"),
    "a field that is unknown": lambda bundle: resources(bundle, "Media")[0].update(path="/home"),
    "a reference that leads nowhere": lambda bundle: resources(bundle, "Observation")[0]["device"].update(
        reference="urn:uuid:00000000-0000-0000-0000-000000000000"
    ),
    "no content": lambda bundle: resources(bundle, "Media")[0].pop("content"),
    "a day that is none": lambda bundle: resources(bundle, "Observation")[0].update(effectiveDateTime="in spring"),
    "no subject of a request": lambda bundle: resources(bundle, "ServiceRequest")[0].pop("subject"),
    "two values": lambda bundle: resources(bundle, "Observation")[0].update(valueString="0"),
}


@pytest.mark.parametrize("mutation", WRONG.values(), ids=WRONG)
def test_the_checks_find_what_is_wrong(opened, mutation):
    (bundle,) = bundles_of([row("left", 2, "refer"), row("right", 0, "rescreen", sha256="cd" * 32)], opened)
    wrong = copy.deepcopy(bundle)
    mutation(wrong)

    assert faults(bundle) == []
    assert faults(wrong) != []
