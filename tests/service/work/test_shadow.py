"""Figures of the shadow mode: none before the plan is reached, and then of the tables that `commission` takes."""

from __future__ import annotations

import csv
import io
import json
import shlex
import sys
from hashlib import sha256

import pytest

from fundoscope.cli import main
from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import Account, find_user
from fundoscope.service.store.database import now
from fundoscope.service.store.models import Answer, Case, EyeReading, LogEntry, Photograph
from fundoscope.service.store.readings import EyeGrade, add_reading
from fundoscope.service.work.answers import refresh_case
from fundoscope.service.work.shadow import checked_plan, enough_tables, planned_patients, shadow_progress
from fundoscope.service.work.shadow_words import count_words, decision_counts, figure_words
from fundoscope.tables.pair import read_pair

PLANNED = 23


@pytest.fixture
def shadow(start, tmp_path, retinas):
    """A service in shadow mode whose plan is as small as may be, with one answered photograph."""
    with start(tmp_path / "s", shadow=True, shadow_patients=PLANNED) as running:
        running.send((retinas[0].name, retinas[0].read_bytes()), patient="P0", eye="left", taken="2026-01-31")
        running.wait()
        yield running


def add_patients(running, numbers: range, grade: int | None, *, answered: int = 4, shown: bool = False) -> None:
    """Add patients of one photograph whom a reader gives a grade and the release another."""
    service = running.service
    with service.database.writing() as session:
        row = session.query(Answer).first().row
        user = find_user(session, "read-user")
        account = Account(user_id=user.id, name=user.name, role=user.role)
        for number in numbers:
            facts = {"uid": f"{number:032x}", "key": f"{number:064x}", "patient": f"Q{number}"}
            case = Case(**facts, created=now(), changed=now())
            session.add(case)
            session.flush()
            photograph = {"name": "same.jpg", "size": 1, "kind": "JPEG", "state": "answered", "sender": "s"}
            photograph |= {
                "patient": facts["patient"],
                "eye": "left",
                "received": now(),
                "sha256": sha256(str(number).encode()).hexdigest(),
            }
            session.add(Photograph(case_id=case.id, **photograph))
            session.flush()
            added = session.query(Photograph).filter_by(sha256=photograph["sha256"]).one()
            decision = "refer" if answered >= 2 else "rescreen"
            own = row | {"sha256": added.sha256, "patient": added.patient, "eye": "left", "image": "same.jpg"}
            own |= {"grade": answered, "decision": decision, "p_referable": 0.2 * answered + number * 1e-5}
            own |= {f"p{k}": float(k == answered) for k in range(5)}
            answer = {"status": "graded", "decision": decision, "seconds": 0.1, "created": now(), "row": own}
            session.add(Answer(photograph_id=added.id, release=service.grader.opened.name, **answer))
            session.flush()
            refresh_case(session, case, service.grader)
            add_reading(session, case, account, "first", [EyeGrade(eye="left", grade=grade)], shown=False)
            if shown:
                session.query(EyeReading).filter_by(case_id=case.id).update({"shown": True})


def progress_of(running, actor: str = "ann"):
    return shadow_progress(running.service.database, actor=actor)


def test_a_service_that_never_ran_in_shadow_mode_has_nothing_to_show(start, tmp_path):
    with start(tmp_path / "s") as running:
        assert progress_of(running) is None
        with pytest.raises(BadRequest, match="shadow: expected a service that runs or ran in shadow mode"):
            enough_tables(running.service.database, actor="ann")


def test_before_the_plan_is_reached_there_is_no_figure_no_table_and_no_look(shadow):
    add_patients(shadow, range(1, PLANNED), 3)
    add_patients(shadow, range(100, 110), 0, answered=0)

    progress = progress_of(shadow)

    assert progress.referable == PLANNED - 1
    assert progress.figures is None
    assert figure_words(progress) == decision_counts(progress) == {}
    with pytest.raises(BadRequest, match=r"expected 23 referable patients, as planned, got 22 so far"):
        enough_tables(shadow.service.database, actor="ann")
    with shadow.service.database.reading() as session:
        assert session.query(LogEntry).filter_by(action="shadow figures shown").count() == 0


def test_once_it_is_reached_readers_and_release_are_compared_by_patient(shadow):
    add_patients(shadow, range(1, PLANNED + 2), 3)  # 24 referable, referred
    add_patients(shadow, range(40, 44), 2, answered=1)  # 4 referable, missed
    add_patients(shadow, range(100, 110), 0, answered=0)
    add_patients(shadow, range(120, 122), 1, answered=2)

    progress = progress_of(shadow)

    words, intervals = figure_words(progress), progress.figures.intervals
    assert (intervals["sensitivity"].estimate, intervals["specificity"].estimate) == (24 / 28, 10 / 12)
    assert intervals["sensitivity"].low < 24 / 28 < intervals["sensitivity"].high
    assert "quadratic_kappa" in intervals
    assert words["Agreement on referral, cannot grade counted as referred"].startswith("0.850 (95% CI 0.7")
    assert decision_counts(progress)["referable"]["rescreen"] == 4


def test_readings_after_the_answer_was_shown_and_cases_answered_otherwise_do_not_count(shadow):
    add_patients(shadow, range(1, 11), 3)
    add_patients(shadow, range(20, 26), 3, shown=True)
    with shadow.service.database.writing() as session:
        session.query(Case).filter_by(patient="Q1").update({"shadow": False})
        session.query(Case).filter_by(patient="Q2").update({"release": "earlier@0"})

    progress = progress_of(shadow)

    assert (progress.referable, progress.tables.read) == (8, 8)


def test_an_eye_that_a_reader_cannot_grade_leaves_its_patient_out_and_is_counted(shadow):
    add_patients(shadow, range(1, 4), 3)
    add_patients(shadow, range(20, 25), None)

    counts = count_words(progress_of(shadow))

    assert counts["Patients read"] == 8
    assert counts["Of them, patients with an eye that has no grade, who are left out"] == 5
    assert counts["Referable patients, by the readers"] == 3


def test_readers_who_differ_count_once_a_third_has_decided(shadow):
    add_patients(shadow, range(1, 3), 3)
    with shadow.service.database.writing() as session:
        first = session.query(EyeReading).first()
        case = session.get_one(Case, first.case_id)
        for name, role, grade in (("administer-user", "second", 0), ("submit-user", "adjudication", 2)):
            if role == "adjudication":
                assert progress_counts(session, shadow) == (1, 1)
            user = find_user(session, name)
            account = Account(user_id=user.id, name=name, role="read")
            grades = [EyeGrade(eye="left", grade=grade, reason="because")]
            add_reading(session, case, account, role, grades, shown=False)
        assert progress_counts(session, shadow) == (2, 0)


def progress_counts(session, running) -> tuple[int, int]:
    """Return how many eyes have a reading that counts, and in how many cases readers differ."""
    from fundoscope.service.work.shadow import shadow_tables

    session.flush()
    tables = shadow_tables(session, running.service.grader.opened.name)
    return int(tables.readings["grade"].notna().sum()), tables.differing


def test_each_look_at_growing_data_is_counted_once_and_logged(shadow):
    add_patients(shadow, range(1, PLANNED + 1), 3)

    looks = [progress_of(shadow).looks, progress_of(shadow, "bo").looks]
    add_patients(shadow, range(50, 51), 3)
    looks.append(progress_of(shadow).looks)

    assert looks == [1, 1, 2]
    with shadow.service.database.reading() as session:
        entries = session.query(LogEntry).filter_by(action="shadow figures shown").order_by(LogEntry.id)
        assert [entry.actor for entry in entries] == ["ann", "ann"]


def run(arguments: list[str], monkeypatch, capsys) -> tuple[int, str, str]:
    """Run a command; return its exit status, standard output and standard error."""
    monkeypatch.setattr(sys, "argv", ["fundoscope", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


def test_the_exported_tables_commission_the_release_by_the_very_command_that_is_shown(
    shadow, tmp_path, monkeypatch, capsys
):
    add_patients(shadow, range(1, PLANNED + 9), 3)
    add_patients(shadow, range(100, 120), 0, answered=0)
    folder = str(shadow.service.settings.folder)
    monkeypatch.chdir(tmp_path)

    written = run(["service", "shadow", "--folder", folder, "--out", "tables", "--json"], monkeypatch, capsys)
    report = json.loads(written[1])
    commissioned = run([*shlex.split(report["command"])[1:], "--json"], monkeypatch, capsys)

    assert written[0] == 0, written[2]
    assert report["looks"] == 1
    assert commissioned[0] == 0, commissioned[2]
    protocol = json.loads(commissioned[1])
    assert protocol["guaranteed"] is True
    assert protocol["counts"]["referable"] == report["referable"] == PLANNED + 8
    assert (tmp_path / "commissioned" / "release.json").is_file()
    pair = read_pair(tmp_path / "tables" / "predictions.csv", tmp_path / "tables" / "readings.csv")
    assert (pair.data["only_predicted"], pair.data["only_listed"]) == (0, 0)
    again = run(["service", "shadow", "--folder", folder, "--out", "tables"], monkeypatch, capsys)
    assert again[0] == 2
    assert "predictions.csv: expected a name that is free, got a file" in again[2]


def test_the_command_says_how_many_are_missing_and_shows_no_figure(shadow, monkeypatch, capsys):
    add_patients(shadow, range(1, 3), 3)

    status, shown, _ = run(["service", "shadow", "--folder", str(shadow.service.settings.folder)], monkeypatch, capsys)

    assert status == 1
    assert shown.startswith("2 of 23 planned referable patients were read in shadow mode.")
    assert "Sensitivity" not in shown


def test_the_page_shows_counts_and_then_figures_tables_and_the_command(shadow):
    headers = shadow.headers["administer"]
    add_patients(shadow, range(1, 3), 3)
    early = shadow.client.get("/shadow", headers=headers).text
    refused = shadow.client.get("/shadow/readings.csv", headers=headers)
    add_patients(shadow, range(3, PLANNED + 1), 3)
    add_patients(shadow, range(100, 105), 0, answered=0)

    page = shadow.client.get("/shadow", headers=headers).text
    tables = {
        name: list(csv.DictReader(io.StringIO(shadow.client.get(f"/shadow/{name}", headers=headers).text)))
        for name in ("readings.csv", "predictions.csv")
    }

    assert "Referable patients read: 2 of 23 planned" in early
    assert "No figure is shown before 23 referable patients were read." in early
    assert "Sensitivity" not in early
    assert refused.status_code == 422
    assert "Sensitivity of referral" in page
    assert "fundoscope commission predictions.csv readings.csv --release" in page
    assert [row["image"] for row in tables["readings.csv"]] == [row["image"] for row in tables["predictions.csv"]]
    assert len({row["image"] for row in tables["readings.csv"]}) == PLANNED + 5
    for role in ("read", "submit"):
        assert shadow.client.get("/shadow", headers=shadow.headers[role]).status_code == 403


def test_a_plan_has_to_be_able_to_guarantee_something():
    assert (checked_plan(None), checked_plan(23), planned_patients()) == (None, 23, 75)
    with pytest.raises(BadRequest, match="expected at least 23 referable patients"):
        checked_plan(22)
