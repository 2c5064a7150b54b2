"""`fundoscope service review`, from the command line to the tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.service.label_audits import write_audit

from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.database import open_database


@pytest.fixture
def run(run_verb, tmp_path: Path, retinas, monkeypatch):
    """Run a verb in a folder with an audited manifest and a service."""
    monkeypatch.chdir(tmp_path)
    write_audit(tmp_path / "data", retinas)
    settings = ServiceSettings(folder=Path("fundoscope-service"))
    settings.make_folder()
    open_database(settings.database_url).close()
    return lambda *words: run_verb("service", "review", *words)


def test_a_review_is_added_listed_and_exported_and_what_was_not_taken_is_named(run):
    status, out, err = run("add", "data/audit", "--name", "first")

    assert status == 1, "a photograph was not taken"
    assert out.startswith("Added the review first: 3 photographs, of 4 rows.")
    assert "1 doubted photograph was not taken; its label stays:" in err
    assert "photos/broken.jpg: expected a whole JPEG picture" in err

    status, out, _ = run("list", "--json")
    (line,) = json.loads(out)["reviews"]
    assert (line["photographs"], line["settled"], line["not_taken"]) == (3, 0, 1)

    status, out, err = run("export", "first", "--out", "tables", "--json")
    assert status == 0
    assert json.loads(out)["rows"] == {"waiting for readers": 4, "not doubted": 3, "not taken": 1}
    assert Path("tables/mine_reviewed.csv").is_file()


def test_tables_that_exist_are_not_written_over_unless_asked(run):
    run("add", "data/audit", "data/mine.csv", "--name", "first")
    Path("tables").mkdir()
    Path("tables/judgements.csv").write_text("mine", encoding="utf-8")

    status, _, err = run("export", "first", "--out", "tables")

    assert status == 2
    assert "tables/judgements.csv: expected a name that is free" in err
    assert [path.name for path in Path("tables").iterdir()] == ["judgements.csv"]
    assert run("export", "first", "--out", "tables", "--replace")[0] == 0
    assert Path("tables/judgements.csv").read_text(encoding="utf-8").startswith("image,")


def test_the_manifest_that_was_audited_is_not_even_written_over_when_asked(run):
    answer = json.loads(Path("data/audit/audit.json").read_text(encoding="utf-8"))
    answer["manifests"][0]["manifest"] = "judgements.csv"
    Path("data/audit/audit.json").write_text(json.dumps(answer), encoding="utf-8")
    manifest = Path("data/mine.csv").rename("data/judgements.csv")
    run("add", "data/audit", "--name", "first")
    before = manifest.read_bytes()

    status, _, err = run("export", "first", "--out", "data", "--replace")

    assert status == 2
    assert "got the manifest that was audited, which is never written over" in err
    assert manifest.read_bytes() == before


def test_a_review_that_is_not_there_is_refused_with_those_that_are(run):
    run("add", "data/audit", "--name", "first")

    status, _, err = run("export", "second", "--out", "tables")

    assert status == 2
    assert "second: expected a review of the service, it has first" in err
    assert not Path("tables").exists()


def test_an_audit_that_doubts_no_grade_adds_no_review(run):
    answer = json.loads(Path("data/audit/audit.json").read_text(encoding="utf-8"))
    Path("data/audit/audit.json").write_text(json.dumps(answer | {"findings": [], "suspects": []}), encoding="utf-8")

    status, _, err = run("add", "data/audit", "--name", "first")

    assert status == 2
    assert "expected photographs whose grade is doubted, got none" in err
