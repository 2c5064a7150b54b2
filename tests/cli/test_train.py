from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.errors import BadExperiment, BadRequest

pytest.importorskip(
    "torch", reason="needs the train extra"
)  # the clinic's install passes all tests but those of training

run = CliRunner().invoke


def test_experiments_are_listed_with_their_first_lines():
    listed = run(app, ["experiments", "--json"])

    found = json.loads(listed.stdout)
    assert found["plain"].startswith("The reference recipe")
    assert "default_release" in found


def test_train_says_what_it_wants_when_it_is_given_nothing():
    asked = run(app, ["train"])

    assert isinstance(asked.exception, BadRequest)
    assert "expected either the NAME of an experiment or --resume RUN" in str(asked.exception)


def test_an_experiment_without_a_manifest_is_refused_before_anything_is_loaded(tmp_path: Path):
    asked = run(app, ["train", "plain", "--run", str(tmp_path / "run")])

    assert isinstance(asked.exception, BadExperiment)
    assert "data.manifest: expected the path of a manifest" in str(asked.exception)


def test_a_grid_shows_the_augmentations(tmp_path: Path, shared_data: Path):
    from PIL import Image

    (tmp_path / "manifest.csv").write_text(
        "image,patient,grade,split\n"
        + "".join(f"{shared_data}/idrid/images/IDRiD_train_{n:03}.jpg,p{n},{n % 5},train\n" for n in range(1, 8)),
        encoding="utf-8",
    )

    done = run(
        app,
        ["train", "plain", f"data.manifest={tmp_path}/manifest.csv", f"data.cache={tmp_path}/cache", "recipe.side=96",
         "--show-augmentations", str(tmp_path / "grid.png")],
    )  # fmt: skip

    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (1460, 1400)
