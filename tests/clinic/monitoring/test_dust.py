"""Monitoring says when the dust on a camera is no longer that of its map, and when it could not be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.clinic.monitoring.dust import monitor_dust
from fundoscope.photo.artefacts import make
from fundoscope.photo.artefacts.dust_map import DustMap
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.photo.disturbances.specks import paint_specks


@pytest.fixture(scope="module")
def dust_map(dusty_photographs) -> DustMap:
    return make_dust_map([Shot(path=path) for path in dusty_photographs])


@pytest.fixture
def later(tmp_path, clean_retinas, dust_map):
    """Writes later photographs by a camera with the dust given, and returns their table."""

    def write(dust, *, seal: str | None = dust_map.seal) -> tuple[pd.DataFrame, Path]:
        images = [f"{at}.jpg" for at in range(len(clean_retinas))]
        for image, pixels in zip(images, clean_retinas, strict=True):
            Image.fromarray(paint_specks(np.ascontiguousarray(pixels[::-1]), dust)).save(tmp_path / image, quality=95)
        return pd.DataFrame({"image": images, "status": "graded", "dust_map": seal}), tmp_path / "later.csv"

    return write


def test_unchanged_dust_is_no_reason(dust_map, dust, later):
    report = monitor_dust(dust_map, *later(dust))

    assert report.reasons == ()
    assert report.notes[0].startswith("Dust now: 3 specks on the sensor in 24 photographs")
    assert report.to_dict()["compared"] is True
    assert report.to_dict()["come"] == report.to_dict()["gone"] == []


def test_specks_that_are_gone_are_a_reason_with_the_advice_to_clean(dust_map, dust, later):
    report = monitor_dust(dust_map, *later(dust[1:]))

    (reason,) = report.reasons
    assert reason.startswith("Dust on the sensor has changed: 1 speck has gone (row, column in px: 101, 154). Clean")
    assert len(report.to_dict()["gone"]) == 1


def test_photographs_that_were_not_retouched_by_the_map_are_a_reason(dust_map, dust, later):
    (reason,) = monitor_dust(dust_map, *later(dust, seal=None)).reasons
    assert reason.startswith("24 of 24 graded photographs of later.csv were not retouched by the site's dust map")

    (reason,) = monitor_dust(dust_map, *later(dust, seal="a" * 64)).reasons
    assert reason.startswith("Another dust map was used: some of later.csv was retouched by aaaaaaaaaaaa")


def test_another_frame_is_another_camera(dust_map, dust, later):
    (reason,) = monitor_dust(replace(dust_map, width=400, specks=()), *later(dust, seal=None)).reasons

    assert "photographs are 384 x 288 px, the dust map is of 400 x 288 px" in reason


def test_too_few_photographs_are_no_alarm_but_said(dust_map, dust, later):
    rows, path = later(dust)
    report = monitor_dust(dust_map, rows[:5], path)

    assert report.reasons == ()
    assert "Dust was not compared with the site's map: dust map: expected at least 20" in report.notes[0]
    assert report.to_dict()["compared"] is False


def test_a_sensor_that_has_become_too_dirty_is_a_reason(dust_map, dust, later, monkeypatch):
    monkeypatch.setattr(make, "MOST_COVERED", 0.0001)

    (reason,) = monitor_dust(dust_map, *later(dust)).reasons
    assert reason.startswith("Too much dust: dust map: expected at most 0% of the retina")


def test_photographs_are_found_in_the_folder_that_is_named(dust_map, dust, later, tmp_path):
    rows, path = later(dust)

    assert monitor_dust(dust_map, rows, path.parent / "elsewhere" / "t.csv", folder=tmp_path).change is not None
    assert monitor_dust(dust_map, rows, path.parent / "elsewhere" / "t.csv").change is None
