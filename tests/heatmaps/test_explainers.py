from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.errors import BadRequest, BadTable
from fundoscope.files import sha256_of
from fundoscope.heatmaps.explainers import Explainer, LesionMasks, ReleaseExplainer, explain_photographs
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.description import GOLDEN, MODEL
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.release import open_release


@pytest.fixture
def photographs(tmp_path: Path) -> list[Listed]:
    """Two painted retinas."""
    listed = []
    for number in range(2):
        path = tmp_path / f"{number}.png"
        photo = paint_retina(RetinaSpec(side_px=300, grade=number), rng=np.random.default_rng(number)).photo
        Image.fromarray(photo).save(path)
        listed.append(Listed(image=path.name, path=path))
    return listed


@pytest.fixture
def manifest(photographs: list[Listed], tmp_path: Path) -> Path:
    """A manifest elsewhere that lists the first of them, with a mask of hard exudates in its upper left quarter."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    mask = np.zeros((300, 300), np.uint8)
    mask[:150, :150] = 255
    Image.fromarray(mask).save(folder / "ex.png")
    row = {"image": "moved.png", "sha256": sha256_of(photographs[0].path), "mask_ex": "ex.png", "mask_ma": None}
    pd.DataFrame([row]).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def test_photographs_are_explained_into_a_folder_by_a_release(tiny_release, photographs, tmp_path):
    explainer = ReleaseExplainer.open(tiny_release)

    rows = list(explain_photographs(photographs, tmp_path / "out", explainer))

    assert isinstance(explainer, Explainer)
    assert [row["image"] for row in rows] == ["0.png", "1.png"]
    assert [list(row["methods"]) for row in rows] == [["grad-cam"], ["grad-cam"]]
    stored = json.loads((tmp_path / "out" / "explanations.json").read_text())
    assert stored["request"] == explainer.request.to_dict()
    assert stored["request"]["network"] == explainer.grader.opened.name
    assert stored["photographs"] == rows
    assert explainer.notes == (
        f"{explainer.grader.opened.name}: its heatmap is not certified: never tested against lesions (fundoscope "
        "certify). Reports do not show it.",
    )


def test_a_release_without_a_heatmap_explains_nothing(tiny_release, tmp_path):
    onnx = pytest.importorskip("onnx", reason="needs the train extra")
    opened = open_release(tiny_release)
    outputs = {name: values for name, values in opened.golden.items() if name != "heatmap"}
    golden = io.BytesIO()
    np.savez(golden, **outputs)
    model = onnx.load_model_from_string(opened.model)
    del model.graph.output[[output.name for output in model.graph.output].index("heatmap")]
    changed = {GOLDEN: golden.getvalue(), MODEL: model.SerializeToString()}
    bare = copy_release(opened, tmp_path / "bare", replace(opened.release, heatmap="none"), changed)

    with pytest.raises(BadRequest, match=r"expected a release with a heatmap, got one without\. Give --checkpoint"):
        ReleaseExplainer.open(bare.path)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"methods": ["grad-cam", "occlusion"]}, "--method occlusion"),
        ({"layers": ["blocks.2"]}, "--layer blocks.2"),
        ({"target": "cut:2"}, "--target cut:2"),
    ],
)
def test_a_release_refuses_what_it_does_not_have_inside(tiny_release, wanted, named):
    explainer = ReleaseExplainer.open(tiny_release)

    explainer.check_request(methods=["grad-cam"])
    with pytest.raises(BadRequest, match=rf"^{named}: expected what release tiny@.* has inside, grad-cam of its"):
        explainer.check_request(**wanted)


def test_masks_are_found_by_the_hash_of_a_photograph_that_was_moved(photographs, manifest):
    masks = LesionMasks.read(manifest)

    first, second = (masks.of(photograph) for photograph in photographs)

    assert masks.columns == ("mask_ma", "mask_ex")
    assert (list(first), second) == (["mask_ex"], {})
    assert first["mask_ex"][:150, :150].all()
    assert first["mask_ex"].sum() == 150 * 150


def test_masks_are_found_by_the_file_where_no_hash_is_listed(photographs, manifest):
    pd.read_csv(manifest).drop(columns="sha256").to_csv(manifest, index=False)
    moved = manifest.parent / "moved.png"
    shutil.copy(photographs[0].path, moved)
    masks = LesionMasks.read(manifest)

    assert masks.of(photographs[0]) == {}
    assert list(masks.of(Listed(image="other name", path=moved))) == ["mask_ex"]


def test_a_manifest_without_masks_is_refused(manifest):
    pd.read_csv(manifest).drop(columns=["mask_ex", "mask_ma"]).to_csv(manifest, index=False)

    with pytest.raises(BadTable, match="expected a column of mask_ma, mask_he, mask_ex, mask_se, mask_od, got none"):
        LesionMasks.read(manifest)
