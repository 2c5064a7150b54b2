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
from scipy.special import expit

from fundoscope.arrays import Canvas, RawOutput
from fundoscope.decide.heads import exceedance, probabilities
from fundoscope.decide.referral import CANNOT_GRADE
from fundoscope.errors import BadCheckpoint, BadRequest, UnreadablePhotograph
from fundoscope.files import sha256_of
from fundoscope.grades import GRADE_NAMES, REFERABLE
from fundoscope.photo.quality import Gate
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.run_folder import WEIGHTS
from fundoscope.runtime.assessment import look
from fundoscope.runtime.explain import Explained, Relevance
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
from fundoscope.training.runs.folder import read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Networks, and how they are asked."""

    experiment: Experiment
    networks: Sequence[GradingNetwork]
    methods: tuple[Method, ...]
    name: str
    """Experiment, seeds and hashes of the weights."""

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
            decision=CANNOT_GRADE,
            release=self.name,
            graded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            photograph = self._read(photo)
        except UnreadablePhotograph as problem:
            return Explained(reading=replace(reading, reason=str(problem)), pixels=None, answer="")
        reading, pixels, canvas = look(reading, photograph, self.experiment.recipe, Gate())
        if canvas is None or reading.status != "graded":
            return Explained(reading=reading, pixels=pixels, answer="")
        given = torch.from_numpy(self._given(canvas, fellow))[None]
        maps: dict[str, Relevance] = {}
        residuals: dict[str, float] = {}
        for method in self.methods:
            found = explain(self.networks, Normalise(self.experiment.recipe), given, method)
            maps[method.name] = found.map[0].double().numpy()
            if found.residual is not None:
                residuals[method.name] = float(found.residual[0])
        reading, answer = self._answered(reading, self._raw(given))
        return Explained(reading=reading, pixels=pixels, answer=answer, maps=maps, residuals=residuals)

    def _read(self, photo: Path | str) -> Photograph:
        return read_photo(photo, target_px=self.experiment.recipe.decode_px)

    def _given(self, canvas: Canvas, fellow: Path | str | None) -> UInt8[np.ndarray, "*eyes side side 3"]:
        """What the networks take; a fellow that is not there or cannot be used is zeros, as in training."""
        if self.networks[0].eyes == 1:
            return canvas
        other = np.zeros_like(canvas)
        if fellow is not None:
            try:
                photograph = self._read(fellow)
            except UnreadablePhotograph:
                return np.stack([canvas, other])
            blank = Reading(image=str(fellow), status="", reason="", decision="", release="", graded_at="")
            seen, _, usable = look(blank, photograph, self.experiment.recipe, Gate())
            other = other if usable is None or seen.status != "graded" else usable
        return np.stack([canvas, other])

    def _raw(self, given: UInt8[torch.Tensor, "1 *eyes side side 3"]) -> RawOutput:
        pictures = Normalise(self.experiment.recipe)(given)
        with torch.inference_mode():
            raw = torch.stack([network.grade(pictures)[0] for network in self.networks]).mean(dim=0)
        return raw.double().numpy()

    def _answered(self, reading: Reading, raw: Float[np.ndarray, "1 output"]) -> tuple[Reading, str]:
        """The reading with the likeliest grade, and the answer in words; of other tasks only words."""
        reading = replace(reading, raw=tuple(raw[0].tolist()))
        target = target_of(self.experiment.data)
        if target.kind == "signs":
            shares = expit(raw[0])
            said = [f"{name} {share:.2f}" for name, share in zip(target.labels, shares, strict=True)]
            return reading, ", ".join(said)
        if target.kind == "classes":
            return reading, str(target.labels[int(raw[0].argmax())])
        given = probabilities(self.experiment.network.head, raw)
        grade, referable = int(given[0].argmax()), float(exceedance(given, REFERABLE)[0])
        reading = replace(
            reading, grade=grade, probabilities=tuple(given[0].tolist()), p_referable=referable, status="graded"
        )
        return reading, f"grade {grade} {GRADE_NAMES[grade]}, P(referable) {referable:.2f}, uncalibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """Networks of different experiments, each explained by those of the methods that it has what they need for."""

    explainers: Mapping[str, Explainer]
    """By what the network is called."""

    @property
    def name(self) -> str:
        """Of all of them."""
        return "; ".join(f"{label}: {each.name}" for label, each in self.explainers.items())

    @property
    def map_names(self) -> tuple[str, ...]:
        """`NETWORK.METHOD` of every map."""
        return tuple(f"{label}.{method.name}" for label, each in self.explainers.items() for method in each.methods)

    def explain(self, photo: Path | str, fellow: Path | str | None = None) -> Explained:
        """As `Explainer.explain`; the reading is the first network's, each map has its own network's beside it."""
        found = {label: each.explain(photo, fellow) for label, each in self.explainers.items()}
        named = [(f"{label}.{name}", each, name) for label, each in found.items() for name in each.maps]
        first = next(iter(found.values()))
        return replace(
            first,
            answer="; ".join(f"{label}: {each.answer}" for label, each in found.items() if each.answer),
            maps={key: each.maps[name] for key, each, name in named},
            residuals={key: each.residuals[name] for key, each, name in named if name in each.residuals},
            readings={key: each.reading for key, each, _ in named},
        )


def read_side_by_side(runs: Sequence[Sequence[Path]], methods: Sequence[str], *, target: str = "answer") -> SideBySide:
    """Load networks whose maps are to be shown beside one another.

    Args:
        runs: Of each network its run, or several that differ in their seed.
        methods: Names in `METHODS`; a network without attention leaves out those that follow it.
        target: As `Target.parse` reads it.

    Raises:
        BadCheckpoint: If a run is not finished.
        BadRequest: If a method or target is not known, or a network has what none of the methods needs.
    """
    read = [read_explainer(each, methods, target=target) for each in runs]
    usable = []
    for each, own in zip(read, runs, strict=True):
        attentive = attends(each.networks[0].backbone)
        fitting = tuple(method for method in each.methods if attentive or method.name not in NEEDS_ATTENTION)
        if not fitting:
            raise BadRequest(
                f"{own[0]}: expected a transformer for {', '.join(methods)}, got "
                f"{each.experiment.network.backbone}. Give a method that it has, such as --method grad-cam."
            )
        usable.append(replace(each, methods=fitting))
    backbones = [each.experiment.network.backbone for each in usable]
    often = Counter(backbones)
    labels = [
        backbone if often[backbone] == 1 else f"{backbone}-{number}"
        for number, backbone in enumerate(backbones, start=1)
    ]
    return SideBySide(explainers=dict(zip(labels, usable, strict=True)))


def read_explainer(
    runs: Sequence[Path], methods: Sequence[str], *, layers: Sequence[str] = (), target: str = "answer"
) -> Explainer:
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
    asked = Target.parse(target)
    unknown = [name for name in methods if name not in METHODS]
    if unknown:
        raise BadRequest(f"--method: expected among {', '.join(METHODS)}, got {unknown[0]!r}. Name another.")
    if layers and not any(name in CAMS for name in methods):
        raise BadRequest(
            f"--layers: expected beside a method that takes layers ({', '.join(CAMS)}), got {', '.join(methods)}. "
            "Leave --layers out."
        )
    experiment = check_alike(runs)
    for run in runs:
        if not (run / "final" / WEIGHTS).is_file():
            raise BadCheckpoint(f"{run}: final/{WEIGHTS} is missing; finish it: fundoscope train --resume {run}")
    marks = [f"seed {read_run(run).seed} {sha256_of(run / 'final' / WEIGHTS)[:12]}" for run in runs]
    return Explainer(
        experiment=experiment,
        networks=[load_network(experiment, run / "final") for run in runs],
        methods=tuple(
            Method(name=name, layers=tuple(layers) if name in CAMS else (), target=asked)
            for name in dict.fromkeys(methods)
        ),
        name=f"{experiment.name} ({', '.join(marks)})",
    )
