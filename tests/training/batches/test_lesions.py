from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.training.batches.lesions import boxes_map, masks_map, read_boxes


@pytest.fixture
def prepared():
    """A picture of 60 x 40 padded to a square of 120: scale 2, twenty rows above."""
    return prepare(np.full((40, 60, 3), 90, np.uint8), Recipe(side=120, crop="square"))


def box(name: str) -> pd.DataFrame:
    return pd.DataFrame([("a.jpg", name, 0.25, 0.5, 0.1, 0.2)], columns=["image", "class", "cx", "cy", "w", "h"])


def test_a_box_lands_where_the_photograph_does(prepared):
    drawn = boxes_map(box("haemorrhage_microaneurysm"), prepared, (60, 40))

    rows, columns = np.nonzero(drawn[..., 0])
    assert (columns.min(), columns.max()) == pytest.approx((24, 36), abs=1)
    assert (rows.min(), rows.max()) == pytest.approx((52, 68), abs=1)
    assert not drawn[..., 1].any()


def test_each_class_has_its_channel_and_the_disc_has_none(prepared):
    assert boxes_map(box("hard_exudates"), prepared, (60, 40))[..., 1].any()
    assert not boxes_map(box("optic_disc"), prepared, (60, 40)).any()


def test_a_mask_lands_where_the_photograph_does_whatever_its_size(prepared, tmp_path: Path):
    mask = np.zeros((400, 600), np.uint8)
    mask[200:204, 300:304] = 255  # far below a pixel of the canvas, as a microaneurysm is
    Image.fromarray(mask).save(tmp_path / "ma.png")

    moved = masks_map({"mask_ma": tmp_path / "ma.png"}, prepared, (60, 40))

    rows, columns = np.nonzero(moved[..., 0])
    assert len(rows) > 0
    assert (rows.mean(), columns.mean()) == pytest.approx((60, 60), abs=2)


def test_a_mask_of_another_shape_is_refused(prepared, tmp_path: Path):
    Image.fromarray(np.zeros((60, 60), np.uint8)).save(tmp_path / "ma.png")

    with pytest.raises(BadTable, match=r"ma\.png: expected a mask of the photograph's shape 60 x 40, got 60 x 60"):
        masks_map({"mask_ma": tmp_path / "ma.png"}, prepared, (60, 40))


def test_a_table_of_boxes_without_its_columns_is_refused(tmp_path: Path):
    (tmp_path / "boxes.csv").write_text("image,class,cx\n", encoding="utf-8")

    with pytest.raises(BadTable, match="cy, w, h is missing"):
        read_boxes(tmp_path / "boxes.csv")
    with pytest.raises(BadTable, match="expected a CSV table of lesion boxes"):
        read_boxes(tmp_path / "absent.csv")
