from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.export.release import headlines


def test_a_release_carries_the_main_figures_with_their_intervals():
    kappa = {"estimate": 0.81234567, "low": 0.75, "high": 0.86, "undefined": 0}
    evaluation = {
        "level": 0.95,
        "counts": {"photographs": 103},
        "statistics": {
            "quadratic_kappa": kappa,
            "grade1_f1": kappa,
            "accuracy": {"estimate": None, "low": None, "high": None},
        },
    }

    assert headlines(evaluation) == {
        "photographs": 103,
        "quadratic_kappa": {"estimate": 0.8123, "low": 0.75, "high": 0.86, "level": 0.95},
    }


def test_another_json_is_no_evaluation():
    with pytest.raises(KeyError, match="level"):
        headlines({"statistics": {}})
