"""A grader with a site's dust map retouches specks before the network sees them, says so, and grades all else alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadRequest
from fundoscope.photo.artefacts.dust_map import DustMap
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.photo.illustration import illustrate
from fundoscope.runtime.batch import grade_to_table
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs
from fundoscope.runtime.output.html import write_report


@pytest.fixture(scope="module")
def dust_map(dusty_photographs) -> DustMap:
    return make_dust_map([Shot(path=path) for path in dusty_photographs])


@pytest.fixture(scope="module")
def plain(tiny_release) -> Grader:
    return Grader.open(tiny_release, threads=1)


@pytest.fixture(scope="module")
def mapped(tiny_release, dust_map) -> Grader:
    return Grader.open(tiny_release, threads=1, dust=dust_map)


def test_the_network_sees_a_retouched_photograph_otherwise(plain, mapped, dusty_photographs):
    assert mapped.grade(dusty_photographs[0]).raw != plain.grade(dusty_photographs[0]).raw


def test_the_row_says_how_many_specks_and_by_which_map(plain, mapped, dusty_photographs, dust_map):
    reading = mapped.grade(dusty_photographs[0])

    assert (reading.row()["dust_map"], reading.row()["retouched"]) == (dust_map.seal, 3)
    assert len(reading.retouched) == 3
    row = plain.grade(dusty_photographs[0]).row()
    assert (row["dust_map"], row["retouched"]) == (None, None)


def test_a_map_without_specks_was_used_and_changed_nothing(tiny_release, plain, dust_map, dusty_photographs):
    empty = replace(dust_map, specks=())
    reading = Grader.open(tiny_release, threads=1, dust=empty).grade(dusty_photographs[0])

    assert (reading.row()["dust_map"], reading.row()["retouched"]) == (empty.seal, 0)
    assert reading.raw == plain.grade(dusty_photographs[0]).raw


def test_a_photograph_of_another_frame_is_graded_as_without_a_map_and_says_so(plain, mapped, retinas):
    reading = mapped.grade(retinas[0])

    assert reading.raw == plain.grade(retinas[0]).raw
    assert (
        "Dust was not retouched: the frame is 427 x 320 px, the site's dust map is of 384 x 288 px." in reading.reason
    )
    assert (reading.row()["dust_map"], reading.row()["retouched"]) == (None, None)


def test_pixels_alone_have_no_place_on_a_sensor(mapped, clean_retinas):
    assert mapped.grade(clean_retinas[0]).reason == (
        "Dust was not retouched: of pixels alone the camera's frame is not known."
    )


def test_whether_a_photograph_can_be_graded_is_asked_of_what_the_camera_took(plain, mapped, dusty_photographs):
    assert mapped.grade(dusty_photographs[1]).parts == plain.grade(dusty_photographs[1]).parts


def test_the_other_eye_is_retouched_as_well(pair_release, dust_map, dusty_photographs):
    without, with_map = (Grader.open(pair_release, threads=1, dust=dust) for dust in (None, dust_map))
    canvases = [grader._prepare_fellow(dusty_photographs[3])[1] for grader in (without, with_map)]

    assert (canvases[0] != canvases[1]).any()


def test_a_table_with_and_without_a_map_are_two_requests(plain, mapped, dusty_photographs, tmp_path, dust_map):
    """What an interrupted run had graded without the map does not stand among photographs retouched by it."""
    listing = list_photographs(dusty_photographs[:3]).photographs

    def stop(done: int, _row: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(plain, listing, tmp_path / "out.csv", progress=stop)
    with pytest.raises(BadRequest, match=r"out\.csv\.part\.jsonl"):
        grade_to_table(mapped, listing, tmp_path / "out.csv")

    grade_to_table(mapped, listing, tmp_path / "other.csv")
    table = pd.read_csv(tmp_path / "other.csv")
    assert list(table["retouched"]) == [3, 3, 3]
    assert set(table["dust_map"]) == {dust_map.seal}


def test_the_report_draws_rings_where_photographs_were_retouched(mapped, plain, dusty_photographs, dust, tmp_path):
    listing = list_photographs(dusty_photographs[:1]).photographs
    pages = {}
    for name, grader in (("mapped", mapped), ("plain", plain)):
        rows = [grader.grade(photograph.path).row() for photograph in listing]
        (page,) = write_report(grader, listing, rows, tmp_path / name)
        pages[name] = page.read_text()
    reading, pixels = mapped.examine(dusty_photographs[0])

    assert pages["mapped"].count('class="speck"') == 3
    assert "3 specks of the camera&#39;s sensor retouched before grading (rings)" in pages["mapped"] or (
        "3 specks of the camera's sensor retouched before grading (rings)" in pages["mapped"]
    )
    assert "specks of the camera" not in pages["plain"]
    shown = np.array(sorted((spot.row, spot.column) for spot in illustrate(pixels, reading).retouched))
    painted = np.array(sorted((speck.row * 288, speck.column * 384) for speck in dust))
    assert np.abs(shown - painted).max() < 1.5
