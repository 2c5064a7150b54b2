"""From finished runs to a release: the graph, what it is calibrated to, where it came from, its card."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fundoscope.decide.neighbours import NEIGHBOURS, read_neighbours
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.files import sha256_of
from fundoscope.runtime.description import Release
from fundoscope.runtime.golden_photograph import make_golden_photograph
from fundoscope.runtime.release import write_release
from fundoscope.tables import write_table
from fundoscope.tables.fellows import NO_FELLOW, find_fellows
from fundoscope.training.batches.cache import Stored, recipe_key
from fundoscope.training.batches.items import EvaluationDataset
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export.calibration import calibrate
from fundoscope.training.export.card import write_card
from fundoscope.training.export.claims import data_limits, licence_claim, network_limits, origins, training_sources
from fundoscope.training.export.graph import HALF_TOLERANCE, PlainGraph, check_parity, halve, run_onnx, to_onnx
from fundoscope.training.export.metadata import with_metadata
from fundoscope.training.export.traced import heatmap_graph
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.ensemble import Finished, read_finished
from fundoscope.training.runs.predict import voting_of
from fundoscope.training.runs.teachers import teacher_records
from fundoscope.version import __version__

GOLDEN_PHOTOGRAPHS = 2
"""Training photographs whose outputs travel with the release."""

PARITY_PHOTOGRAPHS = 32
"""Training photographs that parity is checked on."""


def export_run(
    run: Path | Sequence[Path],
    folder: Path | None = None,
    *,
    card: str | None = None,
    evaluation: dict[str, Any] | None = None,
    half: bool = False,
    held_out: Path | None = None,
) -> Path:
    """Export the final network of a run, calibrated on photographs that it, or its like, never saw.

    Args:
        run: A run folder with `final/`, and `out_of_fold.csv` or, of a run without folds, `predictions.csv`. Or
            several that differ in their seed: the mean of their networks is exported (`ensemble`).
        folder: Where the release goes; `RUN/release` of the only run by default.
        card: Text of the model card; by default one is written from the run's facts.
        evaluation: What `fundoscope evaluate` wrote, to travel with the release.
        half: Store the weights with 16 bits each; they are computed with 32.
        held_out: Where to write the held-out predictions that the release is calibrated on; None: nowhere.

    Returns:
        The release's folder.

    Raises:
        BadCheckpoint: If a run is not finished.
        BadRequest: If several runs cannot be averaged, or nobody says where their release goes.
        BadRelease: If the exported graph does not agree with torch.
    """
    runs = [run] if isinstance(run, Path) else list(run)
    if folder is None and len(runs) > 1:
        raise BadRequest("export: expected the folder of the release of several runs, got none. Give it with --out")
    finished = read_finished(runs)
    experiment = finished.experiment
    canvases = _some_canvases(experiment, finished.photographs)
    graphs = heatmap_graph(finished.networks, Normalise(experiment.recipe), canvases[:1], experiment.release)
    graph, model = _first_exportable(graphs, experiment.recipe.side)
    head, task = experiment.network.head, target_of(experiment.data).task
    check_parity(graph, model, canvases, head, task=task)
    if half:
        model = halve(model)
        check_parity(graph, model, canvases, head, task=task, tolerance=HALF_TOLERANCE)
    neighbours = read_neighbours(runs[0] / "final" / NEIGHBOURS) if experiment.release.neighbours else None
    release = _describe(finished, graph, evaluation or {})
    model = with_metadata(model, release)
    golden_canvases = canvases[:GOLDEN_PHOTOGRAPHS]
    golden = {"canvases": golden_canvases, **run_onnx(model, golden_canvases)}
    target = folder or runs[0] / "release"
    text = card or (Path(experiment.release.card).read_text(encoding="utf-8") if experiment.release.card else None)
    write_release(
        target,
        release,
        model=model,
        card=text or write_card(release),
        golden=golden,
        golden_photograph=make_golden_photograph(experiment.recipe),
        neighbours=neighbours,
    )
    if held_out is not None:
        write_table(finished.answers, held_out)
    return target


def _first_exportable(graphs: Sequence[PlainGraph], side: int) -> tuple[PlainGraph, bytes]:
    """The first graph that the exporter takes; what it says of the last one is not held back."""
    for graph in graphs[:-1]:
        with suppress(BadRelease):
            return graph, to_onnx(graph, side)
    return graphs[-1], to_onnx(graphs[-1], side)


def _describe(finished: Finished, graph: PlainGraph, evaluation: dict[str, Any]) -> Release:
    experiment, voting = finished.experiment, voting_of(finished.experiment.release)
    target, calibrated = target_of(experiment.data), calibrate(finished)
    words, rows = target.task.words, finished.training_rows
    sources = training_sources(rows, target, experiment)
    teachers = teacher_records(experiment)
    made_from = origins(sources, experiment, teachers)
    return Release(
        id=experiment.release.id,
        version=experiment.release.version,
        licence=licence_claim(made_from, wanted=experiment.release.licence),
        recipe=experiment.recipe.to_dict(),
        task=target.task.name,
        head=experiment.network.head,
        labels=list(target.names),
        column=target.column if target.kind == "classes" else "",
        calibration=calibrated.calibration,
        operating_point=calibrated.operating_point,
        gate=target.task.gate.to_dict(),
        heatmap=graph.heatmap,
        features=graph.width,
        training={
            "fundoscope": __version__,
            "torch": str(torch.__version__).split("+")[0],
            "experiment": _without_folders(experiment),
            "backbone": experiment.network.backbone,
            **_started_from(experiment.network),
            "networks": finished.runs,
            **({"teachers": teachers} if teachers else {}),
            "data": [source.to_dict() for source in sources],
            "licences": [asdict(origin) for origin in made_from],
            "training_sha256": finished.photographs,
        },
        evaluation=evaluation,
        intended_use=words.intended_use,
        limits=[
            *data_limits(sources, rows, left_out=finished.left_out),
            *words.limits,
            *network_limits(experiment, heatmap=graph.heatmap),
            *calibrated.warnings,
        ],
        eyes=experiment.network.eyes,
        neighbours=voting.to_dict() if voting else {},
        descriptions=list(experiment.release.descriptions),
        conformal=calibrated.conformal,
    )


def _without_folders(experiment: Experiment) -> dict[str, Any]:
    """The resolved experiment with the names of its files, but not where they lay on the machine it was made on."""
    values = experiment.to_dict()
    values["data"]["cache"] = ""
    for section, key in (("data", "manifest"), ("network", "weights"), ("network", "prototypes"), ("release", "card")):
        values[section][key] = Path(values[section][key]).name
    values["distil"]["teachers"] = [Path(run).name for run in values["distil"]["teachers"]]
    return values


def _started_from(network: Network) -> dict[str, str]:
    """Hashes of the files that training started from; empty where there was none, or it is gone."""
    files = {"pretrained_sha256": network.weights}
    if network.prototypes:
        files["prototypes_sha256"] = network.prototypes
    return {key: sha256_of(path) if path and Path(path).is_file() else "" for key, path in files.items()}


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
    from fundoscope.training.batches.rows import listed, prepared

    frame = listed(experiment)
    learnt_columns = list(target_of(experiment.data).columns)
    frame = frame[frame[learnt_columns].notna().any(axis=1)].reset_index(drop=True)
    if experiment.domains.protocol == "none":
        frame = frame[frame["split"].isin(experiment.data.train)].reset_index(drop=True)
    fellows = find_fellows(frame)
    paired = np.flatnonzero(fellows != NO_FELLOW)
    own = paired[:: max(1, len(paired) // PARITY_PHOTOGRAPHS)][:PARITY_PHOTOGRAPHS]
    rows = prepared(experiment, frame.iloc[np.union1d(own, fellows[own])].reset_index(drop=True))
    still, learnt = EvaluationDataset(rows), set(photographs)
    # Where a protocol divides the photographs, those that were learnt from come first, and pairs before single eyes.
    order = sorted(range(len(rows)), key=lambda at: (rows.stored[at].sha256 not in learnt, rows.fellows[at] < 0))
    canvases = np.stack([still[at]["canvas"] for at in order[:PARITY_PHOTOGRAPHS]])
    canvases[1, 1] = 0
    return canvases
