"""The table of a comparison."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.evaluation.cases import cases_of
from fundoscope.evaluation.compare import HEADLINES, Spread, System, seed_spreads, system_record, table_to_dict
from fundoscope.evaluation.report.comparison import difference_cell, sections, spread_words, write_comparison
from fundoscope.evaluation.report.page_templates import Drawn
from fundoscope.evaluation.report.words import interval_words
from fundoscope.evaluation.runs import Run
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.summary import summarise
from fundoscope.evaluation.systems import STATISTICS, compare_systems


def rows(shift: int) -> pd.DataFrame:
    """40 photographs of 20 patients without grade 4; every fourth answer is wrong by `shift`."""
    grades = np.arange(40) % 4
    answered = (grades + shift * (np.arange(40) % 3 == 0)) % 4
    shares = pd.DataFrame(np.eye(5)[answered] * 0.9 + 0.02, columns=[f"p{k}" for k in range(5)])
    images = [f"{n}.jpg" for n in range(40)]
    return shares.assign(image=images, patient=[f"p{n // 2}" for n in range(40)], grade=grades, status="graded")


@pytest.fixture
def systems() -> list[System]:
    """A first one that is right, and runs of one recipe with two seeds; the first has a name to be escaped."""
    tables = [rows(0), rows(1), rows(2)]
    found = compare_systems([cases_of(each) for each in tables], rng=np.random.default_rng(0), resamples=100)
    return [
        System(
            name=name,
            path=Path("runs") / name,
            run=Run(Path(name), {"seed": at, "network": {"head": "coral"}}, Path(name), (), 1_500_000, (), False)
            if at
            else None,
            summary=summarise(cases_of(table), resamples=100),
            against=against,
        )
        for at, (name, table, against) in enumerate(
            zip(("a|<b>", "run_s1", "run_s2"), tables, (None, *found.against), strict=True)
        )
    ]


def test_every_headline_is_a_statistic_that_is_compared(systems):
    assert set(HEADLINES.values()) <= set(STATISTICS)
    assert set(HEADLINES) <= set(systems[0].summary.intervals)


def test_rows_that_nobody_fills_are_left_out_and_so_are_empty_sections(systems):
    shown = {section.title: section.rows for section in sections(systems)}

    assert [cell.text for cell in shown["Recipe"]["head"]] == ["", "coral", "coral"]
    assert "backbone" not in shown["Recipe"]
    assert list(shown["Size and speed of training"]) == ["parameters (millions)"]
    assert "Recipe" not in {section.title for section in sections(systems[:1])}


def test_a_difference_is_better_or_worse_only_where_its_interval_excludes_nought(systems):
    cells = {section.title: section.rows for section in sections(systems)}["First minus this system, paired"]

    for name, row in cells.items():
        for system, cell in zip(systems[1:], row[1:], strict=True):
            d = system.differences[name]
            assert bool(cell.verdict) == (not d.low <= 0 <= d.high and not math.isnan(d.low)), name
    assert cells["accuracy"][1].verdict == "first better"
    assert cells["accuracy"][0].text == ""


@pytest.mark.parametrize(
    ("name", "low", "high", "verdict"),
    [
        ("accuracy", 0.1, 0.3, "first better"),
        ("accuracy", -0.3, -0.1, "first worse"),
        ("mean absolute error", 0.1, 0.3, "first worse"),
        ("Brier score", -0.3, -0.1, "first better"),
        ("accuracy", -0.1, 0.1, ""),
        ("accuracy", 0.0, 0.1, ""),
        ("calibration error", math.nan, math.nan, ""),
    ],
)
def test_better_and_worse_follow_the_direction_of_the_statistic(name, low, high, verdict):
    assert difference_cell(name, Interval((low + high) / 2, low, high, 0.95, 0)).verdict == verdict


def test_a_number_just_below_nought_is_not_written_as_minus_nought():
    assert interval_words(Interval(-0.0001, -0.2, 0.00001, 0.95, 0), sign="+") == "+0.000 (-0.200 to +0.000)"
    assert interval_words(Interval(0.5, math.nan, math.nan, 0.95, 0)) == "0.500 (no interval)"
    assert interval_words(Interval(math.nan, math.nan, math.nan, 0.95, 0)) == "n/a"


def test_seeds_spread_as_a_sample_does(systems):
    (spread,) = seed_spreads(systems)

    values = [each.summary.intervals["quadratic_kappa"].estimate for each in systems[1:]]
    assert values[0] != values[1]
    assert spread.runs == ("run_s1", "run_s2")
    assert spread.mean_and_sd["quadratic_kappa"] == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert spread_words(spread)["seeds"] == "2 (few)"


def test_three_seeds_are_not_few():
    spread = Spread("run", ("a", "b", "c"), {name: (math.nan, math.nan) for name in HEADLINES})

    assert spread_words(spread)["seeds"] == "3"
    assert spread_words(spread)["accuracy"] == "n/a"


def test_json_holds_no_nan_and_a_missing_grade_is_blank(systems):
    answer = table_to_dict(systems)

    json.dumps(answer, allow_nan=False)
    assert answer["table"][0]["grade4_f1"] is None
    assert answer["table"][0]["parameters"] is None


def test_the_csv_reads_back_as_the_numbers_it_was_written_from(systems, tmp_path: Path):
    write_comparison(systems, tmp_path, figures={}, basis=())

    table = pd.read_csv(tmp_path / "comparison.csv")
    for row, system in zip(table.to_dict("records"), systems, strict=True):
        wanted = system_record(system)
        assert row["quadratic_kappa"] == wanted["quadratic_kappa"]
        # The first is right throughout: its kappa does not vary, which is blank in a table and null in a record.
        low = wanted["quadratic_kappa_low"]
        assert row["quadratic_kappa_low"] == (pytest.approx(math.nan, nan_ok=True) if low is None else low)
        assert list(row) == list(wanted)


def test_names_break_neither_page_nor_table(systems, tmp_path: Path):
    write_comparison(
        systems, tmp_path, figures={"plot": Drawn("A plot", "What it shows.", b"png")}, basis=["On <these>."]
    )

    page, text = ((tmp_path / f"comparison.{suffix}").read_text() for suffix in ("html", "md"))
    assert '<th scope="col">a|&lt;b&gt;</th>' in page
    assert "On &lt;these&gt;." in page
    assert "data:image/png;base64,cG5n" in page
    assert "| | a\\|<b> | run_s1 | run_s2 |" in text
    assert "- On <these>." in text
    assert "## A plot\n\n![A plot](plot.png)\n\nWhat it shows." in text
    assert "<h2>A plot</h2>" in page
    assert (tmp_path / "plot.png").read_bytes() == b"png"
