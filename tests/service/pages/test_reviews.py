"""Pages of label reviews: nothing of a label is sent before the reader has graded, and readers see only their own."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from tests.service.label_audits import write_audit

from fundoscope.service.pages.review_views import overview
from fundoscope.service.store.accounts import Account, find_user
from fundoscope.service.store.models import LogEntry
from fundoscope.service.store.review_models import LabelPhotograph
from fundoscope.service.store.reviews import all_reviews, find_review
from fundoscope.service.work.review_intake import NewReview, add_audit


@pytest.fixture(scope="module")
def audited(tmp_path_factory, retinas) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    write_audit(folder, retinas)
    return folder


class Pages:
    """The pages of a review, as users of several roles get them."""

    def __init__(self, running, uid: str) -> None:
        self.running, self.uid = running, uid

    def get(self, path: str = "", role: str = "read"):
        address = f"/reviews/{self.uid}{path}"
        return self.running.client.get(address, headers=self.running.headers[role], follow_redirects=False)

    def send(self, number: int, step: str, role: str = "read", **values: str):
        return self.running.client.post(
            f"/reviews/{self.uid}/photographs/{number}/{step}",
            data=values,
            headers=self.running.headers[role],
            follow_redirects=False,
        )


@pytest.fixture
def pages(running, audited, request) -> Pages:
    """A review of its own, with two readers for each photograph."""
    service = running.service
    name = re.sub(r"\W+", "-", request.node.name)[:90].strip("-")
    new = NewReview(name=name, readers=2, actor="test")
    add_audit(service.database, service.settings, audited / "audit", [audited / "mine.csv"], new)
    with service.database.reading() as session:
        return Pages(running, all_reviews(session)[-1].uid)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_before_grading_nothing_that_is_sent_says_anything_of_the_label(pages, number):
    page = pages.get(f"/photographs/{number}")
    review, listing = pages.get(), pages.running.client.get("/reviews", headers=pages.running.headers["read"])

    assert [answer.status_code for answer in (page, review, listing)] == [200, 200, 200]
    assert "Keep the grade and show the label" in page.text
    for text in (page.text, review.text, listing.text):
        for secret in ("photos/", ".csv", "which a network", "suspicion", "probably wrong", "contradicted", "broken"):
            assert secret not in text
    picture = pages.get(f"/photographs/{number}/picture.jpg")
    assert picture.headers["content-type"] == "image/jpeg"
    assert picture.content.startswith(b"\xff\xd8")
    assert "photos" not in str(picture.headers)


def test_after_grading_the_label_is_shown_and_neither_step_can_be_repeated(pages):
    assert pages.send(1, "grade", grade="3").headers["location"] == f"/reviews/{pages.uid}/photographs/1"
    page = pages.get("/photographs/1").text
    assert "photos/" in page
    assert "Which grade is right?" in page

    again = pages.send(1, "grade", grade="0").headers["location"]
    assert "expected+a+first+grade" in again
    done = pages.send(1, "verdict", grade="3", note="<b>exudates</b>")
    assert done.headers["location"] == f"/reviews/{pages.uid}/next"
    page = pages.get("/photographs/1").text
    assert "You have judged it" in page
    assert "&lt;b&gt;exudates&lt;/b&gt;" in page
    assert "expected+a+first+verdict" in pages.send(1, "verdict", grade="0").headers["location"]


def test_a_verdict_without_a_grade_and_a_form_without_a_choice_are_refused(pages):
    assert "expected+a+grade+by" in pages.send(2, "verdict", grade="3").headers["location"]
    assert "grade%3A+expected+one+of" in pages.send(2, "grade").headers["location"]
    assert "grade%3A+expected+one+of" in pages.send(2, "grade", grade="7").headers["location"]
    assert "Which grade is right?" not in pages.get("/photographs/2").text


def test_a_zero_byte_in_a_note_which_no_database_need_keep_is_left_out(pages):
    pages.send(1, "grade", grade="3")
    pages.send(1, "verdict", grade="3", note="new\0vessels")

    assert "newvessels" in pages.get("/photographs/1").text


@pytest.mark.parametrize("step", ["grade", "verdict"])
def test_a_note_that_is_too_long_and_a_form_of_many_fields_are_refused_in_words(pages, step):
    pages.send(1, "grade", grade="3")

    long = pages.send(1, "verdict", grade="3", note="x" * 2001).headers["location"]
    many = pages.send(2, step, **{f"field{number}": "1" for number in range(50)})

    assert "note%3A+expected+at+most+2000+letters" in long
    assert many.status_code == 400


def test_going_on_leads_to_what_was_begun_then_to_the_most_doubtful_and_ends_at_the_review(pages):
    def following() -> str:
        return pages.get("/next").headers["location"].removeprefix(f"/reviews/{pages.uid}")

    assert following() == "/photographs/1"
    pages.send(3, "grade", grade="2")
    assert following() == "/photographs/3"
    pages.send(3, "verdict", grade="2")
    for number in (1, 2):
        assert following() == f"/photographs/{number}"
        pages.send(number, "grade", grade="none")
        pages.send(number, "verdict", grade="none")
    assert following() == ""


def test_readers_see_their_own_judgements_and_who_administers_sees_all_and_where_they_differ(pages):
    for role, grade, note in (("read", "4", "of the reader"), ("administer", "0", "of the other")):
        pages.send(1, "grade", role, grade=grade)
        pages.send(1, "verdict", role, grade=grade, note=note)

    mine, everything = pages.get().text, pages.get(role="administer").text

    assert "of the reader" in mine
    assert "of the other" not in mine
    assert "administer-user" not in mine
    assert "read-user: 4 proliferative" in everything
    assert "of the other" in everything
    assert "A further reader is offered these photographs." in everything
    assert "photos/broken.jpg: expected a whole JPEG picture" in everything
    assert "broken.jpg" not in mine


def test_what_is_put_together_for_a_reader_has_nothing_of_others_in_it(pages):
    for role, grade in (("read", "4"), ("administer", "0")):
        pages.send(1, "grade", role, grade=grade)
        pages.send(1, "verdict", role, grade=grade)

    with pages.running.service.database.reading() as session:
        reader = Account(user_id=find_user(session, "read-user").id, name="read-user", role="read")
        review = find_review(session, pages.uid)
        mine = overview(session, review, reader, is_administrator=False)
        everything = overview(session, review, reader, is_administrator=True)

    assert (mine.differing, mine.judged_by, mine.outcomes, mine.refused) == ((), (), (), ())
    assert len(mine.own) == 1
    assert [line.outcome for line in everything.differing] == ["readers differ"]
    assert dict(everything.judged_by) == {"read-user": 1, "administer-user": 1}


def test_tables_are_for_who_administers_and_are_logged(pages):
    pages.send(1, "grade", grade="4")
    pages.send(1, "verdict", grade="4")

    assert pages.get("/tables/mine_reviewed.csv").status_code == 403
    answer = pages.get("/tables/mine_reviewed.csv", role="administer")

    frame = pd.read_csv(io.BytesIO(answer.content))
    assert len(frame) == 8
    assert "mine_reviewed.csv" in answer.headers["content-disposition"]
    assert pages.get("/tables/other.csv", role="administer").status_code == 404
    with pages.running.service.database.reading() as session:
        actions = [entry.action for entry in session.query(LogEntry).where(LogEntry.subject == pages.uid)]
    assert actions == ["label review added", "label review exported"]


def test_photographs_of_a_review_are_in_no_list_of_patients_and_in_no_figures(pages):
    headers = pages.running.headers["read"]

    assert pages.running.client.get("/api/cases", headers=headers).json()["total"] == 0
    assert "fundoscope_photographs{" not in pages.running.client.get("/metrics", headers=headers).text
    assert pages.running.client.get("/readings.csv", headers=headers).text.count("\n") == 1, "names of columns alone"


@pytest.mark.parametrize("path", ["/photographs/99", "/photographs/99/picture.jpg", "/photographs/0", "/photographs/x"])
def test_photographs_that_are_not_of_the_review_are_not_there(pages, path):
    assert pages.get(path).status_code in (404, 422)
    assert pages.running.client.get(f"/reviews/{'0' * 32}", headers=pages.running.headers["read"]).status_code == 404


def test_a_photograph_of_an_open_study_is_passed_over_for_its_readers_until_the_study_is_closed(
    start, audited, tmp_path
):
    with start(tmp_path / "s") as own:
        new = NewReview(name="Doubts", readers=2, actor="test")
        add_audit(own.service.database, own.service.settings, audited / "audit", [audited / "mine.csv"], new)
        with own.service.database.reading() as session:
            pages = Pages(own, all_reviews(session)[-1].uid)
            query = session.query(LabelPhotograph.sha256).filter(LabelPhotograph.number < 3)
            hashes = [sha256 for (sha256,) in query]
        for sha256 in hashes:
            data = own.service.files.path(sha256).read_bytes()
            assert own.send(("a.jpg", data), patient=sha256[:8], eye="left").status_code == 202
        own.wait()
        form = {"name": "Trial", "sittings": "1", "washout": "0", "with_unread": "1", "reader": "read-user"}
        boss = own.headers["administer"]
        study = own.client.post("/studies", data=form, headers=boss, follow_redirects=False).headers["location"]

        refused = [pages.get(f"/photographs/1{path}") for path in ("", "/picture.jpg")]
        refused.append(pages.send(1, "grade", grade="1"))
        others = [pages.get("/photographs/3"), pages.get("/photographs/1", "administer")]
        following = pages.get("/next").headers["location"]
        own.client.post(f"{study.partition('?')[0]}/close", data={"confirm": "1"}, headers=boss)
        afterwards = [pages.get("/photographs/1").status_code, pages.get("/next").headers["location"]]

    assert [answer.status_code for answer in refused] == [403] * 3
    assert all("of the study Trial" in answer.json()["error"] for answer in refused)
    assert [answer.status_code for answer in others] == [200, 200]
    assert following.endswith("/photographs/3")
    assert afterwards[0] == 200
    assert afterwards[1].endswith("/photographs/1")
