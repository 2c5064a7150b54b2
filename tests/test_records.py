"""What was written down by another version is refused, not half read."""

from __future__ import annotations

import json
import math

import pytest

from fundoscope.decide.neighbours import Voting
from fundoscope.records import (
    DEEPEST,
    check_keys,
    is_number,
    is_whole_number,
    null_if_nan,
    parse_record,
    seal_of,
    without_nan,
)


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


def test_a_record_is_read_as_json_is():
    text = '{"a": [1, 2.5, -1e-9, null, true], "b": {"\u00e9": "\U0001f441"}}'

    assert parse_record(text) == json.loads(text)
    assert parse_record(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": Infinity}', "Infinity, which is no finite number"),
        ('{"a": [-Infinity]}', "-Infinity, which is no finite number"),
        ('{"a": NaN}', "NaN, which is no finite number"),
        ('{"a": 1e999}', "1e999, which is no number up to 1e"),
        ('{"a": -1e301}', "-1e301, which is no number up to 1e"),
        ('{"a": ' + "9" * 400 + "}", "a whole number of 400 digits"),
        ('{"a": ' + "9" * 1_000_000 + "}", "a whole number of 1000000 digits"),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' more than once"),
        ('{"a": {"b": 1, "b": 1}}', "the key 'b' more than once"),
        (r'{"a": "\ud800"}', "half a character"),
        (r'{"a": {"\udfff": 1}}', "half a character"),
        ("[" * 100_000, "objects nested deeper than 64"),
        ("[" * 100_000 + "]" * 100_000, "objects nested deeper than 64"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "objects nested deeper than 64"),
    ],
)
def test_what_cannot_be_computed_with_is_not_read(text: str, words: str):
    with pytest.raises(ValueError, match=words):
        parse_record(text)


def test_a_record_may_be_nested_as_deeply_as_is_said_and_no_deeper():
    assert parse_record("[" * DEEPEST + "]" * DEEPEST)
    with pytest.raises(ValueError, match="nested deeper"):
        parse_record("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))


def test_a_seal_is_of_all_that_a_record_says_in_whatever_order_and_not_of_itself():
    record = {"a": 1, "b": {"c": [1.5, None]}}
    seal = seal_of(record)

    assert seal_of({"b": {"c": [1.5, None]}, "a": 1, "seal": seal}) == seal
    assert seal_of(record | {"a": 2}) != seal
