"""A thumbnail is a small picture of the photograph, or nothing."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from fundoscope.photo.thumbnail import thumbnail


def test_a_thumbnail_shows_the_photograph_at_the_size_asked_for(tmp_path: Path):
    halves = np.zeros((900, 1200, 3), np.uint8)
    halves[:, 600:, 0] = 250
    Image.fromarray(halves).save(tmp_path / "eye.png")

    kind, _, data = (thumbnail(tmp_path / "eye.png", longer_px=260) or "").partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))

    assert kind == "data:image/jpeg;base64"
    assert shown.size == (260, 195)
    left, right = np.asarray(shown)[:, 10].mean(axis=0), np.asarray(shown)[:, -10].mean(axis=0)
    np.testing.assert_allclose(left, (0, 0, 0), atol=8)
    np.testing.assert_allclose(right, (250, 0, 0), atol=8)
    assert len(data) < 20_000


def test_there_is_no_thumbnail_of_a_file_that_is_no_picture(tmp_path: Path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")

    assert thumbnail(tmp_path / "broken.jpg", longer_px=260) is None
    assert thumbnail(tmp_path / "absent.jpg", longer_px=260) is None
