"""`fundoscope data columns`, which must say what the checks of tables enforce."""

from __future__ import annotations

import json

from fundoscope.tables.columns import MANIFEST_COLUMNS, PREDICTION_COLUMNS


def test_all_columns_of_a_manifest_are_listed_with_what_they_may_hold(run_verb):
    status, out, _ = run_verb("data", "columns")

    assert status == 0
    assert all(name in out for name in MANIFEST_COLUMNS)
    assert "sign_NAME" in out
    assert "0, 1, 2, 3, 4 reference ICDR grade" in out
    assert "also read: l, le, left eye, od" in out


def test_columns_are_printed_as_json_of_predictions_too(run_verb):
    manifest = json.loads(run_verb("data", "columns", "--json")[1])
    predictions = json.loads(run_verb("data", "columns", "--predictions", "--json")[1])

    assert manifest["eye"]["allowed"] == ["left", "right"]
    assert manifest["eye"]["also_read"]["od"] == "right"
    assert list(predictions) == list(PREDICTION_COLUMNS)


def test_every_column_says_what_it_means():
    assert [name for name, column in {**MANIFEST_COLUMNS, **PREDICTION_COLUMNS}.items() if not column.note] == []
