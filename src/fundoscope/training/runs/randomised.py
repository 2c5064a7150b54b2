"""Networks of cross-validated runs for the certification of heatmaps: explained, randomised, retrained.

Runs that differ in their seed are averaged, as their release is. The weights of a run's folders are only read; what is
randomised is a copy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import fundoscope.training.torchvision_shim

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fundoscope.arrays import Canvas, Canvases, Scores
from fundoscope.decide.heads import expected_grade, probabilities
from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.photo.recipe import Recipe
from fundoscope.run_folder import FitFolder, RunFolder
from fundoscope.tables import read_table
from fundoscope.training.attribution.capture import LAST
from fundoscope.training.attribution.explain import METHODS, Method, explain
from fundoscope.training.attribution.targets import Target
from fundoscope.training.batches.rows import Rows, to_learn, training_rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.ensemble import check_alike
from fundoscope.training.runs.fits import fit_network, load_network
from fundoscope.training.runs.folder import fold_networks, read_run

Maps = Callable[[Canvases], Float[np.ndarray, "photo map_row map_column"]]

SETTLING: Final = 16
"""Photographs that the batch norms of randomised layers take their statistics from."""

ELSEWHERE: Final = 0.02
"""Standard deviation of randomised parameters that are neither weights nor biases, such as class tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossValidatedRuns:
    """Cross-validated runs of one experiment, with their fold networks (certification's `CrossValidation`)."""

    experiment: Experiment
    """Of the first run."""
    folders: tuple[Path, ...]
    """Of the runs."""
    table: pd.DataFrame
    """Photographs trained on: image (as the experiment's manifest writes it), sha256, source, patient, fold."""

    @property
    def folds(self) -> tuple[int, ...]:
        """Numbers of the folds."""
        folders = fold_networks(self.experiment, self.folders[0])
        return tuple(int(folder.name.removeprefix("fold")) for folder in folders)

    def networks(self, fold: int) -> list[GradingNetwork]:
        """Load, from every run, the network that never saw the photographs of a fold."""
        return [load_network(read_run(folder), RunFolder(folder).fold(fold).path) for folder in self.folders]

    def evaluators(self, *, seed: int, shuffled_epochs: int = 0) -> FoldNetworks:
        """Return the networks of all folds, after training one on shuffled grades where epochs are given."""
        shuffled = shuffled_network(self, epochs=shuffled_epochs, seed=seed) if shuffled_epochs else None
        return FoldNetworks(self, seed=seed, shuffled=shuffled)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seed of each run."""
        return tuple(read_run(folder).seed for folder in self.folders)

    @property
    def head(self) -> str:
        """Head of the networks."""
        return self.experiment.network.head

    @property
    def recipe(self) -> Recipe:
        """Preprocessing of the networks."""
        return self.experiment.recipe

    @property
    def manifest(self) -> Path:
        """The manifest that lists the photographs."""
        return Path(self.experiment.data.manifest)


def read_cross_validated_runs(runs: Sequence[Path]) -> CrossValidatedRuns:
    """Read cross-validated runs; of the fit on all photographs nothing is needed.

    Raises:
        BadCheckpoint: If a run has no folds, or one of them is not finished.
        BadRequest: If runs are not one experiment with different seeds on the same folds.
    """
    first = check_alike(runs)
    if first.data.folds < 2:
        raise BadCheckpoint(
            f"{runs[0]}: expected a run with folds, whose networks never saw some of the photographs, got data.folds = "
            f"{first.data.folds}. Cross-validate: fundoscope train NAME data.folds=3"
        )
    tables = [_folds_of(read_run(run), run) for run in runs]
    if any(not _same_folds(table, tables[0]) for table in tables):
        raise BadRequest("--checkpoint: expected runs with the same photographs in the same folds, got others")
    return CrossValidatedRuns(experiment=first, folders=tuple(runs), table=tables[0])


def _folds_of(experiment: Experiment, run: Path) -> pd.DataFrame:
    for needed in (*(FitFolder(fold).weights for fold in fold_networks(experiment, run)), RunFolder(run).out_of_fold):
        if not needed.is_file():
            raise BadCheckpoint(
                f"{run}: {needed.relative_to(run)} is missing; finish it: fundoscope train --resume {run}"
            )
    return read_table(RunFolder(run).out_of_fold).reindex(columns=["image", "sha256", "source", "patient", "fold"])


def _same_folds(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return dict(zip(one["sha256"], one["fold"], strict=True)) == dict(zip(other["sha256"], other["fold"], strict=True))


def read_method(words: str) -> Method:
    """Read `grad-cam`, `grad-cam:LAYER` or, of several layers that are fused, `layer-cam:LAYER+LAYER`.

    Raises:
        BadRequest: If there is no such method.
    """
    name, _, layers = words.partition(":")
    if name not in METHODS:
        raise BadRequest(f"--method: expected among {', '.join(METHODS)}, with :LAYER where wanted, got {words!r}")
    return Method(name=name, layers=tuple(filter(None, layers.split("+"))), target=Target())


def stage_layers(network: GradingNetwork) -> list[str]:
    """Names of the layers that end the backbone's stages, coarsest last, then the last map; of a ViT every block."""
    stages = getattr(network.backbone, "feature_info", [])
    names = [str(stage["module"]) for stage in stages if stage.get("module")]
    modules = dict(network.backbone.named_modules())
    return [*dict.fromkeys(name for name in names if name in modules), LAST]


def maps_by(networks: Sequence[GradingNetwork], experiment: Experiment, method: Method) -> Maps:
    """Return the heatmaps of the networks' mean answer."""
    normalise = Normalise(experiment.recipe)

    def maps(canvases: Canvases) -> Float[np.ndarray, "photo map_row map_column"]:
        return explain(networks, normalise, _network_inputs(canvases, networks[0]), method).map.double().numpy()

    return maps


def score_by(networks: Sequence[GradingNetwork], experiment: Experiment) -> Callable[[Canvases], Scores]:
    """Return the expected grade by the networks' mean answer, in grades."""
    normalise, head = Normalise(experiment.recipe), experiment.network.head

    def score(canvases: Canvases) -> Scores:
        with torch.no_grad():
            pictures = normalise(_network_inputs(canvases, networks[0]))
            raw = torch.stack([network.grade(pictures)[0] for network in networks]).mean(dim=0)
        return expected_grade(probabilities(head, raw.double().numpy()))

    return score


def _network_inputs(canvases: Canvases, network: GradingNetwork) -> Tensor:
    """Return canvases as the networks take them; a network of both eyes is given a black picture as the other eye."""
    pictures = torch.from_numpy(np.ascontiguousarray(canvases))  # (photo, side, side, 3)
    # of both eyes: (photo, 2, side, side, 3)
    return pictures if network.eyes == 1 else torch.stack([pictures, torch.zeros_like(pictures)], dim=1)


def cascade(
    networks: Sequence[GradingNetwork], experiment: Experiment, canvases: Canvases, *, seed: int = 0, every: bool = True
) -> Iterator[tuple[str, list[GradingNetwork]]]:
    """Yield ever more randomised copies: the head first, then the backbone's parts from the last to the first.

    Adebayo et al., NeurIPS 2018. Weights are drawn as He et al. (ICCV 2015) draw them; batch norms of randomised
    parts take the statistics of some photographs, for those of the trained network are not theirs.

    Args:
        networks: Are left as they are.
        experiment: Theirs.
        canvases: Photographs for the batch norms' statistics; at most `SETTLING` are used.
        seed: Of the weights; each network draws its own.
        every: False: only the last stage, in which everything is randomised.

    Yields:
        Name of the part that was randomised last, and the networks: the same objects each time.
    """
    copies = [copy.deepcopy(network).eval() for network in networks]
    pictures = Normalise(experiment.recipe)(_network_inputs(canvases[:SETTLING], networks[0]))
    generators = [torch.Generator().manual_seed(seed + number) for number in range(len(copies))]
    parts = [list(_parts(network)) for network in copies]
    for stage, (name, _) in enumerate(parts[0], start=1):
        for own, generator in zip(parts, generators, strict=True):
            _draw_anew(own[stage - 1][1], generator)
        if every or stage == len(parts[0]):
            for network, own in zip(copies, parts, strict=True):
                _settle(network, [module for _, module in own[:stage]], pictures)
            yield name, copies


def _parts(network: GradingNetwork) -> Iterator[tuple[str, nn.Module]]:
    """The network's parts with parameters, from the output to the input; a row of blocks is a part each."""
    yield "head", nn.ModuleList([network.head, *([network.fusion] if network.fusion is not None else [])])
    flat: list[tuple[str, nn.Module]] = []
    for name, child in network.backbone.named_children():
        if isinstance(child, nn.Sequential | nn.ModuleList):
            flat += [(f"{name}.{inner}", block) for inner, block in child.named_children()]
        else:
            flat.append((name, child))
    parts = [(name, module) for name, module in reversed(flat) if any(True for _ in module.parameters())]
    own = [weight for _, weight in network.backbone.named_parameters(recurse=False)]
    yield from parts
    if own:
        yield "tokens", nn.ParameterList(own)


def _draw_anew(module: nn.Module, generator: torch.Generator) -> None:
    with torch.no_grad():
        for name, weight in module.named_parameters():
            kind = name.rpartition(".")[2]
            if kind.endswith("weight") and weight.ndim >= 2:
                fan_in = math.prod(weight.shape[1:])
                weight.normal_(0.0, math.sqrt(2 / fan_in), generator=generator)
            elif kind.endswith("weight"):
                weight.fill_(1.0)
            elif "bias" in kind:
                weight.zero_()
            else:
                weight.normal_(0.0, ELSEWHERE, generator=generator)


def _settle(network: GradingNetwork, modules: Sequence[nn.Module], pictures: Tensor) -> None:
    """Batch norms of the modules take the mean and variance of these pictures."""
    norms = [part for module in modules for part in module.modules() if isinstance(part, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        network.grade(pictures)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def shuffled_network(runs: CrossValidatedRuns, *, epochs: int, seed: int = 0) -> tuple[int, GradingNetwork]:
    """Train a network on shuffled grades; return it after the fold whose photographs it did not see.

    The experiment as it is, on the first fold, for so many epochs; grades and lesions are given to other photographs.
    It is kept in the first run's folder, so that it is trained once.

    Args:
        runs: Cross-validated runs.
        epochs: Budget.
        seed: Of the shuffling.
    """
    fold, experiment = runs.folds[0], runs.experiment
    budget = replace(experiment.fit, epochs=epochs, keep="last", patience=0, snapshots=0, export=False)
    experiment = replace(experiment, fit=budget)
    rows = training_rows(experiment, experiment.data.train, lambda _: None)
    owner = dict(zip(runs.table["sha256"], runs.table["fold"], strict=True))
    folds = np.array([owner.get(stored.sha256, fold) for stored in rows.stored])
    train = shuffled(rows.take(np.flatnonzero(folds != fold)), seed)
    folder = runs.folders[0] / f"shuffled-fold{fold}-epochs{epochs}-seed{seed}"
    return fold, fit_network(experiment, to_learn(experiment, train), None, folder)


def shuffled(rows: Rows, seed: int) -> Rows:
    """Return the same photographs, each with the grade and the lesions of another."""
    order = np.random.default_rng(seed).permutation(len(rows))
    frame = rows.frame.assign(grade=rows.frame["grade"].to_numpy()[order])
    lesions = None if rows.lesions is None else [rows.lesions[at] for at in order]
    return replace(rows, frame=frame, lesions=lesions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldEvaluator:
    """The networks of one fold as certification evaluates them (`heatmaps.certification.evaluators.Evaluator`)."""

    maps: Maps
    score: Callable[[Canvases], Scores]
    randomised: Callable[[], Iterator[tuple[str, Maps]]]
    shuffled: Maps | None
    seeds: tuple[Maps, ...]


@dataclass(frozen=True, slots=True)
class FoldNetworks:
    """Networks of cross-validated runs, fold by fold, each loaded once."""

    runs: CrossValidatedRuns
    seed: int = 0
    """Seed of randomised weights."""
    shuffled: tuple[int, GradingNetwork] | None = None
    """A fold, and the network that was trained on shuffled grades without it."""
    every_stage: bool = True
    """Randomise stage by stage; False: all weights at once."""
    each_seed: bool = False
    """Explain every run's network alone, too."""
    loaded: dict[int, list[GradingNetwork]] = field(default_factory=dict)
    """By fold, what was loaded already."""
    redrawn: dict[int, list[tuple[str, list[GradingNetwork]]]] = field(default_factory=dict)
    """By fold, the wholly randomised networks, where no stage before them is needed."""

    def networks(self, fold: int) -> list[GradingNetwork]:
        """Load, from every run, the network that never saw the photographs of a fold."""
        if fold not in self.loaded:
            self.loaded[fold] = self.runs.networks(fold)
        return self.loaded[fold]

    def evaluator(self, fold: int, method: str, photographs: Sequence[Canvas]) -> FoldEvaluator:
        """Return the networks of one fold, explained by a method.

        Args:
            fold: Its number.
            method: As `read_method` reads it.
            photographs: From which batch norms of randomised networks take their statistics; at most `SETTLING`.

        Raises:
            BadRequest: If there is no such method.
        """
        networks, experiment, attribution = self.networks(fold), self.runs.experiment, read_method(method)
        canvases = np.stack(photographs[:SETTLING])  # (photo, side, side, 3)

        def randomised() -> Iterator[tuple[str, Maps]]:
            for name, redrawn in self._randomised(fold, canvases):
                yield name, maps_by(redrawn, experiment, attribution)

        shuffled = self.shuffled[1] if self.shuffled is not None and self.shuffled[0] == fold else None
        return FoldEvaluator(
            maps=maps_by(networks, experiment, attribution),
            score=score_by(networks, experiment),
            randomised=randomised,
            shuffled=None if shuffled is None else maps_by([shuffled], experiment, attribution),
            seeds=tuple(maps_by([network], experiment, attribution) for network in networks) if self.each_seed else (),
        )

    def _randomised(self, fold: int, canvases: Canvases) -> Iterable[tuple[str, list[GradingNetwork]]]:
        stages = cascade(self.networks(fold), self.runs.experiment, canvases, seed=self.seed, every=self.every_stage)
        if self.every_stage:
            return stages
        if fold not in self.redrawn:
            self.redrawn[fold] = list(stages)
        return self.redrawn[fold]
