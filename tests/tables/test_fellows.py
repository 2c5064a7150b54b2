from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fundoscope.tables.fellows import NO_FELLOW, find_fellows


def fellows(rows: list[dict[str, str | None]]) -> list[str | None]:
    frame = pd.DataFrame(rows)
    return [None if at == NO_FELLOW else str(frame["image"][at]) for at in find_fellows(frame)]


def test_a_fellow_is_the_other_eye_of_the_same_patient_of_the_same_source_and_not_of_another_visit(rng):
    """Over random tables: no better and no fewer fellows than comparing every row with every other finds."""
    for _ in range(20):
        rows = [
            {
                "image": f"{number:03}",
                "source": rng.choice(["here", "there", None]),
                "patient": rng.choice(["p", "q", "r", None]),
                "eye": rng.choice(["left", "right", None]),
                "visit": rng.choice(["first", "second", None]),
            }
            for number in range(30)
        ]

        def may_be(own, other):
            return (
                None not in (own["patient"], own["eye"], other["eye"])
                and (own["source"], own["patient"]) == (other["source"], other["patient"])
                and own["eye"] != other["eye"]
                and (own["visit"] == other["visit"] or None in (own["visit"], other["visit"]))
            )

        def best(own, among):
            same = [other for other in among if None not in (own["visit"],) and other["visit"] == own["visit"]]
            return min((other["image"] for other in same or among), default=None)

        expected = [best(own, [other for other in rows if may_be(own, other)]) for own in rows]
        assert fellows(rows) == expected


def test_the_order_of_the_rows_does_not_matter(rng):
    rows = pd.DataFrame(
        {
            "image": [f"{number}.png" for number in range(24)],
            "patient": [f"p{number // 6}" for number in range(24)],
            "eye": ["left", "right"] * 12,
        }
    )
    order = rng.permutation(24)
    shuffled = rows.iloc[order].reset_index(drop=True)

    first = dict(zip(rows["image"], rows["image"].iloc[find_fellows(rows)], strict=True))
    second = dict(zip(shuffled["image"], shuffled["image"].iloc[find_fellows(shuffled)], strict=True))

    assert first == second


def test_a_photograph_of_the_same_day_comes_before_one_of_an_unknown_day_and_another_day_is_no_fellow():
    own = {"image": "own", "patient": "p", "eye": "left", "taken": "2024-05-01T10:00:00"}
    unknown = {"image": "a", "patient": "p", "eye": "right", "taken": None}
    same_day = {"image": "b", "patient": "p", "eye": "right", "taken": "2024-05-01T10:05:00"}
    years_later = {"image": "c", "patient": "p", "eye": "right", "taken": "2026-05-01T10:00:00"}

    assert fellows([own, unknown, same_day, years_later])[0] == "b"
    assert fellows([own, unknown, years_later])[0] == "a"
    assert fellows([own, years_later]) == [None, None]


def test_where_visits_are_known_they_tell_and_not_the_days():
    own = {"image": "own", "patient": "p", "eye": "left", "visit": "1", "taken": "2024-05-01"}
    next_day = {"image": "a", "patient": "p", "eye": "right", "visit": "1", "taken": "2024-05-02"}

    assert fellows([own, next_day]) == ["a", "own"]


@pytest.mark.parametrize("columns", [["image"], ["image", "patient"], ["image", "eye"]])
def test_a_table_that_does_not_say_whose_eye_it_is_has_no_fellows(columns):
    frame = pd.DataFrame(
        [{"image": "a", "patient": "p", "eye": "left"}, {"image": "b", "patient": "p", "eye": "right"}]
    )

    np.testing.assert_array_equal(find_fellows(frame[columns]), [NO_FELLOW, NO_FELLOW])
