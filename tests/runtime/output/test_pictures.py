from __future__ import annotations

import pytest

from fundoscope.photo.illustration import illustrate
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.output.pictures import Pictures


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=1)


@pytest.fixture(scope="module")
def examined(grader, retinas):
    """A reading, and its photograph as it was decoded."""
    return grader.examine(retinas[0])


def test_a_picture_is_found_again_as_it_was_drawn(grader, examined, tmp_path):
    reading, pixels = examined
    pictures = Pictures(tmp_path / "pictures", grader.opened)

    pictures.keep(reading, pixels)

    assert pictures.find(reading.row()) == illustrate(pixels, reading, overlaid=False)


@pytest.mark.parametrize("column", ["image", "sha256", "graded_at", "release", "dust_map"])
def test_a_picture_of_another_grading_is_not_found(grader, examined, tmp_path, column):
    reading, pixels = examined
    pictures = Pictures(tmp_path, grader.opened)

    pictures.keep(reading, pixels)

    assert pictures.find(reading.row() | {column: "another"}) is None


@pytest.mark.parametrize("content", [b"", b'{"of": {', b"[]", b'{"of": {}}', b"\xff"])
def test_a_damaged_picture_is_not_found(grader, examined, tmp_path, content):
    reading, pixels = examined
    pictures = Pictures(tmp_path, grader.opened)
    pictures.keep(reading, pixels)
    (path,) = tmp_path.iterdir()

    path.write_bytes(content)

    assert pictures.find(reading.row()) is None


def test_where_no_picture_can_be_kept_nothing_is_lost_but_the_picture(grader, examined, tmp_path):
    reading, pixels = examined
    (tmp_path / "pictures").write_text("a letter")
    pictures = Pictures(tmp_path / "pictures", grader.opened)

    pictures.keep(reading, pixels)
    pictures.remove()

    assert pictures.find(reading.row()) is None
    assert (tmp_path / "pictures").read_text() == "a letter"


def test_a_photograph_that_cannot_be_drawn_stops_nothing(grader, examined, tmp_path):
    reading, pixels = examined
    pictures = Pictures(tmp_path / "pictures", grader.opened)

    pictures.keep(reading, pixels[:0])

    assert pictures.find(reading.row()) is None


def test_only_pictures_are_removed(grader, examined, tmp_path):
    reading, pixels = examined
    pictures = Pictures(tmp_path / "pictures", grader.opened)
    pictures.keep(reading, pixels)
    (tmp_path / "pictures" / "letter.json").write_text("{}")

    pictures.remove()
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["letter.json"]
    (tmp_path / "pictures" / "letter.json").unlink()
    pictures.remove()

    assert not (tmp_path / "pictures").exists()
