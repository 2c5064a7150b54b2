"""`fundoscope experiments`: the list, and the file of one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.training.experiment.file import read_experiment, shipped_experiments


def test_experiments_are_listed_with_their_first_lines(run_verb):
    status, out, _ = run_verb("experiments", "--json")

    listed = json.loads(out)
    assert status == 0
    assert listed["plain"].startswith("The reference recipe")
    assert set(listed) == set(shipped_experiments())


def test_an_experiment_is_printed_as_its_file_is_so_that_it_can_be_saved_and_changed(
    tmp_path: Path,
):
    printed = CliRunner().invoke(app, ["experiments", "densenet_study/vgg16"]).stdout
    mine = tmp_path / "mine.toml"
    mine.write_text(printed, encoding="utf-8")

    assert printed.startswith("# The DenseNet study's VGG16")
    assert tomllib.loads(printed)["network"]["backbone"] == "vgg16"
    assert read_experiment(str(mine)) == read_experiment("densenet_study/vgg16")


def test_one_experiment_as_json_has_its_defaults_too(run_verb):
    values = json.loads(run_verb("experiments", "plain", "--json")[1])

    assert values["recipe"]["side"] == 384
    assert values["optimiser"]["momentum"] == 0.9


def test_an_unknown_experiment_is_refused_with_the_names_that_there_are(run_verb):
    status, out, err = run_verb("experiments", "planar")

    assert (status, out) == (2, "")
    assert "planar: expected a shipped experiment (aptos_transfer/cnn3" in err
