"""Which prediction is about which row of the manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.tables.columns import row_number

PREDICTED: Final = "predicted_"
"""What the name of a prediction's column begins with where the manifest has a column of that name, too."""

WHO_AND_WHAT: Final = (
    "image",
    "sha256",
    "source",
    "patient",
    "patient_raw",
    "patient_note",
    "eye",
    "taken",
    "study_uid",
    "sop_uid",
)
"""Columns that say what a photograph is, not what was thought of it; the manifest is believed first."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions beside the manifest's rows that they are about."""

    rows: pd.DataFrame
    """One row for each matched row of the manifest, in its order. Columns of both tables: `grade` and every
    other one that both hold are the manifest's, the prediction's is `predicted_` and its name; of
    `WHO_AND_WHAT` the prediction fills what the manifest leaves blank."""
    only_predicted: tuple[str, ...]
    """Images of predictions whose photograph the manifest does not hold."""
    only_listed: tuple[str, ...]
    """Images of the manifest that have no prediction."""


def join(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    predictions_path: Path | str = "predictions",
    manifest_path: Path | str = "manifest",
) -> Joined:
    """Find the prediction for each row of a manifest: by sha256; where either side has none, by `image` as written.

    Two photographs with one name and different hashes are two photographs. Rows with one hash are one
    photograph: a manifest that lists it twice finds the same prediction twice, and of several
    predictions the one of the same name is meant.

    Args:
        predictions: As `check_predictions` gives them.
        manifest: As `check_manifest` gives it.
        predictions_path: Named in messages.
        manifest_path: Named in messages.

    Raises:
        BadTable: If several predictions with one hash but other names fit a row and do not say the same.
    """
    answers = _Answers(predictions, Path(predictions_path))
    matches = [
        answers.find(str(image), sha256, f"{manifest_path}, row {row_number(Path(manifest_path), at)}")
        for at, (image, sha256) in enumerate(zip(manifest["image"], _hashes(manifest), strict=True))
    ]
    used = answers.same_photographs({at for at in matches if at is not None})
    return _side_by_side(predictions, manifest, matches, used)


class _Answers:
    """The predictions by hash and by name."""

    def __init__(self, predictions: pd.DataFrame, path: Path) -> None:
        self.path = path
        self.hashes = _hashes(predictions)
        self.by_image = {str(image): at for at, image in enumerate(predictions["image"])}
        self.by_hash: dict[str, list[int]] = defaultdict(list)
        for at, sha256 in enumerate(self.hashes):
            if sha256 is not None:
                self.by_hash[sha256].append(at)
        self.content = predictions.drop(columns=[*WHO_AND_WHAT, "graded_at"], errors="ignore")

    def find(self, image: str, sha256: str | None, row: str) -> int | None:
        """Number of the prediction for a photograph; None where there is none."""
        named = self.by_image.get(image)
        same = self.by_hash.get(sha256, []) if sha256 is not None else []
        if named is not None and (named in same or sha256 is None or self.hashes[named] is None):
            return named
        if len(same) > 1 and len(self.content.iloc[same].drop_duplicates()) > 1:
            places = ", ".join(str(row_number(self.path, at)) for at in same[:5])
            raise BadTable(
                f"{self.path}: rows {places}: expected one answer for one photograph, got several that differ for "
                f"{image} ({row}), all with its sha256. Delete all but one, or write image as the manifest does."
            )
        return same[0] if same else None

    def same_photographs(self, used: set[int]) -> set[int]:
        """Add to predictions that were used all others of the same photographs."""
        hashes = {self.hashes[at] for at in used} - {None}
        return used | {at for at, sha256 in enumerate(self.hashes) if sha256 in hashes}


def _hashes(frame: pd.DataFrame) -> list[str | None]:
    if "sha256" not in frame:
        return [None] * len(frame)
    return [None if pd.isna(value) else str(value) for value in frame["sha256"]]


def _side_by_side(
    predictions: pd.DataFrame, manifest: pd.DataFrame, matches: Sequence[int | None], used: set[int]
) -> Joined:
    positions = [at for at in matches if at is not None]
    right = manifest[[at is not None for at in matches]].reset_index(drop=True)
    left = predictions.iloc[positions].reset_index(drop=True)
    for name in WHO_AND_WHAT:
        if name in left and name in right:
            right[name] = right[name].where(right[name].notna(), left[name])
    left = left.drop(columns=[name for name in WHO_AND_WHAT if name in right], errors="ignore")
    clash = ({"grade"} | set(right.columns)) & set(left.columns)
    left = left.rename(columns={name: PREDICTED + name for name in clash})
    return Joined(
        pd.concat([right, left], axis=1),
        tuple(str(image) for at, image in enumerate(predictions["image"]) if at not in used),
        tuple(str(image) for at, image in zip(matches, manifest["image"], strict=True) if at is None),
    )
