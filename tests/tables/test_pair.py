"""Reading both tables, and choosing what of the manifest is meant."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fundoscope.errors import BadRequest, BadTable
from fundoscope.tables.pair import Pair, pair_with, read_pair, read_reference


@pytest.fixture
def tables(tmp_path: Path) -> tuple[Path, Path]:
    """Predictions of a.jpg to d.jpg and of one photograph more; a manifest of a.jpg to f.jpg in two splits."""
    predictions = pd.DataFrame({"image": [*"abcd", "elsewhere"], "grade": [0, 1, 2, 3, 4], "fold": [0, 0, 1, 1, 1]})
    manifest = pd.DataFrame(
        {
            "image": [*"abcdef"],
            "source": ["eyepacs", "eyepacs", "eyepacs", "rldr", "eyepacs", "eyepacs"],
            "patient": ["1", "2", "3", "1", "3", "1"],
            "grade": ["0", "1", "", "4", "2", "0"],
            "split": ["train", "test", "test", "test", "test", "train"],
            "fold": [4] * 6,
            "release": "theirs",
        }
    )
    predictions.to_csv(tmp_path / "predictions.csv", index=False)
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "predictions.csv", tmp_path / "manifest.csv"


def images(pair: Pair) -> list[str]:
    return pair.rows["image"].tolist()


def test_without_a_split_all_rows_of_the_manifest_are_meant(tables):
    pair = read_pair(*tables)

    assert images(pair) == [*"abcd"]
    assert pair.chosen["image"].tolist() == pair.listed["image"].tolist() == [*"abcdef"]
    assert (pair.data["only_predicted"], pair.data["only_listed"]) == (1, 2)
    assert pair.predicted == (*"abcd", "elsewhere")


def test_a_split_leaves_out_the_rows_of_others_and_counts_only_its_own(tables):
    pair = read_pair(*tables, split="test")

    assert images(pair) == [*"bcd"]
    assert pair.chosen["image"].tolist() == [*"bcde"]
    assert pair.listed["image"].tolist() == [*"abcdef"]
    assert pair.data["only_listed"] == 1
    assert pair.photographs == {name: tables[1].parent / name for name in "bcde"}


def test_a_person_whom_two_sources_name_alike_is_no_unseen_patient(tables):
    # d.jpg is of RLDR, whose patient 1 is EyePACS' patient 1, who is in the training split.
    assert images(read_pair(*tables, split="test", unseen_patients=True)) == [*"bc"]


def test_folds_and_release_are_those_of_the_predictions(tables):
    rows = read_pair(*tables).rows

    assert rows["fold"].tolist() == [0, 0, 1, 1]
    assert "release" not in rows
    assert "predicted_fold" not in rows


def test_a_sign_of_the_predictions_is_never_a_target(tables):
    table = pd.read_csv(tables[0]).assign(sign_ma=1, p_he=[0.5] * 5)
    table.to_csv(tables[0], index=False)
    manifest = pd.read_csv(tables[1]).assign(sign_he=0)
    manifest.to_csv(tables[1], index=False)

    rows = read_pair(*tables).rows

    assert {"predicted_sign_ma", "sign_he", "p_he"} <= set(rows.columns)
    assert "sign_ma" not in rows
    assert rows["p_he"].tolist() == [0.5] * 4


def test_predictions_that_match_nothing_are_refused_by_their_first_row(tables):
    predictions, manifest = tables
    predictions.write_text("image,grade\nx/z,1\n")

    with pytest.raises(BadTable, match=r"gives a grade to, got none among 1 rows \(the first is x/z\)"):
        read_pair(predictions, manifest)
    assert pair_with(predictions, read_reference(manifest)).rows.empty


def test_photographs_without_any_reference_grade_are_refused(tables):
    predictions, manifest = tables
    pd.read_csv(manifest).assign(grade=None).to_csv(manifest, index=False)

    with pytest.raises(BadTable, match="gives a grade to in split test, got none among 5 rows"):
        read_pair(predictions, manifest, split="test")


def test_a_split_that_the_manifest_has_not_is_refused_with_those_it_has(tables):
    with pytest.raises(BadTable, match=r"expected rows of split val, got splits: test, train\. Give another --split"):
        read_pair(*tables, split="val")


def test_unseen_patients_need_a_split_and_somebody_who_is_unseen(tables):
    with pytest.raises(BadRequest, match="--unseen-patients: expected --split beside it, got none"):
        read_pair(*tables, unseen_patients=True)
    with pytest.raises(BadTable, match="expected patients who are in split train only, got none"):
        read_pair(*tables, split="train", unseen_patients=True)


def test_a_photograph_of_another_split_with_the_same_bytes_gets_no_prediction_of_this_one(tables):
    """IDRiD's test photograph 064 has the bytes of training photograph 118: 413 predictions are 413 cases."""
    predictions, manifest = tables
    hashes = {name: f"{number:064x}" for number, name in enumerate("abcde")} | {"f": f"{0:064x}"}
    listed = pd.read_csv(manifest)
    listed.assign(sha256=listed["image"].map(hashes)).to_csv(manifest, index=False)
    of_train = pd.DataFrame({"image": ["a"], "sha256": [hashes["a"]], "grade": [0]})
    of_train.to_csv(predictions, index=False)

    assert images(read_pair(predictions, manifest)) == ["a"]
    # The copy in the same split was not predicted; a prediction that is named as another row is that row's.
    pair = read_pair(predictions, manifest, split="train")
    assert (images(pair), pair.data["only_listed"], pair.data["only_predicted"]) == (["a"], 1, 0)


def test_file_names_without_folders_or_suffix_are_found_and_counted(tables):
    predictions, manifest = tables
    listed = pd.read_csv(manifest).assign(image=[f"images/{name}.JPG" for name in "abcdef"])
    listed.to_csv(manifest, index=False)
    pd.DataFrame({"image": ["images\\a.JPG", "B.jpg", "c", "other/d.png"], "grade": [0, 1, 2, 3]}).to_csv(
        predictions, index=False
    )

    pair = read_pair(predictions, manifest)

    assert images(pair) == [f"images/{name}.JPG" for name in "abcd"]
    assert pair.data["joined_by_file_name_alone"] == 3
    assert pair.data["only_predicted"] == 0


def test_a_file_name_that_two_rows_have_finds_neither(tables):
    predictions, manifest = tables
    listed = pd.read_csv(manifest).assign(image=["x/1.jpg", "y/1.jpg", "x/2.jpg", "y/2.jpg", "z/3.jpg", "z/4.jpg"])
    listed.to_csv(manifest, index=False)
    pd.DataFrame({"image": ["1.jpg", "3.jpg"], "grade": [0, 1]}).to_csv(predictions, index=False)

    assert images(read_pair(predictions, manifest)) == ["z/3.jpg"]


def test_predictions_are_not_their_own_reference(tables, tmp_path):
    predictions, _ = tables
    copied = tmp_path / "copied.csv"
    copied.write_bytes(predictions.read_bytes())

    for manifest in (predictions, copied):
        with pytest.raises(BadTable, match=r"expected a manifest with reference grades, got the table of predictions"):
            read_pair(predictions, manifest)


def test_of_a_table_of_results_as_the_manifest_a_note_says_what_its_figures_may_be(tables, tmp_path, caplog):
    """Grades may have been corrected in it; if they were not, a system is compared with itself."""
    predictions, manifest = tables
    results = tmp_path / "results.csv"
    frame = pd.read_csv(manifest, dtype=str)
    frame.assign(status="graded", decision="refer", graded_at="2026-01-01").to_csv(results, index=False)

    read_reference(manifest)
    assert not caplog.messages
    assert len(read_pair(predictions, results).rows) == 4
    assert caplog.messages == [
        f"{results}: looks like a table of results: its column grade is taken for reference grades. Where they are a "
        "system's own answers, all figures are of that system's agreement with itself."
    ]
