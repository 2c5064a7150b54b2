from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fundoscope
from fundoscope.cli import app
from fundoscope.errors import BadCheckpoint, BadExperiment, BadRequest
from fundoscope.painting import RetinaSpec, paint_retina

# The clinic's install, which has no torch on purpose, passes all tests but those of training.
pytest.importorskip("torch", reason="needs the train extra")

run = CliRunner().invoke


def test_train_says_what_it_wants_when_it_is_given_nothing():
    asked = run(app, ["train"])

    assert isinstance(asked.exception, BadRequest)
    assert "expected either the NAME of an experiment or --resume RUN" in str(asked.exception)


def test_an_experiment_without_a_manifest_is_refused_before_anything_is_loaded(tmp_path: Path):
    asked = run(app, ["train", "plain", "--run", str(tmp_path / "run")])

    assert isinstance(asked.exception, BadExperiment)
    assert "data.manifest: expected the path of a manifest" in str(asked.exception)


def test_a_grid_shows_the_augmentations(tmp_path: Path, shared_data: Path):
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.epochs=0", "fit.epochs: expected a number from 1 to 100000, got 0. Change fit.epochs"),
        ("fit.epochs=-1", "fit.epochs: expected a number from 1 to 100000, got -1."),
        ("fit.batch=0", "fit.batch: expected a number from 1 to 1000000, got 0."),
        ("optimiser.rate=0", "optimiser.rate: expected a number above 0, got 0.0."),
        ("name=../../x", "name: expected a name of 1 to 100 printable characters without /"),
    ],
)
def test_what_trains_nothing_or_never_ends_or_leaves_the_folder_of_runs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, override: str, message: str
):
    monkeypatch.chdir(tmp_path)

    asked = run(app, ["train", "plain", override])

    assert isinstance(asked.exception, BadExperiment)
    assert str(asked.exception).startswith(message)
    assert f"[command line, {override}]" in str(asked.exception)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_there_are_missed_before_any_photograph_is_prepared(tmp_path: Path):
    (tmp_path / "manifest.csv").write_text("image,grade,split\nabsent.jpg,2,train\n", encoding="utf-8")
    given = [f"data.manifest={tmp_path}/manifest.csv", f"data.cache={tmp_path}/cache", "data.folds=0"]

    asked = run(app, ["train", "plain", *given, "network.weights=absent.safetensors", "--run", str(tmp_path / "run")])

    assert isinstance(asked.exception, BadCheckpoint)
    assert "absent.safetensors: expected a safetensors file, there is none" in str(asked.exception)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fit.epochs=9"], "'fit.epochs=9': expected with --resume none but data.manifest, data.cache, fit.final"),
        (["plain"], "expected either the NAME of an experiment or --resume RUN"),
        (["--run", "elsewhere"], "--run: expected --resume .* alone, which names the folder, got --run elsewhere"),
    ],
)
def test_a_run_is_resumed_as_it_was_begun(tmp_path: Path, options: list[str], message: str):
    from fundoscope.training.experiment.file import read_experiment
    from fundoscope.training.runs.folder import claim_run

    claim_run(read_experiment("plain"), tmp_path / "run")

    asked = run(app, ["train", "--resume", str(tmp_path / "run"), *options])

    assert isinstance(asked.exception, BadRequest | BadExperiment)
    assert re.search(message, str(asked.exception))


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of 20 painted retinas of 10 patients."""
    folder = tmp_path_factory.mktemp("painted")
    rows = ["image,patient,grade,split"]
    for number in range(20):
        photo = paint_retina(RetinaSpec(side_px=240, grade=number // 2 % 5), rng=np.random.default_rng(number)).photo
        Image.fromarray(photo).save(folder / f"{number}.jpg")
        rows.append(f"{number}.jpg,p{number // 2},{number // 2 % 5},train")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder / "manifest.csv"


def small(manifest: Path, folder: Path) -> list[str]:
    """What makes the smoke run of plain fast enough for a test."""
    return [f"data.manifest={manifest}", f"data.cache={folder}/cache", "data.keep_ungradable=true", "fit.workers=0"]


def test_a_smoke_run_has_a_folder_of_its_own_and_ends_with_figures_and_the_next_command(
    painted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)

    done = run(app, ["train", "plain", "--smoke", *small(painted, tmp_path)])

    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["smoke"]
    assert "Split train, out of fold: 20 photographs of 10 patients." in done.stdout
    assert re.search(r"quadratic kappa +-?\d\.\d{3} +-?\d\.\d{3} to -?\d\.\d{3}", done.stdout)
    assert "Next: fundoscope grade PHOTOGRAPHS --release runs/smoke/plain/release" in " ".join(done.stdout.split())
    assert "Written: runs/smoke/plain" in done.stderr
    as_json = run(app, ["train", "--resume", "runs/smoke/plain", "--json"])
    told = json.loads(as_json.stdout)
    assert told["figures"]["photographs"] == 20
    assert told["release"] == "runs/smoke/plain/release"
    exported = run(app, ["export", "runs/smoke/plain", "-o", "another", "--json"])
    assert json.loads(exported.stdout)["release"] == "another"


def test_ctrl_c_while_training_says_how_to_continue(painted: Path, tmp_path: Path):
    variables = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    variables.pop("COLUMNS", None)
    words = ["train", "plain", "--run", "run", "data.folds=2", "fit.epochs=1000", "fit.checkpoint_steps=1"]
    words += ["recipe.side=64", "network.backbone=mobilenetv2_035", "fit.batch=8", "fit.precision=32-true"]
    command = [sys.executable, "-m", "fundoscope", *words, *small(painted, tmp_path)]
    pipe = subprocess.PIPE

    with subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path) as process:
        while process.poll() is None and not (tmp_path / "run" / "fold0" / "checkpoints" / "last.ckpt").exists():
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)

    assert (process.returncode, out) == (130, ""), err
    assert err.splitlines()[-1] == "Interrupted. To continue: fundoscope train --resume run"
    assert "Traceback" not in err
