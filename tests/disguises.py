"""Painted retinas as files, in disguise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina

Disguise = Callable[[np.ndarray], np.ndarray]


def painted(seed: int, *, framing: str = "cropped", eye: str = "right", grade: int = 2) -> np.ndarray:
    """A retina that differs from every other seed's in vessels and lesions."""
    spec = RetinaSpec(side_px=340, grade=grade, eye=eye, framing=framing)
    return paint_retina(spec, rng=np.random.default_rng(seed)).photo


def _cropped(photo: np.ndarray) -> np.ndarray:
    rows, columns = (round(0.05 * side) for side in photo.shape[:2])
    return photo[rows:-rows, columns:-columns]


DISGUISES: dict[str, Disguise] = {
    "re-encoded": lambda photo: photo,
    "resized": lambda photo: cv2.resize(photo, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
    "flipped": lambda photo: photo[:, ::-1],
    "upside down": lambda photo: photo[::-1],
    "cropped": _cropped,
    "brighter": lambda photo: np.clip(photo.astype(int) + 30, 0, 255).astype(np.uint8),
}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes pixels as a JPEG under `tmp_path` and gives its path."""

    def write(name: str, photo: np.ndarray, *, quality: int = 90) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(photo)).save(path, "JPEG", quality=quality)
        return path

    return write
