"""Every experiment that ships, in its small form: from painted pictures to a verified release that answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.grades import GRADES
from fundoscope.painting import RetinaSpec, ScanSpec, paint_retina, paint_scan
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

QUICK = ("default_release", "gdrbench_gdrnet", "octdl_default")
"""Experiments of the default run: folds, lesions, final fit and export; sources left out, second views, weights; scans
and classes."""


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


LABELS = {
    "NO": "healthy",
    "AMD": "drusen",
    "DME": "intraretinal fluid",
    "ERM": "foveal scan",
    "RAO": "hyperreflective dots",
    "RVO": "subretinal fluid",
    "VID": "pigment epithelium detachment",
}
"""Classes of OCTDL, and what is painted for each: any sign, as long as it is always the same."""


@pytest.fixture(scope="session")
def painted_scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """56 painted scans: of every class four patients to train on and four to validate on."""
    folder = tmp_path_factory.mktemp("scans")
    rows = []
    for number, (label, sign) in enumerate(LABELS.items()):
        for patient in range(8):
            rng = np.random.default_rng([number, patient])
            name = f"{label}_{patient}.png"
            spec = ScanSpec(signs=frozenset({sign}), height_px=160, width_px=256)
            Image.fromarray(paint_scan(spec, rng=rng).scan).save(folder / name)
            split = "train" if patient % 2 else "val"
            rows.append({"image": name, "patient": f"{label}{patient}", "label": label, "split": split})
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
def test_every_shipped_experiment_goes_from_pictures_to_answers(
    name: str, painted_sources: Path, painted_scans: Path, tmp_path: Path
):
    manifest = painted_scans if read_experiment(name).recipe.is_scan else painted_sources
    overrides = [f"data.manifest={manifest}", f"data.cache={manifest.parent / 'cache'}"]
    experiment = read_experiment(name, overrides, smoke=True)

    train(experiment, tmp_path / "run")

    if experiment.fit.export:
        assert verify_release(tmp_path / "run" / "release").passed
        grader = Grader.open(tmp_path / "run" / "release", threads=1)
        names = ("NO_0.png", "RVO_1.png") if experiment.recipe.is_scan else ("north_0_left.png", "north_4_left.png")
        readings = list(grader.grade_many([manifest.parent / name for name in names]))
        assert [reading.status for reading in readings] == ["graded", "graded"]
        assert all(abs(sum(reading.probabilities) - 1) < 1e-6 for reading in readings)
    assert experiment.fit.export or experiment.domains.protocol == "single_source"
