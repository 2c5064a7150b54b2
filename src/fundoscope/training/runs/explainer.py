"""From run folders to heatmaps of photographs: any method, of any part of the answer.

The networks of several runs of one experiment are averaged, as their release is. Answers are the head's own,
uncalibrated: calibration is made with a release.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import fundoscope.training.torchvision_shim

import numpy as np
import torch
from jaxtyping import Float, UInt8

from fundoscope.arrays import Canvas, Photo, RawOutput
from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.files import sha256_of
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.run_folder import WEIGHTS
from fundoscope.runtime.explanation.explain import Explained, Relevance
from fundoscope.runtime.explanation.stored import Request
from fundoscope.runtime.grader import assess
from fundoscope.runtime.reading import Reading
from fundoscope.training.attribution.cam import CAMS
from fundoscope.training.attribution.capture import attends
from fundoscope.training.attribution.explain import METHODS, NEEDS_ATTENTION, Method, explain
from fundoscope.training.attribution.targets import Target
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.ensemble import check_alike
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.folder import check_final, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkExplainer:
    """Trained networks whose mean answer is explained (`heatmaps.explainers.Explainer`)."""

    experiment: Experiment
    networks: Sequence[GradingNetwork]
    methods: tuple[Method, ...]
    name: str
    """Experiment, seeds and hashes of the weights."""
    layers: tuple[str, ...] = ()
    """Modules that class activation maps are taken from, as they were requested."""
    target: str = "answer"
    """What is explained, as it was requested."""

    @property
    def request(self) -> Request:
        """Which networks explain what, by which methods."""
        methods = tuple(method.name for method in self.methods)
        return Request(network=self.name, methods=methods, layers=self.layers, target=self.target)

    def explain(self, photo: Path | str, fellow: Path | str | None = None) -> Explained:
        """Explain one photograph; never raises because of the photograph, `reading.status` says what became of it.

        Args:
            photo: The file.
            fellow: The patient's other eye, for networks of both eyes.

        Raises:
            BadRequest: If the network has not what a method or the target needs.
        """
        reading = Reading(
            image=str(photo),
            status="unreadable",
            reason="",
            release=self.name,
            graded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            photograph = self._read(photo)
        except UnreadablePhotograph as problem:
            return Explained(reading=replace(reading, reason=str(problem)), pixels=None, answer="")
        reading, pixels, canvas = self._assess(reading, photograph)
        if canvas is None or reading.status != "graded":
            return Explained(reading=reading, pixels=pixels, answer="")
        pictures = torch.from_numpy(self._network_input(canvas, fellow))[None]  # (1, *eyes, side, side, 3)
        maps: dict[str, Relevance] = {}
        residuals: dict[str, float] = {}
        for method in self.methods:
            heatmap = explain(self.networks, Normalise(self.experiment.recipe), pictures, method)
            maps[method.name] = heatmap.map[0].double().numpy()
            if heatmap.residual is not None:
                residuals[method.name] = float(heatmap.residual[0])
        reading, answer = self._answered(reading, self._raw(pictures))
        return Explained(reading=reading, pixels=pixels, answer=answer, maps=maps, residuals=residuals)

    def _read(self, photo: Path | str) -> Photograph:
        return read_photo(photo, target_px=self.experiment.recipe.decode_px)

    def _assess(self, reading: Reading, photograph: Photograph) -> tuple[Reading, Photo, Canvas | None]:
        task = target_of(self.experiment.data).task
        return assess(reading, photograph, self.experiment.recipe, task.gate, requires_field=task.requires_field)

    def _network_input(self, canvas: Canvas, fellow: Path | str | None) -> UInt8[np.ndarray, "*eyes side side 3"]:
        """Return what the networks take; an absent or ungradable fellow eye is all zero, as in training."""
        if self.networks[0].eyes == 1:
            return canvas
        other = np.zeros_like(canvas)
        if fellow is not None:
            try:
                photograph = self._read(fellow)
            except UnreadablePhotograph:
                return np.stack([canvas, other])
            blank = Reading(image=str(fellow), status="", reason="", release="", graded_at="")
            assessed, _, fellow_canvas = self._assess(blank, photograph)
            other = other if fellow_canvas is None or assessed.status != "graded" else fellow_canvas
        return np.stack([canvas, other])

    def _raw(self, pictures: UInt8[torch.Tensor, "1 *eyes side side 3"]) -> RawOutput:
        normalised = Normalise(self.experiment.recipe)(pictures)
        with torch.inference_mode():
            raw = torch.stack([network.grade(normalised)[0] for network in self.networks]).mean(dim=0)
        return raw.double().numpy()

    def _answered(self, reading: Reading, raw: Float[np.ndarray, "1 output"]) -> tuple[Reading, str]:
        """The reading with the likeliest answer, and that in words."""
        target = target_of(self.experiment.data)
        answer = target.task.likeliest(self.experiment.network.head, raw, target.names, column=target.column)
        return replace(reading, raw=tuple(raw[0].tolist()), answer=answer), f"{answer.words()}, uncalibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySideExplainer:
    """Networks of different experiments, each explained by those of the methods that it has what they need for."""

    explainers: Mapping[str, NetworkExplainer]
    """By what the network is called."""

    @property
    def name(self) -> str:
        """Of all of them."""
        return "; ".join(f"{label}: {explainer.name}" for label, explainer in self.explainers.items())

    @property
    def request(self) -> Request:
        """Which networks explain what, by which methods."""
        target = next(iter(self.explainers.values())).target
        return Request(network=self.name, methods=self.map_names, layers=(), target=target)

    @property
    def map_names(self) -> tuple[str, ...]:
        """`NETWORK.METHOD` of every map."""
        return tuple(
            f"{label}.{method.name}" for label, explainer in self.explainers.items() for method in explainer.methods
        )

    def explain(self, photo: Path | str, fellow: Path | str | None = None) -> Explained:
        """As `Explainer.explain`; the reading is the first network's, each map has its own network's beside it."""
        explained = {label: explainer.explain(photo, fellow) for label, explainer in self.explainers.items()}
        # NETWORK.METHOD, whose explanation it is of, METHOD
        maps = [(f"{label}.{name}", of_one, name) for label, of_one in explained.items() for name in of_one.maps]
        first = next(iter(explained.values()))
        return replace(
            first,
            answer="; ".join(f"{label}: {of_one.answer}" for label, of_one in explained.items() if of_one.answer),
            maps={key: of_one.maps[name] for key, of_one, name in maps},
            residuals={key: of_one.residuals[name] for key, of_one, name in maps if name in of_one.residuals},
            readings={key: of_one.reading for key, of_one, _ in maps},
        )


def read_side_by_side(
    runs: Sequence[Sequence[Path]], methods: Sequence[str], *, target: str = "answer"
) -> SideBySideExplainer:
    """Load networks whose maps are to be shown beside one another.

    Args:
        runs: Of each network its run, or several that differ in their seed.
        methods: Names in `METHODS`; a network without attention leaves out those that follow it.
        target: As `Target.parse` reads it.

    Raises:
        BadCheckpoint: If a run is not finished.
        BadRequest: If a method or target is not known, or a network has what none of the methods needs.
    """
    explainers = []
    for folders in runs:
        explainer = read_explainer(folders, methods, target=target)
        attentive = attends(explainer.networks[0].backbone)
        fitting = tuple(method for method in explainer.methods if attentive or method.name not in NEEDS_ATTENTION)
        if not fitting:
            raise BadRequest(
                f"{folders[0]}: expected a transformer for {', '.join(methods)}, got "
                f"{explainer.experiment.network.backbone}. Give a method that it has, such as --method grad-cam."
            )
        explainers.append(replace(explainer, methods=fitting))
    backbones = [explainer.experiment.network.backbone for explainer in explainers]
    uses = Counter(backbones)
    labels = [
        backbone if uses[backbone] == 1 else f"{backbone}-{number}"
        for number, backbone in enumerate(backbones, start=1)
    ]
    return SideBySideExplainer(explainers=dict(zip(labels, explainers, strict=True)))


def read_explainer(
    runs: Sequence[Path], methods: Sequence[str], *, layers: Sequence[str] = (), target: str = "answer"
) -> NetworkExplainer:
    """Load the final networks of runs, and read what is asked of them.

    Args:
        runs: Folders; of several that differ in their seed the mean is explained.
        methods: Names in `METHODS`.
        layers: Modules of the backbone whose maps class activation maps are of; several are fused.
        target: As `Target.parse` reads it.

    Raises:
        BadCheckpoint: If a run is not finished.
        BadRequest: If runs are not one experiment, or a method, layer or target is not known.
    """
    parsed = Target.parse(target)
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise BadRequest(f"--method: expected among {', '.join(METHODS)}, got {unknown[0]!r}. Name another.")
    if layers and not any(name in CAMS for name in methods):
        raise BadRequest(
            f"--layer: expected beside a method that takes layers ({', '.join(CAMS)}), got {', '.join(methods)}. "
            "Leave --layer out."
        )
    experiment = check_alike(runs)
    for run in runs:
        check_final(experiment, run)
    marks = [f"seed {read_run(run).seed} {sha256_of(run / 'final' / WEIGHTS)[:12]}" for run in runs]
    return NetworkExplainer(
        experiment=experiment,
        networks=[load_network(read_run(run), run / "final") for run in runs],
        methods=tuple(
            Method(name=name, layers=tuple(layers) if name in CAMS else (), target=parsed)
            for name in dict.fromkeys(methods)
        ),
        name=f"{experiment.name} ({', '.join(marks)})",
        layers=tuple(layers),
        target=target,
    )
