"""The two tables that most commands are given: predictions, and the manifest that says what is true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.files import sha256_of
from fundoscope.tables.columns import check_manifest, check_predictions
from fundoscope.tables.formats import read_table
from fundoscope.tables.joining import join


@dataclass(frozen=True, slots=True)
class Pair:
    """Predictions beside the rows of the manifest that they are about."""

    predictions: Path
    manifest: Path
    rows: pd.DataFrame
    """Matched photographs, of the split that was asked for."""
    listed: pd.DataFrame
    """The whole manifest, without its folds: they say nothing about what the predictions were held out of."""
    data: dict[str, str | int]
    """Which tables, to the byte, and how much of them found no match."""


def read_pair(predictions: Path, manifest: Path, *, split: str | None = None) -> Pair:
    """Read, check and join both tables.

    Raises:
        BadTable: If one is not usable, or no photograph of the split is both predicted and graded.
    """
    given = check_predictions(read_table(predictions), path=predictions)
    listed = check_manifest(read_table(manifest), path=manifest).drop(columns=["fold", "release"], errors="ignore")
    joined = join(given, listed, predictions_path=predictions, manifest_path=manifest)
    rows, unanswered = joined.rows, joined.only_listed
    if split is not None:
        asked = set(listed["image"][listed["split"] == split]) if "split" in listed else set()
        rows, unanswered = rows[rows["image"].isin(asked)], tuple(image for image in unanswered if image in asked)
    if rows.empty or "grade" not in rows:
        where = "" if split is None else f" on the side {split}"
        raise BadTable(
            f"{predictions}: expected photographs that {manifest} grades{where}, got none among {len(given)} rows (the "
            f"first is {given['image'].iloc[0]}). Write image as the manifest does, or add sha256 to both."
        )
    data = data_of(predictions, manifest, only_predicted=len(joined.only_predicted), only_listed=len(unanswered))
    return Pair(predictions, manifest, rows.reset_index(drop=True), listed, data)


def data_of(predictions: Path, manifest: Path, *, only_predicted: int, only_listed: int) -> dict[str, str | int]:
    """Which tables an answer is about, to the byte, and how much of them found no match."""
    return {
        "predictions": predictions.name,
        "predictions_sha256": sha256_of(predictions),
        "manifest": manifest.name,
        "manifest_sha256": sha256_of(manifest),
        "only_predicted": only_predicted,
        "only_listed": only_listed,
    }
