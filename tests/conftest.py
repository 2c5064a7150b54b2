"""Fixtures every room uses: where the real photographs lie, and a generator with a fixed seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same draws in every run."""
    return np.random.default_rng(20230917)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs beside the checkout; a test that needs it skips where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        # They are not in the repository (others' licences, and their size): a checkout alone is tested on paintings.
        pytest.skip("needs the real photographs in ../shared/data, which are not here")
    return folder


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of pretrained weights beside the checkout; a test that needs it skips where it is absent."""
    folder = SHARED / "weights"
    if not folder.is_dir():
        # Nor are these, which are not ours to hand on; nothing is downloaded.
        pytest.skip("needs the pretrained weights in ../shared/weights, which are not here")
    return folder
