"""The record of a dust map is read as it was written or refused in a sentence; its places fit the photograph."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fundoscope.errors import BadRelease
from fundoscope.photo.artefacts.dust_map import (
    DustMap,
    MappedSpeck,
    read_dust_map,
    spots_on,
    why_not_mapped,
    write_dust_map,
)
from fundoscope.photo.read import Photograph
from fundoscope.records import seal_of

MAP = DustMap(
    width=400,
    height=300,
    camera="Maker Model 1",
    photographs=24,
    windows=2,
    first=None,
    last=None,
    covered=0.001,
    control=0,
    made_from="0" * 64,
    notes=("A sentence.",),
    specks=(MappedSpeck(row=0.25, column=0.5, radius=0.004, depth=0.12, stability=1.0),),
)


def photograph(height: int = 300, width: int = 400, *, decoded: int = 1, **known) -> Photograph:
    """A black photograph of a file of that size."""
    pixels = np.zeros((height // decoded, width // decoded, 3), np.uint8)
    values = {"path": "a.jpg", "sha256": "1" * 64, "format": "JPEG", "camera": MAP.camera} | known
    return Photograph(pixels=pixels, width=width, height=height, **values)


def test_a_map_is_read_as_it_was_written(tmp_path):
    write_dust_map(tmp_path / "dust_map.json", MAP)

    again = read_dust_map(tmp_path / "dust_map.json")

    assert again == MAP
    assert again.seal == MAP.seal == json.loads((tmp_path / "dust_map.json").read_text())["seal"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda record: record.update(width=401), r"expected the record as it was sealed, got a changed one"),
        (lambda record: record.update(schema=2, seal=""), r"expected a dust map of schema 1, got another record"),
        (lambda record: record.update(width=0), r"width must be a whole number above 0, got 0"),
        (lambda record: record.update(more=1), r"expected the keys"),
        (lambda record: record["specks"][0].update(row=1.5), r"row of a speck must be a share, got 1\.5"),
        (lambda record: record["specks"][0].pop("depth"), r"expected the keys"),
        (lambda record: record.update(specks=[3]), r"specks must be a list of objects, got 3"),
        (lambda record: record.update(notes="no"), r"notes must be texts, got 'no'"),
    ],
)
def test_a_changed_or_foreign_record_is_refused(tmp_path, change, words):
    record = MAP.to_dict()
    change(record)
    if "changed" not in words:
        record["seal"] = seal_of(record)
    path = tmp_path / "dust_map.json"
    path.write_text(json.dumps(record))

    with pytest.raises(BadRelease, match=words):
        read_dust_map(path)


def test_an_absent_map_is_said_to_be_absent(tmp_path):
    with pytest.raises(BadRelease, match=r"dust_map\.json: expected a dust map, got No such file"):
        read_dust_map(tmp_path / "dust_map.json")


@pytest.mark.parametrize("decoded", [1, 2, 4])
def test_places_are_in_pixels_of_the_photograph_as_it_was_decoded(decoded):
    (spot,) = spots_on(MAP, photograph(decoded=decoded))

    assert (spot.row, spot.column) == (75 / decoded, 200 / decoded)
    assert spot.radius == pytest.approx(MAP.specks[0].retouched * 400 / decoded)


def test_a_photograph_that_was_turned_has_its_specks_turned():
    (spot,) = spots_on(MAP, photograph(400, 300, orientation=6))

    assert (spot.row, spot.column) == (200, 225)


def test_another_frame_or_camera_is_not_retouched_and_the_sentence_says_so():
    assert why_not_mapped(MAP, photograph()) is None
    assert why_not_mapped(replace(MAP, camera=None), photograph(camera="Other")) is None
    assert why_not_mapped(MAP, photograph(400, 300, orientation=8)) is None
    assert why_not_mapped(MAP, photograph(400, 300)) == (
        "Dust was not retouched: the frame is 300 x 400 px, the site's dust map is of 400 x 300 px."
    )
    assert "the camera is Other" in str(why_not_mapped(MAP, photograph(camera="Other")))
    assert "the camera is not named in the file" in str(why_not_mapped(MAP, photograph(camera=None)))


def test_a_deeper_speck_is_retouched_farther_and_one_that_does_not_show_hardly():
    radii = [replace(MAP.specks[0], depth=depth).retouched for depth in (0.01, 0.03, 0.12, 0.5)]

    assert radii == sorted(radii)
    assert radii[0] < 0.001
    assert radii[1] == pytest.approx(0.004 + 0.0007)
