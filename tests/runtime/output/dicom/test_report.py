"""What structured reports claim, over random studies; and what programs that nobody here wrote make of them."""

from __future__ import annotations

import itertools
import runpy
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from fundoscope.grades import CANNOT_GRADE, CANNOT_GRADE_REFER, REFER, RESCREEN
from fundoscope.runtime.grader import Grader

studies = runpy.run_path(str(Path(__file__).with_name("studies.py")))
QUESTION, SNOMED, photograph, row, reports = (
    studies[name] for name in ("QUESTION", "SNOMED", "photograph", "row", "reports")
)
all_codes, conclusions, groups, name_of, values = (
    studies[name] for name in ("all_codes", "conclusions", "groups", "name_of", "values")
)

VALIDATOR, DUMP = shutil.which("dciodvfy"), shutil.which("dsrdump", path="/usr/bin")

LABELS = {"left": "Left eye", "right": "Right eye", None: "Eye not stated"}
NO_GRADE, NOT_EXAMINED, UNUSABLE = (CANNOT_GRADE, CANNOT_GRADE_REFER), "373121007", "111235"
GRADE_CODES = {"LA18643-9", *SNOMED.values()}

answers = st.one_of(
    st.tuples(st.just("graded"), st.integers(0, 4)),
    st.tuples(st.just("ungradable"), st.sampled_from(NO_GRADE)),
    st.tuples(st.just("unreadable"), st.just(CANNOT_GRADE)),
)
photographs = st.lists(st.tuples(st.sampled_from(["left", "right", None]), answers), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=1)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    return [photograph(folder / f"{number}.dcm") for number in range(6)]


def rows_of(photos, files):
    """Return a row for each photograph of a random study."""
    made = []
    for (eye, (status, answer)), path in zip(photos, files, strict=False):
        if status == "graded":
            decision = REFER if answer >= 2 else RESCREEN
            made.append(row(path, eye=eye, grade=answer, decision=decision))
        else:
            # The network may have been run all the same: its probability is of no photograph that was graded.
            made.append({**row(path, eye=eye, status=status, decision=answer), "p_referable": 0.75})
    return made


def written(grader, rows):
    with tempfile.TemporaryDirectory() as folder:
        made = reports(Path(folder), grader, rows)
        assert made.refused == []
        return dcmread(made.written[0])


def eye_claims(report):
    """Return the coded answers of each eye's groups: of an eye that is not known there may be several groups."""
    measurements = next(item for item in report.ContentSequence if name_of(item) == "126010")
    claims = []
    for group in measurements.ContentSequence:
        (label,) = values(group.ContentSequence, "112039")
        eye = next((eye for eye, words in LABELS.items() if words == label), "none of an eye")
        if eye != "none of an eye":
            claims.append((eye, *values(group.ContentSequence, QUESTION[eye])))
    return Counter(claims)


def expected_claims(photos):
    """Return what the report must say of each eye, worked out without the program."""
    eyes = {eye: [answer for side, answer in photos if side == eye] for eye in ("left", "right")}
    looked_at = [(eye, group) for eye, group in eyes.items() if group]
    looked_at += [(None, [answer]) for side, answer in photos if side is None]
    claims = []
    for eye, group in looked_at:
        grades = [answer for status, answer in group if status == "graded"]
        worst = max(grades, default=None)
        refused = any(answer == CANNOT_GRADE_REFER for _, answer in group)
        if worst is None or (refused and worst < 2):
            claims.append((eye,))
        else:
            claims.append((eye, "LA18643-9" if worst == 0 else SNOMED[eye, worst]))
    absent = [eye for eye, group in eyes.items() if not group]
    if not any(side is None for side, _ in photos):
        claims += [(eye, NOT_EXAMINED) for eye in absent]
    return Counter(claims)


# A report takes 0.1 s to write and read: a case that fails is shown as it is.
@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(photographs)
@example([("left", ("graded", 0)), ("left", ("ungradable", CANNOT_GRADE_REFER)), ("right", ("graded", 4))])
@example([("left", ("graded", 0)), ("left", ("unreadable", CANNOT_GRADE))])
@example([(None, ("graded", 1)), ("right", ("unreadable", CANNOT_GRADE))])
def test_a_report_claims_of_each_eye_and_photograph_what_was_answered_and_nothing_else(grader, files, photos):
    report = written(grader, rows_of(photos, files))

    claims = eye_claims(report)
    assert claims == expected_claims(photos)
    assert all_codes(report) & GRADE_CODES == {code for claim in claims for code in claim[1:]} - {NOT_EXAMINED}
    check_photographs(report, photos)
    check_conclusion(report, photos)


def check_photographs(report, photos):
    """Check that each photograph has its group, and a probability only if it was graded."""
    by_label = groups(report)
    assert sum(label.startswith("Photograph") for label in by_label) == len(photos)
    for number, (_, (status, answer)) in enumerate(photos, start=1):
        items = by_label[f"Photograph {number}"]
        assert len(values(items, "122157")) == len(values(items, "111071")) == (status == "graded")
        assert values(items, "111050") == {"graded": ["111237"], "ungradable": [UNUSABLE], "unreadable": []}[status]
        assert values(items, "111052") == (["110531"] if status == "ungradable" else [])
        (sentence,) = values(items, "121106")
        graded = REFER if status == "graded" and answer >= 2 else RESCREEN
        assert sentence.startswith({"graded": graded, "ungradable": answer, "unreadable": "could not be read"}[status])
    unread = any(status == "unreadable" for _, (status, _) in photos)
    assert report.CompletionFlag == ("PARTIAL" if unread else "COMPLETE")


def check_conclusion(report, photos):
    """Check that the patient's conclusion is that of the worst eye, and that a missing eye is photographed now."""
    (conclusion,) = values(conclusions(report), "121077")
    without_grade = any(len(claim) == 1 for claim in expected_claims(photos))
    if any(status == "graded" and answer >= 2 for _, (status, answer) in photos):
        assert conclusion == f"Patient: {REFER}"
    elif any(answer == CANNOT_GRADE_REFER for _, (_, answer) in photos):
        assert conclusion == f"Patient: {CANNOT_GRADE_REFER}"
    else:
        assert conclusion == f"Patient: {CANNOT_GRADE if without_grade else RESCREEN}"
    if {"left", "right"} - {eye for eye, _ in photos}:
        assert "now" in values(conclusions(report), "121075")[0]


STATES = [("graded", grade) for grade in range(5)]
STATES += [("ungradable", decision) for decision in NO_GRADE] + [("unreadable", CANNOT_GRADE)]


@pytest.mark.skipif(VALIDATOR is None, reason="needs dciodvfy (Debian's dicom3tools)")
@pytest.mark.parametrize("state", STATES)
def test_dciodvfy_finds_no_error_in_a_report_of_two_eyes_nor_in_one_without_identity(tmp_path, grader, files, state):
    for other, de_identify in itertools.product([("graded", 0), ("unreadable", CANNOT_GRADE)], [False, True]):
        rows = rows_of([("left", state), ("right", other)], files)

        made = reports(tmp_path / f"{other[0]}-{de_identify}", grader, rows, de_identify=de_identify)

        complaints = subprocess.run([VALIDATOR, str(made.written[0])], capture_output=True, text=True, check=False)
        assert "Comprehensive3DSR" in complaints.stderr
        assert "Error" not in complaints.stderr


@pytest.mark.skipif(DUMP is None, reason="needs dsrdump (Debian's dcmtk)")
@pytest.mark.parametrize("state", STATES)
def test_dsrdump_shows_the_eye_with_its_grade_or_that_it_has_none(tmp_path, grader, files, state):
    rows = rows_of([("left", state)], files)
    made = reports(tmp_path / "out", grader, rows)

    shown = subprocess.run(
        [DUMP, "+Pc", "+Pl", str(made.written[0])], capture_output=True, text=True, check=True
    ).stdout

    status, answer = state
    answered = {code for code in GRADE_CODES if f"({code}," in shown}
    expected = [] if status != "graded" else ["LA18643-9" if answer == 0 else SNOMED["left", answer]]
    assert sorted(answered) == expected
    assert "not examined: the study has no photograph of the right eye" in shown
