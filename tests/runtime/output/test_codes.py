from __future__ import annotations

import itertools

import pytest

from fundoscope.grades import QUALITY_NAMES
from fundoscope.runtime.output import codes

# Typed from the value sets, not from the module: an error of one of the two is found.
SNOMED = {
    None: {1: "312903003", 2: "312904009", 3: "312905005", 4: "59276001"},
    "right": {1: "769183005", 2: "769185003", 3: "769187006", 4: "770765001"},
    "left": {1: "769184004", 2: "769186002", 3: "769188001", 4: "770766000"},
}
LOINC = {0: "LA18643-9", 1: "LA18644-7", 2: "LA18645-4", 3: "LA18646-2", 4: "LA18648-8"}

PUBLISHED = {
    "312903003": "Mild nonproliferative retinopathy due to diabetes mellitus",
    "312904009": "Moderate nonproliferative retinopathy due to diabetes mellitus",
    "312905005": "Severe nonproliferative retinopathy due to diabetes mellitus",
    "59276001": "Proliferative retinopathy due to diabetes mellitus",
    "769184004": "Mild nonproliferative retinopathy of left eye due to diabetes mellitus",
    "769185003": "Moderate nonproliferative retinopathy of right eye due to diabetes mellitus",
    "770765001": "Proliferative retinopathy of right eye due to diabetes mellitus",
    "71490-7": "Left eye Diabetic retinopathy severity level by Ophthalmoscopy",
    "71491-5": "Right eye Diabetic retinopathy severity level by Ophthalmoscopy",
    "LA18643-9": "No apparent retinopathy",
    "LA18644-7": "Mild non-proliferative retinopathy",
    "LA18648-8": "Proliferative retinopathy",
}
LONGEST_MEANING = 64
"""Letters that DICOM takes (LO)."""


@pytest.mark.parametrize("eye", SNOMED)
def test_grades_have_the_codes_of_their_eye(eye):
    assert {grade: codes.grade_code(grade, eye)[:2] for grade in range(1, 5)} == {
        grade: (value, "SCT") for grade, value in SNOMED[eye].items()
    }


def test_no_retinopathy_is_loincs_answer_and_never_mild_retinopathy():
    assert {codes.grade_code(0, eye)[:2] for eye in SNOMED} == {("LA18643-9", "LN")}
    assert "312903003" not in {codes.grade_code(0, eye)[0] for eye in SNOMED}


def test_loincs_answers_are_in_the_order_of_the_grades():
    assert {grade: code[:2] for grade, code in enumerate(codes.ANSWERS)} == {
        grade: (value, "LN") for grade, value in LOINC.items()
    }


def test_left_and_right_are_never_swapped():
    assert codes.severity("left")[0] == "71490-7"
    assert codes.severity("right")[0] == "71491-5"
    assert {eye: code[0] for eye, code in codes.SIDES.items()} == {"right": "24028007", "left": "7771000"}
    for eye, other in (("left", "right"), ("right", "left")):
        graded = [codes.grade_code(grade, eye) for grade in range(1, 5)]
        names = [
            name.lower() for code in (codes.severity(eye), *graded) for name in (code[2], codes.published_name(code))
        ]
        assert all(eye in name and other not in name for name in names)


def test_no_two_grades_or_eyes_share_a_code():
    every = [codes.grade_code(grade, eye)[0] for grade, eye in itertools.product(range(1, 5), SNOMED)]

    assert len(set(every)) == len(every) == 12
    assert len({code[0] for code in codes.ANSWERS}) == 5


def test_every_quality_has_a_code_and_what_cannot_be_graded_is_unusable():
    assert set(codes.QUALITIES) == set(QUALITY_NAMES)
    assert {name: code[0] for name, code in codes.QUALITIES.items()} == {
        "reject": "111235", "usable": "111236", "good": "111237",
    }  # fmt: skip


def every_code() -> list[codes.Triple]:
    """Return all codes of the table."""
    values = [value for name, value in vars(codes).items() if name.isupper() and isinstance(value, tuple)]
    single = [value for value in values if isinstance(value[0], str) and len(value) == 3]
    tables = [*codes.SIDES.values(), *codes.QUALITIES.values(), *codes.METHODS.values(), *codes.ASKED.values()]
    graded = [codes.grade_code(grade, eye) for grade, eye in itertools.product(range(5), SNOMED)]
    return [*single, *tables, *codes.ANSWERS, *graded]


def test_names_are_those_that_the_schemes_publish():
    names = {code[0]: codes.published_name(code) for code in every_code()}

    assert {value: names[value] for value in PUBLISHED} == PUBLISHED


def test_every_meaning_has_a_place_in_dicom_and_every_code_has_one_meaning():
    table = every_code()

    assert len(table) > 40
    assert [code for code in table if not 1 <= len(code[2]) <= LONGEST_MEANING] == []
    assert len({code[:2] for code in table}) == len(set(table))


def test_no_code_asserts_anything_of_macular_oedema():
    values = {
        part[0]
        for name in dir(codes)
        if name.isupper() and isinstance(getattr(codes, name), tuple)
        for part in [getattr(codes, name)]
    }

    assert not values & {"105914-6", "LA34398-0", "LA34399-8", "71488-1", "71489-9", "312912001"}
