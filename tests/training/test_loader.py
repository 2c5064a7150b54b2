from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Recipe
from fundoscope.training.config import Augment
from fundoscope.training.loader import Augmented, ResumableLoader, load_rows

RECIPE = Recipe(side=32, crop="square")


@pytest.fixture
def rows(painted_manifest: Path, tmp_path: Path):
    return load_rows(
        read_manifest(painted_manifest), painted_manifest.parent, RECIPE, cache=tmp_path / "cache", lesions=True
    )


def loader(rows, batch: int = 5) -> ResumableLoader:
    return ResumableLoader(Augmented(rows, Augment(), seed=1), batch=batch)


def test_an_epoch_hands_out_every_photograph_once(rows):
    batches = list(loader(rows))

    assert sorted(np.concatenate([batch["grade"] for batch in batches])) == sorted(rows.grades)
    assert [len(batch["grade"]) for batch in batches] == [5, 5, 5, 5, 4]
    assert batches[0]["canvas"].shape == (5, 32, 32, 3)


def test_a_last_batch_of_one_joins_no_epoch(rows):
    """Batch normalisation has no statistics of a single photograph."""
    batches = list(loader(rows, batch=23))

    assert [len(batch["grade"]) for batch in batches] == [23]
    assert len(loader(rows, batch=23)) == 1


def test_a_resumed_loader_hands_out_the_very_same_batches(rows):
    whole, broken_off, resumed = loader(rows), loader(rows), loader(rows)
    undisturbed = [batch["canvas"] for _ in range(2) for batch in whole]

    first = []
    for batch in broken_off:
        first.append(batch["canvas"])
        if len(first) == 3:
            break
    resumed.load_state_dict(broken_off.state_dict())
    rest = [batch["canvas"] for _ in range(2) for batch in resumed]

    assert len(first + rest) == len(undisturbed)
    assert all(a.equal(b) for a, b in zip(first + rest, undisturbed, strict=True))


def test_a_state_at_the_end_of_an_epoch_continues_with_the_next(rows):
    finished, resumed = loader(rows), loader(rows)
    for _ in zip(range(len(finished)), finished, strict=False):
        pass  # as a trainer does: it takes len() batches and never asks for one more

    resumed.load_state_dict(finished.state_dict())

    assert all(a["canvas"].equal(b["canvas"]) for a, b in zip(finished, resumed, strict=True))


def test_two_epochs_differ(rows):
    both = loader(rows)

    first, second = next(iter(both))["canvas"], [batch["canvas"] for _ in range(2) for batch in both][5]

    assert not first.equal(second)


def test_lesions_of_unmarked_photographs_are_unknown_and_of_healthy_ones_empty(rows):
    known = {image: lesions is not None for image, lesions in zip(rows.frame["image"], rows.lesions, strict=True)}

    assert known["00.png"]  # grade 0, no boxes: healthy
    assert rows.lesions[0].sum() == 0
    assert known["02.png"]  # grade 1 with a box
    assert rows.lesions[2][16, 16, 0] == 255
    assert not known["22.png"]  # grade 1 without


def test_photographs_are_prepared_once(rows, painted_manifest: Path, tmp_path: Path):
    before = {stored.path: stored.path.stat().st_mtime_ns for stored in rows.stored}

    again = load_rows(read_manifest(painted_manifest), painted_manifest.parent, RECIPE, cache=tmp_path / "cache")
    other = load_rows(
        read_manifest(painted_manifest),
        painted_manifest.parent,
        dataclasses.replace(RECIPE, side=40),
        cache=tmp_path / "cache",
    )

    assert {stored.path: stored.path.stat().st_mtime_ns for stored in again.stored} == before
    assert other.stored[0].path not in before


def test_a_broken_photograph_is_named(painted_manifest: Path, tmp_path: Path):
    frame = read_manifest(painted_manifest).iloc[:2].copy()
    frame.loc[frame.index[1], "image"] = "absent.png"

    with pytest.raises(BadTable, match=r"1 of 2 photographs cannot be trained on: .*absent\.png"):
        load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "cache")


def test_a_row_without_a_grade_is_not_trained_on(painted_manifest: Path, tmp_path: Path):
    frame = read_manifest(painted_manifest)
    frame.loc[frame.index[3], "grade"] = None

    with pytest.raises(BadTable, match=re.escape("1 rows to be trained on have no grade, the first is 03.png")):
        load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "cache")


def test_boxes_are_found_from_a_manifest_in_another_folder(painted_manifest: Path, tmp_path: Path):
    """Each table's paths are relative to the table itself."""
    frame = read_manifest(painted_manifest)
    frame["image"] = [f"../{painted_manifest.parent.name}/{image}" for image in frame["image"]]
    frame["boxes"] = f"../{painted_manifest.parent.name}/boxes.csv"
    elsewhere = painted_manifest.parent.parent / "elsewhere"
    elsewhere.mkdir(exist_ok=True)

    rows = load_rows(frame, elsewhere, RECIPE, cache=tmp_path / "cache", lesions=True)

    assert rows.lesions is not None
    assert rows.lesions[2] is not None
    assert rows.lesions[2].any()
