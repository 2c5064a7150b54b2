from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.heatmaps.certification.evaluators import release_evaluator
from fundoscope.heatmaps.certification.leakage import LEARNT, TrainingSet
from fundoscope.heatmaps.certification.scenes import read_photographs
from fundoscope.heatmaps.certification.selection import candidates_of, select_photographs
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.backends.network import open_network
from fundoscope.runtime.release import open_release

# Test files cannot import one another; pytest finds fixtures by the names in this module.

RECIPE = Recipe(side=96, crop="circle")


@pytest.fixture
def manifest(tmp_path) -> Path:
    """Three photographs with masks, one of them a test photograph, and one whose masks nobody drew."""
    rows = []
    for number in range(4):
        painted = paint_retina(RetinaSpec(side_px=320, grade=3), rng=np.random.default_rng(number))
        Image.fromarray(painted.photo).save(tmp_path / f"{number}.jpg", quality=92)
        Image.fromarray((painted.lesion_mask * 255).astype(np.uint8)).save(tmp_path / f"{number}_he.png")
        rows.append(
            {
                "image": f"{number}.jpg",
                "sha256": sha256_of(tmp_path / f"{number}.jpg"),
                "patient": f"p{number}",
                "grade": 0 if number == 3 else 3,
                "split": "test" if number == 2 else "train",
                "mask_he": None if number == 3 else f"{number}_he.png",
            }
        )
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def test_only_photographs_with_masks_are_tested_on_and_those_left_out_by_name_or_split_are_not(manifest):
    def names(**options: object) -> list[str]:
        return candidates_of(manifest, **({"lesions": True} | options)).frame["image"].tolist()

    assert names() == ["0.jpg", "1.jpg", "2.jpg"]
    assert names(leave_out=["2"]) == names(leave_out=["2.jpg"]) == names(splits=["train"]) == ["0.jpg", "1.jpg"]
    assert names(lesions=False) == ["3.jpg"]
    assert names(most=1) == ["0.jpg"]
    with pytest.raises(BadRequest, match=r"expected rows with a mask of a lesion .* got none"):
        names(splits=["val"])


def test_masks_lie_on_the_canvas_where_they_lay_on_the_photograph(manifest):
    asked = candidates_of(manifest, lesions=True)

    found = read_photographs(asked.frame, manifest, RECIPE, [0, 0, 0])

    for each in found:
        drawn = np.asarray(Image.open(manifest.parent / each.scene.image.replace(".jpg", "_he.png"))) > 0
        share = each.scene.lesions["haemorrhages"].mean() / drawn.mean()
        assert 0.5 < share * drawn.size / 320**2 < 2
        assert each.canvas.shape == (96, 96, 3)
    (manifest.parent / "0_he.png").unlink()
    with pytest.raises(BadTable, match=r"0_he\.png: expected a mask picture for mask_he, got none"):
        read_photographs(asked.frame, manifest, RECIPE, [0, 0, 0])


def test_a_photograph_whose_mask_is_empty_is_not_taken_for_one_with_lesions(manifest):
    empty = np.zeros_like(np.asarray(Image.open(manifest.parent / "1_he.png")))
    Image.fromarray(empty).save(manifest.parent / "1_he.png")
    asked = candidates_of(manifest, lesions=True)

    with pytest.raises(BadTable, match=r"1\.jpg: expected a lesion in the field of view in one of .* got none"):
        read_photographs(asked.frame, manifest, RECIPE, [0, 0, 0])


def test_what_the_release_learnt_from_is_left_out_and_named_and_of_that_alone_nothing_is_certified(manifest, tmp_path):
    asked = candidates_of(manifest, lesions=True)
    learnt = set(asked.frame["sha256"].iloc[:1])
    options = {"training_set": None, "cache": tmp_path / "cache", "threads": 1}

    chosen = select_photographs([asked], RECIPE, learnt=learnt, **options)

    assert [each.scene.image for each in chosen.photographs] == ["1.jpg", "2.jpg"]
    assert chosen.left_out == ({"image": "0.jpg", "why": LEARNT},)
    assert chosen.counts()["patients"] == 2
    with pytest.raises(BadRequest, match=r"expected photographs with lesions that the network did not learn from"):
        select_photographs([asked], RECIPE, learnt=set(asked.frame["sha256"]), **options)


def test_with_folds_each_photograph_goes_to_its_own_and_what_none_saw_is_dealt_out(manifest, tmp_path):
    asked, free = candidates_of(manifest, lesions=True), candidates_of(manifest, lesions=False)
    table = asked.frame.iloc[:1][["image", "sha256", "patient"]].assign(source=None, fold=4)
    training_set = TrainingSet(frame=table, manifest=manifest)

    chosen = select_photographs(
        [asked, free],
        RECIPE,
        training_set=training_set,
        learnt=set(table["sha256"]),
        folds=(2, 4),
        cache=tmp_path / "cache",
        threads=1,
    )

    assert [each.evaluator for each in chosen.photographs] == [1, 1, 0, 0]
    assert [bool(each.scene.marked) for each in chosen.photographs] == [True, True, True, False]
    assert chosen.counts()["lesion_free"] == 1
    with_release = select_photographs(
        [asked, free],
        RECIPE,
        training_set=training_set,
        learnt=set(table["sha256"]),
        cache=tmp_path / "cache",
        threads=1,
    )
    assert with_release.left_out == ({"image": "0.jpg", "why": LEARNT},), "a release learnt from every fold"


def test_a_photograph_of_no_known_patient_counts_as_a_patient_of_its_own(manifest, tmp_path):
    pd.read_csv(manifest).drop(columns="patient").to_csv(manifest, index=False)

    chosen = select_photographs(
        [candidates_of(manifest, lesions=True)],
        RECIPE,
        training_set=None,
        learnt=(),
        cache=tmp_path / "cache",
        threads=1,
    )

    assert (chosen.counts()["lesions"], chosen.counts()["patients"]) == (3, 3)


def test_a_release_of_both_eyes_judges_each_photograph_without_the_other_eye(pair_release, rng):
    opened = open_release(pair_release)
    network = open_network(opened)
    canvases = rng.integers(0, 255, (3, 64, 64, 3), dtype=np.uint8)

    judge = release_evaluator(opened, network)

    alone = network.run(np.stack([canvases, np.zeros_like(canvases)], axis=1))
    assert alone.heatmap is not None
    np.testing.assert_allclose(judge.maps(canvases), np.maximum(alone.heatmap, 0), atol=1e-6)
    assert len(set(judge.score(canvases).round(6))) > 1
    beside = network.run(np.stack([canvases, canvases], axis=1)).raw
    assert not np.allclose(beside, alone.raw), "the other eye would have mattered"
