"""Everything that `fundoscope evaluate` measures, figure by figure against a loop over scikit-learn."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fundoscope.evaluation.measures import measures


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """`benchmarks/bootstrap.py`, which has the loop."""
    pytest.importorskip("sklearn", reason="needs scikit-learn (the research extra)")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        return importlib.import_module("bootstrap")


def test_every_figure_of_every_draw_of_patients_is_scikit_learns_to_ten_digits(benchmark):
    """No figure is left out on either side; the benchmark refuses to run otherwise."""
    cases = benchmark.painted(1500, np.random.default_rng(2))

    counted = {each.name: benchmark.check(each, cases) for each in benchmark.contests(cases)}

    of_calibration = len(benchmark.loop_referable_calibration(cases, np.arange(1500)))
    assert counted["everything"] == of_calibration + sum(
        counted[each] for each in ("grade-and-decision", "scores-of-three-cuts", "probabilities")
    )


def test_a_figure_that_differs_stops_the_benchmark(benchmark):
    cases = benchmark.painted(300, np.random.default_rng(2))
    contest = next(each for each in benchmark.contests(cases) if each.name == "auroc-referable")
    wrong = benchmark.Contest("AUROC", contest.ours, lambda rows: {"referable_auroc": 0.5})

    with pytest.raises(ValueError, match=r"AUROC, referable_auroc: ours 0\.9\d+, the loop 0\.5"):
        benchmark.check(wrong, cases)


def test_what_is_measured_on_the_same_photographs_shares_its_draws(benchmark):
    cases = benchmark.painted(300, np.random.default_rng(2))
    everyone, some = np.ones(300, bool), np.arange(300) < 200

    assert len(measures(cases, everyone, everyone)) == 1
    # Grades on some; scores and probabilities on all, and so are the decisions.
    assert [int(mask.sum()) for mask, _ in measures(cases, everyone, some)] == [200, 300]
