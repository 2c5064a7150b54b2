"""A release that reads OCT scans: what it grades, and what it refuses by name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, ScanSpec, paint_retina, paint_scan
from fundoscope.photo.recipe import SCAN_REGION
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.verification import verify_release

CLASSES = {
    "id": "scans",
    "task": "classes",
    "head": "softmax",
    "labels": ["NO", "AMD", "DME", "ERM"],
    "calibration": {"temperature": 1.0},
    "operating_point": {},
    "column": "label",
    "descriptions": ["", "", "", ""],
    "recipe": {"side": 64, "crop": "scan", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}


@pytest.fixture(scope="module")
def grader(write_tiny_release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans") / "release"
    write_tiny_release(folder, **CLASSES)
    return Grader.open(folder)


def saved(path, pixels: np.ndarray):
    Image.fromarray(pixels).save(path)
    return path


def test_a_grey_scan_is_read_and_its_middle_is_what_the_network_sees(grader, tmp_path):
    made = paint_scan(ScanSpec(signs=frozenset({"drusen"})), rng=np.random.default_rng(0)).scan
    reading = grader.grade(saved(tmp_path / "scan.png", made))

    assert (reading.status, reading.reason, reading.quality) == ("graded", "", "good")
    assert sum(reading.probabilities) == pytest.approx(1)
    assert reading.field is None
    rows, columns = made.shape
    top, left = reading.placement.to_photo(0.0, 0.0)
    bottom, right = reading.placement.to_photo(64.0, 64.0)
    assert (bottom - top, right - left) == pytest.approx((445, 621))
    assert (top, left) == pytest.approx(((rows - 445) // 2, (columns - 621) // 2))
    assert pytest.approx((445 / rows, 621 / columns)) == SCAN_REGION


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_grey_values_of_any_depth_give_the_same_scan(grader, tmp_path, mode: str):
    made = paint_scan(ScanSpec(), rng=np.random.default_rng(1)).scan
    pixels = {"L": made, "RGB": np.repeat(made[..., None], 3, 2), "I;16": made.astype(np.uint16) * 257}[mode]
    reading = grader.grade(saved(tmp_path / "scan.png", pixels))

    assert reading.status == "graded"
    assert reading.probabilities == pytest.approx(
        grader.grade(np.repeat(made[..., None], 3, 2)).probabilities, abs=1e-3
    )


@pytest.mark.parametrize(
    ("picture", "fault"),
    [
        (lambda rng: paint_retina(RetinaSpec(side_px=400), rng=rng).photo, "not_a_scan"),
        (lambda rng: paint_scan(ScanSpec(brightness=0.01), rng=rng).scan, "weak_signal"),
        (lambda rng: paint_scan(ScanSpec(), rng=rng).scan[:230], "cut_off"),
    ],
    ids=["a photograph", "no signal", "cut off"],
)
def test_what_cannot_be_read_has_no_class_and_says_why(grader, tmp_path, picture, fault: str):
    reading = grader.grade(saved(tmp_path / "a.png", picture(np.random.default_rng(0))))

    assert reading.status == "ungradable"
    assert reading.faults == (fault,)
    assert reading.reason
    assert reading.row()["predicted_label"] is None


def test_a_release_of_scans_is_verified(grader):
    assert all(check.passed for check in verify_release(grader.opened.path).checks)
