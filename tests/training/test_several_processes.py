"""Two processes give what one gives, where no statistics are taken over a batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file

from fundoscope.run_folder import WEIGHTS
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.schema import Experiment

SCRIPT = """
import json, sys
from pathlib import Path
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.train import train
train(experiment_from_dict(json.loads(sys.argv[1]), where="argv"), Path(sys.argv[2]))
"""


def transformer(
    painted_manifest: Path, cache: Path, *, batch: int, backbone: str = "vit_tiny_patch16_224"
) -> Experiment:
    """No dropout, no batch statistics; augmentation on, for its draws belong to the photograph."""
    size = {"depth": 2, "embed_dim": 48, "num_heads": 2} if backbone.startswith("vit") else {}
    return experiment_from_dict(
        {
            "name": "tiny",
            "data": {
                "manifest": str(painted_manifest),
                "cache": str(cache),
                "folds": 2,
                "only_folds": [0],
                "keep_ungradable": True,
            },
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": backbone, "size": size, "dropout": 0.0},
            "optimiser": {"rate": 1e-3},
            "fit": {"epochs": 2, "batch": batch, "precision": "32-true"},
        },
        where="the test",
    )


def run(experiment: Experiment, folder: Path, *, processes: int) -> str:
    """Train in processes of their own; what they said on stderr."""
    script = folder.with_suffix(".py")
    script.write_text(SCRIPT)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    done = subprocess.run(
        [sys.executable, *launcher, str(script), json.dumps(experiment.to_dict()), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_two_processes_give_the_weights_that_one_gives(painted_manifest: Path, tmp_path: Path):
    """The same ten photographs to a step: five in each of two processes."""
    alone = run(transformer(painted_manifest, tmp_path / "cache", batch=10), tmp_path / "alone", processes=1)
    together = run(transformer(painted_manifest, tmp_path / "cache", batch=5), tmp_path / "together", processes=2)

    first, second = (load_file(tmp_path / name / "fold0" / WEIGHTS) for name in ("alone", "together"))
    assert max(float((value - second[key]).abs().max()) for key, value in first.items()) < 1e-4
    assert "batch norms" not in alone + together
    tables = [(tmp_path / name / "out_of_fold.csv").read_text().splitlines() for name in ("alone", "together")]
    assert len(tables[0]) == len(tables[1])


def test_of_batch_norms_the_log_says_that_statistics_are_each_process_own(painted_manifest: Path, tmp_path: Path):
    experiment = transformer(painted_manifest, tmp_path / "cache", batch=5, backbone="mobilenetv2_035")

    assert "each of the 2 processes takes the statistics of its own batches" in run(
        experiment, tmp_path / "run", processes=2
    )
