"""Checklists that claim nothing the program does not know."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.test_summary import clinic_rows, evaluation_of, refuse

from fundoscope import __version__
from fundoscope.evaluation.report.checklist import CLAIM, NOT_STATED, TRIPOD, checklists, facts_of


@pytest.fixture(scope="module")
def rows():
    return refuse(clinic_rows(np.random.default_rng(8), 40), [3])


def facts(rows, **options) -> dict[str, str]:
    return facts_of(evaluation_of(rows, with_curves=False, **options))


def test_all_items_are_there_once_and_every_key_is_answered_somewhere(rows):
    full = facts(
        rows.assign(
            **{
                "source": "a",
                "site": ["x", "y"] * 20,
                "camera": "c",
                "release": "r",
                "taken": "2020-01-01",
                "age": 50.0,
            },
            **{"sex": "female", "grade_by": "NN", "grade_second": 1, "fold": "0", "eye": ["left", "right"] * 20},
        ).drop(columns="patient")
    )

    assert [len(TRIPOD), len(CLAIM)] == [52, 42]
    for items in (TRIPOD, CLAIM):
        assert len({number for number, _, _ in items}) == len(items)
        assert {key for _, _, key in items} - {""} <= {key for key, words in full.items() if words}


def test_what_nobody_said_is_not_stated(rows):
    items = {each.number: each.answer for each in checklists(facts(rows))["TRIPOD+AI"]}

    # Neither funding nor ethics are ever known; sites, cameras, sex and age are in no column here.
    for number in ("17", "18a", "6a", "9b", "20b", "8b"):
        assert items[number] == NOT_STATED, number


def test_what_is_known_is_told_with_numbers(rows):
    known = facts(rows.assign(sex=["female"] * 30 + ["male"] * 10, age=[40.0] * 20 + [60.0] * 20, release="r1"))
    items = {each.number: each.answer for each in checklists(known)["CLAIM"]}

    assert "100 resamples, seed 0" in items["29"]
    assert items["34"] == "30 photographs of women, 10 of men; median age 50 years (quartiles 40 and 60)"
    assert items["22"].startswith("release: r1; predictions a.csv (SHA-256 aaaa")
    assert items["20"] == "Split test of the manifest, only patients, files and eyes that no other split has"
    assert "ungradable 1" in items["33"]
    assert "quadratic kappa 0." in items["36"]
    assert items["23"] == f"evaluated with fundoscope {__version__}"


def test_groups_of_people_are_no_clusters_and_measuring_them_is_no_deed_for_fairness(rows):
    items = {
        each.number: each.answer
        for each in checklists(facts(rows.assign(sex=["female", "male"] * 20, site=["x", "y"] * 20)))["TRIPOD+AI"]
    }

    assert items["12d"] == items["23b"] == "measured by site, with intervals and the largest gap"
    assert items["23a"].endswith("measured by site, sex, with intervals and the largest gap")
    assert items["14"] == NOT_STATED


def test_out_of_fold_predictions_are_said_to_be_so_only_if_all_are(rows):
    assert "2 folds" in facts(rows.assign(fold=["0", "1"] * 20))["partition"]
    assert "folds" not in facts(rows.assign(fold=["0"] * 39 + [None]))["partition"]
