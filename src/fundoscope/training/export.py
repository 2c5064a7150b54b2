"""From a finished run to a release: one ONNX graph with the heatmap inside, checked against torch.

The graph takes prepared photographs as they are (uint8) and normalises them itself, so that no
caller can forget it. The heatmap is Grad-CAM on the last feature map A: for pooled features
f = mean(A), d(score)/dA is d(score)/df divided by the number of cells, so the map is
relu(sum_c d(score)/df_c * A_c) in closed form (Selvaraju et al., ICCV 2017, eq. 1 and 2).
"""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fundoscope import __version__
from fundoscope.decide.calibrate import CUTTERS, fit_temperature
from fundoscope.decide.heads import exceedance, expected_grade, probabilities
from fundoscope.decide.referral import OperatingPoint, fit_threshold
from fundoscope.errors import BadCheckpoint, BadRelease
from fundoscope.files import sha256_of
from fundoscope.grades import GRADE_NAMES, NOT_A_DEVICE, REFERABLE
from fundoscope.photo.quality import Gate
from fundoscope.runtime.release import Release, write_release
from fundoscope.tables import read_table
from fundoscope.training.config import Experiment
from fundoscope.training.fit import WEIGHTS, load_network
from fundoscope.training.network import GradingNetwork
from fundoscope.training.objectives.supervised import Normalise
from fundoscope.training.prepared import Stored, recipe_key

RAW_TOLERANCE = 1e-4
"""Largest deviation of the raw output from torch's."""

MAP_CORRELATION = 0.999
"""Smallest correlation of a heatmap with torch's."""

GOLDEN_PHOTOGRAPHS = 2
"""Training photographs whose outputs travel with the release."""

PARITY_PHOTOGRAPHS = 32
"""Training photographs that parity is checked on."""


class ReleaseGraph(nn.Module):
    """What is exported: prepared photographs in; raw output, features and heatmap out."""

    def __init__(self, network: GradingNetwork, normalise: Normalise) -> None:
        super().__init__()
        self.network, self.normalise = network.eval(), normalise

    def forward(
        self, canvases: UInt8[Tensor, "photo side side 3"]
    ) -> tuple[Float[Tensor, "photo output"], Float[Tensor, "photo feature"], Float[Tensor, "photo row column"]]:
        """Raw output, features, and a heatmap with largest value 1 (0 where nothing spoke for the answer)."""
        pictures = self.normalise(canvases)
        maps = self.network.maps(pictures)
        features = self.network.pool(maps)
        raw = self.network.head(features)
        if self.network.flip_average:
            mirrored = self.network.maps(pictures.flip(-1))
            mirrored_features = self.network.pool(mirrored)
            raw = (raw + self.network.head(mirrored_features)) / 2
            features, maps = (features + mirrored_features) / 2, (maps + mirrored.flip(-1)) / 2
        speaks = self.network.head.relevance(features, raw)
        heat = (maps * speaks[:, :, None, None]).sum(dim=1).relu()
        # An added epsilon would vanish in the exported graph; a floor does not.
        return raw, features, heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(1e-6)


def to_onnx(graph: ReleaseGraph, side: int) -> bytes:
    """The serialised ONNX graph, with a free number of photographs."""
    example = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter's own deprecations; parity is what is checked
            program = torch.onnx.export(
                graph,
                (example,),
                dynamo=True,
                input_names=["canvases"],
                output_names=["raw", "features", "heatmap"],
                dynamic_shapes={"canvases": {0: torch.export.Dim("photo", min=1, max=4096)}},
                verbose=False,
            )
    finally:
        noisy.setLevel(level)
    if program is None:
        raise BadRelease("the ONNX exporter returned nothing; this version of torch is not supported")
    return bytes(without_traces(program.model_proto).SerializeToString())


def without_traces(model: Any) -> Any:
    """An ONNX model without the exporter's notes: its stack traces name files of the machine it ran on."""
    for graph in (model.graph, *model.functions):
        for part in (*graph.node, *graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if not isinstance(part, str):
                part.ClearField("metadata_props")
                part.ClearField("doc_string")
        graph.ClearField("metadata_props")
        graph.ClearField("doc_string")
    for weight in model.graph.initializer:
        weight.ClearField("metadata_props")
        weight.ClearField("doc_string")
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    return model


def check_pooling(graph: ReleaseGraph, canvases: UInt8[np.ndarray, "photo side side 3"]) -> None:
    """Make sure that the features are the plain mean of the last map, on which the closed form rests.

    Raises:
        BadRelease: If the backbone computes something else between its last map and its features.
    """
    with torch.inference_mode():
        maps = graph.network.maps(graph.normalise(torch.from_numpy(canvases)))
        features = graph.network.pool(maps)
    if maps.shape[:2] != features.shape or not torch.allclose(maps.mean(dim=(2, 3)), features, rtol=1e-3, atol=1e-4):
        raise BadRelease(
            "export: expected a backbone whose features are the mean of its last map, got one with layers in between; "
            "its heatmap has no closed form, and no release is written. Choose another backbone"
        )


def check_parity(
    graph: ReleaseGraph, model: bytes, canvases: UInt8[np.ndarray, "photo side side 3"], head: str
) -> None:
    """Compare the exported graph with torch on real photographs.

    Raises:
        BadRelease: If a raw output deviates by more than 1e-4, a heatmap correlates below 0.999 or a
            grade changes. The message says how far off it was.
    """
    with torch.inference_mode():
        raw, _, heat = (tensor.numpy() for tensor in graph(torch.from_numpy(canvases)))
    given = run_onnx(model, canvases)
    worst = float(np.abs(given["raw"] - raw).max())
    if not worst <= RAW_TOLERANCE:
        raise BadRelease(f"export: expected raw outputs within {RAW_TOLERANCE} of torch's, got {worst:.2e}; no release")
    lowest = min(_correlation(a, b) for a, b in zip(given["heatmap"], heat, strict=True))
    if not lowest >= MAP_CORRELATION:
        raise BadRelease(f"export: expected heatmaps to correlate >= {MAP_CORRELATION} with torch's, got {lowest:.4f}")
    changed = int(np.sum(_grades(head, given["raw"]) != _grades(head, raw)))
    if changed:
        raise BadRelease(f"export: {changed} of {len(canvases)} photographs changed their grade; no release is written")


def run_onnx(model: bytes, canvases: UInt8[np.ndarray, "photo side side 3"]) -> dict[str, np.ndarray]:
    """Outputs of an ONNX graph by name, computed with onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"canvases": canvases}), strict=True))


def export_run(
    run: Path, folder: Path | None = None, *, card: str | None = None, evaluation: dict[str, Any] | None = None
) -> Path:
    """Export the final network of a run, calibrated on its out-of-fold predictions.

    Args:
        run: A run folder with `final/` and `out_of_fold.csv`.
        folder: Where the release goes; `RUN/release` by default.
        card: Text of the model card; by default one is written from the run's facts.
        evaluation: What `fundoscope evaluate` wrote, to travel with the release.

    Returns:
        The release's folder.

    Raises:
        BadCheckpoint: If the run is not finished.
        BadRelease: If the exported graph does not agree with torch.
    """
    from fundoscope.training.run import read_run

    experiment = read_run(run)
    for needed in (run / "final" / WEIGHTS, run / "out_of_fold.csv"):
        if not needed.is_file():
            raise BadCheckpoint(
                f"{run}: {needed.relative_to(run)} is missing; finish it: fundoscope train --resume {run}"
            )
    network = load_network(experiment, run / "final")
    graph = ReleaseGraph(network, Normalise(experiment.recipe))
    photographs = json.loads((run / "photographs.json").read_text(encoding="utf-8"))
    canvases = _some_canvases(experiment, photographs)
    check_pooling(graph, canvases[:1])
    model = to_onnx(graph, experiment.recipe.side)
    check_parity(graph, model, canvases, experiment.network.head)
    out_of_fold = read_table(run / "out_of_fold.csv")
    release = _describe(experiment, run, network, out_of_fold, photographs, evaluation or {})
    golden_canvases = canvases[:GOLDEN_PHOTOGRAPHS]
    golden = {"canvases": golden_canvases, **run_onnx(model, golden_canvases)}
    target = folder or run / "release"
    text = card or (Path(experiment.release.card).read_text(encoding="utf-8") if experiment.release.card else None)
    write_release(target, release, model=model, card=text or write_card(release), golden=golden)
    return target


def _describe(
    experiment: Experiment,
    run: Path,
    network: GradingNetwork,
    out_of_fold: pd.DataFrame,
    photographs: list[str],
    evaluation: dict[str, Any],
) -> Release:
    head = experiment.network.head
    raw = out_of_fold[[f"raw{k}" for k in range(network_outputs(network))]].to_numpy(np.float64)
    grades = true_grades(experiment, out_of_fold)
    temperature = fit_temperature(head, raw, grades)
    given = probabilities(head, raw, temperature=temperature)
    cuts = CUTTERS[experiment.release.cuts](expected_grade(given), grades)
    wanted = experiment.release.sensitivity
    threshold = fit_threshold(exceedance(given, REFERABLE), grades >= REFERABLE, sensitivity=wanted)
    point = OperatingPoint(
        name=f"out-of-fold sensitivity {wanted:.0%}", cut="referable", threshold=threshold, sensitivity=wanted
    )
    weights = experiment.network.weights
    return Release(
        id=experiment.release.id,
        version=experiment.release.version,
        licence="Apache-2.0",
        recipe=experiment.recipe.to_dict(),
        head=head,
        labels=list(GRADE_NAMES),
        calibration={"temperature": temperature, "grade_cuts": list(cuts)},
        operating_point=point.to_dict(),
        gate=Gate().to_dict(),
        heatmap="grad-cam",
        features=network.features,
        training={
            "fundoscope": __version__,
            "torch": str(torch.__version__).split("+")[0],
            "experiment": experiment.to_dict() | {"data": {**experiment.to_dict()["data"], "cache": ""}},
            "backbone": experiment.network.backbone,
            "pretrained_sha256": sha256_of(weights) if weights and Path(weights).is_file() else "",
            "network_sha256": sha256_of(run / "final" / WEIGHTS),
            "training_sha256": photographs,
        },
        evaluation=evaluation,
        intended_use=(
            "Research on grading diabetic retinopathy in colour fundus photographs centred on macula or disc. "
            + NOT_A_DEVICE
        ),
        limits=LIMITS,
    )


LIMITS = [
    "Trained on photographs of one source; other cameras, populations and pupil sizes are untested.",
    "It grades diabetic retinopathy only: no oedema, no other disease of the eye is looked for.",
    "The referral threshold keeps its sensitivity only on patients like those it was set on.",
    "A heatmap shows what moved the grade, not where lesions are; it has not been certified against lesions.",
]
"""What every release exported from a run on one source says of itself."""


HEADLINES = (
    "quadratic_kappa",
    "accuracy",
    "mean_absolute_error",
    "any_auroc",
    "referable_auroc",
    "sight_threatening_auroc",
    "decision_sensitivity",
    "decision_specificity",
    "calibration_error",
)
"""Statistics of an evaluation that travel with a release."""


def headlines(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The few figures of an `evaluation.json` that a release carries, each with its interval.

    Raises:
        KeyError: If it is not one that `fundoscope evaluate` wrote.
    """
    level, statistics = evaluation["level"], evaluation["statistics"]
    chosen: dict[str, Any] = {"photographs": evaluation["counts"]["photographs"]}
    for name in HEADLINES:
        entry = statistics.get(name, {})
        if entry.get("estimate") is not None and entry.get("low") is not None:
            chosen[name] = {key: round(entry[key], 4) for key in ("estimate", "low", "high")} | {"level": level}
    return chosen


def network_outputs(network: GradingNetwork) -> int:
    """Number of the head's raw outputs."""
    with torch.inference_mode():
        return int(network.head(torch.zeros(1, network.features)).shape[1])


def true_grades(experiment: Experiment, out_of_fold: pd.DataFrame) -> np.ndarray:
    """The manifest's grade of each out-of-fold prediction."""
    from fundoscope.data.manifest import read_manifest

    manifest = read_manifest(Path(experiment.data.manifest))
    by_image = dict(zip(manifest["image"], manifest["grade"], strict=True))
    return np.array([int(by_image[image]) for image in out_of_fold["image"]])


def write_card(release: Release) -> str:
    """A model card from the release's own facts, for releases that bring none."""
    experiment = release.training["experiment"]
    lines = [
        f"# {release.id} {release.version}",
        "",
        release.intended_use,
        "",
        f"- Network: {release.training['backbone']}, {release.head} head, {experiment['recipe']['side']} px.",
        f"- Trained on {len(release.training['training_sha256'])} photographs, seed {experiment['seed']}, "
        f"{experiment['fit']['epochs']} epochs.",
        f"- Temperature {release.temperature:.3f}, referral threshold {release.operating_point['threshold']:.3f} "
        f"({release.operating_point['name']}).",
        "",
        "## Limits",
        "",
        *[f"- {limit}" for limit in release.limits],
    ]
    return "\n".join(lines) + "\n"


def _some_canvases(experiment: Experiment, photographs: list[str]) -> np.ndarray:
    """Prepared training photographs, spread evenly over the run's list."""
    folder = Path(experiment.data.cache) / recipe_key(experiment.recipe)
    step = max(1, len(photographs) // PARITY_PHOTOGRAPHS)
    stored = [Stored(folder / f"{sha256[:32]}.npz", sha256) for sha256 in photographs[::step]]
    return np.stack([each.canvas() for each in stored[:PARITY_PHOTOGRAPHS]])


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    if first.std() < 1e-9 or second.std() < 1e-9:  # a flat map agrees with a flat map only
        return 1.0 if np.allclose(first, second, atol=1e-4) else 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def _grades(head: str, raw: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities(head, raw.astype(np.float64)).argmax(axis=1))
