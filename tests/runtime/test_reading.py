"""What became of one photograph, as a row of the predictions table."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fundoscope.runtime.reading import Reading
from fundoscope.runtime.tasks.dr_grade import GradeAnswer


def reading(raw: tuple[float, ...] = (), answer: GradeAnswer | None = None) -> Reading:
    return Reading(
        image="eye.jpg",
        status="graded",
        reason="",
        release="tiny@1",
        graded_at="2031-02-03",
        raw=raw,
        answer=answer or GradeAnswer(),
    )


def test_a_probability_that_rounds_to_nothing_is_stored_as_the_smallest_number_there_is():
    answer = GradeAnswer(probabilities=(1e-9, 0.0, 0.25, 0.75, 1.4e-6), p_referable=3e-12, grade=3, decision="refer")

    row = reading(answer=answer).row()

    assert [row[f"p{grade}"] for grade in range(5)] == [1e-6, 0.0, 0.25, 0.75, 1e-6]
    assert (row["p_referable"], row["grade"]) == (1e-6, 3)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_raw_output_comes_back_from_its_text_as_the_number_that_the_network_gave(value):
    stored = reading(raw=(value,)).row()["raw0"]

    assert np.float32(float(repr(stored))) == np.float32(value)
    assert not np.signbit(stored) or stored < 0
