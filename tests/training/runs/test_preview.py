from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadRequest
from fundoscope.training.experiment.schema import Augment, Experiment
from fundoscope.training.runs.preview import CELL_PX, DRAWS, LABEL_PX, TOGETHER, augmentation_grid


def shown(experiment: Experiment, path: Path, **values) -> np.ndarray:
    """The grid's cells: (row, column, row of pixels, column of pixels, channel)."""
    chosen = dataclasses.replace(experiment, augment=dataclasses.replace(Augment.plain(), **values))
    augmentation_grid(chosen, path)
    with Image.open(path) as picture:
        grid = np.asarray(picture.convert("RGB"))
    assert grid.shape[1] == LABEL_PX + (1 + DRAWS) * CELL_PX
    cells = grid[:, LABEL_PX:].reshape(-1, CELL_PX, 1 + DRAWS, CELL_PX, 3)
    assert (grid[:CELL_PX, :LABEL_PX] < 128).any()  # a label
    return cells.transpose(0, 2, 1, 3, 4)


def test_each_augmentation_has_a_row_of_its_own_beside_the_plain_photograph(tiny, tmp_path: Path):
    """A rare one too: it happens in every draw of its own row."""
    cells = shown(tiny, tmp_path / "grid.png", grey=0.01, halo=0.01, flip_down=0.01)

    assert len(cells) == 3 + TOGETHER
    flips, greys, halos = cells[:3]
    for flip, grey, halo in zip(flips[1:], greys[1:], halos[1:], strict=True):
        assert np.abs(flip.astype(int) - flips[0][::-1]).max() <= 1
        assert (grey[..., 0] == grey[..., 2]).all()
        assert (halo.astype(int) - halos[0]).mean() > 0
    assert np.array_equal(flips[0], greys[0])


def test_mixed_photographs_are_mixed_with_others(tiny, tmp_path: Path):
    mixed = shown(tiny, tmp_path / "grid.png", cutmix=1.0)[0]

    assert all((np.abs(draw.astype(int) - mixed[0]) > 40).any() for draw in mixed[1:])


def test_without_augmentation_the_grid_shows_photographs_as_they_are(tiny, tmp_path: Path):
    cells = shown(tiny, tmp_path / "grid.png")

    assert len(cells) == TOGETHER
    assert all(np.array_equal(draw, row[0]) for row in cells for draw in row[1:])


def test_of_both_eyes_the_fellow_stands_beside_each_draw(tiny, tmp_path: Path):
    manifest = Path(tiny.data.manifest)
    frame = pd.read_csv(manifest).assign(eye=["left", "right"] * 12)
    frame["image"] = [str(manifest.parent / image) for image in frame["image"]]
    frame.drop(columns="boxes").to_csv(tmp_path / "eyes.csv", index=False)
    chosen = dataclasses.replace(
        tiny,
        augment=dataclasses.replace(Augment.plain(), flip=True),
        data=dataclasses.replace(tiny.data, manifest=str(tmp_path / "eyes.csv")),
        network=dataclasses.replace(tiny.network, eyes=2, fellow_dropout=0.0),
    )

    augmentation_grid(chosen, tmp_path / "grid.png")

    with Image.open(tmp_path / "grid.png") as picture:
        grid = np.asarray(picture.convert("RGB"))
    assert grid.shape[1] == LABEL_PX + 2 * (1 + DRAWS) * CELL_PX
    first = grid[CELL_PX : 2 * CELL_PX, LABEL_PX : LABEL_PX + 2 * CELL_PX].reshape(CELL_PX, 2, CELL_PX, 3)
    assert (first[:, 1] > 0).any()
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_a_place_that_cannot_be_written_is_named(tiny, tmp_path: Path):
    (tmp_path / "file").write_text("no folder")

    with pytest.raises(
        BadRequest, match=r"file/grid\.png: expected a place where a PNG can be written: .* Give another"
    ):
        augmentation_grid(tiny, tmp_path / "file" / "grid.png")


def test_the_grid_is_a_png_whatever_its_name(tiny, tmp_path: Path):
    augmentation_grid(tiny, tmp_path / "grid")

    with Image.open(tmp_path / "grid") as picture:
        assert picture.format == "PNG"
