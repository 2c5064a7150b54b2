from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.evaluation.evaluate import evaluate_tables
from fundoscope.run_folder import RunFolder
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.figures import FIGURES, figures_of
from fundoscope.training.runs.folder import read_run
from fundoscope.training.train import train


def test_a_run_of_folds_is_evaluated_out_of_fold_on_its_training_rows(tiny: Experiment, tmp_path: Path):
    experiment = replace(tiny, data=replace(tiny.data, folds=2), fit=replace(tiny.fit, epochs=1))
    train(experiment, tmp_path / "run")

    figures = figures_of(read_run(tmp_path / "run"), tmp_path / "run")

    assert figures is not None
    files = RunFolder(tmp_path / "run")
    again = evaluate_tables(files.out_of_fold, files.training_rows).summary
    record = figures.to_dict()
    assert json.loads(json.dumps(record)) == record
    assert (record["splits"], record["out_of_fold"]) == (["train"], True)
    assert (record["photographs"], record["patients"]) == (20, 10)
    error = again.intervals["mean_absolute_error"]
    expected = {"estimate": error.estimate, "low": error.low, "high": error.high}
    assert record["statistics"]["mean_absolute_error"] == expected
    assert set(record["statistics"]) <= set(FIGURES)


def test_a_run_of_one_fit_is_evaluated_on_its_validation_rows(tiny: Experiment, tmp_path: Path):
    train(tiny, tmp_path / "run")

    figures = figures_of(tiny, tmp_path / "run")

    assert figures is not None
    assert (figures.splits, figures.out_of_fold) == (("val",), False)
    assert figures.evaluation.summary.counts["photographs"] == 4


def test_a_run_without_held_out_photographs_has_no_figures(tiny: Experiment, tmp_path: Path):
    assert figures_of(tiny, tmp_path / "nothing") is None
