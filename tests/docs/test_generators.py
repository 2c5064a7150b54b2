"""Generators of pages that could leave something out."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

if find_spec("latex2mathml") is None:
    pytest.skip("needs latex2mathml (the docs extra)", allow_module_level=True)

HOOKS = Path(__file__).parents[2] / "docs" / "hooks"


@pytest.fixture
def hooks(monkeypatch) -> None:
    """The hooks of the site, importable as MkDocs has them."""
    monkeypatch.syspath_prepend(HOOKS)


def test_the_glossary_has_an_entry_for_every_statistic_of_an_evaluation(hooks, tmp_path: Path):
    import numpy as np
    from generators.metrics import entry_of

    from fundoscope.evaluation.evaluate import EvaluationOptions, evaluate_tables

    rng = np.random.default_rng(0)
    grades = rng.integers(0, 5, 120)
    p = 0.4 * rng.dirichlet(np.ones(5), 120) + 0.6 * np.eye(5)[grades]
    manifest = pd.DataFrame(
        {"image": [f"{at}.jpg" for at in range(120)], "patient": [f"p{at // 2}" for at in range(120)], "grade": grades,
         "dme": rng.integers(0, 3, 120)}
    )  # fmt: skip
    predictions = manifest[["image"]].assign(
        **{f"p{grade}": p[:, grade] for grade in range(5)},
        grade=p.argmax(axis=1),
        decision=np.where(p[:, 2:].sum(axis=1) > 0.5, "refer", "rescreen"),
        grades_set=[" ".join(str(grade) for grade in range(5) if row[grade] > 0.1) for row in p],
    )
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    predictions.to_csv(tmp_path / "predictions.csv", index=False)

    evaluation = evaluate_tables(
        tmp_path / "predictions.csv",
        tmp_path / "manifest.csv",
        options=EvaluationOptions(resamples=100, prevalence=0.2),
    )

    keys = list(evaluation.summary.intervals)
    assert len(keys) > 100
    assert [key for key in keys if entry_of(key) is None] == []


def test_every_way_of_explaining_is_described(hooks, training_extra):
    from generators.attribution import METHODS as described

    from fundoscope.training.attribution.explain import METHODS

    assert set(described) == set(METHODS)


def test_a_key_without_documentation_is_refused_and_not_left_out(hooks):
    import dataclasses

    from generators.experiments import _key

    @dataclasses.dataclass
    class Section:
        size: int = 1
        """Number of things."""
        bare: int = 2

    Section.__module__ = __name__
    assert _key(Section, "size", "section.") == "`section.size` = `1`\n:   Number of things."
    with pytest.raises(LookupError, match=r"section.bare: expected a text under the field"):
        _key(Section, "bare", "section.")


def test_text_of_the_program_stays_as_it_is_in_markdown(hooks):
    from generators.markdown import plain, table

    assert plain("a_b <x> [y] `c_d` * e") == r"a\_b \<x\> \[y\] `c_d` \* e"
    assert plain("a ` b") == r"a \` b"
    assert table(("a",), [("x|y",)]).splitlines()[-1] == "| x&#124;y |"
    assert sys.path[0] == str(HOOKS)


def test_words_of_code_in_a_sentence_are_kept_whole_and_blocks_are_left_alone(hooks):
    from generators.markdown import with_whole_words

    block = "<pre><code>fundoscope grade</code></pre>"
    assert with_whole_words(block) == block
    assert with_whole_words("<code>grade --out</code>") == (
        '<code><span class="word">grade</span> <span class="word">--out</span></code>'
    )
    assert with_whole_words(f"<code>{'x' * 29}</code>") == f"<code>{'x' * 29}</code>"


def test_formulas_become_mathml(hooks):
    from generators.markdown import formula, with_formulas

    assert formula(r"\frac{1}{n}").strip().startswith("<math")
    assert with_formulas("$n$ photographs").startswith("<span><math")
