"""Interfaces between certification and the networks that make heatmaps.

Certification knows no torch: whoever has trained networks passes objects that satisfy these protocols
(`training.runs.randomised` implements them for cross-validated runs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from fundoscope.arrays import Canvas, Canvases, Scores
from fundoscope.decide.heads import expected_grade
from fundoscope.heatmaps.faithfulness import Score
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.release import OpenRelease, head_probabilities

Maps = Callable[[Canvases], Float[np.ndarray, "photo map_row map_column"]]
"""Heatmaps of prepared photographs, >= 0."""

Stages = Callable[[], Iterator[tuple[str, Maps]]]
"""Name and heatmaps of ever more randomised copies of a network, from the head to the first layer. Each stage must be
used before the next one is taken."""


@runtime_checkable
class Evaluator(Protocol):
    """Networks that never saw certain photographs, and can therefore be evaluated on them."""

    @property
    def maps(self) -> Maps:
        """Heatmaps of the networks' answer."""

    @property
    def score(self) -> Score:
        """The number that ROAD and deletion follow: the expected grade."""

    @property
    def randomised(self) -> Stages | None:
        """Heatmaps of the networks with randomised weights; None where the weights cannot be changed."""

    @property
    def shuffled(self) -> Maps | None:
        """Heatmaps of a network trained on shuffled grades; None where there is none."""

    @property
    def seeds(self) -> tuple[Maps, ...]:
        """Heatmaps of each network alone, where they differ in their seed; empty where that is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapEvaluator:
    """An `Evaluator` made of functions."""

    maps: Maps
    score: Score
    randomised: Stages | None = None
    shuffled: Maps | None = None
    seeds: tuple[Maps, ...] = ()


@runtime_checkable
class FoldEvaluators(Protocol):
    """The networks of every fold."""

    def evaluator(self, fold: int, method: str, photographs: Sequence[Canvas]) -> Evaluator:
        """Return the networks that never saw the photographs of a fold.

        Args:
            fold: Number of the fold.
            method: Attribution method, as `certify --method` names it: grad-cam, layer-cam:LAYER+LAYER.
            photographs: From which batch norms of randomised networks take their statistics.

        Raises:
            BadRequest: If there is no such method.
        """


@runtime_checkable
class CrossValidation(Protocol):
    """Cross-validated runs of one experiment, from which a release was made."""

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""

    @property
    def head(self) -> str:
        """Head of the networks: a name in `decide.heads.HEADS`."""

    @property
    def recipe(self) -> Recipe:
        """Preprocessing of the networks."""

    @property
    def table(self) -> pd.DataFrame:
        """Photographs that the runs were trained on: image, sha256, source, patient, fold."""

    @property
    def manifest(self) -> Path:
        """Manifest that lists these photographs."""

    def evaluators(self, *, seed: int, shuffled_epochs: int = 0) -> FoldEvaluators:
        """Return the networks of all folds.

        Args:
            seed: Of randomised weights and shuffled grades.
            shuffled_epochs: Epochs to train a network on shuffled grades, for comparison; 0: none is trained.
        """


def release_evaluator(opened: OpenRelease, network: Network) -> MapEvaluator:
    """Return a release's own network as an evaluator: the heatmap that it exports, and the grade that it expects."""

    def inputs(canvases: Canvases) -> UInt8[np.ndarray, "photo *eyes side side 3"]:
        # A network of both eyes is given a black picture as the other eye: (photo, 2, side, side, 3).
        return canvases if opened.release.eyes == 1 else np.stack([canvases, np.zeros_like(canvases)], axis=1)

    def maps(canvases: Canvases) -> Float[np.ndarray, "photo map_row map_column"]:
        heatmap = network.run(inputs(canvases)).heatmap
        assert heatmap is not None, "a release without a heatmap is refused before"
        return np.maximum(heatmap.astype(np.float64), 0)

    def score(canvases: Canvases) -> Scores:
        return expected_grade(head_probabilities(opened, network.run(inputs(canvases)).raw.astype(np.float64)))

    return MapEvaluator(maps=maps, score=score)
