"""Tables of another system, with nothing but grades or nothing but a referable score, through every verb."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def tables(tmp_path: Path, rng: np.random.Generator) -> dict[str, Path]:
    """Two systems' grades, the same systems' referable scores, and the reference of 150 patients with two eyes each."""
    grades = rng.choice(5, 300, p=(0.4, 0.1, 0.25, 0.15, 0.1))
    images = [f"{at}.jpg" for at in range(300)]
    written = {"manifest": pd.DataFrame({"image": images, "patient": [f"p{at // 2}" for at in range(300)]})}
    written["manifest"]["grade"] = grades
    for name, noise in (("good", 0.5), ("poor", 1.2)):
        seen = grades + noise * rng.normal(size=300)
        written[f"{name}_grades"] = pd.DataFrame({"image": images, "grade": np.clip(np.rint(seen), 0, 4).astype(int)})
        score = (1 / (1 + np.exp(-2 * (seen - 1.5)))).round(4)
        written[f"{name}_scores"] = pd.DataFrame({"image": images, "p_referable": score})
    for name, table in written.items():
        table.to_csv(tmp_path / f"{name}.csv", index=False)
    return {name: tmp_path / f"{name}.csv" for name in written}


def answer(shown: tuple[int, str, str]) -> dict[str, Any]:
    status, out, problems = shown
    assert status == 0, problems
    return dict(json.loads(out))


@pytest.fixture(scope="module")
def metrics() -> ModuleType:
    """What the expected figures are computed with."""
    # The program needs no scikit-learn: it is the independent reference here, and the clinic's install has none.
    return pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")


def test_a_table_of_grades_alone_is_evaluated(run_verb, tables, metrics, drawing, tmp_path):
    """With its page; what grades cannot tell is left open with the reason."""
    page = tmp_path / "page"
    found = answer(
        run_verb("evaluate", tables["good_grades"], tables["manifest"], "--resamples", 100, "--json", "--report", page)
    )

    reference, said = (pd.read_csv(tables[name])["grade"] for name in ("manifest", "good_grades"))
    statistics = found["statistics"]
    assert statistics["quadratic_kappa"]["estimate"] == pytest.approx(
        metrics.cohen_kappa_score(reference, said, weights="quadratic"), abs=1e-10
    )
    assert statistics["quadratic_kappa"]["low"] < statistics["quadratic_kappa"]["estimate"]
    assert statistics["log_loss"] | {"undefined": 0} == {
        "estimate": None,
        "low": None,
        "high": None,
        "undefined": 0,
        "reason": "the predictions have no p0 to p4",
    }
    assert list(page.glob("*.html"))


def test_a_table_of_a_referable_score_alone_is_evaluated(run_verb, tables, metrics, drawing, tmp_path):
    page = tmp_path / "page"
    found = answer(
        run_verb("evaluate", tables["good_scores"], tables["manifest"], "--resamples", 100, "--json", "--report", page)
    )

    referable = pd.read_csv(tables["manifest"])["grade"] >= 2
    score = pd.read_csv(tables["good_scores"])["p_referable"]
    statistics = found["statistics"]
    assert statistics["referable_auroc"]["estimate"] == pytest.approx(
        metrics.roc_auc_score(referable, score), abs=1e-10
    )
    assert statistics["referable_auroc"]["delong_low"] < statistics["referable_auroc"]["estimate"]
    assert statistics["any_auroc"]["reason"] == "the predictions have no probability of it"
    assert list(page.glob("*.html"))


@pytest.mark.parametrize(("kind", "rule"), [("grades", "Score: grade."), ("scores", "Score: p_referable.")])
def test_both_kinds_are_commissioned(run_verb, tables, kind, rule):
    status, out, problems = run_verb("commission", tables[f"good_{kind}"], tables["manifest"])

    assert status == 0, problems
    assert "Guaranteed: at the" in out
    assert rule in out
    assert "150 patients (300 photographs, 0 not graded)" in out


def test_two_tables_of_grades_are_compared_in_what_grades_tell(run_verb, tables):
    found = answer(
        run_verb(
            "compare",
            tables["good_grades"],
            tables["poor_grades"],
            tables["manifest"],
            "--resamples",
            100,
            "--json",
        )
    )

    assert found["statistics"]["quadratic kappa"]["low"] > 0
    assert found["statistics"]["AUROC referable"]["difference"] is None
    assert found["comparisons"][0]["mcnemar"]["right referable"]["p_exact"] < 0.05
    assert found["holm_family"] == 2


def test_two_tables_of_scores_are_compared_in_their_auroc(run_verb, tables):
    found = answer(
        run_verb(
            "compare",
            tables["good_scores"],
            tables["poor_scores"],
            tables["manifest"],
            "--resamples",
            100,
            "--json",
        )
    )

    assert found["statistics"]["AUROC referable"]["low"] > 0
    assert found["statistics"]["AUROC referable"]["delong_p"] < 0.05
    assert found["statistics"]["quadratic kappa"]["difference"] is None
    assert found["comparisons"][0]["mcnemar"] == {}
    assert found["holm_family"] == 1


def test_grades_of_one_system_and_scores_of_another_cannot_be_compared(run_verb, tables):
    status, _, problems = run_verb("compare", tables["good_grades"], tables["good_scores"], tables["manifest"])

    assert status == 2
    assert "expected answers of one kind from all, got none that all give" in problems
