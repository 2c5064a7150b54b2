"""What a release may say of its calibration and its sets of grades, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fundoscope.decide.calibrators import Platt
from fundoscope.decide.conformal import Conformal, GradeSets
from fundoscope.errors import BadRelease
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import open_release
from fundoscope.runtime.runnable import runnable

PLAIN = {"temperature": 1.0, "grade_cuts": [0.5, 1.5, 2.5, 3.5]}
SETS = GradeSets(Conformal(alpha=0.1, threshold=0.6, patients=100), from_answer=True).to_dict()
BY_QUALITY = Conformal(
    alpha=0.1, threshold=1.0, patients=60, by="quality", groups={"good": 0.0}, too_small={"usable": 5}
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"calibration": PLAIN | {"calibrator": {"kind": "oracle"}}}, "calibration.calibrator must be one that this"),
        ({"calibration": PLAIN | {"calibrator": None}}, "calibration.calibrator must be one that this"),
        ({"calibration": PLAIN | {"calibrator": {"kind": "platt", "slope": 1}}}, "needs the keys kind, slope, inter"),
        ({"calibration": PLAIN | {"spell": 1}}, "must be temperature and grade_cuts"),
        ({"conformal": SETS | {"kind": "newer"}}, "conformal must be one that this version can run.*expected the keys"),
        ({"conformal": SETS | {"threshold": 2}}, "threshold of all must lie between 0 and 1"),
        ({"conformal": SETS | {"groups": []}}, "conformal must be one that this version can run"),
        ({"conformal": SETS | {"patients": "many"}}, "patients must be whole numbers"),
        ({"conformal": SETS | {"from_answer": "yes"}}, "from_answer and out_of_fold must be true or false"),
        ({"conformal": SETS | {"by": "camera"}}, "by must be blank or quality"),
    ],
)
def test_what_this_version_cannot_run_is_refused(tiny, tmp_path, changes, message):
    with pytest.raises(BadRelease, match=f"(?s){message}.*newer version"):
        runnable(tiny["tiny_description"](**changes), tmp_path)


def test_a_release_that_says_nothing_has_neither(tiny_release):
    opened = open_release(tiny_release)

    assert (opened.calibrator, opened.grade_sets) == (None, None)
    assert "calibrator" not in opened.release.calibration


def test_a_release_grades_with_its_calibrator_and_says_which_grades_are_left(tiny, tmp_path, tiny_release, retinas):
    curve = Platt(slope=0.5, intercept=-0.25)
    folder = tiny["write_tiny_release"](
        tmp_path / "calibrated", calibration=PLAIN | {"calibrator": curve.to_dict()}, conformal=SETS
    )
    plain = Grader.open(tiny_release, threads=1).grade(retinas[1])
    reading = Grader.open(folder, threads=1).grade(retinas[1])

    odds = np.log(plain.p_referable / (1 - plain.p_referable))
    assert reading.raw == plain.raw
    assert reading.p_referable == pytest.approx(1 / (1 + np.exp(0.25 - 0.5 * odds)))
    assert plain.row()["grades_set"] is None
    row = reading.row()
    expected = GradeSets.from_dict(SETS).text(
        np.array([reading.probabilities]), np.array([reading.grade]), quality=reading.quality
    )
    assert row["grades_set"] == expected
    assert str(row["grade"]) in expected.split()
    assert list(row) == list(plain.row())


def test_a_photograph_without_a_grade_has_no_set(tiny, tmp_path, retinas):
    strict = dict.fromkeys(tiny["tiny_description"]().gate, 1.0)
    folder = tiny["write_tiny_release"](tmp_path / "strict", gate=strict, conformal=SETS)
    reading = Grader.open(folder, threads=1).grade(retinas[0])

    assert (reading.status, reading.grade, reading.grades_set) == ("ungradable", None, None)


def test_each_quality_has_its_own_threshold_and_the_rest_that_of_all():
    sets = GradeSets(BY_QUALITY, from_answer=False)
    given, answer = np.array([[0.1, 0.2, 0.4, 0.2, 0.1]]), np.array([0])

    assert sets.text(given, answer, quality="good") == "2"
    assert sets.text(given, answer, quality="usable") == "0 1 2 3 4"
    assert replace(sets, from_answer=True).text(given, answer, quality="good") == "0"
    assert GradeSets.from_dict(sets.to_dict()) == sets
