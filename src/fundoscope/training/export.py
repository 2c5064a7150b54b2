"""From a finished run to a release: the graph, what it is calibrated to, where it came from, its card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fundoscope import __version__
from fundoscope.decide.heads import exceedance
from fundoscope.decide.neighbours import NEIGHBOURS, read_neighbours
from fundoscope.decide.referral import OperatingPoint, fit_threshold
from fundoscope.errors import BadCheckpoint, BadRelease
from fundoscope.files import sha256_of
from fundoscope.grades import GRADE_NAMES, GRADES, NOT_A_DEVICE, REFERABLE
from fundoscope.photo.quality import Gate
from fundoscope.runtime.fellows import NO_FELLOW, find_fellows
from fundoscope.runtime.release import Release, write_release
from fundoscope.tables import PROBABILITIES, read_table
from fundoscope.tables.patients import unit_keys
from fundoscope.training.calibrating import Calibrating, fit_grade_sets
from fundoscope.training.config import Experiment
from fundoscope.training.fit import WEIGHTS, load_network
from fundoscope.training.graph import PlainGraph, check_parity, release_graph, run_onnx, to_onnx
from fundoscope.training.loader import Still
from fundoscope.training.network import GradingNetwork
from fundoscope.training.objectives.supervised import Normalise
from fundoscope.training.predict import voting_of
from fundoscope.training.prepared import Stored, recipe_key
from fundoscope.training.sections import Network

GOLDEN_PHOTOGRAPHS = 2
"""Training photographs whose outputs travel with the release."""

PARITY_PHOTOGRAPHS = 32
"""Training photographs that parity is checked on."""


def export_run(
    run: Path, folder: Path | None = None, *, card: str | None = None, evaluation: dict[str, Any] | None = None
) -> Path:
    """Export the final network of a run, calibrated on photographs that it, or its like, never saw.

    Args:
        run: A run folder with `final/`, and `out_of_fold.csv` or, of a run without folds, `predictions.csv`.
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
    folded = experiment.data.folds or experiment.domains.protocol != "none"
    held_out = run / ("out_of_fold.csv" if folded else "predictions.csv")
    for needed in (run / "final" / WEIGHTS, held_out):
        if not needed.is_file():
            raise BadCheckpoint(
                f"{run}: {needed.relative_to(run)} is missing; finish it: fundoscope train --resume {run}"
            )
    network = load_network(experiment, run / "final")
    photographs = json.loads((run / "photographs.json").read_text(encoding="utf-8"))
    canvases = _some_canvases(experiment, photographs)
    graph = release_graph(network, Normalise(experiment.recipe), canvases[:1])
    model = to_onnx(graph, experiment.recipe.side)
    check_parity(graph, model, canvases, experiment.network.head)
    known = read_neighbours(run / "final" / NEIGHBOURS) if experiment.release.neighbours else None
    release = _describe(experiment, run, graph, held_out, photographs, evaluation or {})
    golden_canvases = canvases[:GOLDEN_PHOTOGRAPHS]
    golden = {"canvases": golden_canvases, **run_onnx(model, golden_canvases)}
    target = folder or run / "release"
    text = card or (Path(experiment.release.card).read_text(encoding="utf-8") if experiment.release.card else None)
    write_release(target, release, model=model, card=text or write_card(release), golden=golden, neighbours=known)
    return target


def _describe(
    experiment: Experiment,
    run: Path,
    graph: PlainGraph,
    held_out: Path,
    photographs: list[str],
    evaluation: dict[str, Any],
) -> Release:
    head, voting = experiment.network.head, voting_of(experiment.release)
    answers = read_table(held_out)
    reference = _reference(experiment, answers)
    grades = reference["grade"].to_numpy(np.int64)
    if not (grades >= REFERABLE).any():
        raise BadRelease(
            f"{held_out}: expected photographs of grade {REFERABLE} or above, which set the referral threshold, "
            "got none. Add such photographs to the split that is validated on, or cross-validate with data.folds"
        )
    columns = [f"raw{k}" for k in range(network_outputs(graph.network))] if voting is None else list(PROBABILITIES)
    reader = Calibrating(None if voting else head, experiment.release.cuts)
    scores = answers[columns].to_numpy(np.float64)
    temperature, cuts = found = reader.fit(scores, grades)
    given = reader.apply(found, scores)[:, :GRADES]
    sets = fit_grade_sets(reader, scores, reference, answers)
    wanted = experiment.release.sensitivity
    threshold = fit_threshold(exceedance(given, REFERABLE), grades >= REFERABLE, sensitivity=wanted)
    where = "validation" if held_out.name == "predictions.csv" else "out-of-fold"
    point = OperatingPoint(
        name=f"{where} sensitivity {wanted:.0%}", cut="referable", threshold=threshold, sensitivity=wanted
    )
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
        heatmap=graph.heatmap,
        features=graph.network.reported_width,
        training={
            "fundoscope": __version__,
            "torch": str(torch.__version__).split("+")[0],
            "experiment": experiment.to_dict() | {"data": {**experiment.to_dict()["data"], "cache": ""}},
            "backbone": experiment.network.backbone,
            **_started_from(experiment.network),
            "network_sha256": sha256_of(run / "final" / WEIGHTS),
            "training_sha256": photographs,
        },
        evaluation=evaluation,
        intended_use=(
            "Research on grading diabetic retinopathy in colour fundus photographs centred on macula or disc. "
            + NOT_A_DEVICE
        ),
        limits=[
            *LIMITS,
            HEATMAP_LIMITS[graph.heatmap],
            *([FELLOW_LIMIT] if experiment.network.eyes == 2 else []),
            *sets.thresholds.warnings(),
        ],
        eyes=experiment.network.eyes,
        neighbours=voting.to_dict() if voting else {},
        descriptions=list(experiment.release.descriptions),
        conformal=sets.to_dict(),
    )


def _started_from(network: Network) -> dict[str, str]:
    """Hashes of the files that training started from; empty where there was none, or it is gone."""
    files = {"pretrained_sha256": network.weights}
    if network.prototypes:
        files["prototypes_sha256"] = network.prototypes
    return {key: sha256_of(path) if path and Path(path).is_file() else "" for key, path in files.items()}


LIMITS = [
    "Trained on photographs of one source; other cameras, populations and pupil sizes are untested.",
    "It grades diabetic retinopathy only: no oedema, no other disease of the eye is looked for.",
    "The referral threshold keeps its sensitivity only on patients like those it was set on.",
]
"""What every release exported from a run on one source says of itself."""

HEATMAP_LIMITS = {
    "grad-cam": "A heatmap shows what moved the grade, not where lesions are; it was not certified against lesions.",
    "none": "It shows no heatmap: its features are not the mean of a last map, and what moved the grade is not told.",
}
"""What it says besides, by its heatmap."""


FELLOW_LIMIT = (
    "It grades an eye together with the same patient's other eye. Where no photograph of that is known, or it cannot "
    "be read or is not gradable, a learnt vector stands in for it and the photograph's row says so; how much less sure "
    "such an answer is was not measured."
)
"""What one of both eyes says besides."""

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
        return int(network.head(torch.zeros(1, network.seen)).shape[1])


def _reference(experiment: Experiment, answers: pd.DataFrame) -> pd.DataFrame:
    """The manifest's `grade` of each held-out prediction, and whose photograph it is: the number `unit`."""
    from fundoscope.data.manifest import read_manifest

    manifest = read_manifest(Path(experiment.data.manifest))
    unit = pd.factorize(pd.Series(unit_keys(manifest), index=manifest.index, dtype=object))[0]
    return manifest.assign(unit=unit).set_index("image").loc[answers["image"], ["grade", "unit"]].reset_index(drop=True)


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
    if experiment.network.eyes == 2:
        return _some_pairs(experiment, photographs)
    folder = Path(experiment.data.cache) / recipe_key(experiment.recipe)
    step = max(1, len(photographs) // PARITY_PHOTOGRAPHS)
    stored = [Stored(folder / f"{sha256[:32]}.npz", sha256) for sha256 in photographs[::step]]
    return np.stack([each.canvas() for each in stored[:PARITY_PHOTOGRAPHS]])


def _some_pairs(experiment: Experiment, photographs: list[str]) -> np.ndarray:
    """Prepared training photographs with their fellows, spread evenly; the second is without, as some will be."""
    from fundoscope.training.run import listed, prepared

    frame = listed(experiment)
    frame = frame[frame["grade"].notna()].reset_index(drop=True)
    if experiment.domains.protocol == "none":
        frame = frame[frame["split"].isin(experiment.data.train)].reset_index(drop=True)
    fellows = find_fellows(frame)
    paired = np.flatnonzero(fellows != NO_FELLOW)
    own = paired[:: max(1, len(paired) // PARITY_PHOTOGRAPHS)][:PARITY_PHOTOGRAPHS]
    rows = prepared(experiment, frame.iloc[np.union1d(own, fellows[own])].reset_index(drop=True))
    still, learnt = Still(rows), set(photographs)
    # Where a protocol divides the photographs, those that were learnt from come first, and pairs before single eyes.
    order = sorted(range(len(rows)), key=lambda at: (rows.stored[at].sha256 not in learnt, rows.fellows[at] < 0))
    canvases = np.stack([still[at]["canvas"] for at in order[:PARITY_PHOTOGRAPHS]])
    canvases[1, 1] = 0
    return canvases
