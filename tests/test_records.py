"""What was written down by another version is refused, not half read."""

from __future__ import annotations

import json
import math

import pytest

from fundoscope.decide.neighbours import Voting
from fundoscope.records import check_keys, is_number, is_whole_number, null_if_nan, without_nan


def test_the_keys_are_the_fields_and_nothing_else():
    written = dict.fromkeys(("k", "metric", "weights"))

    check_keys(written, Voting)
    for wrong in (written | {"more": 1}, {"k": 3}):
        with pytest.raises(ValueError, match=r"expected the keys k, metric, weights, got k"):
            check_keys(wrong, Voting)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_null(value):
    assert null_if_nan(value) is None
    assert json.dumps(without_nan({"a": value, "b": "nan"}), allow_nan=False) == '{"a": null, "b": "nan"}'


def test_figures_and_everything_that_is_no_figure_stay_as_they_are():
    values = {"zero": 0.0, "count": 3, "yes": True, "list": [1], "none": None}

    assert without_nan(values) == values
    assert null_if_nan(-0.25) == -0.25


@pytest.mark.parametrize(
    ("value", "number", "whole"),
    [(3, True, True), (0.5, True, False), (True, False, False), ("3", False, False), (None, False, False)],
)
def test_true_and_false_are_no_numbers(value, number, whole):
    assert is_number(value) is number
    assert is_whole_number(value) is whole
