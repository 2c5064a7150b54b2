"""Every experiment that ships, in its small form: from painted photographs to a verified release that grades."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.grades import GRADES
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.verification import verify_release
from fundoscope.training.experiment.file import read_experiment, shipped_experiments
from fundoscope.training.train import train

MAY_SHRINK = {
    "data.folds",
    "recipe.side",
    "network.backbone",
    "network.size",
    "network.hidden",
    "network.projection",
    "fit.epochs",
    "fit.rebalance_epochs",
    "fit.snapshots",
    "fit.batch",
    "fit.accumulate",
    "fit.sides",
    "fit.precision",
    "fit.validate_every",
    "fit.final",
    "fit.export",
    "release.neighbours",
}
"""What a trial run may change: how much is computed. Head, loss, sampler, recipe, freezing and export stay."""

SOURCES = ("north", "south", "east")

QUICK = ("default_release", "gdrbench_gdrnet")
"""Experiments of the default run: folds, lesions, final fit and export; sources left out, second views, weights."""


@pytest.fixture(scope="session")
def painted_sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 painted retinas of three sources: of every grade a patient to train on and one to validate on, both eyes."""
    folder = tmp_path_factory.mktemp("sources")
    rows = []
    for source in SOURCES:
        for patient in range(2 * GRADES):
            for eye in ("left", "right"):
                grade, split = patient % GRADES, "train" if patient < GRADES else "val"
                rng = np.random.default_rng([SOURCES.index(source), patient, eye == "left"])
                name = f"{source}_{patient}_{eye}.png"
                photo = paint_retina(RetinaSpec(side_px=256, grade=grade, eye=eye), rng=rng).photo
                Image.fromarray(photo).save(folder / name)
                rows.append(
                    {"image": name, "source": source, "domain": source, "patient": f"{source}{patient}", "eye": eye,
                     "grade": grade, "split": split}
                )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def flat(values: dict[str, Any]) -> dict[str, Any]:
    """Nested sections as `section.key`."""
    found = {}
    for section, inner in values.items():
        found |= {f"{section}.{key}": value for key, value in inner.items()} if isinstance(inner, dict) else {}
    return found


@pytest.mark.parametrize("name", sorted(shipped_experiments()))
def test_a_trial_run_is_the_same_experiment_made_small(name: str):
    whole, small = flat(read_experiment(name).to_dict()), flat(read_experiment(name, smoke=True).to_dict())

    assert {key for key in whole if whole[key] != small[key]} <= MAY_SHRINK


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in sorted(shipped_experiments())],
)
def test_every_shipped_experiment_goes_from_photographs_to_grades(name: str, painted_sources: Path, tmp_path: Path):
    overrides = [f"data.manifest={painted_sources}", f"data.cache={painted_sources.parent / 'cache'}"]
    experiment = read_experiment(name, overrides, smoke=True)

    train(experiment, tmp_path / "run")

    if experiment.fit.export:
        assert verify_release(tmp_path / "run" / "release").passed
        grader = Grader.open(tmp_path / "run" / "release", threads=1)
        readings = list(grader.grade_many([painted_sources.parent / f"north_{patient}_left.png" for patient in (0, 4)]))
        assert [reading.status for reading in readings] == ["graded", "graded"]
        assert all(abs(sum(reading.probabilities) - 1) < 1e-6 for reading in readings)
    assert experiment.fit.export or experiment.domains.protocol == "single_source"
