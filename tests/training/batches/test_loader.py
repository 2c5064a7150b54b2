from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadExperiment, BadTable
from fundoscope.files import sha256_of
from fundoscope.photo.recipe import Recipe
from fundoscope.training.augmentation.parameters import draw_params
from fundoscope.training.batches import loader as loading
from fundoscope.training.batches.cache import Stored
from fundoscope.training.batches.items import Shown, SupervisedViews, TrainingDataset, without_fundus_aug
from fundoscope.training.batches.loader import ResumableLoader
from fundoscope.training.batches.rows import load_rows
from fundoscope.training.experiment.photographs import Sampling
from fundoscope.training.experiment.ranges import Augment

RECIPE = Recipe(side=32, crop="square")


@pytest.fixture
def rows(painted_manifest: Path, tmp_path: Path):
    return load_rows(
        read_manifest(painted_manifest), painted_manifest.parent, RECIPE, cache=tmp_path / "cache", lesions=True
    )


def augmented(rows, augment: Augment, seed: int, **options: object) -> TrainingDataset:
    return TrainingDataset(rows, SupervisedViews(augment, seed, **options))


def loader(rows, batch: int = 5) -> ResumableLoader:
    return ResumableLoader(augmented(rows, Augment(), seed=1), batch=batch)


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


def test_a_cache_that_cannot_be_written_is_named_and_no_photograph_or_temporary_file(
    painted_manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    frame = read_manifest(painted_manifest).iloc[:2]
    (tmp_path / "file").write_text("")

    with pytest.raises(BadExperiment, match=r"data\.cache: expected a folder .* got .*/file/\w{16}: Not a directory\."):
        load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "file")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / ".x.npz.tmp"))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(BadExperiment, match=r"data\.cache: .*: No space left on device\. Change") as refused:
        load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "cache")
    assert ".tmp" not in str(refused.value)


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


def test_the_shipped_release_would_see_the_same_order_again(rows):
    """Rows of the first and the fourth epoch as version 1 of the loader had them."""
    ours = loader(rows)

    first = ours._order()
    ours.epoch = 3

    assert [[shown.row for shown in batch] for batch in first] == [
        [1, 21, 7, 17, 16], [23, 22, 15, 20, 11], [2, 12, 10, 3, 4], [5, 8, 0, 9, 14], [18, 13, 6, 19],
    ]  # fmt: skip
    assert [shown.row for shown in ours._order()[0]] == [2, 4, 20, 3, 23]
    assert all(shown == (0, shown.row, 0, -1, 0) for batch in first for shown in batch)


def test_a_photograph_is_augmented_by_its_place_and_not_by_who_loads_it(rows):
    """Two worker processes hand out what none does."""
    data = augmented(rows, Augment(halo=0.5, rand_augment=2, mixup=0.4), seed=1)
    alone, helped = ResumableLoader(data, batch=8), ResumableLoader(data, batch=8, workers=2)

    assert all(a["canvas"].equal(b["canvas"]) for a, b in zip(alone, helped, strict=True))


def test_a_photograph_shown_twice_is_augmented_in_two_ways(rows):
    data = augmented(rows, Augment(), seed=1)
    first, second = data[Shown(0, 3)], data[Shown(0, 3, repeat=1)]

    assert not np.array_equal(first["canvas"], second["canvas"])
    assert np.array_equal(first["canvas"], data[(0, 3)]["canvas"])


def test_rare_grades_are_shown_more_often_and_each_time_anew(rows):
    few = rows.take(np.flatnonzero((rows.grades == 0) | (np.arange(24) == 8)))
    ours = ResumableLoader(augmented(few, Augment(), 1), batch=len(few), sampling=Sampling(strategy="inverse"))

    (batch,) = list(ours)
    of_the_rare = batch["canvas"][batch["grade"] == 4]

    assert len(of_the_rare) > 1
    assert not of_the_rare[0].equal(of_the_rare[1])


def test_balanced_batches_reach_the_network(rows):
    ours = ResumableLoader(augmented(rows, Augment(), 1), batch=10, sampling=Sampling(strategy="balanced"))
    batches = list(ours)

    assert len(batches) == len(ours) == 2
    assert all(batch["grade"].bincount().tolist() == [2] * 5 for batch in batches)


def test_what_cannot_be_drawn_is_refused_before_the_first_batch(rows):
    data = augmented(rows, Augment(), 1)

    with pytest.raises(BadExperiment, match=r"fit\.batch: expected a multiple of 5"):
        ResumableLoader(data, batch=8, sampling=Sampling(strategy="balanced"))
    with pytest.raises(BadExperiment, match="expected a source for every training row of the manifest, got no column"):
        ResumableLoader(data, batch=8, sampling=Sampling(strategy="source"))


@pytest.mark.parametrize("strategy", ["none", "inverse", "balanced", "grade_source"])
def test_two_processes_show_together_what_one_shows_alone(rows, strategy, monkeypatch):
    """Batch for batch, with the same augmentation and the same partners: 2 x 5 photographs are one's 10."""
    rows.frame["source"] = ["one", "two", "two"] * 8
    data = augmented(rows, Augment(cutmix=1.0), 1)
    alone = ResumableLoader(data, batch=10, sampling=Sampling(strategy=strategy))
    halves = ResumableLoader(data, batch=5, sampling=Sampling(strategy=strategy))
    for epoch in (0, 1):
        alone.epoch = halves.epoch = epoch
        monkeypatch.setattr(loading, "_world", lambda: 1)
        monkeypatch.setattr(loading, "_rank", lambda: 0)
        whole = alone._order()
        monkeypatch.setattr(loading, "_world", lambda: 2)
        shares = []
        for rank in (0, 1):
            monkeypatch.setattr(loading, "_rank", lambda rank=rank: rank)
            shares.append(halves._order())

        assert len(whole) == len(halves)
        for together, first, second in zip(whole, *shares, strict=True):
            assert sorted(first + second) == sorted(together)
            assert len(first) == len(second)


def test_mixed_photographs_bring_their_partners_grade_and_their_own_share(rows):
    plain = augmented(rows, Augment.plain(), 1)
    mixing = augmented(rows, dataclasses.replace(Augment.plain(), mixup=1.0), 1)
    item = mixing[Shown(0, 2, partner=9)]
    own, partner = plain[Shown(0, 2)]["canvas"], plain[Shown(0, 9)]["canvas"]

    assert (item["grade"], item["grade_partner"]) == (rows.grades[2], rows.grades[9])
    assert 0 < item["share"] < 1
    expected = item["share"] * own.astype(float) + (1 - item["share"]) * partner
    assert item["canvas"] == pytest.approx(expected, abs=0.51)


def test_lesions_of_a_mixture_are_known_only_where_both_photographs_are(rows):
    mixing = augmented(rows, dataclasses.replace(Augment.plain(), cutmix=1.0), 1)

    assert mixing[Shown(0, 2, partner=0)]["lesions_known"] == 1.0
    assert mixing[Shown(0, 2, partner=22)]["lesions_known"] == 0.0  # 22 is graded 1 and not marked


def test_unmixed_photographs_are_wholly_their_own_and_batches_stay_whole(rows):
    data = augmented(rows, dataclasses.replace(Augment.plain(), mixup=1.0, mix_probability=0.5), 1)
    (batch,) = list(ResumableLoader(data, batch=24))
    unmixed = batch["share"] == 1

    assert 4 < unmixed.sum() < 20
    assert batch["grade_partner"][unmixed].equal(batch["grade"][unmixed])
    assert "share" not in next(iter(loader(rows)))


def test_partners_are_of_the_same_batch(rows):
    ours = ResumableLoader(augmented(rows, Augment(mixup=1.0), 1), batch=7, sampling=Sampling(strategy="inverse"))
    for batch in ours._order():
        shown = {(place.row, place.repeat) for place in batch}

        assert all((place.partner, place.partner_repeat) in shown for place in batch)


def test_lesions_follow_every_new_movement(rows, tmp_path: Path):
    """The loader's own path: a bright square where the lesion map is marked, under all geometry at once."""
    ranges = Augment(
        flip_down=0.5, stretch=0.1, crop_area=(0.8, 1.0), crop_ratio=(0.9, 1.1), side_padding=0.5, brightness=0.0,
        contrast=0.0, saturation=0.0, tint=0.0,
    )  # fmt: skip
    marked = np.zeros((32, 32, 2), np.uint8)
    marked[8:24, 10:22, 0] = 255

    square = Stored(tmp_path / "square.npz", "0" * 64)
    np.savez(square.path, canvas=np.where(marked[..., :1] > 0, 200, 40).astype(np.uint8).repeat(3, axis=2))

    data = augmented(dataclasses.replace(rows, stored=[square] * 24, lesions=[marked] * 24), ranges, 1)
    for row in range(12):
        item = data[Shown(0, row)]
        seen, moved = item["canvas"][..., 0] > 120, item["lesions"][..., 0] > 0
        assert np.logical_and(seen, moved).sum() / np.logical_or(seen, moved).sum() > 0.8


SPOILING = {"sharpness": 1.0, "halo": 1.0, "hole": 1.0, "spot": 1.0, "blur": 1.0}


def test_a_twin_is_the_same_photograph_under_the_same_tweak_with_fundus_aug_beside(rows):
    spoilt, clean = Augment(**SPOILING), Augment()
    second_views = augmented(rows, spoilt, 1, second_view=True)

    for shown in (Shown(0, 3), Shown(2, 3), Shown(0, 3, repeat=1)):
        item = second_views[shown]
        assert np.array_equal(item["canvas"], augmented(rows, clean, 1)[shown]["canvas"])
        assert np.array_equal(item["second_view"], augmented(rows, spoilt, 1)[shown]["canvas"])
        assert not np.array_equal(item["canvas"], item["second_view"])


def test_parameters_without_fundus_aug_keeps_all_else():
    params = draw_params(np.random.default_rng(0), Augment(**SPOILING, erase=1.0, rand_augment=2))
    changed = {
        field.name
        for field in dataclasses.fields(params)
        if getattr(params, field.name) != getattr(without_fundus_aug(params), field.name)
    }

    assert changed == {"sharpness", "halo", "hole", "spots", "blur"}


def test_a_photographs_weight_goes_where_it_goes(rows):
    weights = np.linspace(0.5, 2.0, len(rows))
    weighed = dataclasses.replace(rows, weights=weights).take(np.array([5, 2, 9]))
    mixing = augmented(weighed, dataclasses.replace(Augment.plain(), mixup=1.0), 1)

    assert [augmented(weighed, Augment(), 1)[Shown(0, row)]["weight"] for row in range(3)] == list(weights[[5, 2, 9]])
    mixed = mixing[Shown(0, 2, partner=1)]
    assert (mixed["weight"], mixed["weight_partner"]) == (weights[9], weights[2])
    unmixed = mixing[Shown(0, 2)]
    assert unmixed["weight"] == unmixed["weight_partner"] == weights[9]


def test_a_file_that_is_not_the_one_the_manifest_means_is_not_trained_on(painted_manifest, tmp_path):
    frame = read_manifest(painted_manifest)
    folder = painted_manifest.parent
    frame = frame.assign(sha256=[sha256_of(folder / image) for image in frame["image"]])
    assert len(load_rows(frame, folder, RECIPE, cache=tmp_path / "cache")) == len(frame)
    hashes = frame["sha256"].tolist()
    swapped = frame.assign(sha256=[hashes[1], hashes[0], None, *hashes[3:]])

    with pytest.raises(BadTable, match=rf"got others for 2 of {len(frame)} photographs: {frame['image'][0]}"):
        load_rows(swapped, folder, RECIPE, cache=tmp_path / "cache")
