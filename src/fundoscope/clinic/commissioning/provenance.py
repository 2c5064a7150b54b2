"""What predictions are to a release: its own, its networks' out of fold, or nothing that may commission it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from fundoscope.data.split import units_of
from fundoscope.decide.heads import exceedance, outputs_of
from fundoscope.decide.held_out import RAW_COLUMNS
from fundoscope.decide.rescale import calibrated
from fundoscope.errors import BadTable
from fundoscope.evaluation.cases import GRADED
from fundoscope.grades import REFERABLE
from fundoscope.runtime.release import OpenRelease, head_probabilities
from fundoscope.tables import PROBABILITIES
from fundoscope.tables.patients import texts

OWN: Final = "the release's own predictions of patients that it did not learn from"
OUT_OF_FOLD: Final = (
    "out-of-fold, by the networks that were trained as the release was, each without the patients it answers for; the "
    "guarantee is for those networks, and the release's own, trained on all of these patients, only in so far as it "
    "answers new patients as they do"
)
UNCHECKED: Final = "predictions of a system that was not given: whether it had learned from these patients is not known"


def held_against(
    rows: pd.DataFrame, manifest: pd.DataFrame, opened: OpenRelease, *, path: Path
) -> tuple[pd.DataFrame, str]:
    """Return joined rows with scores on the release's own scale, and what the predictions are to the release.

    The raw outputs of out-of-fold predictions are read with the release's head and temperature, as its threshold was.

    Args:
        rows: `Joined.rows`; `fold` is the predictions'.
        manifest: The whole manifest: its other photographs tell which patients the release learned from.
        opened: The release.
        path: Of the predictions; named in messages.

    Raises:
        BadTable: If the release learned from a patient, the predictions are another system's or not on its scale.
    """
    hashes = texts(rows, "sha256")
    if unnamed := sum(sha256 is None for sha256 in hashes):
        raise BadTable(
            f"{path}: expected the sha256 of every photograph, to tell it from those that {opened.name} learned from, "
            f"got {unnamed} of {len(rows)} blank. Add the column sha256 to the predictions or to the manifest."
        )
    folded = rows["fold"].notna() if "fold" in rows else pd.Series(False, index=rows.index)
    if not folded.any():
        _refuse_learned(rows, manifest, opened, path)
        _check_author(rows, opened.name, path)
        return rows, OWN
    strange = (~folded).to_numpy() | np.array([sha256 not in _learned(opened) for sha256 in hashes])
    if strange.any():
        raise BadTable(
            f"{path}: expected out-of-fold predictions of the photographs that {opened.name} learned from and no "
            f"others, got {int(strange.sum())} of {len(rows)} without a fold or that it did not learn from "
            f"({rows['image'].iloc[int(strange.argmax())]}). Commission with one kind or the other."
        )
    # In a run's tables the column release is the experiment's name.
    _check_author(rows, str(opened.release.training.get("experiment", {}).get("name", opened.release.id)), path)
    return _rescaled(rows, opened, path), OUT_OF_FOLD


def _learned(opened: OpenRelease) -> set[str]:
    return set(opened.release.training.get("training_sha256", ()))


def _refuse_learned(rows: pd.DataFrame, manifest: pd.DataFrame, opened: OpenRelease, path: Path) -> None:
    hash_of_image = dict(zip(rows["image"], texts(rows, "sha256"), strict=True))
    listed = zip(manifest["image"], texts(manifest, "sha256"), strict=True)
    hashes = [sha256 or hash_of_image.get(image) for image, sha256 in listed]
    units = units_of(manifest.assign(sha256=pd.Series(hashes, index=manifest.index, dtype=object)))
    learned = _learned(opened)
    taught = {unit for unit, sha256 in zip(units, hashes, strict=True) if sha256 in learned}
    images = set(rows["image"])
    pairs = zip(manifest["image"], units, strict=True)
    trained_on = [image for image, unit in pairs if unit in taught and image in images]
    if trained_on:
        raise BadTable(
            f"{path}: expected patients that {opened.name} did not learn from, got {len(trained_on)} photographs of "
            f"patients that it did ({trained_on[0]}). Leave them out of the manifest, or give out-of-fold predictions "
            "(column fold)."
        )


def _check_author(rows: pd.DataFrame, name: str, path: Path) -> None:
    authors = set(texts(rows, "release"))
    if authors != {name}:
        others = ", ".join(sorted(author or "nobody" for author in authors - {name})[:3])
        raise BadTable(
            f"{path}: expected predictions of {name} (column release), got some of {others}. "
            "Grade the photographs with the release that is to be commissioned, or leave --release out."
        )


def _rescaled(rows: pd.DataFrame, opened: OpenRelease, path: Path) -> pd.DataFrame:
    release = opened.release
    if release.neighbours:
        return _votes_rescaled(rows, opened)
    names = [f"raw{k}" for k in range(outputs_of(opened.grading.release.head))]
    graded = np.array([(text or GRADED) == GRADED for text in texts(rows, "status")])
    filled = [name for name in RAW_COLUMNS if name in rows and rows.loc[graded, name].notna().all()]
    if filled != names:
        raise BadTable(
            f"{path}: expected {' to '.join(dict.fromkeys((names[0], names[-1])))} filled in and no other raw "
            f"output, to read them with the {release.head} head of {opened.name}, got {', '.join(filled) or 'none'}. "
            "Give the out_of_fold table of its own run, as it was written."
        )
    scores = np.full(len(rows), np.nan)
    raw = rows.loc[graded, names].to_numpy(dtype=np.float64)
    scores[graded] = exceedance(head_probabilities(opened, raw), REFERABLE)
    return rows.assign(p_referable=scores)


def _votes_rescaled(rows: pd.DataFrame, opened: OpenRelease) -> pd.DataFrame:
    """Calibrate votes of neighbours, which have no raw output, by the release's calibrator."""
    if opened.calibrator is None or not set(PROBABILITIES) <= set(rows.columns):
        return rows
    voted = rows[list(PROBABILITIES)].notna().all(axis=1).to_numpy()
    scores = np.full(len(rows), np.nan)
    shares = rows.loc[voted, list(PROBABILITIES)].to_numpy(dtype=np.float64)
    scores[voted] = exceedance(calibrated(shares, opened.calibrator), REFERABLE)
    return rows.assign(p_referable=scores)
