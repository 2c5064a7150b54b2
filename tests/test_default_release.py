"""The release that ships: whole, small, honest about what it learnt from, and able to grade."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import OpenRelease, default_release, open_release
from fundoscope.runtime.verification import verify_release

PAINTED = Path(__file__).resolve().parent / "painted"


@pytest.fixture(scope="module")
def opened() -> OpenRelease:
    return open_release(default_release())


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader.open()


def test_it_verifies_on_this_machine():
    found = verify_release(default_release())

    assert all(check.passed for check in found.checks), [check for check in found.checks if not check.passed]
    assert {"golden photograph", "golden canvas"} <= {check.name for check in found.checks}


def test_it_fits_in_twenty_megabytes():
    assert sum(path.stat().st_size for path in default_release().iterdir()) <= 20e6


def test_it_says_what_it_is_and_what_it_is_not(opened: OpenRelease):
    assert "not a medical device" in opened.release.intended_use
    assert len(opened.release.limits) >= 3
    assert "IDRiD" in opened.card
    assert "CC BY 4.0" in opened.card
    assert any("test" in name for name in opened.release.evaluation)


def test_it_names_no_place_of_the_machine_it_was_made_on(opened: OpenRelease):
    place = re.compile(r"/(home|root|tmp|work|opt)/|site-packages|[A-Z]:.Users")

    assert not place.search(opened.release.to_json())
    assert not place.search(opened.model.decode("latin-1"))


def test_it_learnt_from_idrids_training_split_and_from_nothing_else(opened: OpenRelease, shared_data: Path):
    from fundoscope.data.imports import import_source

    frame = import_source("idrid", shared_data / "idrid")
    training = set(frame.loc[frame["split"] == "train", "sha256"])

    assert set(opened.release.training["training_sha256"]) == training


@pytest.mark.parametrize("name", sorted(path.name for path in PAINTED.glob("painted_grade*.jpg")))
def test_it_grades_painted_retinas(grader: Grader, name: str):
    reading = grader.grade(PAINTED / name)

    assert reading.status == "graded"
    assert sum(reading.probabilities or ()) == pytest.approx(1)
    assert reading.heatmap is not None


def test_it_does_not_grade_what_is_dark_and_out_of_focus(grader: Grader):
    reading = grader.grade(PAINTED / "painted_ungradable_right.jpg")

    assert reading.status == "ungradable"
    assert reading.decision == "cannot grade"
    assert reading.reason


def test_camera_files_and_their_reduced_copies_get_nearly_the_same_answer(grader: Grader, shared_data: Path):
    """The ten originals are four times as large as the copies it learnt from, and decoded reduced."""
    for original in sorted((shared_data / "idrid" / "originals").glob("*.jpg")):
        reduced = shared_data / "idrid" / "images" / original.name
        big, small = grader.grade(original), grader.grade(reduced)
        assert big.p_referable == pytest.approx(small.p_referable, abs=0.15), original.name


def test_an_oct_scan_is_not_graded(grader: Grader, shared_data: Path):
    scan = sorted((shared_data / "octdl" / "images").iterdir())[0]

    reading = grader.grade(scan)

    assert (reading.status, reading.decision) == ("ungradable", "cannot grade")
