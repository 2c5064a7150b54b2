"""Runs that teach others: of the same photographs, fold by fold, and of the same question."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.run_folder import RunFolder
from fundoscope.runtime.release import open_release
from fundoscope.tables import read_table
from fundoscope.training.experiment.distillation import Distil
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.record import FOLD
from fundoscope.training.runs.teachers import check_teachers, learnt_hashes, read_teachers, teacher_records
from fundoscope.training.train import train


@pytest.fixture(scope="module")
def teacher(folded: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two folds and all rows."""
    run = tmp_path_factory.mktemp("teacher") / "run"
    train(dataclasses.replace(folded, name="teacher"), run)
    return run


def student(experiment: Experiment, teacher: Path, **distil: object) -> Experiment:
    return dataclasses.replace(experiment, name="student", seed=7, distil=Distil(teachers=(str(teacher),), **distil))


def test_a_student_is_taught_fold_by_fold_and_its_release_names_its_teachers(folded, teacher, tmp_path):
    taught = student(folded, teacher)
    taught = dataclasses.replace(taught, fit=dataclasses.replace(taught.fit, export=True))

    train(taught, tmp_path / "run")

    logged = pd.read_csv(RunFolder(tmp_path / "run").fold(0).metrics[0])
    assert logged["train/distil_loss"].notna().any()
    release = open_release(tmp_path / "run" / "release").release
    assert release.training["teachers"] == teacher_records(taught)
    assert release.training["experiment"]["distil"]["teachers"] == [teacher.name]
    assert str(teacher.parent) not in json.dumps(release.training)


def test_every_fold_has_the_teacher_that_never_saw_what_it_is_held_against(folded, teacher):
    rows = read_table(RunFolder(teacher).training_rows)
    for fold in (0, 1):
        held_out = set(rows.loc[pd.to_numeric(rows[FOLD]) == fold, "sha256"])
        assert held_out
        assert not held_out & learnt_hashes(teacher, f"fold{fold}")
    assert learnt_hashes(teacher, "final") == set(rows["sha256"])

    learnt = sorted(learnt_hashes(teacher, "fold0"))
    assert read_teachers(student(folded, teacher), "fold0", learnt, load=load_network) is not None
    with pytest.raises(BadCheckpoint, match=r"expected a teacher that learnt from the \d+ photographs of fold1 and no"):
        read_teachers(student(folded, teacher), "fold1", learnt, load=load_network)


def test_an_experiment_without_teachers_has_none(folded):
    assert read_teachers(folded, "fold0", ["a"], load=load_network) is None


def test_a_run_that_cannot_teach_is_refused_before_training(folded, teacher, tmp_path):
    with pytest.raises(BadCheckpoint, match="expected a run folder"):
        train(student(folded, tmp_path / "nothing"), tmp_path / "run")
    other = dataclasses.replace(student(folded, teacher), recipe=dataclasses.replace(folded.recipe, crop="circle"))
    with pytest.raises(BadExperiment, match=r"expected runs with recipe.crop 'circle', .*, got .* with 'square'"):
        check_teachers(other)
    head = dataclasses.replace(folded.network, head="cumulative")
    with pytest.raises(BadExperiment, match=r"expected runs with network.head 'cumulative', .* with 'coral'"):
        check_teachers(dataclasses.replace(student(folded, teacher), network=head))


def test_a_fit_that_is_not_finished_and_a_run_that_kept_no_rows_are_refused(folded, teacher, tmp_path):
    taught = student(folded, teacher)
    with pytest.raises(BadCheckpoint, match="expected a finished fit, which teaches fold9"):
        read_teachers(taught, "fold9", ["a"], load=load_network)
    (tmp_path / "old").mkdir()
    with pytest.raises(BadCheckpoint, match="expected the rows that the run learnt from, got no such file"):
        learnt_hashes(tmp_path / "old", "final")


def test_the_records_of_teachers_are_followed_by_those_of_their_own_teachers(folded, teacher, tmp_path):
    middle = student(folded, teacher)
    RunFolder(tmp_path).experiment.write_text(json.dumps(middle.to_dict()))

    records = teacher_records(student(folded, tmp_path))

    assert [record["run"] for record in records] == [tmp_path.name, teacher.name]
    assert records[1:] == teacher_records(middle)
