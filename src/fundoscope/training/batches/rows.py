"""Rows of the manifest that an experiment trains on or validates with, and their prepared photographs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadExperiment
from fundoscope.training.batches.loader import Rows, load_rows
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.weights import grade_source_weights

Report = Callable[[str], None]
"""Called with one line about what is being done."""


def training_rows(experiment: Experiment, splits: tuple[str, ...], say: Report) -> Rows:
    """The rows of the manifest that have one of the splits, prepared."""
    path = experiment.data.manifest
    frame = listed(experiment)
    chosen = frame[frame["split"].isin(splits)] if "split" in frame else frame.iloc[:0]
    if chosen.empty:
        found = sorted(frame["split"].dropna().unique()) if "split" in frame else "no column split"
        raise BadExperiment(f"{path}: expected rows with split in {splits}, found {found}")
    say(f"preparing {len(chosen)} photographs of {path} ({', '.join(splits)})")
    return prepared(experiment, chosen.reset_index(drop=True))


def listed(experiment: Experiment) -> pd.DataFrame:
    """The manifest.

    Raises:
        BadExperiment: If none is given, or the column that names the sources is not in it.
        BadTable: If it cannot be read.
    """
    if not experiment.data.manifest:
        raise BadExperiment("data.manifest: expected the path of a manifest, got none. Add data.manifest=FILE")
    frame = read_manifest(Path(experiment.data.manifest))
    by = experiment.domains.by
    if by not in frame and by != "source":
        raise BadExperiment(
            f"domains.by: expected a column of {experiment.data.manifest}, got {by!r}, which it lacks. "
            f"It has {', '.join(frame.columns)}"
        )
    return frame


def prepared(experiment: Experiment, frame: pd.DataFrame) -> Rows:
    """Rows of the manifest, prepared; `source` is what the experiment says names the sources.

    Raises:
        BadTable: If a row has no grade or a photograph cannot be read.
    """
    by = experiment.domains.by
    rows = load_rows(
        frame.assign(source=frame[by]) if by in frame else frame,
        Path(experiment.data.manifest).parent,
        experiment.recipe,
        cache=experiment.data.cache,
        lesions=experiment.lesions.weight > 0,
        target=target_of(experiment.data),
    )
    return replace(rows, eyes=experiment.network.eyes, fellow_dropout=experiment.network.fellow_dropout)


def to_learn(experiment: Experiment, rows: Rows) -> Rows:
    """Training rows with what the loss asks for beside their grade: weights by source, second_views.

    Raises:
        BadExperiment: If weights by source are asked for and a row has none.
    """
    weights = None
    if experiment.loss.class_weights == "grade_source":
        if "source" not in rows.frame or rows.frame["source"].isna().any():
            raise BadExperiment(
                "loss.class_weights 'grade_source': expected a source for every training row of the manifest, got rows "
                "without one. Fill the column (or domains.by's), or change loss.class_weights"
            )
        weights = grade_source_weights(rows.grades, rows.frame["source"].to_numpy(object).astype(str))
    return replace(rows, weights=weights, second_views=experiment.contrast.weight > 0)
