"""`fundoscope service look-back` and `activate`, and what `serve` starts with afterwards."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from fundoscope.cli.service.serve import _release_and_site, shadow_words
from fundoscope.runtime.grader import Grader
from fundoscope.service.app import open_service
from fundoscope.service.server import sole_look_back, sole_service
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.files import Incoming
from fundoscope.service.store.models import Photograph
from fundoscope.service.store.shadow import ShadowStart
from fundoscope.service.work.intake import Submission
from fundoscope.service.work.releases import kept_release


@pytest.fixture(scope="module")
def first(write_tiny_release, tmp_path_factory) -> Path:
    """The release that the service begins with."""
    return write_tiny_release(tmp_path_factory.mktemp("first") / "first", id="first")


@pytest.fixture(scope="module")
def strict(write_tiny_release, tmp_path_factory) -> Path:
    """A release that grades no photograph: none is sharp enough for it."""
    gate = {"field_size": 1.0, "sharpness": 1.0, "exposure": 1.0, "contrast": 1.0, "vessels": 1.0}
    return write_tiny_release(tmp_path_factory.mktemp("strict") / "strict", id="strict", gate=gate)


@pytest.fixture
def folder(tmp_path, first, retinas) -> Path:
    """The folder of a stopped service with two answered photographs."""
    service = open_service(ServiceSettings(folder=tmp_path / "s"), Grader.open(first, threads=1))
    service.work.start()
    for patient, path in zip("AB", retinas, strict=False):
        incoming = Incoming.begin(service.settings.incoming)
        incoming.write(path.read_bytes())
        incoming.end()
        service.intake.submit([Submission(incoming=incoming, name=path.name, patient=patient)], sender="camera")
    assert service.work.queue.join(60.0)
    service.work.stop()
    with service.database.reading() as session:
        assert {photograph.state for photograph in session.query(Photograph)} == {"answered"}
    service.database.close()
    return tmp_path / "s"


def test_a_look_back_lists_writes_and_exits_with_1_where_answers_change(run_verb, folder, strict, tmp_path):
    arguments = ("service", "look-back", "--release", strict, "--folder", folder, "--out", tmp_path / "c.csv")

    status, shown, errors = run_verb(*arguments)
    again = run_verb(*arguments)
    as_json = run_verb(*arguments[:-2], "--json")

    assert status == 1
    assert "would change the answer for 2 of 2 cases." in shown
    assert "refer becomes cannot grade, refer: 2 (readings agree with: not read 2)" in shown
    assert errors.endswith(f"Written: {tmp_path / 'c.csv'}")
    with open(tmp_path / "c.csv", newline="") as file:
        assert [row["change"] for row in csv.DictReader(file)] == ["refer becomes cannot grade, refer"] * 2
    assert again[0] == 2
    assert "c.csv: expected a name that is free, got a file" in again[2]
    document = json.loads(as_json[1])
    assert (document["changed"], [row["patient"] for row in document["list"]]) == (2, ["A", "B"])


def test_the_table_has_its_columns_where_nothing_changes(run_verb, folder, write_tiny_release, tmp_path):
    alike = write_tiny_release(tmp_path / "alike", id="alike")
    arguments = ("--release", alike, "--folder", folder, "--out", tmp_path / "c.csv")

    status, shown, _ = run_verb("service", "look-back", *arguments)

    assert status == 0
    assert "would change the answer for 0 of 2 cases." in shown
    assert (tmp_path / "c.csv").read_text().startswith("case,patient,day,change,")


def test_the_active_release_does_not_look_back(run_verb, folder, first):
    status, _, errors = run_verb("service", "look-back", "--release", first, "--folder", folder)

    assert status == 2
    assert "--release: expected another release than the active one" in errors


def test_activation_needs_a_look_back_or_a_reason_and_a_stopped_service(run_verb, folder, strict):
    without = run_verb("service", "activate", "--release", strict, "--folder", folder)
    blank = run_verb("service", "activate", "--release", strict, "--folder", folder, "--without-look-back", " ")
    with sole_service(folder):
        running = run_verb("service", "activate", "--release", strict, "--folder", folder)
    run_verb("service", "look-back", "--release", strict, "--folder", folder)
    status, shown, _ = run_verb("service", "activate", "--release", strict, "--folder", folder)

    assert without[0] == blank[0] == running[0] == 2
    assert "expected a finished look-back of all photographs, got none" in without[2]
    assert "--without-look-back: expected a reason, got none" in blank[2]
    assert "expected a folder on which no service runs" in running[2]
    assert status == 0
    assert "To be read again: 2 cases that it answers otherwise, see /look-back." in shown


def test_a_reason_is_enough_and_is_printed_as_json(run_verb, folder, strict):
    arguments = ("--release", strict, "--folder", folder, "--without-look-back", "urgent", "--json")
    status, shown, _ = run_verb("service", "activate", *arguments)

    assert status == 0
    assert json.loads(shown)["looked_back"] is False


def test_one_look_back_runs_at_a_time(run_verb, folder, strict):
    with sole_look_back(folder):
        status, _, errors = run_verb("service", "look-back", "--release", strict, "--folder", folder)

    assert status == 2
    assert "expected a folder on which no look-back runs" in errors


def test_serve_begins_with_the_active_release_whatever_the_package_ships_with(run_verb, folder, first, strict, capsys):
    before = _release_and_site(ServiceSettings(folder=folder))
    run_verb("service", "activate", "--release", strict, "--folder", folder, "--without-look-back", "a test")
    after = _release_and_site(ServiceSettings(folder=folder))
    named = _release_and_site(ServiceSettings(folder=folder, release=first))

    names = [Grader.open(path, threads=1).opened.release.id for path, _ in (before, after)]
    assert names == ["first", "strict"]
    assert after[0] == kept_release(folder, Grader.open(strict, threads=1).opened.name)
    assert named == (first, None)
    assert "and the package ships with another release" in capsys.readouterr().err


def test_a_folder_without_a_service_begins_with_what_ships(tmp_path):
    assert _release_and_site(ServiceSettings(folder=tmp_path / "new")) == (None, None)


def test_serve_says_whether_answers_are_hidden_and_what_becomes_visible():
    assert shadow_words(ShadowStart(is_on=False)) == []
    assert "shown to nobody" in shadow_words(ShadowStart(is_on=True))[0]
    assert "the answers to 1 case can be seen from now on" in shadow_words(ShadowStart(False, 1))[0]
    assert "2 cases" in shadow_words(ShadowStart(False, 2))[0]
