"""Broken, foreign, odd and small pictures; grades that can be told from where a picture was taken."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats.contingency import association

from fundoscope.audit.pictures import balance_findings, corrected_cramers_v, picture_findings
from fundoscope.duplicates.fingerprint import Fingerprints, collected, take_fingerprints
from fundoscope.painting import RetinaSpec, paint_retina


def made_prints(sizes, field=None, reasons=None):
    """Fingerprints of pictures that need not exist: only sizes, fields and reasons are looked at."""
    count = len(sizes)
    return Fingerprints(
        hashes=np.zeros((count, 4, 32), np.uint8),
        features=np.zeros((count, 0), np.float32),
        sha256=("",) * count,
        sizes=tuple(sizes),
        field=np.ones(count, bool) if field is None else np.array(field),
        reasons=tuple(reasons or [""] * count),
        stored=(Path(),) * count,
    )


def rows(count, **columns):
    return pd.DataFrame({"image": [f"{number}.jpg" for number in range(count)], **columns})


def named(found):
    return {finding.check: finding for finding in found}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A retina, a grey scan, a broken file, a small retina, and a file that is not there."""
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, side in (("retina.png", 256), ("small.png", 200)):
        photo = paint_retina(RetinaSpec(side_px=side), rng=rng).photo
        cv2.imwrite(str(place / name), cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
    cv2.imwrite(str(place / "scan.png"), rng.integers(0, 255, (256, 300), dtype=np.uint8))
    (place / "broken.jpg").write_bytes(b"no picture at all")
    return place


def test_each_picture_that_is_not_what_its_row_says_is_named(folder):
    images = ["retina.png", "scan.png", "broken.jpg", "small.png", "absent.png"]
    taken = take_fingerprints([folder / image for image in images], folder / "cache", embedder=None, threads=1)
    fingerprints = collected(taken, folder / "cache", None)

    found = named(picture_findings(pd.DataFrame({"image": images}), fingerprints))

    assert found["broken-file"].severity == "blocks"
    assert found["broken-file"].images == ("broken.jpg", "absent.png")
    assert all(entry["reason"] for entry in found["broken-file"].evidence["files"])
    assert (found["not-a-fundus"].severity, found["not-a-fundus"].images) == ("warns", ("scan.png",))
    assert (found["small-picture"].severity, found["small-picture"].images) == ("warns", ("small.png",))
    assert "fundus-among-oct" not in found


def test_what_is_no_fundus_photograph_may_be_an_oct_scan_but_not_the_other_way_round():
    fingerprints = made_prints([(512, 512)] * 3, field=[False, True, False])

    found = named(picture_findings(rows(3, modality=["oct", "oct", None]), fingerprints))

    assert found["fundus-among-oct"].images == ("1.jpg",)
    assert found["not-a-fundus"].images == ("2.jpg",)


def test_a_size_that_hardly_any_of_its_source_has_is_odd():
    sizes = [(2000, 1500)] * 98 + [(800, 600)] + [(2000, 1500)] + [(800, 600)] * 10

    found = named(picture_findings(rows(110, source=["a"] * 100 + ["b"] * 10), made_prints(sizes)))["odd-size"]

    assert (found.severity, found.images) == ("notes", ("98.jpg",))
    tables = found.evidence["sources"]
    assert [(entry["width"], entry["count"], entry["odd"]) for entry in tables["a"]["sizes"]] == [
        (2000, 99, False),
        (800, 1, True),
    ]
    assert tables["b"]["different"] == 1


def test_where_every_photograph_has_its_own_size_none_is_odd():
    sizes = [(1000 + number, 900) for number in range(60)]

    found = named(picture_findings(rows(60), made_prints(sizes)))["odd-size"]

    assert found.images == ()
    assert found.evidence["sources"][""]["different"] == 60


def test_a_broken_file_has_neither_size_nor_field_to_complain_of():
    found = list(picture_findings(rows(1), made_prints([(0, 0)], field=[False], reasons=["0.jpg: is empty."])))

    assert [finding.check for finding in found] == ["broken-file"]
    assert "0.jpg: is empty." in found[0].message


@pytest.mark.parametrize(("least_px", "small"), [(224, 0), (500, 0), (501, 2)])
def test_small_is_what_the_recipe_would_enlarge(least_px, small):
    found = named(picture_findings(rows(2), made_prints([(500, 600), (700, 500)]), least_px=least_px))

    assert len(found["small-picture"].images if small else ()) == small
    assert ("small-picture" in found) == bool(small)


def test_an_oct_scan_is_a_strip_that_is_small_by_its_longer_side():
    fingerprints = made_prints([(512, 190), (200, 150), (512, 190)], field=[False, False, True])

    found = named(picture_findings(rows(3, modality=["oct", "oct", "fundus"]), fingerprints))

    assert found["small-picture"].images == ("1.jpg", "2.jpg")


def test_a_camera_that_gives_the_grade_away_is_warned_of():
    frame = rows(200, grade=[0] * 100 + [3] * 100, camera=["x"] * 95 + ["y"] * 5 + ["y"] * 95 + ["x"] * 5)

    found = list(balance_findings(frame))

    shortcut = named(found)["shortcut"]
    assert shortcut.severity == "warns"
    assert shortcut.evidence["group"] == "camera"
    assert named(found)["class-balance"].evidence["table"]["x"] == {"0": 95, "1": 0, "2": 0, "3": 5, "4": 0}
    assert "single-class" not in named(found)


def test_a_camera_that_says_nothing_of_the_grade_is_only_noted(rng):
    frame = rows(400, grade=rng.integers(0, 5, 400), camera=rng.choice(["x", "y", "z"], 400))

    found = list(balance_findings(frame))

    assert [(finding.check, finding.severity) for finding in found] == [("class-balance", "notes")]
    assert sum(sum(line.values()) for line in found[0].evidence["table"].values()) == 400


def test_a_site_with_one_grade_only_is_named_with_its_source():
    frame = rows(
        60,
        grade=[0, 1, 2, 3, 4] * 8 + [0] * 20,
        site=["1"] * 60,
        source=["a"] * 40 + ["b"] * 20,
    )

    found = [finding for finding in balance_findings(frame) if finding.check == "single-class"]

    assert [list(finding.evidence["table"]) for finding in found] == [["b"], ["b: 1"]]


def test_a_grade_with_hardly_a_photograph_is_warned_of_even_if_it_has_none():
    found = named(balance_findings(rows(45, grade=[0] * 20 + [2] * 21 + [3] * 4)))

    assert found["rare-class"].severity == "warns"
    assert "grade 1 (0), 3 (4), 4 (0)" in found["rare-class"].message


def test_blank_grades_and_cameras_count_nowhere():
    frame = rows(6, grade=pd.array([0, 1, None, 2, 3, 4], dtype="Int64"), camera=["x", None, "x", "x", "y", "y"])

    evidence = named(balance_findings(frame))["class-balance"].evidence

    assert evidence["unknown"] == 1
    assert sum(sum(line.values()) for line in evidence["table"].values()) == 4
    assert list(balance_findings(rows(3))) == []


def test_other_tasks_are_judged_by_their_label():
    found = named(balance_findings(rows(30, label=["amd"] * 15 + ["normal"] * 15, site=["x"] * 15 + ["y"] * 15)))

    assert found["shortcut"].evidence["target"] == "label"
    assert found["shortcut"].evidence["cramers_v"] == pytest.approx(1)


def test_grade_and_label_are_each_looked_at_where_they_are_known():
    frame = rows(40, grade=pd.array([0, 1, 2, 3] * 5 + [None] * 20, dtype="Int64"), label=[None] * 20 + ["amd"] * 20)

    found = [finding for finding in balance_findings(frame) if finding.check == "rare-class"]
    whole = [*balance_findings(frame.assign(source="a"))]

    assert [finding.evidence["target"] for finding in found] == ["grade"]
    assert [finding.evidence["target"] for finding in whole if finding.check == "class-balance"] == ["grade", "label"]
    assert json.loads(json.dumps([finding.to_dict() for finding in whole]))


def test_before_the_correction_it_is_cramers_v(rng):
    """Bergsma's estimate, undone, is SciPy's uncorrected one."""
    counts = rng.integers(5, 60, (4, 5))
    rows_, columns, total = 4, 5, counts.sum()

    ours, _ = corrected_cramers_v(counts)

    most = min(rows_ - (rows_ - 1) ** 2 / (total - 1), columns - (columns - 1) ** 2 / (total - 1)) - 1
    uncorrected = np.sqrt((ours**2 * most + 12 / (total - 1)) / 3)
    assert ours > 0
    assert uncorrected == pytest.approx(association(counts, method="cramer"))


@settings(deadline=None, max_examples=20)
@given(groups=st.integers(2, 6), each=st.integers(2, 40))
def test_it_is_one_where_each_group_has_its_own_grade_and_empty_ones_change_nothing(groups, each):
    table = np.eye(groups, dtype=np.int64) * each
    padded = np.zeros((groups + 1, groups + 2), dtype=np.int64)
    padded[:groups, :groups] = table

    assert corrected_cramers_v(table)[0] == pytest.approx(1)
    assert corrected_cramers_v(padded) == corrected_cramers_v(table)


def test_few_photographs_from_many_cameras_are_no_association(rng):
    """Uncorrected, chance alone gives V above 0.3 here every time."""
    values = []
    for _ in range(50):
        table = np.zeros((12, 5), dtype=np.int64)
        np.add.at(table, (rng.integers(0, 12, 60), rng.integers(0, 5, 60)), 1)
        assert association(table[table.sum(axis=1) > 0], method="cramer") > 0.3
        values.append(corrected_cramers_v(table)[0])

    assert np.mean(values) < 0.12


@pytest.mark.parametrize("table", [np.zeros((2, 3), np.int64), np.array([[4, 5]]), np.array([[4, 0], [5, 0]])])
def test_one_group_or_one_grade_is_no_association(table):
    assert corrected_cramers_v(table) == (0.0, 1.0)
