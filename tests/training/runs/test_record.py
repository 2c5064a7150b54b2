"""A run continues only with what it was begun with, and its release says just that."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table
from fundoscope.training.batches.rows import Rows, load_rows
from fundoscope.training.experiment.photographs import Data
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.ensemble import read_finished
from fundoscope.training.runs.folder import moved, read_run
from fundoscope.training.runs.record import folds_of, record_held_out_rows, record_training_rows
from fundoscope.training.train import train

RECIPE = Recipe(side=16, crop="square")


@pytest.fixture
def rows(painted_manifest: Path, tmp_path: Path) -> Rows:
    frame = read_manifest(painted_manifest).iloc[:6]
    return load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "cache")


def changed(rows: Rows, column: str, value: object, at: int = 2) -> Rows:
    frame = rows.frame.copy()
    frame[column] = frame[column].astype(object) if column in frame else None
    frame.loc[frame.index[at], column] = value
    return replace(rows, frame=frame)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_rows_of_the_beginning_are_kept_and_the_same_rows_continue(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_training_rows(rows, run)
    before = RunFolder(run).training_rows.read_bytes()

    record_training_rows(replace(rows, frame=rows.frame.assign(camera="Kowa")), run)

    assert RunFolder(run).training_rows.read_bytes() == before
    assert pd.read_csv(RunFolder(run).training_rows)["grade"].tolist() == rows.grades.tolist()


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("grade", 4, r"02\.png \(grade 1, now 4\)"),
        ("patient", "p07", r"02\.png \(patient p01, now p07\)"),
        ("patient", None, r"02\.png \(patient p01, now blank\)"),
        ("eye", "left", r"02\.png \(eye blank, now left\)"),
        ("source", "elsewhere", r"02\.png \(source blank, now elsewhere\)"),
        ("duplicate_group", "twice", r"02\.png \(duplicate_group blank, now twice\)"),
    ],
)
def test_a_row_that_was_changed_since_is_named_and_nothing_is_written(
    rows: Rows, tmp_path: Path, column: str, value: object, message: str
):
    run = tmp_path / "run"
    record_training_rows(rows, run, Data(folds=2))
    before = contents(run)

    with pytest.raises(BadCheckpoint, match=message + r"\. Restore the manifest, or train in another folder"):
        record_training_rows(changed(rows, column, value), run, Data(folds=2))
    assert contents(run) == before


def test_rows_that_were_removed_or_added_since_are_named(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_training_rows(rows.take(np.arange(5)), run)
    before = contents(run)

    with pytest.raises(BadCheckpoint, match=r"got others: 03\.png \(no longer there\); 04\.png \(no longer there\)\. "):
        record_training_rows(rows.take(np.arange(3)), run)
    with pytest.raises(BadCheckpoint, match=r"got others: 05\.png \(not there before\)\. Restore"):
        record_training_rows(rows, run)
    with pytest.raises(BadCheckpoint, match=r"00\.png .*; 01\.png .*; 02\.png \(no longer there\) and 3 more"):
        record_training_rows(rows.take(np.array([5])), run)
    assert contents(run) == before


def test_a_photograph_whose_bytes_were_replaced_is_named(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_training_rows(rows, run)
    stored = [*rows.stored[:2], replace(rows.stored[2], sha256="0" * 64), *rows.stored[3:]]

    with pytest.raises(BadCheckpoint, match=r"got others: 02\.png \(the file has other bytes\)\. Restore"):
        record_training_rows(replace(rows, stored=stored), run)


def test_of_two_rows_of_one_picture_a_changed_label_and_a_lost_row_are_seen(rows: Rows, tmp_path: Path):
    """The same bytes under two names, as public sets hold them."""
    twice, run = replace(rows, stored=[*rows.stored[:5], rows.stored[0]]), tmp_path / "run"
    record_training_rows(twice, run)

    with pytest.raises(BadCheckpoint, match=r"00\.png \(grade 0, now 3\)"):
        record_training_rows(changed(twice, "grade", 3, at=0), run)
    with pytest.raises(BadCheckpoint, match=r"05\.png \(no longer there\)"):
        record_training_rows(twice.take(np.arange(5)), run)


def test_lesions_that_were_marked_otherwise_since_are_named(rows: Rows, tmp_path: Path):
    blank, run = np.zeros((16, 16, 2), np.uint8), tmp_path / "run"
    record_training_rows(replace(rows, lesions=[blank] * 5 + [None]), run)

    record_training_rows(replace(rows, lesions=[blank] * 5 + [None]), run)
    with pytest.raises(BadCheckpoint, match=r"got others: 00\.png \(other lesions\)\. Restore"):
        record_training_rows(replace(rows, lesions=[blank + 255, *[blank] * 4, None]), run)


def test_rows_in_another_order_under_other_paths_continue_as_they_were_recorded(rows: Rows, tmp_path: Path):
    run, data = tmp_path / "run", Data(folds=2)
    record_training_rows(rows, run, data)
    order = np.array([3, 1, 0, 5, 4, 2])
    moved_rows = rows.take(order)
    moved_rows = replace(moved_rows, frame=moved_rows.frame.assign(image="elsewhere/" + moved_rows.frame["image"]))

    continued = record_training_rows(moved_rows, run, data)

    assert continued.frame["image"].tolist() == rows.frame["image"].tolist()
    assert [stored.sha256 for stored in continued.stored] == [stored.sha256 for stored in rows.stored]
    assert continued.grades.tolist() == rows.grades.tolist()
    assert folds_of(continued, run, data).tolist() == folds_of(rows, run, data).tolist()


def test_the_folds_of_the_beginning_stay_and_another_number_of_them_is_refused(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_training_rows(rows, run, Data(folds=2))
    table = RunFolder(run).training_rows
    table.write_text(pd.read_csv(table).assign(run_fold=[0, 0, 1, 1, 0, 0]).to_csv(index=False), encoding="utf-8")

    assert folds_of(rows, run, Data(folds=2)).tolist() == [0, 0, 1, 1, 0, 0]
    for folds in (0, 3):
        with pytest.raises(BadCheckpoint, match=f"expected data.folds = 2, .* at its beginning, got {folds}. Set"):
            record_training_rows(rows, run, Data(folds=folds))


def test_more_folds_than_patients_are_refused_in_a_sentence(rows: Rows, tmp_path: Path):
    with pytest.raises(BadExperiment, match=r"data\.folds: folds must be at least 2 and at most 3, .* got 4\. Change"):
        record_training_rows(rows, tmp_path / "run", Data(folds=4))
    assert not (tmp_path / "run").exists()


def test_a_run_of_before_rows_were_kept_is_continued_with_its_photographs_only(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_training_rows(rows, run)
    RunFolder(run).training_rows.unlink()

    with pytest.raises(BadCheckpoint, match=r"photographs\.json: expected .*, got others: SHA-256 \w{12} \(no longer"):
        record_training_rows(rows.take(np.arange(5)), run)
    record_training_rows(rows, run)
    assert RunFolder(run).training_rows.is_file()


def test_validation_rows_are_compared_too(rows: Rows, tmp_path: Path):
    run = tmp_path / "run"
    record_held_out_rows(rows, run)

    assert record_held_out_rows(rows.take(np.arange(6)[::-1]), run).frame["image"].tolist() == list(rows.frame["image"])
    with pytest.raises(BadCheckpoint, match=r"held_out_rows\.csv: .* 02\.png \(grade 1, now 4\)"):
        record_held_out_rows(changed(rows, "grade", 4), run)


@pytest.fixture
def own_manifest(painted_manifest: Path, tmp_path: Path) -> Path:
    """A copy, to be edited."""
    return Path(shutil.copytree(painted_manifest.parent, tmp_path / "data")) / "manifest.csv"


def with_manifest(experiment: Experiment, manifest: Path) -> Experiment:
    return replace(experiment, data=replace(experiment.data, manifest=str(manifest)))


@pytest.mark.parametrize("kind", ["grade", "removed", "added", "split", "validation", "bytes"])
def test_a_finished_run_is_not_resumed_with_an_edited_manifest_and_keeps_every_file(
    tiny: Experiment, untrained_run: Callable[..., Path], own_manifest: Path, tmp_path: Path, kind: str
):
    """Also where folds were made: their held-out predictions name rows that the manifest has lost."""
    experiment = with_manifest(tiny, own_manifest)
    if kind != "validation":
        experiment = replace(
            experiment, data=replace(experiment.data, folds=2), fit=replace(experiment.fit, final=True)
        )
    run = untrained_run(experiment, tmp_path / "run")
    before = contents(run)
    frame = pd.read_csv(own_manifest)
    if kind == "grade":
        frame.loc[4, "grade"] = 0
    elif kind == "removed":
        frame = frame.iloc[2:]
    elif kind == "added":
        frame.loc[22, "split"] = "train"
    elif kind == "split":
        frame.loc[3, "split"] = "val"
    elif kind == "validation":
        frame.loc[21, "grade"] = 4
    else:
        shutil.copy(own_manifest.parent / "00.png", own_manifest.parent / "09.png")
    frame.to_csv(own_manifest, index=False)

    with pytest.raises(BadCheckpoint, match=r"_rows\.csv: expected the photographs, labels and patients that the run"):
        train(read_run(run), run)
    assert contents(run) == before


def test_a_run_whose_manifest_moved_is_resumed_and_remembers_the_new_place(
    tiny: Experiment, untrained_run: Callable[..., Path], own_manifest: Path, tmp_path: Path
):
    run = untrained_run(with_manifest(tiny, own_manifest), tmp_path / "run")
    own_manifest.parent.rename(tmp_path / "moved")
    frame = pd.read_csv(tmp_path / "moved" / "manifest.csv")
    frame.iloc[::-1].to_csv(tmp_path / "moved" / "manifest.csv", index=False)
    before = read_table(RunFolder(run).predictions)

    train(moved(read_run(run), [f"data.manifest={tmp_path}/moved/manifest.csv"]), run)

    assert read_run(run).data.manifest == f"{tmp_path}/moved/manifest.csv"
    pd.testing.assert_frame_equal(read_table(RunFolder(run).predictions), before)
    with pytest.raises(BadExperiment, match=r"epochs=9': expected with --resume none but data\.manifest, data\.cache"):
        moved(read_run(run), ["fit.epochs=9"])


def test_a_run_whose_experiment_file_was_edited_is_neither_continued_nor_exported(
    tiny: Experiment, untrained_run: Callable[..., Path], tmp_path: Path
):
    run = untrained_run(tiny, tmp_path / "run")
    values = json.loads(RunFolder(run).experiment.read_text())
    values["fit"]["epochs"] = 30
    RunFolder(run).experiment.write_text(json.dumps(values))

    message = (
        r"final: holds a run of another experiment \(it differs in fit\.epochs\)\. Restore .*/run/experiment\.json"
    )
    with pytest.raises(BadCheckpoint, match=message):
        train(read_run(run), run)
    with pytest.raises(BadCheckpoint, match=message):
        read_finished([run])


def test_what_a_release_is_calibrated_on_are_the_rows_of_the_run_whatever_became_of_the_manifest(
    tiny: Experiment, untrained_run: Callable[..., Path], own_manifest: Path, tmp_path: Path
):
    run = untrained_run(with_manifest(tiny, own_manifest), tmp_path / "run")
    expected = read_finished([run])
    frame = pd.read_csv(own_manifest)
    frame["grade"] = 3
    frame.iloc[:10].to_csv(own_manifest, index=False)

    finished = read_finished([run])

    assert finished.reference.equals(expected.reference)
    assert sorted(finished.photographs) == sorted(finished.training_rows["sha256"])
