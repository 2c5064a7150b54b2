"""A run continues only with what it was begun with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadCheckpoint
from fundoscope.photo.recipe import Recipe
from fundoscope.run_folder import RunFolder
from fundoscope.training.batches.rows import Rows, load_rows
from fundoscope.training.runs.folder import note_photographs


@pytest.fixture
def rows(painted_manifest: Path, tmp_path: Path) -> Rows:
    frame = read_manifest(painted_manifest).iloc[:6]
    return load_rows(frame, painted_manifest.parent, Recipe(side=16, crop="square"), cache=tmp_path / "cache")


def test_the_rows_of_the_beginning_are_kept_and_the_same_rows_continue(rows: Rows, tmp_path: Path):
    note_photographs(rows, tmp_path)
    before = RunFolder(tmp_path).training_rows.read_bytes()

    note_photographs(replace(rows, frame=rows.frame.assign(camera="Kowa")), tmp_path)

    assert RunFolder(tmp_path).training_rows.read_bytes() == before
    assert pd.read_csv(RunFolder(tmp_path).training_rows)["grade"].tolist() == rows.grades.tolist()


def test_a_grade_that_was_changed_since_is_named(rows: Rows, tmp_path: Path):
    note_photographs(rows, tmp_path)
    changed = rows.frame.copy()
    changed.loc[changed.index[2], "grade"] = 4

    with pytest.raises(BadCheckpoint, match=r"1 photographs that differ, one of them 02\.png\. Restore"):
        note_photographs(replace(rows, frame=changed), tmp_path)


def test_photographs_that_were_removed_since_are_named(rows: Rows, tmp_path: Path):
    note_photographs(rows, tmp_path)

    with pytest.raises(BadCheckpoint, match="got 2 photographs that differ, one of them 0"):
        note_photographs(rows.take(np.arange(4)), tmp_path)
    assert len(pd.read_csv(RunFolder(tmp_path).training_rows)) == 6


def test_of_two_rows_of_one_picture_a_changed_label_and_a_lost_row_are_seen(rows: Rows, tmp_path: Path):
    """The same bytes under two names, as public sets hold them."""
    twice = replace(rows, stored=[*rows.stored[:5], rows.stored[0]])
    note_photographs(twice, tmp_path)
    changed = twice.frame.copy()
    changed.loc[changed.index[0], "grade"] = 3

    with pytest.raises(BadCheckpoint, match="got 1 photographs that differ"):
        note_photographs(replace(twice, frame=changed), tmp_path)
    with pytest.raises(BadCheckpoint, match="got 1 photographs that differ"):
        note_photographs(twice.take(np.arange(5)), tmp_path)


def test_a_run_of_before_rows_were_kept_is_continued_with_its_photographs_only(rows: Rows, tmp_path: Path):
    note_photographs(rows, tmp_path)
    RunFolder(tmp_path).training_rows.unlink()

    with pytest.raises(BadCheckpoint, match=r"photographs\.json: expected .* got 1 photographs that differ"):
        note_photographs(rows.take(np.arange(5)), tmp_path)
    note_photographs(rows, tmp_path)
    assert RunFolder(tmp_path).training_rows.is_file()
