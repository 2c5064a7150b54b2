"""Reference grades of a study from a table: every row fits one photograph, or is named."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.store.studies.study import CaseContent
from fundoscope.service.work.studies.cases import with_references
from fundoscope.service.work.studies.references import read_references

made = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "study_cases.py")))


@pytest.fixture
def contents(database) -> list[CaseContent]:
    """Two cases with both eyes, and one whose eye is not known."""
    eyes = {"P0": {"left": 0, "right": 1}, "P1": {"left": 2, "right": 3}, "P2": {None: 4}}
    with database.writing() as session:
        return [made.content_of(made.add_case(session, name, answers), name) for name, answers in eyes.items()]


def hash_of(content: CaseContent, number: int) -> str:
    return content.photographs[number]["sha256"]


def test_rows_are_found_by_the_files_name_or_its_hash(contents):
    uids = [content.case.uid for content in contents]
    table = f"image,sha256,grade\nP0_left.jpg,,0\n,{hash_of(contents[0], 1).upper()},4\nP2_None.jpg,,3\n"

    assert read_references(table, contents) == {(uids[0], "left"): 0, (uids[0], "right"): 4, (uids[2], "unknown"): 3}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("eye", ["left", "OS", "L", ""])
def test_spreadsheets_of_other_countries_and_other_names_of_the_eyes_are_read(contents, separator, eye):
    lines = [["\ufeffGrade ", "Eye", "note", "Image"], [" 2", eye, "a note", "P0_left.jpg"], ["", "", "", ""]]
    table = "\r\n".join(separator.join(cells) for cells in lines)

    assert read_references(table, contents) == {(contents[0].case.uid, "left"): 2}


def test_every_row_that_does_not_fit_is_named_and_none_is_taken(contents):
    table = "\n".join(
        [
            "image,eye,grade",
            "P0_left.jpg,left,1",
            "P9_left.jpg,left,1",
            "P0_right.jpg,left,1",
            "P1_left.jpg,middle,1",
            "P1_left.jpg,left,5",
            "P1_right.jpg,right,",
            "P0_left.jpg,left,2",
        ]
    )

    with pytest.raises(BadRequest, match="references: expected rows that each fit one photograph") as problem:
        read_references(table, contents)

    for words in [
        "line 3: image P9_left.jpg is no photograph of the study",
        "line 4: the eye is left, but the photograph is of the right eye",
        "line 5: the eye is 'middle', not left or right",
        "line 6: the grade is '5', not 0 to 4",
        "line 7: the grade is '', not 0 to 4",
        "line 8: the grade is 2, but another row says 1 of the same eye",
    ]:
        assert words in str(problem.value)


def test_more_faults_than_a_sentence_holds_are_counted(contents):
    table = "image,grade\n" + "".join(f"Q{number}.jpg,1\n" for number in range(25))

    with pytest.raises(BadRequest, match=r"line 11: image Q9\.jpg .*; and 15 more\. Correct these rows"):
        read_references(table, contents)


def test_a_name_that_two_photographs_have_fits_neither(contents):
    twice = [{**photograph, "name": "same.jpg"} for photograph in contents[0].photographs]
    contents = [replace(contents[0], photographs=twice), *contents[1:]]

    with pytest.raises(BadRequest, match=r"line 2: image same\.jpg is more than one photograph of the study"):
        read_references("image,grade\nsame.jpg,1\n", contents)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("image,eye\nP0_left.jpg,left\n", r"expected the columns grade and sha256 or image, got image, eye"),
        ("grade\n1\n", r"expected the columns grade and sha256 or image, got grade"),
        ("grade,image,grade\n1,P0_left.jpg,2\n", r"expected one column grade, got more"),
        ('image,grade\n"P0_left.jpg,1', r"is no photograph of the study"),
        ("just words", r"got just words"),
        ("\ufeff", r"got none"),
    ],
)
def test_what_is_no_table_of_references_is_refused(contents, table, words):
    with pytest.raises(BadRequest, match=f"references: .*{words}"):
        read_references(table, contents)


def test_references_belong_to_the_eye_of_their_case(contents):
    grades = read_references("image,grade\nP0_left.jpg,3\nP1_right.jpg,0\n", contents)

    assert [content.references for content in with_references(contents, grades)] == [{"left": 3}, {"right": 0}, {}]
