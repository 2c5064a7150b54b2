from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.arrays import Canvas
from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of
from fundoscope.heatmaps.certification.certify import OWN, CertificationOptions, certify_release
from fundoscope.heatmaps.certification.criteria import NO_CHECKPOINT
from fundoscope.heatmaps.certification.evaluators import CrossValidation, MapEvaluator
from fundoscope.heatmaps.certification.measure import Steps
from fundoscope.heatmaps.certification.selection import Candidates, candidates_of
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.release import OpenRelease, open_release

STEPS = Steps(shifts=((0, 8),), road_fractions=(0.3,))
DAY = date(2031, 2, 3)


def brightness(canvases: np.ndarray) -> np.ndarray:
    return canvases.mean(axis=-1)


def darkness(canvases: np.ndarray) -> np.ndarray:
    return 255 - canvases.mean(axis=-1)


def grade(canvases: np.ndarray) -> np.ndarray:
    return canvases.mean(axis=(1, 2, 3)) / 64


@dataclass
class PaintedRuns:
    """Two folds whose networks are plain functions of the picture."""

    table: pd.DataFrame
    manifest: Path
    recipe: Recipe
    head: str
    folds: tuple[int, ...] = (0, 1)
    seeds: tuple[int, ...] = (5,)
    trained: list[int] = field(default_factory=list)
    evaluated: list[tuple[int, str]] = field(default_factory=list)

    def evaluators(self, *, seed: int, shuffled_epochs: int = 0) -> PaintedRuns:
        self.trained.append(shuffled_epochs)
        return self

    def evaluator(self, fold: int, method: str, photographs: Sequence[Canvas]) -> MapEvaluator:
        self.evaluated.append((fold, method))
        return MapEvaluator(
            maps=brightness if method == "grad-cam" else darkness,
            score=grade,
            randomised=lambda: iter([("head", darkness)]),
            shuffled=darkness if self.trained[-1] else None,
        )


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Four photographs with masks of bright lesions."""
    folder = tmp_path_factory.mktemp("lesions")
    rows = []
    for number in range(4):
        painted = paint_retina(RetinaSpec(side_px=240, grade=3), rng=np.random.default_rng(60 + number))
        Image.fromarray(painted.photo).save(folder / f"{number}.png")
        Image.fromarray((painted.lesion_mask * 255).astype(np.uint8)).save(folder / f"{number}_ex.png")
        sha256 = sha256_of(folder / f"{number}.png")
        rows.append({"image": f"{number}.png", "sha256": sha256, "patient": f"p{number}", "grade": 3})
    frame = pd.DataFrame(rows).assign(mask_ex=[f"{number}_ex.png" for number in range(4)])
    frame.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture
def candidates(manifest: Path) -> list[Candidates]:
    return [candidates_of(manifest, lesions=True)]


@pytest.fixture
def trained(write_tiny_release, manifest: Path, tmp_path: Path) -> OpenRelease:
    """A release that was trained on the first two photographs."""
    hashes = pd.read_csv(manifest)["sha256"].tolist()[:2]
    return open_release(
        write_tiny_release(tmp_path / "release", training={"backbone": "tiny", "training_sha256": hashes})
    )


@pytest.fixture
def runs(trained: OpenRelease, manifest: Path) -> PaintedRuns:
    """The runs of that release, one of its photographs in each fold."""
    table = pd.read_csv(manifest)[["image", "sha256", "patient"]].iloc[:2].assign(source=None, fold=[0, 1])
    return PaintedRuns(table=table, manifest=manifest, recipe=trained.recipe, head=trained.release.head)


def test_a_release_is_certified_by_its_own_network_on_what_it_was_not_trained_on(trained, candidates, tmp_path):
    options = CertificationOptions(held_out=True, cache=tmp_path)

    certificate = certify_release(trained, candidates, STEPS, options, day=DAY)

    assert (certificate.judged_by, certificate.made_at) == (OWN, "2031-02-03")
    assert certificate.photographs["lesions"] == 2
    assert [entry["image"] for entry in certificate.photographs["left_out"]] == ["0.png", "1.png"]
    assert certificate.settings["shifts"] == [[0, 8]]
    assert {test.why for test in certificate.own.not_run} == {NO_CHECKPOINT}


def test_with_runs_every_method_is_measured_on_all_photographs_by_the_networks_of_the_folds(
    trained, runs, candidates, tmp_path
):
    assert isinstance(runs, CrossValidation)
    options = CertificationOptions(methods=("eigen-cam", "grad-cam"), label_randomisation_epochs=3, cache=tmp_path)
    messages: list[str] = []

    certificate = certify_release(trained, candidates, STEPS, options, runs=runs, day=DAY, progress=messages.append)

    assert runs.trained == [3]
    assert runs.evaluated == [(0, "grad-cam"), (1, "grad-cam"), (0, "eigen-cam"), (1, "eigen-cam")]
    assert [verdict.method for verdict in certificate.verdicts] == ["grad-cam", "eigen-cam"]
    assert certificate.photographs["lesions"] == 4
    assert certificate.settings["label_randomisation_epochs"] == 3
    assert certificate.judged_by.startswith("the networks of 2 folds of 1 runs (seeds 5)")
    assert messages == ["training on shuffled grades for 3 epochs", "measuring grad-cam", "measuring eigen-cam"]
    by_name = {test.name: test for test in certificate.own.tests}
    assert by_name["randomised"].result == by_name["shuffled"].result == "not run"
    assert by_name["randomised"].why == "4 patients, at least 6 needed"


def test_without_epochs_no_network_is_trained_on_shuffled_grades_and_the_certificate_says_why(
    trained, runs, candidates, tmp_path
):
    certificate = certify_release(trained, candidates, STEPS, CertificationOptions(cache=tmp_path), runs=runs, day=DAY)

    by_name = {test.name: test for test in certificate.own.tests}
    assert runs.trained == [0]
    assert by_name["shuffled"].why == "a retraining: --label-randomisation EPOCHS"


def test_runs_of_another_release_are_refused(trained, runs, candidates, tmp_path):
    options = CertificationOptions(cache=tmp_path)
    for other in (
        replace(runs, head="cumulative"),
        replace(runs, recipe=replace(runs.recipe, side=96)),
        replace(runs, table=runs.table.iloc[:1]),
    ):
        with pytest.raises(BadRequest, match=r"expected runs that tiny.* was made of, got others: another head or"):
            certify_release(trained, candidates, STEPS, options, runs=other, day=DAY)


def test_what_needs_runs_is_refused_without_them_and_nothing_known_of_copies_is_refused_too(
    trained, candidates, tmp_path
):
    with pytest.raises(BadRequest, match="--method and --label-randomisation: expected --checkpoint beside them"):
        certify_release(trained, candidates, STEPS, CertificationOptions(methods=("grad-cam",)), day=DAY)
    with pytest.raises(BadRequest, match="expected --checkpoint or --trained-on to seek them by, got neither"):
        certify_release(trained, candidates, STEPS, CertificationOptions(cache=tmp_path), day=DAY)
