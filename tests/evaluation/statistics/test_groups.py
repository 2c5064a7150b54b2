"""Groups of photographs, and groups dealt out by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.errors import BadRequest
from fundoscope.evaluation.statistics.groups import Grouping, chance, groupings, shuffled


def listed(**columns) -> pd.DataFrame:
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"image": [f"{k}.jpg" for k in range(count)], **columns})


def test_a_column_that_tells_nobody_apart_is_passed_over():
    found = groupings(listed(source=["a", "a", "a"], sex=["female", "male", None], camera=[None, None, None]))

    assert [(each.column, each.values, each.codes.tolist(), each.unknown) for each in found] == [
        ("sex", ("female", "male"), [0, 1, -1], 1)
    ]


def test_ages_come_in_bands_the_youngest_first():
    (found,) = groupings(listed(age=[71.0, 39.9, 40.0, 69.0, None, 55]))

    assert found.column == "age_band"
    assert found.values == ("under 40", "40 to 49", "50 to 59", "60 to 69", "70 and over")
    assert found.codes.tolist() == [4, 0, 1, 3, -1, 2]


def test_an_eye_that_was_not_recorded_is_the_one_seen_in_the_picture():
    (found,) = groupings(listed(eye=["left", None, "right"], eye_inferred=["right", "right", None]))

    assert [found.values[code] for code in found.codes] == ["left", "right", "right"]


def test_any_column_can_be_asked_for_but_no_list_of_names():
    rows = listed(nurse=["x", "x"])
    many = listed(nurse=[f"{k}" for k in range(41)])

    assert groupings(rows, ["nurse"])[0].values == ("x",)
    with pytest.raises(BadRequest, match=r"--by nurse: expected a column of 1 to 40 different values, got 41\."):
        groupings(many, ["nurse"])
    with pytest.raises(BadRequest, match=r"--by clinic: .* got no such column \(there are image, nurse\)"):
        groupings(rows, ["clinic"])


def test_patients_of_one_group_exchange_it_whole(rng):
    patients = np.repeat(np.arange(20), 3)
    codes = np.repeat(np.arange(20) % 2, 3)
    codes[:3] = -1

    dealt = list(shuffled(Grouping("site", ("a", "b"), codes), patients, rng, 50))

    for each in dealt:
        by_patient = each.reshape(20, 3)
        assert (by_patient == by_patient[:, :1]).all()
        assert (by_patient[0] == -1).all()
        assert sorted(by_patient[1:, 0]) == sorted(codes[3::3])
    assert len({each.tobytes() for each in dealt}) > 40


def test_eyes_stay_a_left_and_a_right_one_of_each_patient(rng):
    patients = np.repeat(np.arange(10), 2)
    codes = np.tile([0, 1], 10)

    for each in shuffled(Grouping("eye", ("left", "right"), codes), patients, rng, 20):
        assert (each.reshape(10, 2).sum(axis=1) == 1).all()


def test_patients_of_mixed_groups_exchange_all_that_they_have(rng):
    codes = np.array([0, 0, 1, 1, 0, 1, 2])
    patients = np.array([0, 0, 1, 1, 2, 2, 3])

    dealt = np.stack(list(shuffled(Grouping("dme", ("0", "1", "2"), codes), patients, rng, 300)))

    assert (dealt[:, 6] == 2).all()
    assert (np.sort(dealt, axis=1) == np.sort(codes)).all()
    assert {tuple(row[:2]) for row in dealt} == {(0, 0), (1, 1), (0, 1), (1, 0)}


def test_what_chance_never_does_still_has_a_p_value_above_nought():
    assert chance(0.5, [0.1, 0.2, 0.3]) == pytest.approx(1 / 4)
    assert chance(0.2, [0.1, 0.2, 0.3]) == pytest.approx(3 / 4)
    assert np.isnan(chance(float("nan"), [0.1]))
