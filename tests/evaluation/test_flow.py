"""Who came and where they were lost."""

from __future__ import annotations

import numpy as np
import pandas as pd
from tests.evaluation.test_summary import clinic_rows, refuse

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.flow import flow, flow_text
from fundoscope.evaluation.summary import summarise


def boxes(listed: pd.DataFrame, rows: pd.DataFrame, **options) -> dict[str, tuple[int, int]]:
    return {each.name: (each.photographs, each.patients) for each in flow(listed, cases_of(rows), **options)}


def test_every_photograph_is_in_the_last_box_or_in_one_that_leaves(rng):
    listed = clinic_rows(rng, 20)
    rows = refuse(listed, [4, 5, 7]).iloc[:16].copy()
    rows.loc[9, ["status", "decision"]] = ["unreadable", None]
    rows.loc[9, [f"p{k}" for k in range(5)]] = np.nan
    rows.loc[[0, 1], "grade"] = pd.NA

    found = flow(listed, cases_of(rows))

    assert boxes(listed, rows) == {
        "listed": (20, 10),
        "not_answered": (4, 2),
        "answered": (16, 8),
        "without_reference": (2, 1),
        "with_reference": (14, 7),
        "unreadable": (1, 1),
        "ungradable": (3, 2),
        "graded": (10, 6),
        "analysed": (10, 6),
    }
    assert found[-1].photographs + sum(each.photographs for each in found if each.leaves) == 20
    assert summarise(cases_of(rows), resamples=100).counts["measured"] == 10


def test_the_ungradable_stay_where_they_are_counted(rng):
    listed = clinic_rows(rng, 20)
    rows = refuse(listed, [4, 5, 7])

    found = flow(listed, cases_of(rows), include_ungradable=True)

    assert boxes(listed, rows, include_ungradable=True)["analysed"] == (20, 10)
    assert [each.name for each in found if each.leaves] == ["not_answered", "without_reference", "unreadable"]


def test_the_text_can_be_pasted(rng):
    listed = clinic_rows(rng, 4)

    lines = flow_text(flow(listed, cases_of(refuse(listed, [0])))).splitlines()

    assert lines[0] == "in the manifest: 4 photographs of 2 patients"
    assert "    left out: ungradable: 1 photographs of 1 patients" in lines
    assert lines[-1] == "analysed: 3 photographs of 2 patients"
