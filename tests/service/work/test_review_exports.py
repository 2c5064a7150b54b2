"""What a review gives back: every row of the manifest, corrected where readers say so, and tables for other verbs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests.service.label_audits import LABELS, write_audit

from fundoscope.audit.agreement import two_labels
from fundoscope.data.manifest import picture_paths, read_manifest
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import Account, add_user
from fundoscope.service.store.database import open_database
from fundoscope.service.store.reviews import (
    add_label_reading,
    add_verdict,
    all_reviews,
    labels_of,
    photographs_of_review,
)
from fundoscope.service.work.review_exports import export_review, table_bytes, table_names
from fundoscope.service.work.review_intake import NewReview, add_audit
from fundoscope.tables import check_predictions, read_table, write_table
from fundoscope.tables.pair import read_pair


@pytest.fixture(scope="module")
def audited(tmp_path_factory, retinas) -> Path:
    folder = tmp_path_factory.mktemp("audited")
    write_audit(folder, retinas)
    return folder


class Reviewed:
    """A service with a review, whose photographs are judged by name."""

    def __init__(self, folder: Path, audited: Path, readers: int, *, manifest: str = "mine.csv") -> None:
        self.settings = ServiceSettings(folder=folder)
        self.settings.make_folder()
        self.database = open_database(self.settings.database_url)
        self.audited = audited
        new = NewReview(name="first", readers=readers, actor="test")
        add_audit(self.database, self.settings, audited / "audit", [audited / manifest], new)
        self.accounts: dict[str, Account] = {}
        with self.database.writing() as session:
            for name in ("ann", "bo"):
                user = add_user(session, name, "read", None, actor="test")
                session.flush()
                self.accounts[name] = Account(user_id=user.id, name=name, role="read")

    def judge(self, name: str, **grades: int | None) -> None:
        """Judge photographs, each by the first letter of its name; the grade without the label is the same."""
        with self.database.writing() as session:
            review = all_reviews(session)[0]
            for photograph in photographs_of_review(session, review):
                letter = Path(photograph.rows[0]["image"]).name[0]
                if letter in grades:
                    add_label_reading(session, review, photograph, self.accounts[name], grades[letter])
                    add_verdict(session, review, photograph, self.accounts[name], grades[letter], f"note of {name}")

    def keep_all(self, name: str) -> None:
        """Judge every photograph whose rows have one label as labelled rightly."""
        with self.database.reading() as session:
            photographs = photographs_of_review(session, all_reviews(session)[0])
        single = {Path(one.rows[0]["image"]).name[0]: labels_of(one) for one in photographs}
        self.judge(name, **{letter: labels[0] for letter, labels in single.items() if len(labels) == 1})

    def export(self, folder: Path) -> dict[str, Path]:
        """Write all tables into a folder."""
        with self.database.reading() as session:
            tables = export_review(session, all_reviews(session)[0], self.settings)
            assert [table.name for table in tables] == table_names(session, all_reviews(session)[0])
        folder.mkdir(exist_ok=True)
        for table in tables:
            (folder / table.name).write_bytes(table_bytes(table, self.settings.folder / "scratch"))
        return {table.name: folder / table.name for table in tables}


@pytest.fixture
def reviewed(tmp_path, audited):
    made = Reviewed(tmp_path / "service", audited, 1)
    yield made
    made.database.close()


@pytest.fixture
def in_pairs(tmp_path, audited):
    made = Reviewed(tmp_path / "service", audited, 2)
    yield made
    made.database.close()


def test_without_corrections_all_labels_and_all_other_values_stay(reviewed, audited, tmp_path):
    reviewed.keep_all("ann")

    exported = reviewed.export(tmp_path / "out")["mine_reviewed.csv"]

    before, after = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (audited / "mine.csv", exported))
    pd.testing.assert_frame_equal(after[before.columns], before)
    assert read_manifest(exported)["grade"].tolist() == read_manifest(audited / "mine.csv")["grade"].tolist()


def test_a_correction_changes_its_row_and_the_old_label_is_kept(reviewed, audited, tmp_path):
    reviewed.judge("ann", b=4, c=None)

    exported = reviewed.export(tmp_path / "out")["mine_reviewed.csv"]

    frame = pd.read_csv(exported, dtype=str, keep_default_na=False).set_index("image")
    columns = ["grade", "grade_original", "grade_by", "grade_why", "reviewed_grade", "review"]
    assert frame.loc["photos/b.jpg", columns].tolist() == ["4", "1", "ann", "note of ann", "4", "corrected"]
    assert frame.loc["photos/c.jpg", columns].tolist() == ["2", "", "", "", "", "cannot grade"]
    assert frame.loc["photos/broken.jpg", columns].tolist() == ["3", "", "", "", "", "not taken"]
    assert frame.loc["photos/d.jpg", columns].tolist() == ["3", "", "", "", "", "not doubted"]
    assert frame.loc["photos/a.jpg", "review"] == "waiting for readers"
    assert frame["Zeiss_ID"].tolist() == ["007"] * len(LABELS)


def test_a_corrected_manifest_beside_the_original_leads_to_the_same_photographs(reviewed, audited, tmp_path):
    reviewed.judge("ann", b=4)
    content = reviewed.export(tmp_path / "out")["mine_reviewed.csv"].read_bytes()
    beside = audited / "mine_reviewed.csv"
    beside.write_bytes(content)

    paths = picture_paths(read_manifest(beside), beside)

    assert [path.is_file() for path in paths] == [True] * len(LABELS)
    beside.unlink()


def test_contradicting_rows_of_one_photograph_are_settled_by_one_judgement(reviewed, tmp_path):
    reviewed.judge("ann", a=3)

    frame = read_table(reviewed.export(tmp_path / "out")["mine_reviewed.csv"]).set_index("image")

    assert frame.loc[["photos/a.jpg", "photos/a_again.jpg"], "grade"].tolist() == [3, 3]
    assert frame.loc[["photos/a.jpg", "photos/a_again.jpg"], "review"].tolist() == ["corrected", "kept"]


def test_labels_on_which_readers_differ_stay(in_pairs, tmp_path):
    in_pairs.judge("ann", b=4, c=0)
    in_pairs.judge("bo", b=3, c=0)

    frame = read_table(in_pairs.export(tmp_path / "out")["mine_reviewed.csv"]).set_index("image")

    assert frame.loc["photos/b.jpg", ["grade", "review"]].tolist() == [1, "readers differ"]
    assert frame.loc["photos/c.jpg", ["grade", "grade_by", "review"]].tolist() == [0, "ann, bo", "corrected"]


def test_the_readers_agreement_is_measured_by_the_audit(in_pairs, tmp_path):
    in_pairs.judge("ann", b=4, c=0)
    in_pairs.judge("bo", b=3, c=0)

    frame = read_manifest(in_pairs.export(tmp_path / "out")["readers.csv"])

    (finding,) = two_labels(frame, resamples=100)
    assert finding.evidence["photographs"] == 2
    assert finding.evidence["statistics"]["accuracy"]["estimate"] == 0.5


def test_a_readers_own_grades_are_predictions_of_the_manifest(in_pairs, audited, tmp_path):
    in_pairs.judge("ann", b=4, c=None)

    table = in_pairs.export(tmp_path / "out")["reader_ann.csv"]

    predictions = check_predictions(read_table(table), path=table)
    assert predictions["status"].tolist().count("ungradable") == 1
    rows = read_pair(table, audited / "mine.csv").rows.set_index("image")
    assert rows.loc["photos/b.jpg", ["grade", "predicted_grade"]].tolist() == [1, 4]


def test_every_judgement_is_a_row_with_the_grade_given_without_the_label(in_pairs, tmp_path):
    in_pairs.judge("ann", a=3)
    in_pairs.judge("bo", a=0)

    frame = pd.read_csv(in_pairs.export(tmp_path / "out")["judgements.csv"], dtype=str)

    assert sorted(zip(frame["image"], frame["label"], frame["reader"], frame["grade"], strict=True)) == [
        ("photos/a.jpg", "0", "ann", "3"), ("photos/a.jpg", "0", "bo", "0"),
        ("photos/a_again.jpg", "3", "ann", "3"), ("photos/a_again.jpg", "3", "bo", "0"),
    ]  # fmt: skip
    assert set(frame["why"]) != {""}


def test_a_manifest_that_was_reviewed_before_keeps_what_was_said_then(tmp_path, audited, retinas):
    first = Reviewed(tmp_path / "service", audited, 1)
    first.judge("ann", b=4)
    content = first.export(tmp_path / "out")["mine_reviewed.csv"].read_bytes()
    first.database.close()
    write_audit(tmp_path / "again", retinas)
    (tmp_path / "again" / "mine.csv").write_bytes(content)

    second = Reviewed(tmp_path / "second", tmp_path / "again", 1)
    second.judge("bo", c=0)
    frame = read_table(second.export(tmp_path / "out2")["mine_reviewed.csv"]).set_index("image")
    second.database.close()

    assert frame.loc["photos/b.jpg", ["grade", "grade_original", "grade_by", "review", "review_2"]].tolist() == [
        4, 1, "ann", "corrected", "not taken",
    ]  # fmt: skip
    assert frame.loc["photos/c.jpg", ["review", "review_2"]].tolist() == ["waiting for readers", "corrected"]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_manifest_of_any_format_and_encoding_comes_back_with_its_values_and_no_note_repeats_them(
    tmp_path, audited, suffix, caplog
):
    folder = Path(shutil.copytree(audited, tmp_path / "data"))
    frame = pd.read_csv(folder / "mine.csv", dtype={"Zeiss_ID": str, "patient": str}).assign(
        name="M\u00fcller; Jos\u00e9"
    )
    path = folder / f"mine{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False, sep=";", encoding="cp1252")
    else:
        write_table(frame, path)
    answer = json.loads((folder / "audit" / "audit.json").read_text(encoding="utf-8"))
    answer["manifests"][0]["manifest"] = path.name
    (folder / "audit" / "audit.json").write_text(json.dumps(answer), encoding="utf-8")
    reviewed = Reviewed(tmp_path / "service", folder, 1, manifest=path.name)
    reviewed.judge("ann", b=4)
    caplog.clear()

    exported = reviewed.export(tmp_path / "out")[f"mine_reviewed{suffix}"]

    reviewed.database.close()
    after = read_table(exported)
    assert after["name"].tolist() == frame["name"].tolist()
    assert after["Zeiss_ID"].tolist() == frame["Zeiss_ID"].tolist()
    grades = after.set_index("image")["grade"]
    assert (grades["photos/b.jpg"], grades["photos/d.jpg"]) == (4, 3)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("fundoscope.tables")] == []
