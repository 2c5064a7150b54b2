"""Which prediction is about which row of the manifest."""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS, row_number

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
    "series_uid",
    "sop_uid",
    "accession",
    "position",
)
"""Columns that say what a photograph is, not what was thought of it; the manifest is believed first."""

LISTED: Final = "listed_"
"""What the name of a manifest's column becomes that only predictions have: it is of another answer."""

ANSWERS: Final = frozenset(PREDICTION_COLUMNS) - frozenset(MANIFEST_COLUMNS) - frozenset(WHO_AND_WHAT)
"""Columns of a system's answer. A manifest that was made from an earlier table of predictions has them, too."""


@dataclass(frozen=True, slots=True)
class Joined:
    """Predictions beside the manifest's rows that they are about."""

    rows: pd.DataFrame
    """One row for each chosen row of the manifest that has a prediction, in its order. Columns of both tables:
    `grade` and every other one that both hold are the manifest's, the prediction's is `predicted_` and its name; of
    `WHO_AND_WHAT` the prediction fills what the manifest leaves blank. Of answers the prediction's are meant alone: a
    manifest's is `listed_` and its name (`_is_answer`)."""
    only_predicted: tuple[str, ...]
    """Images of predictions whose photograph the manifest does not hold."""
    only_listed: tuple[str, ...]
    """Chosen images of the manifest that have no prediction."""
    by_file_name: int = 0
    """Rows whose prediction was found by the file's name alone, without its folders or its suffix."""


def join(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    chosen: Sequence[bool] | None = None,
    predictions_path: Path | str = "predictions",
    manifest_path: Path | str = "manifest",
) -> Joined:
    """Find the prediction for each row of a manifest; a prediction is of one row.

    First by `image` as written, then as a path (`a\\b.jpg` and `./a/b.jpg` are `a/b.jpg`). What is left over is
    matched by sha256, then by the file's name without its folders, then without its suffix: each only among the rows
    chosen, and only where one prediction and one row can be meant. Two photographs with one name and different hashes
    are two photographs. Of several predictions of one photograph the one of the same name is meant.

    Args:
        predictions: As `check_predictions` gives them.
        manifest: As `check_manifest` gives it.
        chosen: Which rows are meant (of a split); None: all. A prediction that is named as another row is that row's.
        predictions_path: Named in messages.
        manifest_path: Named in messages.

    Raises:
        BadTable: If several predictions with one hash but other names fit a row and do not say the same.
    """
    meant = [True] * len(manifest) if chosen is None else list(map(bool, chosen))
    matching = _Matching(predictions, manifest, meant, Path(predictions_path), Path(manifest_path))
    matching.by_key([str(image) for image in predictions["image"]], [str(image) for image in manifest["image"]])
    matching.by_key(*(list(map(_as_path, frame["image"])) for frame in (predictions, manifest)))
    elsewhere = {at for row, at in enumerate(matching.found) if at is not None and not meant[row]}
    matching.by_hash()
    before = matching.count
    for key in (_file_name, _stem):
        matching.by_key(*(list(map(key, frame["image"])) for frame in (predictions, manifest)), only_chosen=True)
    found = [at if of_chosen else None for at, of_chosen in zip(matching.found, meant, strict=True)]
    used = matching.same_photographs({at for at in matching.found if at is not None}) | elsewhere
    return _side_by_side(predictions, manifest, found, used, meant, by_file_name=matching.count - before)


class _Matching:
    """Which prediction each row of a manifest has so far."""

    def __init__(
        self, predictions: pd.DataFrame, manifest: pd.DataFrame, chosen: Sequence[bool], path: Path, manifest_path: Path
    ) -> None:
        self.path, self.manifest_path = path, manifest_path
        self.images = [str(image) for image in manifest["image"]]
        self.chosen = chosen
        self.hashes, self.row_hashes = _hashes(predictions), _hashes(manifest)
        self.content = predictions.drop(columns=[*WHO_AND_WHAT, "graded_at"], errors="ignore")
        self.found: list[int | None] = [None] * len(manifest)
        self.taken: set[int] = set()

    @property
    def count(self) -> int:
        """How many rows have a prediction."""
        return len(self.taken)

    def by_key(self, keys: Sequence[str], row_keys: Sequence[str], *, only_chosen: bool = False) -> None:
        """Match what is left over by a key that one prediction and one row alone have."""
        rows = [row for row in range(len(row_keys)) if self.chosen[row] or not only_chosen]
        uses, row_uses = Counter(keys), Counter(row_keys[row] for row in rows)
        of_key = {key: at for at, key in enumerate(keys)}
        for row in rows:
            key = row_keys[row]
            at = of_key.get(key)
            if at is None or uses[key] > 1 or row_uses[key] > 1 or at in self.taken or self.found[row] is not None:
                continue
            if None in (self.hashes[at], self.row_hashes[row]) or self.hashes[at] == self.row_hashes[row]:
                self._take(row, at)

    def by_hash(self) -> None:
        """Match rows that were chosen and have no prediction yet, where one row alone has the hash."""
        candidates: dict[str, list[int]] = defaultdict(list)
        for at, sha256 in enumerate(self.hashes):
            if sha256 is not None and at not in self.taken:
                candidates[sha256].append(at)
        rows: dict[str, list[int]] = defaultdict(list)
        for row, sha256 in enumerate(self.row_hashes):
            if sha256 is not None and self.chosen[row] and self.found[row] is None:
                rows[sha256].append(row)
        for sha256, of_hash in rows.items():
            if len(of_hash) == 1 and candidates.get(sha256):
                self._take(of_hash[0], self._one_of(candidates[sha256], of_hash[0]))

    def _one_of(self, predictions: Sequence[int], row: int) -> int:
        """Return the first of several predictions of one photograph, if all say the same."""
        if len(predictions) > 1 and len(self.content.iloc[list(predictions)].drop_duplicates()) > 1:
            places = ", ".join(str(row_number(self.path, at)) for at in predictions[:5])
            raise BadTable(
                f"{self.path}: rows {places}: expected one answer for one photograph, got several that differ for "
                f"{self.images[row]} ({self.manifest_path}, row {row_number(self.manifest_path, row)}), all with its "
                "sha256. Delete all but one, or write image as the manifest does."
            )
        return predictions[0]

    def _take(self, row: int, at: int) -> None:
        self.found[row] = at
        self.taken.add(at)

    def same_photographs(self, used: set[int]) -> set[int]:
        """Add to predictions that were used all others of the same photographs."""
        hashes = {self.hashes[at] for at in used} - {None}
        return used | {at for at, sha256 in enumerate(self.hashes) if sha256 in hashes}


def _as_path(image: object) -> str:
    """Return a name with forward slashes and without steps that lead nowhere."""
    return posixpath.normpath(str(image).strip().replace("\\", "/"))


def _file_name(image: object) -> str:
    return PurePosixPath(_as_path(image)).name.casefold()


def _stem(image: object) -> str:
    return PurePosixPath(_as_path(image)).stem.casefold()


def _hashes(frame: pd.DataFrame) -> list[str | None]:
    if "sha256" not in frame:
        return [None] * len(frame)
    return [None if pd.isna(value) else str(value) for value in frame["sha256"]]


def _is_answer(name: str, predictions: pd.DataFrame) -> bool:
    """Return whether a manifest's column is an earlier answer: one of ours, a probability that is predicted as well."""
    probability = name.startswith("p_") and name in predictions
    return name in ANSWERS or name.startswith(PREDICTED) or probability


def _side_by_side(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    matches: Sequence[int | None],
    used: set[int],
    chosen: Sequence[bool],
    *,
    by_file_name: int,
) -> Joined:
    positions = [at for at in matches if at is not None]
    right = manifest[[at is not None for at in matches]].reset_index(drop=True)
    left = predictions.iloc[positions].reset_index(drop=True)
    right = right.rename(columns={name: f"{LISTED}{name}" for name in right if _is_answer(str(name), left)})
    for name in WHO_AND_WHAT:
        if name in left and name in right:
            right[name] = right[name].where(right[name].notna(), left[name])
    left = left.drop(columns=[name for name in WHO_AND_WHAT if name in right], errors="ignore")
    clash = ({"grade"} | set(right.columns)) & set(left.columns)
    left = left.rename(columns={name: PREDICTED + name for name in clash})
    return Joined(
        pd.concat([right, left], axis=1),
        tuple(str(image) for at, image in enumerate(predictions["image"]) if at not in used),
        tuple(
            str(image)
            for at, image, of_chosen in zip(matches, manifest["image"], chosen, strict=True)
            if at is None and of_chosen
        ),
        by_file_name,
    )
