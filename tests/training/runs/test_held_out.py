"""Held-out photographs that cannot set a threshold are found before training, not hours later."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.run_folder import RunFolder
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.folder import claim_run, read_run
from fundoscope.training.runs.held_out import check_folds, check_held_out, check_sources
from fundoscope.training.train import train


def with_grades(experiment: Experiment, folder: Path, grades: list[int]) -> Experiment:
    """The experiment on a manifest whose photographs have these grades, in turn by patient."""
    copied = Path(shutil.copytree(Path(experiment.data.manifest).parent, folder))
    frame = pd.read_csv(copied / "manifest.csv")
    frame["grade"] = [grades[number // 2 % len(grades)] for number in range(len(frame))]
    frame.to_csv(copied / "manifest.csv", index=False)
    return replace(experiment, data=replace(experiment.data, manifest=str(copied / "manifest.csv")))


def test_a_run_whose_other_folds_show_nothing_referable_is_refused_before_it_is_begun(
    folded: Experiment, tmp_path: Path
):
    """One patient alone has a referable grade: the fold that holds him out leaves none to set its threshold."""
    experiment = with_grades(folded, tmp_path / "data", [0] * 9 + [3])

    with pytest.raises(
        BadExperiment,
        match=r"data\.folds: expected photographs of grade 2 or above outside fold \d of 2, .* got none in",
    ):
        train(experiment, tmp_path / "run")
    files = RunFolder(tmp_path / "run")
    assert not files.training_rows.exists()
    assert not files.folds()


def test_what_was_refused_may_be_put_right_in_the_same_folder(folded: Experiment, tmp_path: Path):
    run = tmp_path / "run"
    with pytest.raises(BadExperiment, match=r"data\.folds: folds must be at least 2 and at most 10"):
        train(replace(folded, data=replace(folded.data, folds=11)), run)

    claim_run(folded, run)

    assert read_run(run) == folded


def test_a_release_is_not_asked_for_where_validation_shows_nothing_referable(tiny: Experiment, tmp_path: Path):
    experiment = replace(tiny, fit=replace(tiny.fit, export=True))

    with pytest.raises(
        BadExperiment, match=r"fit\.export: expected held-out photographs of grade 2 or above.* among 4\."
    ):
        train(experiment, tmp_path / "run")
    assert not RunFolder(tmp_path / "run").training_rows.exists()


def test_folds_are_looked_at_without_themselves(folded: Experiment):
    three = replace(folded, data=replace(folded.data, folds=3))
    folds = np.array([0, 0, 1, 1, 2, 2])

    check_folds(three, np.array([0, 2, 0, 2, 0, 0]), folds)
    with pytest.raises(BadExperiment, match=r"outside fold 2 of 3, .* got none in fold 1, 3\. Add patients"):
        check_folds(three, np.array([0, 1, 0, 4, 0, 0]), folds)
    one = replace(three, data=replace(three.data, only_folds=(1,)))
    check_folds(one, np.array([0, 1, 0, 4, 0, 0]), folds)


def test_signs_of_a_release_must_be_there_and_absent(tiny: Experiment):
    data = replace(tiny.data, target="signs", labels=("sign_a", "sign_b"))
    signs = replace(
        tiny,
        data=data,
        network=replace(tiny.network, head="signs"),
        loss=replace(tiny.loss, name="binary_cross_entropy"),
    )

    check_held_out(signs, np.array([[0, 1], [1, 0], [np.nan, 1]], np.float32))
    with pytest.raises(BadExperiment, match="held-out photographs with and without b, which set its threshold"):
        check_held_out(signs, np.array([[0, 1], [1, 1], [np.nan, np.nan]], np.float32))


def test_sources_are_looked_at_without_themselves():
    check_sources({"a": np.array([0, 2]), "b": np.array([3])})
    with pytest.raises(BadExperiment, match="grade 2 or above outside b, for they set its"):
        check_sources({"a": np.array([0, 1]), "b": np.array([3]), "c": np.array([1])})
