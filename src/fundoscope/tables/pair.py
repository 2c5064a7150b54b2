"""Predictions beside the manifest that holds their reference grades: reading, checking, joining, choosing the split.

Every use case that is given both tables reads them here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.tables.checks import check_manifest, check_predictions
from fundoscope.tables.columns import SIGN_PREFIX, Column
from fundoscope.tables.formats import read_table
from fundoscope.tables.joining import PREDICTED, join
from fundoscope.tables.notes import note
from fundoscope.tables.patients import PERSON_POOLS, unit_keys
from fundoscope.tables.places import Places
from fundoscope.tables.values import typed

OF_RESULTS: Final = frozenset({"status", "decision", "graded_at", "release"})
"""Columns that no manifest has and every table of results."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A manifest, and its rows that a use case is about."""

    path: Path
    listed: pd.DataFrame
    """The whole manifest, without its columns `fold` and `release`: both belong to the predictions."""
    chosen: pd.DataFrame
    """Rows of the split, all rows without one."""
    split: str | None = None
    unseen_patients: bool = False
    """Whether units that another split has, too, are left out of `chosen`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Predictions beside the rows of the manifest that they are about."""

    predictions: Path
    reference: Reference
    rows: pd.DataFrame
    """Photographs of `chosen` that have a prediction; columns as `joining.join` names them."""
    predicted: tuple[str, ...]
    """Images of all predictions, with a match or without."""
    data: dict[str, str | int]
    """Names and hashes of both tables, and how many of their rows have no match."""

    @property
    def manifest(self) -> Path:
        """Path of the manifest."""
        return self.reference.path

    @property
    def listed(self) -> pd.DataFrame:
        """The whole manifest; see `Reference`."""
        return self.reference.listed

    @property
    def chosen(self) -> pd.DataFrame:
        """Rows of the manifest that are meant; see `Reference`."""
        return self.reference.chosen

    @property
    def photographs(self) -> dict[str, Path]:
        """File of each chosen photograph, by its name in the manifest, which is relative to the manifest's folder."""
        places = Places(self.manifest.parent)
        return {str(image): places.find(str(image)) for image in self.chosen["image"]}


def read_pair(predictions: Path, manifest: Path, *, split: str | None = None, unseen_patients: bool = False) -> Pair:
    """Read, check and join both tables.

    Args:
        predictions: Table of predictions of any system.
        manifest: Table with the reference grades.
        split: Split of the manifest to use; None: all rows.
        unseen_patients: As `read_reference`.

    Raises:
        BadRequest: As `read_reference`.
        BadTable: If a table is not usable, or no photograph of the split has both a prediction and a reference grade.
    """
    pair = pair_with(predictions, read_reference(manifest, split=split, unseen_patients=unseen_patients))
    if "grade" not in pair.rows or not pair.rows["grade"].notna().any():
        where = "" if split is None else f" in split {split}"
        raise BadTable(
            f"{predictions}: expected photographs that {manifest} gives a grade to{where}, got none among "
            f"{len(pair.predicted)} rows (the first is {pair.predicted[0]}). Write image as the manifest does, or add "
            "sha256 to both."
        )
    return pair


def read_reference(manifest: Path, *, split: str | None = None, unseen_patients: bool = False) -> Reference:
    """Read and check a manifest and choose its split.

    Args:
        manifest: Table with the reference grades.
        split: Split to use; None: all rows.
        unseen_patients: Leave out units (patients, files, duplicates, eyes; see `patients.unit_keys`) that another
            split has, too.

    Raises:
        BadRequest: If `unseen_patients` is given without a split.
        BadTable: If the manifest is not usable, or no row is left.
    """
    if unseen_patients and split is None:
        raise BadRequest("--unseen-patients: expected --split beside it, got none. Say which split is evaluated.")
    listed = check_manifest(read_table(manifest), path=manifest)
    if OF_RESULTS.issubset(listed.columns) and "grade" in listed:
        note(
            f"{manifest}: looks like a table of results: its column grade is taken for reference grades. Where they "
            "are a system's own answers, all figures are of that system's agreement with itself."
        )
    listed = listed.drop(columns=["fold", "release"], errors="ignore")
    if split is None:
        return Reference(manifest, listed, listed)
    splits = listed["split"].fillna("").tolist() if "split" in listed else []
    if split not in splits:
        others = ", ".join(sorted(set(splits) - {""})) or "none"
        raise BadTable(
            f"{manifest}: expected rows of split {split}, got splits: {others}. Give another --split, or none."
        )
    inside = [name == split for name in splits]
    if unseen_patients:
        units = unit_keys(listed, pools=PERSON_POOLS)
        elsewhere = {unit for unit, name in zip(units, splits, strict=True) if name not in ("", split)}
        inside = [of_split and unit not in elsewhere for of_split, unit in zip(inside, units, strict=True)]
    if not any(inside):
        raise BadTable(
            f"{manifest}: expected patients who are in split {split} only, got none. Leave --unseen-patients out."
        )
    return Reference(manifest, listed, listed[inside], split, unseen_patients)


def pair_with(predictions: Path, reference: Reference) -> Pair:
    """Read predictions and join them with a manifest that has been read; there may be no match.

    Raises:
        BadTable: If the predictions are not usable, contradict themselves on a photograph, or are the manifest.
    """
    answers = check_predictions(read_table(predictions), path=predictions)
    hashes = {"predictions_sha256": sha256_of(predictions), "manifest_sha256": sha256_of(reference.path)}
    if len(set(hashes.values())) == 1:
        raise BadTable(
            f"{reference.path}: expected a manifest with reference grades, got the table of predictions itself "
            f"({predictions}). Name the manifest whose grades people gave."
        )
    answers = check_signs(answers, map(str, reference.listed.columns), path=predictions)
    inside = reference.listed.index.isin(reference.chosen.index).tolist()
    joined = join(answers, reference.listed, chosen=inside, predictions_path=predictions, manifest_path=reference.path)
    data: dict[str, str | int] = {
        "predictions": predictions.name,
        "predictions_sha256": hashes["predictions_sha256"],
        "manifest": reference.path.name,
        "manifest_sha256": hashes["manifest_sha256"],
        "only_predicted": len(joined.only_predicted),
        "only_listed": len(joined.only_listed),
    }
    if joined.by_file_name:
        data["joined_by_file_name_alone"] = joined.by_file_name
    return Pair(
        predictions=predictions,
        reference=reference,
        rows=joined.rows,
        predicted=tuple(map(str, answers["image"])),
        data=data,
    )


def check_signs(predictions: pd.DataFrame, names: Iterable[str], *, path: Path) -> pd.DataFrame:
    """Type the signs of predictions and rename `sign_NAME` to `predicted_sign_NAME`, so that none looks like a target.

    Args:
        predictions: As `check_predictions` gives them.
        names: Columns of the manifest; only its signs are looked for.
        path: Where the predictions are from; messages name it.

    Raises:
        BadTable: If `p_NAME` or `sign_NAME` holds anything but a share or a blank.
    """
    targets = [name for name in names if name.startswith(SIGN_PREFIX)]
    columns = {name: Column("share") for target in targets for name in (target, sign_score(target))}
    renamed = {name: PREDICTED + name for name in map(str, predictions.columns) if name.startswith(SIGN_PREFIX)}
    return typed(predictions, columns, path).rename(columns=renamed)


def sign_score(sign: str) -> str:
    """Name the column of predictions that holds the probability of a sign, given the manifest's column `sign_NAME`."""
    return f"p_{sign.removeprefix(SIGN_PREFIX)}"
