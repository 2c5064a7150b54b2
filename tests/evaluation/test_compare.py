"""Comparing tables without a command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.evaluation.test_summary import clinic_rows

from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.compare import DME_HEADLINES, Comparison, ComparisonOptions, compare_tables
from fundoscope.evaluation.report.comparison import basis_lines
from fundoscope.evaluation.summary import summarise
from fundoscope.evaluation.systems import DME_STATISTICS, compare_systems
from fundoscope.tables import write_table

QUICK = ComparisonOptions(resamples=100, margins={"accuracy": 0.5})


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Two tables of 60 photographs, of which the second lacks one, and the manifest with another in training."""
    rows = clinic_rows(np.random.default_rng(1), 60)
    columns = rows[["image", "decision", *(f"p{k}" for k in range(5))]].assign(grade=rows["predicted_grade"])
    write_table(columns, tmp_path / "ours.csv")
    worse = columns.assign(grade=columns["grade"].where(np.arange(60) % 4 > 0, 0))
    write_table(worse[:-1], tmp_path / "theirs.csv")
    split = ["train", *["test"] * 59]
    write_table(rows[["image", "patient", "grade"]].assign(split=split), tmp_path / "manifest.csv")
    return [tmp_path / f"{name}.csv" for name in ("ours", "theirs", "manifest")]


@pytest.fixture
def comparison(tables) -> Comparison:
    return compare_tables(tables[:2], tables[2], split="test", options=QUICK)


def test_systems_are_compared_on_what_both_answered_of_the_split(comparison, tables):
    assert comparison.cases.rows["image"].tolist() == [f"{k}.jpg" for k in range(1, 59)]
    assert comparison.left_out == {str(tables[0]): 1, str(tables[1]): 0}
    assert comparison.names == ("ours.csv", "theirs.csv")
    assert [system.summary.counts["photographs"] for system in comparison.table] == [58, 58]


def test_the_differences_are_those_of_the_cases(comparison):
    ours, theirs = (system.summary.intervals["accuracy"].estimate for system in comparison.table)

    assert comparison.paired.against[0].values["accuracy"] == pytest.approx((ours, theirs))
    assert comparison.paired.against[0].differences["accuracy"].estimate == pytest.approx(ours - theirs)
    alone = compare_systems([comparison.cases] * 2, rng=np.random.default_rng(0), resamples=100)
    assert alone.against[0].values["accuracy"][0] == pytest.approx(ours)


def test_each_system_by_itself_is_evaluated_as_on_its_own(comparison):
    alone = summarise(cases_of(comparison.cases.rows), resamples=100)

    assert comparison.table[0].summary.to_dict() == alone.to_dict()


def test_a_margin_gets_a_verdict_in_the_record(comparison):
    verdict = comparison.verdicts(0)["accuracy"]

    assert (verdict.margin, verdict.first) == (0.5, True)
    assert comparison.to_dict()["comparisons"][0]["not_worse"] == {
        "accuracy": {"margin": 0.5, "first": verdict.first, "second": verdict.second}
    }


def test_the_record_is_plain_json_and_has_a_table_only_where_asked_for(comparison, tables):
    json.dumps(comparison.to_dict(), allow_nan=False)
    bare = compare_tables(tables[:2], tables[2], options=ComparisonOptions(resamples=100, with_table=False))

    assert {"table", "seeds"} <= set(comparison.to_dict())
    assert not {"table", "seeds"} & set(bare.to_dict())
    assert bare.to_dict()["photographs"] == 59


def test_a_table_alone_a_manifest_that_is_missing_and_a_wrong_margin_are_refused(tables):
    with pytest.raises(BadRequest, match="expected two or more runs or tables of predictions, and a manifest, got 1"):
        compare_tables(tables[:1], tables[2])
    with pytest.raises(BadRequest, match=r"ours\.csv: expected a manifest for a table of predictions, got none"):
        compare_tables(tables[:2])
    with pytest.raises(ValueError, match=r"margins must be of quadratic kappa, .*got 'kappa'"):
        ComparisonOptions(margins={"kappa": 0.1})


def test_tables_of_other_kinds_of_answers_are_refused(tables):
    ours, theirs, manifest = tables
    ours.write_text("image,grade\n" + "".join(f"{k}.jpg,1\n" for k in range(60)))
    theirs.write_text("image,p_referable\n" + "".join(f"{k}.jpg,0.5\n" for k in range(60)))

    with pytest.raises(BadTable, match="expected answers of one kind from all, got none that all give"):
        compare_tables([ours, theirs], manifest)


def test_what_only_one_answers_is_undefined_and_no_test(tables):
    ours, theirs, manifest = tables
    theirs.write_text("image,grade\n" + "".join(f"{k}.jpg,{k % 4}\n" for k in range(60)))

    paired = compare_tables([ours, theirs], manifest, options=QUICK).paired

    assert math.isnan(paired.against[0].differences["log loss"].estimate)
    assert paired.against[0].delong == {}
    assert paired.family == 2


def test_where_dme_is_known_it_is_compared_too_and_no_test_changes(tables):
    ours, theirs, manifest = tables
    options = replace(QUICK, method="percentile")  # a patient that BCa cannot leave out is no matter here
    before = compare_tables([ours, theirs], manifest, options=options)
    frame = pd.read_csv(manifest)
    write_table(frame.assign(dme=[(k % 4 if k % 4 < 3 else None) for k in range(60)]), manifest)

    after = compare_tables([ours, theirs], manifest, options=options)

    statistics = after.to_dict()["statistics"]
    assert not set(DME_STATISTICS) & set(before.to_dict()["statistics"])
    for name, key in before.to_dict()["statistics"].items():
        assert statistics[name] == key, name
    assert after.paired.holm == before.paired.holm
    first, second = after.table
    for name, words in DME_HEADLINES.items():
        entry, own = statistics[words], (first.summary.intervals[name], second.summary.intervals[name])
        assert (entry["first"], entry["second"]) == pytest.approx((own[0].estimate, own[1].estimate)), name
        if entry["difference"] == 0:  # of the same scores: it does not vary
            assert (entry["low"], entry["high"]) == (None, None), name
        else:
            assert entry["low"] <= entry["difference"] <= entry["high"], name
    assert statistics["sensitivity referable or DME"]["difference"] > 0.1
    auroc = second.summary.intervals["referable_or_dme_auroc"].estimate
    assert after.to_dict()["table"][1]["referable_or_dme_auroc"] == auroc


def test_a_comparison_of_scores_alone_has_no_dme_figures_of_grades(tables):
    ours, theirs, manifest = tables
    write_table(pd.read_csv(manifest).assign(dme=[k % 3 for k in range(60)]), manifest)
    for path in (ours, theirs):
        score = pd.read_csv(path)[["p2", "p3", "p4"]].sum(axis=1).clip(0, 1)
        write_table(pd.read_csv(path)[["image"]].assign(p_referable=score), path)

    statistics = compare_tables([ours, theirs], manifest, options=QUICK).to_dict()["statistics"]

    assert statistics["AUROC referable or DME"]["first"] > 0.5
    assert statistics["AUROC sight-threatening or DME"]["first"] is None
    assert statistics["sensitivity referable or DME"]["first"] is None


def test_photographs_that_a_system_refused_are_no_grades_of_its_own(tables):
    """Its network may have answered them; nobody was told a grade."""
    frame = pd.read_csv(tables[0])
    refused = frame["image"].isin([f"{at}.jpg" for at in range(10, 17)])
    frame["status"] = np.where(refused, "ungradable", "graded")
    frame["grade"] = frame["grade"].astype("Int64").where(~refused)
    frame["decision"] = frame["decision"].where(~refused, "cannot grade, refer")
    write_table(frame, tables[0])

    comparison = compare_tables(tables[:2], tables[2], split="test", options=QUICK)

    assert len(comparison.cases.reference) == 51
    assert not {f"{at}.jpg" for at in range(10, 17)} & set(comparison.cases.rows["image"])
    assert comparison.refused == {str(tables[0]): 7, str(tables[1]): 0}
    assert comparison.left_out == {str(tables[0]): 1, str(tables[1]): 7}
    assert comparison.to_dict()["refused"] == comparison.refused
    assert any("ours.csv could not grade 7 photographs" in line for line in basis_lines(comparison))


def test_identical_systems_are_not_worse_than_one_another_and_it_is_said_so(tables):
    twin = tables[0].with_name("again.csv")
    twin.write_bytes(tables[0].read_bytes())
    margins = {"accuracy": 0.01, "Brier score": 0.01}

    same = compare_tables([tables[0], twin], tables[2], options=replace(QUICK, margins=margins))
    other = compare_tables(tables[:2], tables[2], options=replace(QUICK, margins=margins))

    assert {(verdict.first, verdict.second) for verdict in same.verdicts(0).values()} == {(True, True)}
    assert any("answer every photograph alike" in line for line in basis_lines(same))
    assert "accuracy" in same.to_dict()["comparisons"][0]["identical"]
    # Theirs has other grades, and the same probabilities.
    assert "accuracy" not in other.paired.against[0].identical
    assert "Brier score" in other.paired.against[0].identical
    assert not any("answer every photograph alike" in line for line in basis_lines(other))


def test_tables_of_one_name_are_named_by_their_folders(tables, tmp_path):
    paths = [tmp_path / "runs" / folder / "out_of_fold.csv" for folder in ("s1", "s2")]
    for path, table in zip(paths, tables, strict=False):
        path.parent.mkdir(parents=True)
        path.write_bytes(table.read_bytes())

    assert compare_tables(paths, tables[2], options=QUICK).names == ("s1", "s2")
    assert compare_tables([paths[0], tables[0]], tables[2], options=QUICK).names == ("out_of_fold.csv", "ours.csv")
