"""The networks of a run's folds as releases: each grades the photographs of its fold, which it never saw.

A fold's network, averaged over runs that differ in their seed, is exported as the release of a run would be, and
calibrated on the out-of-fold predictions of the *other* folds. So a run is tried out before it is exported, by what
would be exported, on photographs that neither network nor calibration knew.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fundoscope.arrays import Photo
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.files import sha256_of
from fundoscope.run_folder import RunFolder
from fundoscope.runtime.description import Release
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import write_release
from fundoscope.tables import read_table
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export.calibration import calibrate
from fundoscope.training.export.graph import PlainGraph, run_onnx, to_onnx
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.ensemble import Finished, average, held_out_reference
from fundoscope.training.runs.randomised import CrossValidatedRuns, read_cross_validated_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfFoldSystem:
    """Cross-validated runs as one system that grades pictures (`evaluation.stress.measure.System`)."""

    name: str
    folds: Mapping[str, int]
    """Fold of each photograph, by its SHA-256."""
    manifest: Path
    """That the runs were trained with."""
    recipe: dict[str, Any]
    head: str
    backbone: str
    seeds: tuple[int, ...]
    """Seed of each run, in their order."""
    graders: Mapping[int, Grader]
    """Of each fold: its networks, which never saw its photographs."""

    @property
    def decode_px(self) -> int:
        """Shortest side that photographs are decoded with at least."""
        return next(iter(self.graders.values())).opened.recipe.decode_px

    def differences(self, release: Release) -> list[str]:
        """Return in what a release differs from one that is exported from these runs; empty: in nothing."""
        training = release.training
        pairs = {
            "head": (release.head, self.head),
            "recipe": (release.recipe, self.recipe),
            "training photographs": (set(training.get("training_sha256", ())), set(self.folds)),
            "backbone": (training.get("backbone"), self.backbone),
            "networks": ([record.get("seed") for record in training.get("networks", ())], list(self.seeds)),
        }
        return [name for name, (theirs, own) in pairs.items() if theirs != own]

    def grade(self, pixels: Photo, fold: int | None) -> Mapping[str, Any]:
        """Grade a picture by the networks of a fold.

        Raises:
            ValueError: If there is no such fold.
        """
        if fold is None or fold not in self.graders:
            raise ValueError(f"fold must be one of {sorted(self.graders)}, got {fold}")
        return {**self.graders[fold].grade(pixels).row(), "release": self.name}


def open_out_of_fold(runs: Sequence[Path], *, threads: int = 1) -> OutOfFoldSystem:
    """Open the networks of all folds of runs that differ in their seed.

    Args:
        runs: Cross-validated runs; fits on all photographs are not needed.
        threads: Photographs worked on side by side.

    Raises:
        BadCheckpoint: If a run has no folds, or one of them is not finished.
        BadRequest: If runs are not one experiment with different seeds, or do not grade single eyes by a head.
        BadRelease: If the predictions of the other folds cannot set a threshold.
    """
    networks = read_cross_validated_runs(runs)
    experiment = networks.experiment
    _check_graded(experiment, runs[0])
    folders = [RunFolder(run) for run in runs]
    tables = [read_table(folder.out_of_fold) for folder in folders]
    reference = held_out_reference(experiment, folders[0], tables[0])
    answers = tables[0] if len(runs) == 1 else average(tables, reference, experiment)
    return OutOfFoldSystem(
        name=_name(experiment, networks),
        folds=dict(zip(answers["sha256"].astype(str), answers["fold"].astype(int), strict=True)),
        manifest=networks.manifest,
        recipe=experiment.recipe.to_dict(),
        head=experiment.network.head,
        backbone=experiment.network.backbone,
        seeds=networks.seeds,
        graders={fold: _grader(networks, fold, answers, reference, threads=threads) for fold in networks.folds},
    )


def _check_graded(experiment: Experiment, run: Path) -> None:
    target = target_of(experiment.data)
    for what, fits, got in (
        ("grades of retinopathy", target.kind == "grade", target.kind),
        ("single eyes", experiment.network.eyes == 1, f"network.eyes = {experiment.network.eyes}"),
        ("a head that grades", not experiment.release.neighbours, f"{experiment.release.neighbours} neighbours"),
    ):
        if not fits:
            raise BadRequest(f"{run}: expected runs with {what} to grade by their folds, got {got}. Export them first.")


def _name(experiment: Experiment, networks: CrossValidatedRuns) -> str:
    """Return the experiment's name with a hash of all fold networks."""
    weights = [sha256_of(RunFolder(run).fold(fold).weights) for run in networks.folders for fold in networks.folds]
    return f"{experiment.name}-out-of-fold@{hashlib.sha256(' '.join(weights).encode()).hexdigest()[:12]}"


def _grader(
    runs: CrossValidatedRuns, fold: int, answers: pd.DataFrame, reference: pd.DataFrame, *, threads: int
) -> Grader:
    """Export the networks of a fold, calibrated on the other folds, and open the release."""
    experiment, target = runs.experiment, target_of(runs.experiment.data)
    others = (answers["fold"] != fold).to_numpy(bool)
    finished = Finished(
        experiment=experiment,
        networks=runs.networks(fold),
        answers=answers[others].reset_index(drop=True),
        reference=reference[others].reset_index(drop=True),
        kind="out-of-fold",
        where=RunFolder(runs.folders[0]).out_of_fold,
        photographs=answers["sha256"][others].astype(str).tolist(),
        training_rows=pd.DataFrame(),
        left_out=0,
        runs=[],
    )
    calibrated = calibrate(finished)
    with torch.inference_mode(False):
        graph = PlainGraph(finished.networks, Normalise(experiment.recipe))
        model = to_onnx(graph, experiment.recipe.side)
    release = Release(
        id=f"{experiment.release.id}-fold{fold}",
        version=experiment.release.version,
        licence="",
        recipe=experiment.recipe.to_dict(),
        head=experiment.network.head,
        labels=list(target.names),
        calibration=calibrated.calibration,
        operating_point=calibrated.operating_point,
        gate=target.task.gate.to_dict(),
        heatmap=graph.heatmap,
        features=graph.width,
        training={"training_sha256": finished.photographs},
        evaluation={},
        intended_use="To be tried out on the photographs of its fold.",
        limits=[],
        conformal=calibrated.conformal,
    )
    side = experiment.recipe.side
    canvases = np.random.default_rng(fold).integers(0, 256, (1, side, side, 3)).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_release(
                folder, release, model=model, card="", golden={"canvases": canvases, **run_onnx(model, canvases)}
            )
            return Grader.open(folder, threads=threads)
        except BadRelease as problem:
            reason = str(problem).removeprefix(f"{folder}: ")
            raise BadRelease(f"{runs.folders[0]}, fold {fold}: {reason}") from None
