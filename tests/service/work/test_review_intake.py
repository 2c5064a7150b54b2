"""Doubtful photographs are taken into the service; what cannot be is named, and nothing else is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import func, select
from tests.service.label_audits import DOUBTED, write_audit

from fundoscope.errors import BadRequest, BadTable
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.database import open_database
from fundoscope.service.store.models import Case, Photograph
from fundoscope.service.store.reviews import all_reviews, photographs_of_review
from fundoscope.service.work.review_intake import NewReview, add_audit, find_manifests

NEW = NewReview(name="first", readers=1, actor="test")


@pytest.fixture(scope="module")
def audited(tmp_path_factory, retinas) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    write_audit(folder, retinas)
    return folder


@pytest.fixture
def folder(audited, tmp_path) -> Path:
    """A copy of the audited manifest with its photographs."""
    return Path(shutil.copytree(audited, tmp_path / "data"))


@pytest.fixture
def settings(tmp_path, migrated_sqlite) -> ServiceSettings:
    made = ServiceSettings(folder=tmp_path / "service")
    made.make_folder()
    shutil.copy(migrated_sqlite, made.folder)
    return made


@pytest.fixture
def service(settings):
    opened = open_database(settings.database_url)
    yield opened
    opened.close()


def test_all_doubted_photographs_come_most_doubtful_first_and_copies_are_one(service, settings, folder):
    added = add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)

    with service.reading() as session:
        (review,) = all_reviews(session)
        photographs = photographs_of_review(session, review)
        cases = session.execute(select(func.count()).select_from(Case)).scalar_one()
        patients = session.execute(select(func.count()).select_from(Photograph)).scalar_one()
    images = [[row["image"] for row in photograph.rows] for photograph in photographs]
    taken = {image.removeprefix("photos/") for names in images for image in names}
    assert taken == DOUBTED - {"broken.jpg"}
    assert sorted(["photos/a.jpg", "photos/a_again.jpg"]) in [sorted(names) for names in images]
    assert (added.photographs, added.rows) == (3, 4)
    assert (cases, patients) == (0, 0), "they are nobody's cases"
    assert [photograph.suspicion for photograph in photographs] == sorted(
        (photograph.suspicion for photograph in photographs), key=["probably wrong", "contradicted", "unlikely"].index
    )


def test_a_photograph_that_cannot_be_read_is_named_with_the_reason(service, settings, folder):
    added = add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)

    (refused,) = added.refused
    assert refused.startswith("photos/broken.jpg: expected a whole JPEG picture")
    assert str(settings.folder) not in refused
    with service.reading() as session:
        assert all_reviews(session)[0].refused[0]["row"] == 7


def test_what_has_changed_since_the_audit_is_not_taken(service, settings, folder):
    frame = pd.read_csv(folder / "mine.csv", dtype=str)
    frame.loc[frame["image"] == "photos/b.jpg", "grade"] = "2"
    frame["sha256"] = None
    frame.loc[frame["image"] == "photos/c.jpg", "sha256"] = "0" * 64
    frame.to_csv(folder / "mine.csv", index=False)
    (folder / "photos" / "a_again.jpg").unlink()

    added = add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)

    words = "\n".join(added.refused)
    assert "photos/b.jpg: expected the grade 1 that was audited, the manifest says 2" in words
    assert "photos/c.jpg: expected the file that the manifest means by its sha256, got another" in words
    assert "photos/a_again.jpg: expected a photograph, there is no such file" in words
    assert (added.photographs, added.rows) == (1, 1)


def test_a_photograph_that_is_larger_than_an_upload_may_be_is_not_taken(service, tmp_path, folder):
    small = ServiceSettings(folder=tmp_path / "service", upload_bytes=100)

    with pytest.raises(
        BadRequest, match=r"got none of 5; the first: photos/\S+: expected a photograph of at most 100 "
    ):
        add_audit(service, small, folder / "audit", [folder / "mine.csv"], NEW)
    with service.reading() as session:
        assert all_reviews(session) == []


def test_a_row_that_lists_a_doubted_photograph_and_was_not_doubted_itself_is_judged_with_it(service, settings, folder):
    frame = pd.read_csv(folder / "mine.csv", dtype=str)
    shutil.copy(folder / "photos" / "b.jpg", folder / "photos" / "d.jpg")
    frame.to_csv(folder / "mine.csv", index=False)

    add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)

    with service.reading() as session:
        rows = [photograph.rows for photograph in photographs_of_review(session, all_reviews(session)[0])]
    assert ["photos/b.jpg", "photos/d.jpg"] in [[row["image"] for row in of_one] for of_one in rows]


def test_another_manifest_than_the_audited_one_is_refused(service, settings, folder):
    pd.read_csv(folder / "mine.csv", dtype=str).head(3).to_csv(folder / "mine.csv", index=False)

    with pytest.raises(BadTable, match=r"expected those that were audited: mine.csv \(8 photographs\); got mine.csv"):
        add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)


def test_manifest_and_photographs_stay_as_they_are(service, settings, folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    add_audit(service, settings, folder / "audit", [folder / "mine.csv"], NEW)

    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in settings.folder.iterdir() if path.name.startswith("review-")] == []


def test_the_manifest_is_found_by_its_name_beside_the_audit(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_manifests(folder / "audit") == [folder / "mine.csv"]

    (folder / "mine.csv").unlink()
    with pytest.raises(BadRequest, match=r"mine.csv: expected the manifest that was audited, there is none here"):
        find_manifests(folder / "audit")
