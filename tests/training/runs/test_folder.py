"""What is said of a run that is not finished leads somewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.run_folder import RunFolder
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.runs.ensemble import read_finished
from fundoscope.training.runs.explainer import read_explainer
from fundoscope.training.runs.folder import claim_run, moved, read_run
from fundoscope.training.train import train


@pytest.fixture
def folds_alone(folded: Experiment, untrained_run: Callable[..., Path], tmp_path: Path) -> Path:
    """A finished run with folds whose fit.final is off."""
    run = untrained_run(replace(folded, fit=replace(folded.fit, final=False)), tmp_path / "run")
    RunFolder(run).final.weights.rename(tmp_path / "final.safetensors")  # which training would not have made
    return run


def test_a_run_without_a_final_fit_is_told_how_it_gets_one(folds_alone: Path, tmp_path: Path):
    advice = rf"fit\.final = false, which fits the folds alone\. Add it: .* --resume {folds_alone} fit\.final=true"

    with pytest.raises(BadCheckpoint, match=advice):
        read_finished([folds_alone])
    with pytest.raises(BadCheckpoint, match=advice):
        read_explainer([folds_alone], ["grad-cam"])

    (tmp_path / "final.safetensors").rename(RunFolder(folds_alone).final.weights)
    train(moved(read_run(folds_alone), ["fit.final=true"]), folds_alone)
    assert read_run(folds_alone).fit.final
    assert len(read_finished([folds_alone]).networks) == 1


def test_a_run_that_is_not_finished_is_told_to_finish(folded: Experiment, untrained_run, tmp_path: Path):
    run = untrained_run(folded, tmp_path / "run")
    RunFolder(run).final.weights.unlink()

    with pytest.raises(BadCheckpoint, match=r"network\.safetensors is missing; finish it: fundoscope train --resume"):
        read_finished([run])


def test_a_run_without_held_out_photographs_is_not_told_to_resume(tiny: Experiment, untrained_run, tmp_path: Path):
    run = untrained_run(replace(tiny, data=replace(tiny.data, validate=())), tmp_path / "run")

    with pytest.raises(
        BadCheckpoint, match=r"got a run without data\.validate and data\.folds, which makes none\. Train"
    ):
        read_finished([run])


def test_a_folder_that_cannot_be_written_into_is_refused_in_a_sentence(tiny: Experiment, tmp_path: Path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BadRequest, match=r"file/run: expected a folder that a run can be written into, got: Not a dir"):
        claim_run(tiny, tmp_path / "file" / "run")
    if os.getuid():
        tmp_path.chmod(0o500)
        with pytest.raises(BadRequest, match=r"got: Permission denied\. Give another with --run"):
            claim_run(tiny, tmp_path / "run")
