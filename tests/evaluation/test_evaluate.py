"""Two tables in, one evaluation out: without a command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_summary import clinic_rows, evaluation_of, refuse

from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.evaluate import EvaluationOptions, evaluate_tables
from fundoscope.evaluation.summary import summarise
from fundoscope.tables import write_table

QUICK = EvaluationOptions(resamples=100, with_subgroups=False, with_curves=False)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rows = clinic_rows(np.random.default_rng(3), 140)
    return refuse(rows, [3]).assign(site=["north" if k < 100 else "south" for k in range(140)])


@pytest.fixture
def tables(tmp_path: Path, rows: pd.DataFrame) -> tuple[Path, Path]:
    """The same photographs as two files; patients 0 to 19 are in the training split, the others in the test split."""
    answers = ["status", "decision", "p_referable", *(f"p{k}" for k in range(5))]
    split = ["train" if k < 40 else "test" for k in range(140)]
    write_table(rows[["image", *answers]].assign(grade=rows["predicted_grade"]), tmp_path / "predictions.csv")
    write_table(rows[["image", "patient", "grade", "site"]].assign(split=split), tmp_path / "manifest.csv")
    return tmp_path / "predictions.csv", tmp_path / "manifest.csv"


def test_tables_give_what_their_rows_give(tables, rows):
    evaluation = evaluate_tables(*tables, split="test", options=QUICK)

    alone = summarise(evaluation.cases, resamples=100)
    assert evaluation.summary.to_dict() == alone.to_dict()
    assert evaluation.cases.rows["image"].tolist() == rows["image"].tolist()[40:]
    assert evaluation.to_dict()["data"]["manifest"] == "manifest.csv"
    assert (evaluation.to_dict()["split"], evaluation.to_dict()["unseen_patients"]) == ("test", False)


def test_what_cannot_be_evaluated_is_refused_as_on_the_command_line(tables):
    with pytest.raises(BadRequest, match="--unseen-patients: expected --split beside it"):
        evaluate_tables(*tables, unseen_patients=True)
    with pytest.raises(BadRequest, match="--by nurse: expected a column of 1 to 40 different values"):
        evaluate_tables(*tables, options=EvaluationOptions(resamples=100, by=("nurse",), with_curves=False))
    with pytest.raises(BadTable, match="expected rows of split val, got splits: test, train"):
        evaluate_tables(*tables, split="val")
    with pytest.raises(ValueError, match=r"name must be one of gdrbench, .*got 'thesis'"):
        evaluate_tables(*tables, options=EvaluationOptions(resamples=100, with_subgroups=False, preset="thesis"))


def test_everything_is_plain_json(rows):
    answer = json.loads(json.dumps(evaluation_of(rows, preset="retfound").to_dict(), allow_nan=False))

    assert {"data", "version", "split", "unseen_patients", "statistics", "preset", "subgroups_rule"} <= set(answer)
    assert set(answer["flow"][0]) == {"name", "words", "photographs", "patients", "leaves"}
    assert answer["abstention"][0]["certainty"] is None
    assert answer["errors"]["photographs"] == 139
    assert answer["preset"]["name"] == "retfound"
    assert [column["column"] for column in answer["subgroups"]] == ["site"]


def test_all_parts_are_about_the_same_photographs(rows):
    evaluation = evaluation_of(rows, include_ungradable=True, listed=pd.concat([rows, rows.assign(image="more")[:1]]))

    assert evaluation.flow[0].photographs == 141
    assert evaluation.flow[-1].photographs == evaluation.mistakes.photographs == sum(evaluation.summary.support) == 140
    assert evaluation.abstention[0].photographs == 140
    assert sum(group.photographs for group in evaluation.subgroups[0].groups) == 140


def test_groups_curves_and_a_papers_table_are_computed_only_where_asked_for(rows):
    evaluation = evaluation_of(rows, with_subgroups=False, with_curves=False)

    assert (evaluation.subgroups, evaluation.curves, evaluation.abstention, evaluation.paper) == ((), None, (), None)
    assert not {"curves", "abstention", "preset"} & set(evaluation.to_dict())
    (column,) = evaluation_of(rows, with_subgroups=False, by=("status",), with_curves=False).subgroups[1:]
    assert column.column == "status"
