"""Patients that are written into the names of photographs."""

from __future__ import annotations

import pandas as pd
import pytest

from fundoscope.data.names import patients_from_names, suggested
from fundoscope.errors import BadRequest, BadTable


def named(*images: str) -> pd.DataFrame:
    return pd.DataFrame({"image": list(images)}, dtype=object)


@pytest.mark.parametrize(
    ("images", "patients"),
    [
        (("10_left.jpeg", "10_right.jpeg", "011_left.jpeg"), ["10", "10", "011"]),
        (("P001_L_1.jpg", "P001_R_1.jpg", "P002_L_2.jpg"), ["P001", "P001", "P002"]),
        (("123-OD.png", "123-OS.png", "124-OS.png"), ["123", "123", "124"]),
        (("RET002OD.jpg", "RET002OS.jpg", "RET003OD.jpg"), ["RET002", "RET002", "RET003"]),
        (("OD_7.tif", "OS_7.tif", "OD_8.tif"), ["7", "7", "8"]),
        (("a/12/left.jpg", "a/12/right.jpg", "a/13/left.jpg"), ["12", "12", "13"]),
        (("12/OD/1.jpg", "12/OS/1.jpg", "13/OD/1.jpg"), ["12", "12", "13"]),
        (("left/12.jpg", "right/12.jpg", "left/13.jpg"), ["12", "12", "13"]),
        (("4 RE.jpg", "4 LE.jpg", "5 RE.jpg"), ["4", "4", "5"]),
    ],
)
def test_names_that_look_like_pairs_of_eyes_suggest_an_expression_that_reads_them(images, patients):
    suggestion = suggested(images)

    assert suggestion is not None
    assert suggestion.pairs == 1
    frame = patients_from_names(named(*images), suggestion.pattern)
    assert frame["patient"].tolist() == patients
    assert frame["eye"].iloc[0] != frame["eye"].iloc[1]


@pytest.mark.parametrize(
    "images",
    [("IMG_1.jpg", "IMG_2.jpg"), ("10_left.jpg", "11_left.jpg"), ("IDRiD_001.jpg",), ("portrait.jpg", "r.jpg")],
)
def test_names_without_pairs_suggest_nothing(images):
    assert suggested(images) is None


def test_names_of_which_some_are_pairs_are_counted():
    suggestion = suggested(["10_left.jpg", "10_right.jpg", "cover.jpg"])

    assert suggestion is not None
    assert suggestion.matched == 2


def test_one_group_is_the_patient_and_numbers_of_eyes_need_a_code():
    assert patients_from_names(named("a/10_x.jpg", "b/10_y.jpg"), r"(\d+)_")["patient"].tolist() == ["10", "10"]
    frame = patients_from_names(
        named("10-1.jpg", "10-2.jpg"), r"(?P<patient>\d+)-(?P<eye>\d)", eyes={"1": "right", "2": "left"}
    )
    assert frame["eye"].tolist() == ["right", "left"]
    with pytest.raises(BadTable, match=r"a group eye that finds one of left, .* got '1'. .*--code eye:CODE=left"):
        patients_from_names(named("10-1.jpg"), r"(?P<patient>\d+)-(?P<eye>\d)")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"(\d+", r"expected a regular expression, got '\(\\\\d\+': missing \)"),
        (r"\d+", r"expected an expression with one group, .* got 0 groups"),
        (r"(\d+)_(left|right)", r"got 2 groups, none named patient .*Write \(\?P<patient>"),
        (r"(?P<patient>\d+)_(?P<visit>\d)", r"got a group named visit"),
    ],
)
def test_an_expression_that_does_not_say_where_the_patient_is_is_refused(pattern, message):
    with pytest.raises(BadRequest, match=message):
        patients_from_names(named("10_left.jpg"), pattern)


def test_a_name_that_does_not_match_is_named_and_known_patients_are_not_replaced():
    with pytest.raises(BadTable, match=r"expected every name to match .*, 1 of 2 do not: cover.jpg. Extend"):
        patients_from_names(named("10_left.jpg", "cover.jpg"), r"(\d+)_")
    with pytest.raises(BadTable, match=r"without values in the column patient, got some"):
        patients_from_names(named("10_left.jpg").assign(patient="7"), r"(\d+)_")
