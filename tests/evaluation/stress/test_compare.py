from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from fundoscope.errors import BadTable
from fundoscope.evaluation.report.stress import comparison_lines
from fundoscope.evaluation.statistics.detection import auroc
from fundoscope.evaluation.stress.compare import compare_stress
from fundoscope.evaluation.stress.table import read_stress

# Test files cannot import one another.
_SUMMARY = runpy.run_path(str(Path(__file__).with_name("test_summary.py")))
rows, NOISE = _SUMMARY["rows"], _SUMMARY["NOISE"]


def test_systems_are_compared_in_pairs_on_what_both_graded(rng):
    good = rows(rng, noise=NOISE)
    bad = rows(rng, noise={key: 3 * spread for key, spread in NOISE.items()}, refused={("gamma", 5): 20}, release="b@2")
    comparison = compare_stress([read_stress(good)], [read_stress(bad)], resamples=200)

    assert comparison.conditions["auroc"] == (("gamma", 1), ("gamma", 5), ("jpeg", 2))
    assert set(comparison.differences) == {
        f"auroc {name}" for name in ("clean", "stressed", "criterion", "gamma", "jpeg")
    }
    both = (good["disturbance"] == "gamma") & (good["dose"] == 5) & (bad["status"] == "graded")
    one, other = (
        auroc((frame[both]["reference"] >= 2).to_numpy(), frame[both]["p_referable"].to_numpy())
        for frame in (good, bad)
    )
    first = [(frame["disturbance"] == "gamma") & (frame["dose"] == 1) for frame in (good, bad)]
    mild = [
        auroc((frame[of]["reference"] >= 2).to_numpy(), frame[of]["p_referable"].to_numpy())
        for frame, of in zip((good, bad), first, strict=True)
    ]
    assert comparison.differences["auroc gamma"].estimate == pytest.approx((one - other + mild[0] - mild[1]) / 2)
    assert comparison.differences["auroc criterion"].low > 0
    values = comparison.values["auroc criterion"]
    assert comparison.differences["auroc criterion"].estimate == pytest.approx(values[0].estimate - values[1].estimate)


def test_a_system_differs_from_itself_in_nothing_whatever_the_order_of_its_rows(rng):
    frame = rows(rng, noise=NOISE)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    comparison = compare_stress([read_stress(frame)], [read_stress(shuffled)], resamples=100)

    assert {name: one.estimate for name, one in comparison.differences.items()} == dict.fromkeys(
        [f"auroc {name}" for name in ("clean", "stressed", "criterion", "gamma", "jpeg")], 0.0
    )


def test_photographs_that_one_system_refused_clean_are_left_out_and_counted(rng):
    frame = rows(rng, noise=NOISE)
    image = frame["image"].iloc[0]
    refused = frame.assign(status=frame["status"].mask(frame["image"] == image, "ungradable"))
    comparison = compare_stress([read_stress(frame)], [read_stress(refused.assign(release="b@2"))], resamples=100)

    assert comparison.photographs == frame["image"].nunique() - 1
    assert comparison.left_out == (1, 0)
    assert comparison.to_dict()["left_out"] == [1, 0]
    assert f"left out: 1 of {frame['release'].iloc[0]}." in comparison_lines(comparison)[0]


def test_other_sets_grades_or_photographs_are_not_compared(rng):
    table = [read_stress(rows(rng, noise=NOISE))]
    frame = rows(rng, noise=NOISE, release="b@2")
    with pytest.raises(BadTable, match="expected two of one stress set, got stress-1@x and stress-2@y"):
        compare_stress(table, [read_stress(frame.assign(stress_set="stress-2@y"))])
    with pytest.raises(BadTable, match="expected the same reference grades, got others"):
        compare_stress(table, [read_stress(frame.assign(reference=3 - frame["reference"]))])
    with pytest.raises(BadTable, match="got 0 shared ones"):
        compare_stress(table, [read_stress(frame.assign(sha256="x" + frame["sha256"]))])


def test_of_several_seeds_the_mean_is_compared(rng):
    first, second = [[read_stress(rows(rng, noise=NOISE)) for _ in range(2)] for _ in range(2)]
    together = compare_stress(first, second, resamples=100)
    apart = [compare_stress([first[a]], [second[b]], resamples=100) for a, b in ((0, 0), (1, 1))]

    for name in together.differences:
        mean = np.mean([comparison.differences[name].estimate for comparison in apart])
        assert together.differences[name].estimate == pytest.approx(mean)
    assert together.first == ("a@1", "a@1")
