"""The same picture again is found in every disguise, and nothing else is."""

from __future__ import annotations

import itertools
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from tests.disguises import DISGUISES, painted

from fundoscope.audit.repeats import overlap_findings
from fundoscope.duplicates import search
from fundoscope.duplicates.fingerprint import Fingerprints, collected, take_fingerprints
from fundoscope.duplicates.groups import with_groups
from fundoscope.duplicates.search import Pair, find_overlap, group_names, groups_of
from fundoscope.photo.fov import find_field

RETINAS = 6


def printed(paths, folder) -> Fingerprints:
    cache = folder / "cache"
    return collected(take_fingerprints(paths, cache, embedder=None, threads=2), cache, None)


@pytest.fixture
def disguised(tmp_path, save):
    """Six retinas, and each again in one disguise; the last one also as the very same file."""
    originals = [save(f"{seed}.jpg", painted(seed)) for seed in range(RETINAS)]
    again = [
        save(f"{seed}_{name.replace(' ', '_')}.jpg", disguise(painted(seed)), quality=75)
        for seed, (name, disguise) in enumerate(DISGUISES.items())
    ]
    copy = tmp_path / "copy.jpg"
    shutil.copy(originals[-1], copy)
    return [*originals, *again, copy]


def test_every_disguise_is_found_and_nothing_else(disguised, tmp_path):
    overlap = find_overlap(printed(disguised, tmp_path), threads=2)

    found = {(pair.first, pair.second): pair for pair in overlap.pairs}
    assert set(found) >= {(seed, seed + RETINAS) for seed in range(RETINAS)}
    assert all(first % RETINAS == second % RETINAS or second == 2 * RETINAS for first, second in found)
    assert found[RETINAS - 1, 2 * RETINAS].found_by == "the same file"
    assert {pair.relation for pair in overlap.pairs} == {"copy"}
    assert found[2, 8].mirror == 1
    assert found[2, 8].to_dict([path.name for path in disguised])["mirror"] == "left to right"


def test_groups_do_not_depend_on_the_order(disguised, tmp_path):
    def grouped(paths):
        fingerprints = printed(paths, tmp_path)
        roots = groups_of(find_overlap(fingerprints, threads=1).pairs, len(paths))
        return dict(zip([path.name for path in paths], group_names(roots, fingerprints, "d"), strict=True))

    forward, backward = grouped(disguised), grouped(disguised[::-1])

    assert forward == backward
    assert len(set(forward.values())) == RETINAS
    assert forward["0.jpg"] == forward["0_re-encoded.jpg"]


def chain(*links: tuple[int, int]) -> list[Pair]:
    return [Pair(first=a, second=b, relation="copy", found_by="hash", correlation=1.0, mirror=0) for a, b in links]


@pytest.mark.parametrize("order", list(itertools.permutations([(0, 3), (3, 5), (1, 2), (2, 5)])))
def test_groups_are_the_connected_parts_however_the_pairs_come(order):
    assert groups_of(chain(*order), 7) == [0, 0, 0, 0, 4, 0, 6]


def test_groups_that_a_manifest_names_are_kept_and_joined(disguised, tmp_path):
    fingerprints = printed(disguised, tmp_path)
    frame = pd.DataFrame({"image": [path.name for path in disguised], "sha256": fingerprints.sha256})
    frame["duplicate_group"] = [None, "mine", *[None] * (len(frame) - 2)]

    grouped = with_groups(frame, fingerprints, find_overlap(fingerprints, threads=2))

    assert grouped.loc[[1, 1 + RETINAS], "duplicate_group"].tolist() == ["mine", "mine"]
    assert grouped["duplicate_group"].nunique() == RETINAS
    assert with_groups(grouped, fingerprints, find_overlap(fingerprints, threads=2)).equals(grouped)


def test_findings_name_the_groups_and_the_parted_eyes(disguised, tmp_path):
    fingerprints = printed(disguised, tmp_path)
    overlap = find_overlap(fingerprints, threads=2)
    frame = pd.DataFrame({"image": [path.name for path in disguised], "sha256": fingerprints.sha256})
    frame["patient"] = [f"p{at}" for at in range(len(frame))]
    frame["split"] = "train"

    findings = {
        finding.check: finding for finding in overlap_findings(with_groups(frame, fingerprints, overlap), overlap)
    }

    assert set(findings) == {"repeated-photographs", "one-eye-two-patients"}
    assert "one picture with another: 13, in groups: 6" in findings["repeated-photographs"].message
    assert findings["repeated-photographs"].evidence["same_file"] == 1
    assert findings["one-eye-two-patients"].severity == "warns"


def test_one_eye_on_two_sides_blocks(disguised, tmp_path):
    fingerprints = printed(disguised, tmp_path)
    overlap = find_overlap(fingerprints, threads=2)
    eyes = type(overlap)(
        tuple(
            Pair(first=p.first, second=p.second, relation="same eye", found_by="hash", correlation=0.7, mirror=0)
            for p in overlap.pairs
        ),
        overlap.compared,
    )
    frame = pd.DataFrame({"image": [path.name for path in disguised], "sha256": fingerprints.sha256})
    frame["split"] = ["train"] * RETINAS + ["test"] * (RETINAS + 1)
    frame["grade"] = [2, 2, 2, 2, 2, 2, 2, 3, 4, 1, 2, 2, 2]

    findings = list(overlap_findings(with_groups(frame, fingerprints, eyes), eyes))
    found = [f for f in findings if f.severity == "blocks"]

    assert [finding.check for finding in found] == ["one-eye-two-splits"]
    assert found[0].evidence["pairs"][0]["sides"] == ["train", "test"]
    (graded,) = [f for f in findings if f.check == "one-eye-two-grades"]
    assert [pair["grades"] for pair in graded.evidence["pairs"]] == [[2, 4]]


def test_unreadable_photographs_take_no_part(disguised, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")

    fingerprints = printed([broken, *disguised, broken], tmp_path)

    assert not {0, len(disguised) + 1} & {
        at for p in find_overlap(fingerprints, threads=2).pairs for at in (p.first, p.second)
    }


def test_real_photographs_repeat_where_their_files_do(shared_data, tmp_path):
    """IDRiD's one byte-identical pair across its own split, and two photographs of one eye, among others."""
    names = ["train_118", "test_064", "train_013", "train_397", "train_001", "train_002", "train_003", "train_004"]
    paths = [shared_data / "idrid" / "images" / f"IDRiD_{name}.jpg" for name in names]

    overlap = find_overlap(printed(paths, tmp_path), threads=2)

    assert [(p.first, p.second, p.relation) for p in overlap.pairs] == [(0, 1, "copy"), (2, 3, "same eye")]
    assert np.isclose(overlap.pairs[0].correlation, 1)


def second_view(photo, *, turn, shift):
    """The same eye photographed again: the retina has moved behind the aperture."""
    height, width = photo.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, 1.0)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(photo, matrix, (width, height), borderMode=cv2.BORDER_REFLECT)
    return np.where(find_field(photo).mask(height, width)[..., None], moved, 0).astype(np.uint8)


@pytest.fixture
def exchanged(tmp_path, save):
    """Two patients with two eyes each, photographed twice; the second visits stand under the other's name.

    The left eyes moved little, the right ones so far that they are not among one another's nearest.
    """
    paths, patients = [], []
    for visit, names in enumerate(["ab", "ba"]):
        for eye, turn, shift in (("left", 2.0, (6, 4)), ("right", 9.0, (30, -22))):
            for person, name in enumerate(names):
                photo = painted(10 + person + 2 * (eye == "right"))
                photo = second_view(photo, turn=turn, shift=shift) if visit else photo
                # The person's own name at the first visit; the other's at the second.
                paths.append(save(f"{name}_{visit}_{eye}.jpg", photo))
                patients.append(name)
    return paths, patients


def test_where_one_eye_of_two_patients_was_exchanged_their_other_eyes_are_compared(exchanged, tmp_path, monkeypatch):
    """As where the fellow eyes are no candidates by hash or details."""
    paths, patients = exchanged
    fingerprints = printed(paths, tmp_path)
    eyes = [path.name.split("_")[2] for path in paths]
    close = search.most_alike

    def only_left_eyes(planes, count, **options):
        kept = planes * np.array([eye == "left.jpg" for eye in eyes], np.float32)[:, None, None]
        return close(kept, count, **options)

    monkeypatch.setattr(search, "most_alike", only_left_eyes)

    alone = find_overlap(fingerprints, threads=1)
    together = find_overlap(fingerprints, threads=1, patients=patients)

    def sides(overlap):
        return sorted((paths[pair.first].name, paths[pair.second].name) for pair in overlap.pairs)

    assert sides(alone) == [("a_0_left.jpg", "b_1_left.jpg"), ("b_0_left.jpg", "a_1_left.jpg")]
    assert sides(together) == sorted(
        [*sides(alone), ("a_0_right.jpg", "b_1_right.jpg"), ("b_0_right.jpg", "a_1_right.jpg")]
    )
    assert {paths[p.first].name.split("_")[2] for p in together.pairs if p.found_by == "fellow eye"} == {"right.jpg"}


def test_nobodys_fellow_eyes_are_looked_at_where_patients_are_not_known(exchanged, tmp_path):
    paths, _ = exchanged
    fingerprints = printed(paths, tmp_path)

    unknown = find_overlap(fingerprints, threads=1, patients=[None] * len(paths))

    assert unknown == find_overlap(fingerprints, threads=1)


def test_views_that_show_the_eye_of_a_third_are_compared_with_one_another(tmp_path, save):
    photo = painted(3)
    paths = [save(f"{at}.jpg", second_view(photo, turn=4.0 * at, shift=(9 * at, 0))) for at in range(3)]
    paths += [save(f"other_{seed}.jpg", painted(20 + seed)) for seed in range(4)]

    overlap = find_overlap(printed(paths, tmp_path), threads=1)

    assert {(pair.first, pair.second) for pair in overlap.pairs} == {(0, 1), (0, 2), (1, 2)}
    assert {pair.relation for pair in overlap.pairs} == {"same eye"}
