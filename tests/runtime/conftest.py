"""What the tests of this room share: the tiny release and a few painted photographs."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina

# Test files cannot import one another; pytest finds fixtures by the names in this module.
_TINY = runpy.run_path(str(Path(__file__).with_name("tiny_release.py")))
tiny_release = _TINY["tiny_release"]
pair_release = _TINY["pair_release"]


@pytest.fixture(scope="session")
def tiny() -> dict[str, object]:
    """The makers of tiny releases, for tests that need one with a fault."""
    return _TINY


@pytest.fixture(scope="session")
def retinas(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six painted retinas as JPEG files."""
    folder = tmp_path_factory.mktemp("retinas")
    rng = np.random.default_rng(11)
    paths = []
    for number in range(6):
        painted = paint_retina(RetinaSpec(side_px=320, grade=number % 5), rng=rng)
        paths.append(folder / f"painted_{number}.jpg")
        Image.fromarray(painted.photo).save(paths[-1], quality=92)
    return paths
