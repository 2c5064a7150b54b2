"""Many photographs by one call: a folder, a manifest or files; to a table, or to probabilities."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from fundoscope.errors import BadRequest
from fundoscope.photo import folders
from fundoscope.runtime.batch import grade_to_table
from fundoscope.runtime.grader import Grader, Reading
from fundoscope.runtime.listing.inputs import list_photographs


@pytest.fixture
def grader(tiny_release) -> Grader:
    return Grader.open(tiny_release, threads=2)


@pytest.fixture
def folder(tmp_path, retinas):
    """Two photographs, a text that calls itself one, and a manifest that says whose they are and misses a file."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, source in (("a.jpg", retinas[0]), ("b.jpg", retinas[1])):
        (folder / name).write_bytes(source.read_bytes())
    (folder / "broken.jpg").write_bytes(b"This is a letter, not a photograph.")
    rows = {"image": ["b.jpg", "a.jpg", "gone.jpg"], "patient": ["P1", "P1", "P2"], "eye": ["left", "right", "left"]}
    pd.DataFrame(rows).to_csv(folder / "who.csv", index=False)
    return folder


def test_the_table_of_a_folder_is_that_which_the_command_writes(grader, folder, tmp_path):
    expected = grade_to_table(grader, list_photographs([folder]).photographs, tmp_path / "results.csv")

    table = grader.grade_many(folder).to_frame()

    assert_frame_equal(table.drop(columns="graded_at"), expected.drop(columns="graded_at"))
    assert sorted(table["status"]) == ["graded", "graded", "unreadable"]


@pytest.mark.parametrize("as_text", [True, False])
def test_a_manifest_names_patients_and_eyes_and_a_missing_file_keeps_its_row(grader, folder, as_text):
    manifest = folder / "who.csv"

    table = grader.grade_many(str(manifest) if as_text else manifest).to_frame()

    assert list(table["image"]) == ["b.jpg", "a.jpg", "gone.jpg"]
    assert list(table["patient"]) == ["P1", "P1", "P2"]
    assert list(table["eye"]) == ["left", "right", "left"]
    assert table["decision"][2] == "cannot grade"
    assert "One eye only" in table["patient_note"][2]
    assert {"p0", "p_referable", "grade", "quality", "release"} <= set(table.columns)


def test_one_photograph_by_its_name_is_one_reading(grader, retinas):
    (reading,) = grader.grade_many(str(retinas[0]))

    assert reading.raw == grader.grade(retinas[0]).raw


def test_no_files_are_a_table_without_rows(grader):
    table = grader.grade_many([]).to_frame()

    assert len(table) == 0
    assert "decision" in table


def test_a_table_after_readings_were_taken_would_lack_their_rows(grader, retinas):
    readings = grader.grade_many(retinas[:2])
    next(readings)

    with pytest.raises(ValueError, match=r"expected readings of which none was taken, got 1 taken"):
        readings.to_frame()


def test_a_folder_that_cannot_be_walked_is_warned_of_with_the_table(grader, folder, monkeypatch):
    (folder / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refuse)

    with pytest.warns(UserWarning, match="locked"):
        grader.grade_many(folder).to_frame()


def test_a_table_is_refused_rather_than_its_columns_names_graded(grader):
    with pytest.raises(TypeError, match=r"expected a folder, a manifest's file or names of files, got DataFrame"):
        grader.grade_many(pd.DataFrame({"image": ["a.jpg"]}))


def test_fellows_beside_a_manifest_are_refused(grader, folder):
    with pytest.raises(TypeError, match="expected none beside a folder or manifest"):
        grader.grade_many(folder / "who.csv", ["a.jpg"])


def test_a_folder_without_photographs_is_refused_at_once(grader, tmp_path):
    with pytest.raises(BadRequest, match="expected pictures"):
        grader.grade_many(tmp_path)


def test_probabilities_are_those_of_the_readings_and_missing_where_there_is_no_grade(grader, folder):
    names = [folder / name for name in ("a.jpg", "broken.jpg", "b.jpg")]

    probabilities = grader.predict_proba(names)

    assert probabilities.shape == (3, 5)
    assert np.isnan(probabilities[1]).all()
    assert tuple(probabilities[2]) == grader.grade(names[2]).probabilities
    assert probabilities[0].sum() == pytest.approx(1)
    assert grader.predict_proba([]).shape == (0, 5)


def test_an_ungradable_retina_has_no_probabilities_although_the_network_was_asked(tiny, tmp_path, retinas):
    strict = dict.fromkeys(tiny["tiny_description"]().gate, 1.0)
    grader = Grader.open(tiny["write_tiny_release"](tmp_path / "strict", gate=strict))

    assert np.isnan(grader.predict_proba(retinas[:1])).all()


def test_a_reading_is_shown_in_one_line(grader, folder):
    whole, broken = grader.grade(folder / "a.jpg"), grader.grade(folder / "broken.jpg")

    assert repr(whole) == f"<Reading a.jpg: {whole.decision}, grade {whole.grade}, quality {whole.quality}>"
    assert repr(broken).startswith("<Reading broken.jpg: cannot grade (unreadable), ")
    assert "\n" not in repr(whole) + repr(broken)
    assert repr(grader) == f"<Grader {grader.opened.name}, {grader.program}, 2 threads>"


def shown(grader: Grader, reading: Reading) -> str:
    """Return what a notebook shows, with a heatmap whether it was certified or not."""
    return replace(reading, heatmap_shown=True)._repr_html_()


def test_a_notebook_shows_the_photograph_and_its_heatmap_where_one_may_be_shown(grader, retinas):
    reading = grader.grade(retinas[1])

    plain, mapped = replace(reading, heatmap_shown=False)._repr_html_(), shown(grader, reading)

    assert plain.count("<img") == 1
    assert mapped.count("<img") == 3
    assert "data:image/webp" in mapped
    assert reading.decision in plain
    assert "not a medical device" in plain
    # The tiny release is not certified.
    assert not reading.heatmap_shown
    assert "http" not in mapped


def test_a_notebook_shows_no_other_photograph_than_was_graded(grader, folder, retinas):
    reading = grader.grade(folder / "a.jpg")

    (folder / "a.jpg").write_bytes(retinas[2].read_bytes())
    changed = shown(grader, reading)
    (folder / "a.jpg").unlink()
    gone = shown(grader, reading)

    assert "has changed since it was graded" in changed
    assert "<img" not in changed + gone
    assert str(folder / "a.jpg") in gone


def test_a_notebook_shows_text_of_files_as_text(grader, tmp_path):
    path = tmp_path / "<script>alert(1)<&.jpg"
    path.write_bytes(b"no picture")

    page = grader.grade(path)._repr_html_()

    assert "<script" not in page
    assert "cannot grade (unreadable)" in page


def test_the_readings_of_a_manifest_are_shown_wherever_it_lies(grader, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    first, *_ = grader.grade_many("photographs/who.csv")

    assert (first.image, first._repr_html_().count("<img")) == ("b.jpg", 1)


def test_a_heatmap_is_shown_beside_a_referral_only():
    grader = Grader.open()

    assert grader.opened.heatmap_state[0]
    assert grader.opened.shows_heatmap("refer")
    assert not any(grader.opened.shows_heatmap(each) for each in ("rescreen", "cannot grade", "cannot grade, refer"))
