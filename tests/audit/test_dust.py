"""Dust on a camera's sensor is a fault of the data, camera by camera."""

from __future__ import annotations

import pandas as pd
import pytest
from PIL import Image

from fundoscope.audit.dust import dust_findings
from fundoscope.photo.artefacts import make


@pytest.fixture
def photographs(dusty_photographs, clean_retinas, tmp_path):
    """A manifest of two cameras, one with dust, and its files."""
    clean = [tmp_path / f"clean_{at}.jpg" for at in range(len(clean_retinas))]
    for path, pixels in zip(clean, clean_retinas, strict=True):
        Image.fromarray(pixels).save(path, quality=95)
    paths = [*dusty_photographs, *clean]
    frame = pd.DataFrame({"image": [path.name for path in paths], "camera": ["Dusty 1"] * 24 + ["Clean 1"] * 24})
    return frame.assign(source="site"), paths


def test_fixed_spots_are_found_for_the_camera_that_has_them(photographs):
    calls = []

    (finding,) = dust_findings(*photographs, threads=2, advance=lambda *counts: calls.append(counts))

    assert (finding.check, finding.severity) == ("dust-on-sensor", "warns")
    assert finding.message.startswith("site Dusty 1: 3 fixed spots at one place of the frame in 24 photographs of 384")
    assert finding.evidence["camera"] == "site Dusty 1"
    assert len(finding.evidence["map"]["specks"]) == 3
    assert calls == [(1, 2), (2, 2)]


def test_a_camera_with_few_photographs_says_nothing(photographs):
    frame, paths = photographs
    chosen = list(range(19))

    assert list(dust_findings(frame.iloc[chosen], [paths[at] for at in chosen], threads=1)) == []


def test_a_very_dirty_sensor_is_said_to_be_one(photographs, monkeypatch):
    monkeypatch.setattr(make, "MOST_COVERED", 0.0001)

    (finding,) = dust_findings(*photographs, threads=1)

    assert finding.message.startswith("site Dusty 1: the sensor is very dirty: 0.")
    assert "under 3 specks. Clean the sensor" in finding.message
