"""Routes of studies, without a browser: made by form, graded, closed, and their results."""

from __future__ import annotations

import csv
import html
import io
import re

import pytest

from fundoscope.service.access.passwords import hash_password
from fundoscope.service.store.accounts import add_token, add_user
from fundoscope.service.store.models import LogEntry
from fundoscope.service.store.studies.study import all_studies

FORM = {"name": "Trial", "sittings": "1", "washout": "0", "with_answer": "1", "with_unread": "1", "reader": "read-user"}
GRADES = {"grade_left": "2", "grade_right": "none"}


@pytest.fixture(scope="module")
def filled(running, retinas):
    """A service with two cases of two eyes."""
    for number, path in enumerate(retinas[:4]):
        eye, patient = ("left", "right")[number % 2], f"=P{number // 2}"
        assert running.send((path.name, path.read_bytes()), patient=patient, eye=eye).status_code == 202
    running.wait()
    return running


def post(running, path: str, data: dict, role: str = "administer"):
    return running.client.post(path, data=data, headers=running.headers[role], follow_redirects=False)


def get(running, path: str, role: str = "read"):
    return running.client.get(path, headers=running.headers[role], follow_redirects=False)


def make(running, **fields: object) -> str:
    """Close the studies there are, and make another; return its address."""
    with running.service.database.reading() as session:
        open_ones = [study.uid for study in all_studies(session) if study.closed is None]
    for uid in open_ones:
        post(running, f"/studies/{uid}/close", {"confirm": "1"})
    made = post(running, "/studies", FORM | fields)
    assert made.status_code == 303, message_of(made)
    return made.headers["location"].partition("?")[0]


def message_of(response) -> str:
    words = re.search(r'role="alert">(.*?)</p>', response.text)
    return html.unescape(words[1]) if words else ""


def hidden_fields(page: str) -> dict[str, str]:
    return dict(re.findall(r'name="(case|sitting|stage)" value="([^"]*)"', page))


def grade(running, study: str, grades: dict[str, str] = GRADES) -> str:
    """Grade the case that is to be graded now; return the address of what comes next."""
    page = get(running, f"{study}/case").text
    return post(running, f"{study}/case", hidden_fields(page) | grades, "read").headers["location"]


def test_a_study_is_made_graded_to_its_end_and_closed(filled):
    study = make(filled, name="Whole", references="image,grade\npainted_0.jpg,2\npainted_3.jpg,0\n")

    assert get(filled, "/").text.count("data-case") == 0, "its cases are hidden from the reader"
    stages = []
    for _ in range(4):
        page = get(filled, f"{study}/case").text
        stages.append(hidden_fields(page)["stage"])
        assert ("Answer for the eye" in page) is (stages[-1] == "with answer")
        assert grade(filled, study) == f"{study}/case"
    end = get(filled, f"{study}/case")
    closed = post(filled, f"{study}/close", {"confirm": "1"})

    assert stages == ["alone", "with answer"] * 2
    assert end.headers["location"] == study
    assert "All cases are graded." in get(filled, study).text
    assert closed.headers["location"] == study
    result = get(filled, f"{study}/result").text
    assert "2 of 4 eyes have a reference grade." in result
    assert "too few: 1 of at least 10 patients" in result
    assert get(filled, "/").text.count("data-case") == 2


def test_the_second_stage_shows_the_first_grade_and_chooses_none(filled):
    study = make(filled, name="Second")
    grade(filled, study, {"grade_left": "3", "grade_right": "none"})

    page = get(filled, f"{study}/case").text

    assert "Without the answer you gave: 3 severe." in page
    assert "Without the answer you gave: cannot grade." in page
    assert " checked" not in page


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"with_unread": ""}, "cases: expected cases that somebody has read, got 2 that nobody has"),
        ({"sittings": "one"}, "sittings: expected a whole number, got 'one'"),
        ({"washout": "-3"}, "washout: expected a whole number, got '-3'"),
        ({"washout": "²"}, "washout: expected a whole number, got '²'"),
        ({"most": "1"}, "cases: expected at least 2, got 1"),
        ({"cases": "nobody"}, "cases: expected lines that each name answered cases, got 'nobody'"),
        ({"query": "nobody"}, "cases: expected at least 2, got 0"),
        ({"reader": "administer-user"}, "readers: expected accounts of the role read, got administer-user"),
        ({"reader": ""}, "readers: expected accounts of the role read, got "),
        ({"references": "image,grade\nother.jpg,1"}, "line 2: image other.jpg is no photograph of the study"),
        ({"name": ""}, "name: expected 1 to 100 letters, got 0"),
    ],
)
def test_a_form_with_a_fault_is_shown_again_as_it_was_filled_in_and_nothing_is_made(filled, fields, words):
    with filled.service.database.reading() as session:
        before = len(all_studies(session))

    refused = post(filled, "/studies", FORM | {"name": "Not made", "query": "=P"} | fields)

    assert refused.status_code == 422
    assert words in message_of(refused)
    assert f'name="query" type="text" value="{fields.get("query", "=P")}"' in refused.text
    with filled.service.database.reading() as session:
        assert len(all_studies(session)) == before


def test_all_accounts_that_read_are_enrolled_by_one_tick_and_another_later(filled):
    study = make(filled, name="All", all_readers="1", reader="read-user")
    with filled.service.database.writing() as session:
        add_user(session, "late", "read", None, actor="test")

    assert "<option>late</option>" in get(filled, study, "administer").text
    post(filled, f"{study}/readers", {"reader": "late"})
    again = post(filled, f"{study}/readers", {"reader": "late"})
    page = get(filled, study, "administer").text

    assert '<th scope="row">late</th>' in page
    assert '<th scope="row">read-user</th>' in page
    assert "got+late" in again.headers["location"]


def test_cases_that_nobody_has_read_are_named_to_who_administers_and_counted_for_the_readers(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        for number, path in enumerate(retinas[:2]):
            own.send((path.name, path.read_bytes()), patient=f"P{number}", eye="left", taken="2026-01-31")
        own.wait()
        for case in own.client.get("/api/cases", headers=own.headers["administer"]).json()["cases"]:
            body = {"case": case["id"], "role": "first", "shown": False, "grades": [{"eye": "left", "grade": 0}]}
            own.client.post("/api/readings", json=body, headers=own.headers["administer"])
        study = make(own, with_unread="")
        before = get(own, "/").text, get(own, study, "administer").text
        own.send(("late.jpg", retinas[2].read_bytes()), patient="P1", eye="right", taken="2026-01-31")
        own.wait()
        after = get(own, "/").text, get(own, study, "administer").text

    assert all("obody has read" not in page for page in before)
    assert "Nobody has read 1 of them: somebody who does not read in the study has to." in after[0]
    assert "P1" not in after[0]
    assert "1 case of the study waits for a reading outside it" in after[1]
    assert "P1, 2026-01-31</a>" in after[1]
    assert "P0, 2026-01-31</a>" not in after[1]


def test_a_zero_byte_which_postgresql_keeps_in_no_text_is_left_out(filled):
    study = make(filled, name="Ze\0ro", query="\0=P")

    assert "<h1>Zero</h1>" in get(filled, study, "administer").text
    assert "expected+a+user" in post(filled, f"{study}/readers", {"reader": "\0"}).headers["location"]


def test_a_study_is_closed_only_with_the_box_ticked(filled):
    study = make(filled, name="Box")

    refused = post(filled, f"{study}/close", {})

    assert "expected+the+box+to+be+ticked" in refused.headers["location"]
    assert get(filled, f"{study}/result").status_code == 403


def test_grades_from_a_second_window_change_nothing_and_say_so(filled):
    study = make(filled, name="Windows")
    fields = hidden_fields(get(filled, f"{study}/case").text)
    post(filled, f"{study}/case", fields | GRADES, "read")

    again = post(filled, f"{study}/case", fields | {"grade_left": "0", "grade_right": "0"}, "read")
    wrong = post(filled, f"{study}/case", fields | GRADES | {"sitting": "x"}, "read")
    rows = list(csv.DictReader(io.StringIO(get(filled, f"{study}/grades.csv", "administer").text)))

    assert "perhaps+from+a+second+window" in again.headers["location"]
    assert "expected+the+one" in wrong.headers["location"]
    assert [(row["eye"], row["grade"], row["cannot_grade"]) for row in rows] == [("left", "2", "0"), ("right", "", "1")]


def test_the_table_is_text_to_a_spreadsheet(filled):
    study = make(filled, name="Sheet")
    grade(filled, study)

    table = get(filled, f"{study}/grades.csv", "administer").text

    assert {row["patient"][:3] for row in csv.DictReader(io.StringIO(table))} == {"'=P"}


def test_a_look_at_the_result_of_an_open_study_is_kept_in_the_log(filled):
    study = make(filled, name="Looked at")
    page = get(filled, f"{study}/result", "administer").text
    get(filled, f"{study}/grades.csv", "administer")
    with filled.service.database.reading() as session:
        entries = session.query(LogEntry).filter(LogEntry.subject == study.rpartition("/")[2]).all()

    looks = [(entry.actor, entry.action, entry.detail["open"]) for entry in entries if "open" in entry.detail]
    assert looks == [
        ("administer-user", "study result shown", True),
        ("administer-user", "study grades exported", True),
    ]
    assert "The study is open." in page


def test_the_page_says_when_the_next_sitting_opens(filled):
    study = make(filled, name="Washout", sittings="2", washout="28", with_answer="")
    grade(filled, study)
    grade(filled, study)

    waiting = get(filled, f"{study}/case")

    assert waiting.headers["location"] == study
    words = r"Sitting 2 of 2 opens on \d{4}-\d\d-\d\d at \d\d:\d\d UTC, 28 days after your last grade\."
    assert re.search(words, get(filled, study).text)


def test_a_study_with_heatmaps_waits_for_its_release(filled):
    study = make(filled, name="Heat", heatmap="1")
    with filled.service.database.writing() as session:
        record = next(one for one in all_studies(session) if one.name == "Heat")
        record.heatmap, record.release = True, "other@1"

    assert grade(filled, study) == f"{study}/case", "without the answer no heatmap is needed"
    waiting = get(filled, f"{study}/case")

    assert "expected+the+service+to+run+other%401" in waiting.headers["location"]


ADMINISTERED = [
    ("GET", "/studies/new"),
    ("POST", "/studies"),
    ("POST", f"/studies/{'0' * 32}/readers"),
    ("POST", f"/studies/{'0' * 32}/close"),
]


@pytest.mark.parametrize(("method", "path"), ADMINISTERED)
def test_who_only_reads_makes_changes_and_closes_no_study(filled, method, path):
    refused = filled.client.request(method, path, headers=filled.headers["read"], data=FORM)

    assert refused.status_code == 403
    assert "expected a user of the role administer" in refused.json()["error"]


def test_a_grade_from_a_page_of_another_site_is_refused(filled):
    study = make(filled, name="Forged")
    with filled.service.database.writing() as session:
        add_user(session, "browser", "read", hash_password("four words in a row"), actor="test")
    post(filled, f"{study}/readers", {"reader": "browser"})
    login = {"name": "browser", "password": "four words in a row"}
    csrf = filled.client.post("/api/session", json=login).json()["csrf"]
    fields = hidden_fields(filled.client.get(f"{study}/case").text) | GRADES

    answers = [
        filled.client.post(f"{study}/case", data=fields | token, follow_redirects=False).status_code
        for token in ({}, {"csrf": "another"}, {"csrf": csrf})
    ]
    filled.client.cookies.clear()

    assert answers == [403, 403, 303]


def test_who_does_not_read_in_a_study_finds_none(filled):
    study = make(filled, name="Others")
    with filled.service.database.writing() as session:
        add_user(session, "outsider", "read", None, actor="test")
        token = add_token(session, "outsider", "test", actor="test")
    headers = {"Authorization": f"Bearer {token}"}

    pages = [filled.client.get(f"{study}{page}", headers=headers).status_code for page in ("", "/case", "/result")]
    kept = filled.client.post(f"{study}/case", data=GRADES, headers=headers).status_code

    assert pages == [404] * 3
    assert kept == 404
    assert "You read in no study." in filled.client.get("/studies", headers=headers).text


def test_in_shadow_mode_a_study_has_one_stage_and_its_result_waits(start, tmp_path, retinas):
    with start(tmp_path / "s", shadow=True) as own:
        for number, path in enumerate(retinas[:2]):
            own.send((path.name, path.read_bytes()), patient=f"P{number}", eye="left")
        own.wait()
        refused = post(own, "/studies", FORM)
        study = make(own, with_answer="")
        grade(own, study, {"grade_left": "1"})
        results = [get(own, f"{study}/{page}", "administer").status_code for page in ("result", "grades.csv")]
        with own.service.database.writing() as session:
            (record,) = all_studies(session)
            record.with_answer = True
        waiting = get(own, f"{study}/case")

    assert "stages: expected one stage in shadow mode" in message_of(refused)
    assert results == [409, 409]
    assert "got+one+in+shadow+mode" in waiting.headers["location"]


def test_an_eye_without_a_picture_is_named_on_the_page_and_graded_as_one_that_cannot_be(start, tmp_path, retinas):
    with start(tmp_path / "s") as own:
        own.send(("a.jpg", retinas[0].read_bytes()), patient="P", eye="left")
        own.send(("P_right.jpg", b"\xff\xd8\xff broken"), patient="P", eye="right")
        own.send(("b.jpg", retinas[1].read_bytes()), patient="Q", eye="left")
        own.wait()
        study = make(own)
        pages = []
        for _ in range(4):
            pages.append(get(own, f"{study}/case").text)
            eyes = re.findall(r'name="(grade_\w+)" value="none"', pages[-1])
            grade(own, study, dict.fromkeys(eyes, "none"))

        assert "All cases are graded." in get(own, study).text

    (first, *_) = [page for page in pages if "There is no picture to show." in page]
    assert first.count('class="picture"') == 1
    assert all("P_right" not in page for page in pages)


URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"
BODIES = [
    (b"", URLENCODED),
    (b"\xff\xfe\x00", URLENCODED),
    (b"a=1&" * 1500, URLENCODED),
    (b"name=\xed\xa0\xbd&sittings=%D9%A1&case=%00&sitting=99999999999999999999", URLENCODED),
    (b"references=grade,image%0d1,a%0d%0a%22&" + b"cases=" + b"x%0a" * 5000, URLENCODED),
    (b"name=a", MULTIPART),
    (b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\na\r\n--x--\r\n', MULTIPART),
    (b'{"name": 1}', "application/json"),
]


@pytest.mark.parametrize(("body", "kind"), BODIES)
def test_a_body_that_is_no_form_of_a_study_changes_nothing(filled, body, kind):
    study = make(filled, name=f"Body {BODIES.index((body, kind))}")
    with filled.service.database.reading() as session:
        before = len(all_studies(session))
    for path, role in [("/studies", "administer"), (f"{study}/readers", "administer"), (f"{study}/case", "read")]:
        headers = filled.headers[role] | {"Content-Type": kind}
        answer = filled.client.post(path, content=body, headers=headers, follow_redirects=False)
        assert answer.status_code in (303, 400, 422), answer.text
        assert answer.status_code != 303 or "expected" in answer.headers["location"]
    with filled.service.database.reading() as session:
        assert len(all_studies(session)) == before
