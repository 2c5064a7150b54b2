"""Painted photographs in a manifest, and the smallest experiment that trains on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.schema import Experiment

with suppress(ModuleNotFoundError):
    import torch

    # On several threads torch 2.13's convolutions of few channels, as small networks have them, crash going backwards.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # processes that tests start have as many: sums in another order are others


@pytest.fixture(scope="session")
def painted_manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of 12 patients; the grade shows as the number of dark dots on an orange ground."""
    folder = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(5)
    rows = []
    for number in range(24):
        grade = (number // 2) % 5
        picture = np.full((64, 72, 3), (200, 110, 50), np.uint8) + rng.integers(0, 20, (64, 72, 3)).astype(np.uint8)
        for _ in range(6 * grade):
            row, column = rng.integers(8, 56, 2)
            picture[row - 2 : row + 2, column - 2 : column + 2] = (90, 10, 10)
        name = f"{number:02}.png"
        Image.fromarray(picture).save(folder / name)
        rows.append(
            {"image": name, "patient": f"p{number // 2:02}", "grade": grade, "split": "train" if number < 20 else "val"}
        )
    frame = pd.DataFrame(rows)
    frame["boxes"] = "boxes.csv"
    frame.to_csv(folder / "manifest.csv", index=False)
    boxes = [
        {"image": f"{number:02}.png", "class": "haemorrhage_microaneurysm", "cx": 0.5, "cy": 0.5, "w": 0.25, "h": 0.25}
        for number in range(2, 20)
    ]
    pd.DataFrame(boxes).to_csv(folder / "boxes.csv", index=False)
    return folder / "manifest.csv"


def smallest(manifest: Path, cache: Path, *, folds: int = 0) -> Experiment:
    """A MobileNetV2 at a third of its width on 64-pixel pictures: seconds, not minutes."""
    return experiment_from_dict(
        {
            "name": "tiny",
            "data": {"manifest": str(manifest), "cache": str(cache), "folds": folds, "keep_ungradable": True},
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "mobilenetv2_035", "dropout": 0.0},
            "fit": {"epochs": 2, "batch": 8, "precision": "32-true", "checkpoint_steps": 1, "final": folds > 0},
        },
        where="the test",
    )


@pytest.fixture
def tiny(painted_manifest: Path, tmp_path: Path) -> Experiment:
    """The smallest experiment, with prepared photographs of its own."""
    return smallest(painted_manifest, tmp_path / "cache")


@pytest.fixture(scope="session")
def folded(painted_manifest: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The smallest experiment in two folds, then on all; photographs are prepared once for all tests."""
    return smallest(painted_manifest, tmp_path_factory.mktemp("prepared"), folds=2)


@pytest.fixture(scope="session")
def folded_runs(
    folded: Experiment, untrained_run: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Its runs of two seeds, for tests that only read: what is to be changed is copied first."""
    folder = tmp_path_factory.mktemp("folded")
    return untrained_run(folded, folder / "s1", seed=1), untrained_run(folded, folder / "s2", seed=2)
