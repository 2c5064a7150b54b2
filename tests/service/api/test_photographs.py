"""The routes of photographs, cases and readings, as a client calls them."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image

from fundoscope.service.access.headers import POLICY


@pytest.fixture(scope="module")
def case(running, retinas) -> dict:
    """A case of two eyes, one of which cannot be graded."""
    black = io.BytesIO()
    Image.new("RGB", (300, 300)).save(black, "PNG")
    sent = running.send(
        ("left <b>.jpg", retinas[3].read_bytes()), ("right.png", black.getvalue()), patient="P-1", eye=["left", "right"]
    )
    running.wait()
    return running.client.get(
        f"/api/cases/{sent.json()['photographs'][0]['case']}", headers=running.headers["read"]
    ).json()


def get(running, path: str, role: str = "read", **query: object):
    return running.client.get(path, params=query, headers=running.headers[role])


def test_a_photograph_is_answered_as_grade_answers_it(running, case, grader, retinas):
    reading = grader.grade(retinas[3])

    answer = get(running, f"/api/photographs/{case['photographs'][0]['sha256']}", "submit").json()

    assert (answer["status"], answer["decision"]) == (reading.status, reading.decision)
    own = {"image", "patient", "eye", "graded_at"}
    row = {name: value for name, value in reading.row().items() if name not in own}
    assert {name: value for name, value in answer["columns"].items() if name not in own} == row


def test_a_photograph_that_cannot_be_graded_says_why_and_what_to_do(running, case):
    answer = case["photographs"][1]

    assert (answer["status"], answer["heatmap_shown"]) == ("ungradable", False)
    assert answer["reason"]
    assert answer["faults"] == ["dark"]
    assert len(answer["advice"]) == 1
    assert answer["columns"]["grade"] is None


def test_a_case_is_no_healthier_than_its_eyes(case):
    answer = case["answer"]

    assert case["state"] == "unread"
    assert [eye["eye"] for eye in answer["eyes"]] == ["left", "right"]
    assert answer["next_step"]["action"] in ("refer", "photograph")
    assert "right" in answer["next_step"]["eyes"]


@pytest.mark.parametrize(
    ("query", "found"), [("P-1", True), ("p-", True), ("%", False), ("_-1", False), ("P-2", False), ("' OR 1=1", False)]
)
def test_cases_are_found_by_a_part_of_the_patients_identifier(running, case, query: str, found: bool):
    result = get(running, "/api/cases", query=query).json()

    assert [one["id"] for one in result["cases"]] == ([case["id"]] if found else [])


def test_cases_are_found_by_state_and_day_and_pages_end(running, case):
    assert case["id"] in [one["id"] for one in get(running, "/api/cases", state="unread").json()["cases"]]
    assert get(running, "/api/cases", state="pending").json()["cases"] == []
    assert case["id"] in [one["id"] for one in get(running, "/api/cases", query=case["day"]).json()["cases"]]
    assert get(running, "/api/cases", page=2).json() == {"cases": [], "total": 1, "page": 2, "pages": 1}


@pytest.mark.parametrize(
    "query", [{"page": 0}, {"page": "x"}, {"state": "happy"}, {"query": "x" * 101}, {"page": 10**9}]
)
def test_a_search_that_is_none_is_refused_in_a_sentence(running, query: dict):
    response = get(running, "/api/cases", **query)

    assert response.status_code == 422
    assert response.json()["error"].endswith(". Correct the request.")


@pytest.mark.parametrize(
    "path",
    [
        "photographs/{0}",
        "photographs/{0}/overlay.png",
        "cases/{1}",
        "cases/{1}/report.html",
        "cases/{1}/report.pdf",
        "cases/{1}/fhir.json",
    ],
)
def test_what_is_not_there_is_not_found(running, path: str):
    response = get(running, "/api/" + path.format("0" * 64, "0" * 32))

    assert response.status_code == 404
    assert ": expected" in response.json()["error"]


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fetc%2fpasswd", "A" * 64, "0" * 63, "0" * 64 + "%00", "0" * 65])
def test_no_name_but_a_hash_leads_to_a_photograph(running, name: str):
    assert get(running, f"/api/photographs/{name}").status_code in (404, 422)


def test_a_report_holds_itself_and_runs_nothing(running, case):
    response = get(running, f"/api/cases/{case['id']}/report.html")

    assert response.status_code == 200
    assert response.headers[POLICY].startswith("sandbox; default-src 'none'")
    assert "<script" not in response.text
    assert "left &lt;b&gt;.jpg" in response.text
    assert "left <b>.jpg" not in response.text
    assert not list(running.service.settings.incoming.iterdir()), "nothing of it is kept"


def test_a_report_can_be_had_as_pdf(running, case):
    response = get(running, f"/api/cases/{case['id']}/report.pdf")
    if response.status_code == 501 and "Pango" in response.json()["error"]:
        pytest.skip(response.json()["error"])  # a library of the system, which pip cannot bring

    assert response.headers["content-type"] == "application/pdf"
    assert response.content.startswith(b"%PDF-")
    assert not list(running.service.settings.incoming.iterdir()), "nothing of it is kept"


def test_a_service_that_cannot_make_pdf_says_what_is_missing(running, case, monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    response = get(running, f"/api/cases/{case['id']}/report.pdf")

    assert response.status_code == 501
    assert response.json()["error"].endswith("Run: pip install 'fundoscope[pdf]'")


def test_a_fhir_bundle_is_of_the_case(running, case):
    bundle = get(running, f"/api/cases/{case['id']}/fhir.json").json()

    assert bundle["resourceType"] == "Bundle"
    reports = [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "DiagnosticReport"]
    assert len(reports) == 1
    assert str(running.service.settings.folder) not in str(bundle)
    assert bundle == get(running, f"/api/cases/{case['id']}/fhir.json").json()


def test_dicom_objects_need_a_study(running, case):
    response = get(running, f"/api/cases/{case['id']}/dicom.zip")

    assert response.status_code == 422
    assert "only DICOM files say which study a report belongs to" in response.json()["error"]


def test_a_heatmap_that_is_not_certified_is_not_shown(running, case):
    response = get(running, f"/api/photographs/{case['photographs'][0]['sha256']}/overlay.png")

    assert case["photographs"][0]["heatmap_shown"] is False
    assert response.status_code == 404


def test_a_reading_is_kept_with_who_when_and_which_release(running, case):
    grades = [{"eye": "left", "grade": 1, "reason": "drusen"}, {"eye": "right", "grade": None, "reason": "dark"}]
    body = {"case": case["id"], "role": "first", "shown": False, "grades": grades}

    response = running.client.post("/api/readings", json=body, headers=running.headers["read"])

    assert response.status_code == 201, response.text
    listed = get(running, "/api/readings").json()["readings"]
    assert listed == response.json()["readings"]
    assert [(one["reader"], one["eye"], one["grade"], one["shown"]) for one in listed] == [
        ("read-user", "left", 1, False),
        ("read-user", "right", None, False),
    ]
    assert {one["release"] for one in listed} == {running.service.grader.opened.name}
    assert get(running, f"/api/cases/{case['id']}").json()["state"] == "read"
    assert get(running, "/api/readings", after=listed[0]["id"]).json()["readings"] == listed[1:]


@pytest.mark.parametrize(
    "change",
    [
        {"role": "fourth"},
        {"case": "../x"},
        {"shown": "perhaps"},
        {"extra": 1},
        *({"grades": grades} for grades in ([], [{"eye": "up"}])),
        *({"grades": [{"eye": "left", "grade": grade}]} for grade in (5, -1, 1.5)),
    ],
)
def test_a_reading_that_is_none_is_refused(running, case, change: dict):
    body = {"case": case["id"], "role": "first", "shown": False, "grades": [{"eye": "left", "grade": 1}]} | change

    response = running.client.post("/api/readings", json=body, headers=running.headers["read"])

    assert response.status_code == 422
    assert response.json()["error"].endswith("Correct the request.")


def test_figures_name_no_patient_and_no_photograph(running, case):
    text = get(running, "/metrics", "submit").text

    assert 'fundoscope_photographs{state="answered"} 2' in text
    assert 'fundoscope_answers_total{status="graded"} 1' in text
    assert 'fundoscope_answers_total{status="ungradable"} 1' in text
    assert "P-1" not in text
    assert case["photographs"][0]["sha256"] not in text


def test_releases_and_readiness_name_the_release_that_answers(running, case):
    name = running.service.grader.opened.name

    assert get(running, "/ready").json() == {"ready": True, "release": name, "waiting": 0}
    (release,) = get(running, "/api/releases").json()["releases"]
    assert (release["name"], release["current"], release["answers"]) == (name, True, 2)


def test_the_schema_is_published_to_those_with_a_token_and_names_no_other_computer(running):
    text = get(running, "/api/openapi.json", "submit").text

    assert "/api/photographs/{sha256}" in text
    assert "http://" not in text
    assert "https://" not in text


def test_a_heatmap_is_a_transparent_picture_in_the_photographs_proportions(start, tmp_path):
    from pathlib import Path

    from fundoscope.runtime.grader import Grader
    from fundoscope.service.work.pictures import overlay

    example = Path(__file__).resolve().parents[3] / "examples" / "idrid_test_003.jpg"
    grader = Grader.open(threads=1)
    reading = grader.grade(example)
    assert reading.heatmap_shown

    picture = Image.open(io.BytesIO(overlay(grader, example, reading.row())))

    with Image.open(example) as photograph:
        assert picture.width / picture.height == pytest.approx(photograph.width / photograph.height, rel=0.01)
    opacity = np.asarray(picture)[..., 3]
    assert picture.mode == "RGBA"
    assert opacity[0, 0] == 0
    assert opacity.max() > 100
