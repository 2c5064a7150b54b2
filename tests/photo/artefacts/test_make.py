"""A camera's dust is mapped from unlabelled photographs; what is not the camera's, or cannot be known, is not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.errors import BadRequest
from fundoscope.photo.artefacts import make
from fundoscope.photo.artefacts.frame import Frame
from fundoscope.photo.artefacts.make import Shot, dust_map_of, make_dust_map
from fundoscope.photo.disturbances.specks import Speck, paint_specks


def distances(dust_map, speck) -> list[float]:
    """From a painted speck to all mapped ones, in px."""
    return [
        float(np.hypot((speck.row - other.row) * dust_map.height, (speck.column - other.column) * dust_map.width))
        for other in dust_map.specks
    ]


def test_the_dust_of_a_sensor_is_found_in_twenty_four_photographs_without_a_label(dusty, dust):
    dust_map = dust_map_of(dusty)

    assert len(dust_map.specks) == len(dust)
    for speck in dust:
        assert min(distances(dust_map, speck)) < 1
    assert (dust_map.width, dust_map.height) == (384, 288)
    assert (dust_map.photographs, dust_map.windows) == (24, 2)
    assert (dust_map.first, dust_map.last) == ("2031-01-01T10:00:00", "2031-01-24T10:00:00")
    assert 0 < dust_map.covered < 0.01


def test_radius_and_depth_of_a_speck_are_measured(dusty, dust):
    dust_map = dust_map_of(dusty)

    for speck in dust:
        found = dust_map.specks[int(np.argmin(distances(dust_map, speck)))]
        assert found.radius * 384 == pytest.approx(speck.radius * 288, abs=0.8)
        assert 0.5 * speck.depth < found.depth < speck.depth


def test_lesions_vessels_and_discs_of_clean_photographs_are_no_specks(clean_retinas, see_pixels):
    dust_map = dust_map_of([see_pixels(pixels, at) for at, pixels in enumerate(clean_retinas)])

    assert dust_map.specks == ()
    assert dust_map.covered == 0
    assert any("time windows follow their order" in note for note in dust_map.notes)


def test_mirrored_photographs_have_mirrored_specks(dusty, dust):
    mirrored = [replace(item, plane=np.ascontiguousarray(item.plane[:, ::-1])) for item in dusty]

    columns = sorted(speck.column for speck in dust_map_of(mirrored).specks)

    assert columns == pytest.approx(sorted(1 - speck.column for speck in dust), abs=0.004)


def test_a_spot_of_one_patient_who_came_often_is_no_speck(clean_retinas, see_pixels):
    spot = (Speck(row=0.4, column=0.5, radius=0.01, depth=0.4),)
    one = [
        see_pixels(paint_specks(clean_retinas[0], spot), 100 + at, patient="often", taken=f"2031-02-{at + 1:02d}")
        for at in range(20)
    ]
    others = [see_pixels(pixels, at, taken=f"2031-01-{at + 1:02d}") for at, pixels in enumerate(clean_retinas)]

    dust_map = dust_map_of([*others, *one])

    assert dust_map.specks == ()
    assert dust_map.photographs == 25
    assert dust_map.notes == ("Left out: 19 photographs are further ones of the same eye.",)


def test_dust_that_was_cleaned_off_in_the_last_period_is_not_in_the_map(clean_retinas, see_pixels, dust):
    seen = [
        see_pixels(paint_specks(clean_retinas[at % 24], dust if at < 36 else dust[:1]), at, taken=f"2031-{at:03d}")
        for at in range(48)
    ]

    dust_map = dust_map_of(seen)

    assert [round(speck.row, 2) for speck in dust_map.specks] == [0.35]


def test_too_few_photographs_are_refused_and_what_was_left_out_is_counted(dusty):
    with pytest.raises(BadRequest, match=r"at least 20 photographs of different eyes .* got 19; 3 could not be read"):
        dust_map_of(dusty[:19], Counter({"could not be read": 3, "are of another camera": 0}))


def test_too_much_dust_is_refused_with_the_advice_to_clean(clean_retinas, see_pixels):
    rng = np.random.default_rng(1)
    places = rng.uniform(0.2, 0.8, size=(60, 2))
    much = [Speck(row=row, column=column, radius=0.012, depth=0.5) for row, column in places]
    seen = [see_pixels(paint_specks(pixels, much), at) for at, pixels in enumerate(clean_retinas)]

    with pytest.raises(BadRequest, match=r"at most 2% of the retina to be retouched, got \d.*Clean the sensor"):
        dust_map_of(seen)


def test_specks_that_chance_finds_as_often_are_refused(dusty, monkeypatch):
    monkeypatch.setattr(make, "count_by_chance", lambda stack, windows: 2)

    with pytest.raises(BadRequest, match=r"found at one place only, got 3 and 2 by chance"):
        dust_map_of(dusty)


def test_a_field_that_moves_without_any_fixed_speck_is_taken_for_cropped(clean_retinas, see_pixels):
    seen = [see_pixels(pixels, at) for at, pixels in enumerate(clean_retinas)]
    moving = [replace(item, centre=(0.4 + 0.01 * at, 0.5)) for at, item in enumerate(seen)]

    with pytest.raises(BadRequest, match=r"one place of the frame, .* moves \(by 6\.9%"):
        dust_map_of(moving)


def test_files_are_read_turned_and_mapped_in_the_frame_of_the_camera(tmp_path, clean_retinas, dust):
    """Half of the photographs were taken with the camera upside down, as EXIF says: the sensor is the same."""
    shots = []
    for at, pixels in enumerate(clean_retinas):
        upside_down = at % 2 == 1
        written = paint_specks(pixels[::-1, ::-1] if upside_down else pixels, dust)
        exif = Image.Exif()
        exif[0x0112] = 3 if upside_down else 1
        exif[0x010F], exif[0x0110] = "Maker", "Model 1"
        path = tmp_path / f"{at}.jpg"
        Image.fromarray(written).save(path, exif=exif, quality=95)
        shots.append(Shot(path=path))
    (tmp_path / "none.jpg").write_bytes(b"")
    calls = []

    dust_map = make_dust_map([*shots, Shot(path=tmp_path / "none.jpg")], progress=lambda *counts: calls.append(counts))

    assert len(dust_map.specks) == len(dust)
    for speck in dust:
        assert min(distances(dust_map, speck)) < 1
    assert dust_map.camera == "Maker Model 1"
    assert "Left out: 1 photographs could not be read." in dust_map.notes
    assert calls[-1] == (25, 25)


def test_photographs_of_many_sizes_are_taken_for_cropped(dusty):
    sizes = [replace(item, frame=Frame(384 + at, 288)) for at, item in enumerate(dusty)]

    with pytest.raises(BadRequest, match=r"as one camera writes them, got 24 frame sizes .* Cropped exports"):
        make._of_one_camera(sizes)


def test_photographs_of_another_frame_or_camera_are_left_out_and_counted(dusty):
    others = [replace(dusty[0], frame=Frame(100, 80)), replace(dusty[1], camera="other")]

    kept, left_out = make._of_one_camera([*dusty, *others])

    assert kept == dusty
    assert left_out == {"are not 384 x 288 px": 1, "are of another camera": 1}


def test_cameras_that_only_the_table_tells_apart_are_refused(dusty):
    """Of photographs to be graded nobody says which of them took them: the map of one would retouch the other's."""
    two = [replace(item, shot=replace(item.shot, camera="AB"[at % 2])) for at, item in enumerate(dusty)]

    with pytest.raises(BadRequest, match=r"got 2 cameras that the files do not tell apart \(A, B\)"):
        make._of_one_camera(two)
    named = [replace(item, camera=f"Model {item.shot.camera}") for item in two[:-1]]
    assert make._of_one_camera(named)[0] == named[::2]


def test_of_many_photographs_as_many_as_are_looked_at_are_spread_over_time():
    shots = [Shot(path=Path(f"{at}"), taken=f"2031-01-{at:02d}") for at in (5, 3, 1, 2, 4)]

    assert [shot.taken for shot in make._spread(shots, 3)] == ["2031-01-01", "2031-01-03", "2031-01-05"]
