from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.evaluation.report.stress import (
    basis_lines,
    card_section,
    comparison_rows,
    headline_rows,
    short_heading,
    short_rows,
    write_stress_page,
    write_summary,
)
from fundoscope.evaluation.stress.compare import compare_stress
from fundoscope.evaluation.stress.summary import StressSummary, summarise_stress
from fundoscope.evaluation.stress.table import read_stress

ABOUT = {"manifest": "m.csv", "graded by": "the release"}


def frame_of(rng: np.random.Generator, release: str = "a@1") -> pd.DataFrame:
    """60 photographs, half of them referable; from dose 4 of the crescent on half are refused, of dose 5 all."""
    truth = np.arange(60) % 2
    frames = []
    for name, dose in [("clean", 0), ("jpeg", 3), *(("crescent", dose) for dose in range(1, 6))]:
        score = 1 / (1 + np.exp(-(3 * truth - 1.5 + (1 + dose) * rng.normal(size=60))))
        graded = np.arange(60) >= {("crescent", 4): 30, ("crescent", 5): 60}.get((name, dose), 0)
        decision = np.where(score > 0.5, "refer", "rescreen")
        frames.append(
            pd.DataFrame({
                "image": [f"{at}.jpg" for at in range(60)], "sha256": [f"{at:064d}" for at in range(60)],
                "source": "s", "patient": [f"p{at}" for at in range(60)], "reference": 2 * truth, "disturbance": name,
                "dose": dose, "amount": 0.1, "status": np.where(graded, "graded", "ungradable"), "p_referable": score,
                "grade": 1, "decision": decision, "grades_set": "1", "release": release, "fold": None,
                "stress_set": "stress-1@x",
            })
        )  # fmt: skip
    return pd.concat(frames, ignore_index=True)


@pytest.fixture
def summary(rng) -> StressSummary:
    return summarise_stress(read_stress(frame_of(rng)), resamples=100)


def test_the_short_table_has_a_line_for_each_disturbance_and_fits_a_terminal(summary):
    jpeg, crescent = short_rows(summary)

    assert len(jpeg) == len(crescent) == len(short_heading())
    assert jpeg[0] == "jpeg"
    assert jpeg[1:6] == ("", "", jpeg[3], "", "")
    assert crescent[5] == "n/a"  # all refused
    assert crescent[6:8] == ("100 %", "4")
    assert jpeg[7] == ""
    widths = [max(len(row[at]) for row in (jpeg, crescent, short_heading())) for at in range(len(jpeg))]
    assert sum(widths) + len(widths) <= 80


def test_the_card_section_has_all_figures_and_what_they_rest_on(summary):
    section = card_section(summary, ABOUT)

    for value in headline_rows(summary).values():
        assert value in section
    for line in basis_lines(summary, ABOUT):
        assert line in section
    assert "| crescent |" in section
    assert section.splitlines()[-1] == "- Graded by: the release."
    assert "\n#" not in f"\n{section}"  # headings within would end the section


def test_the_json_holds_the_figures_of_every_dose(summary, tmp_path: Path):
    stored = json.loads(write_summary(tmp_path, summary, ABOUT).read_text())

    assert stored["means"]["auroc"]["criterion"]["estimate"] == summary.means["auroc"]["criterion"].estimate
    assert len(stored["doses"]) == stored["conditions"] == 6
    assert stored["doses"][-1]["auroc"]["estimate"] is None
    assert stored["refusing_dose"] == {"jpeg": None, "crescent": 4}
    assert stored["about"] == ABOUT


def test_the_page_shows_every_dose_the_figure_and_the_comparison(summary, rng, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="needs matplotlib (the research extra)")
    other = compare_stress([summary.table], [read_stress(frame_of(rng, "<b>@2"))], resamples=100)

    page = write_stress_page(tmp_path, summary, ABOUT, other).read_text()

    assert page.count('<tr><th scope="row">crescent</th>') == 5
    assert 'src="data:image/png;base64,' in page
    assert "Against &lt;b&gt;@2" in page
    for row in comparison_rows(other):
        assert f"<td>{row[3]}</td>" in page
