from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fundoscope.heatmaps.baselines import vessel_map
from fundoscope.heatmaps.certification.criteria import CENTRE, TESTS, VESSELS, decide
from fundoscope.heatmaps.certification.evaluators import MapEvaluator
from fundoscope.heatmaps.certification.measure import PreparedPhotograph, Steps, measure
from fundoscope.heatmaps.table import CHANCE, NONE, Scene
from fundoscope.painting import RetinaSpec, paint_retina

SIDE = 128
STEPS = Steps(shifts=((0, 4), (4, 0)), road_fractions=(0.1, 0.3))
OFF_CENTRE = np.hypot(*(np.mgrid[:SIDE, :SIDE] - np.array([[[44]], [[44]]]))) < 9


def retina(number: int, *, lesions: bool = True) -> PreparedPhotograph:
    """A painted retina with one dark patch off the centre; its place depends on the number."""
    painted = paint_retina(RetinaSpec(side_px=SIDE, grade=0), rng=np.random.default_rng(number))
    row, column, radius = painted.field
    left = round(column - SIDE / 2)
    centre = np.array([[[row]], [[column - left]]])
    visible = np.hypot(*(np.mgrid[:SIDE, :SIDE] + 0.5 - centre)) < radius
    patch = np.roll(OFF_CENTRE, (5 * number, 9 * number), (0, 1)) & visible
    canvas = painted.photo[:SIDE, left : left + SIDE].copy() * visible[..., None].astype(np.uint8)
    if lesions:
        canvas[patch] = (20, 20, 250)
    scene = Scene(image=f"{number}.jpg", field=visible, lesions={"patches": patch} if lesions else {})
    return PreparedPhotograph(scene=scene, canvas=canvas)


def blue(canvases: np.ndarray) -> np.ndarray:
    """How blue each place is: what a perfect grader of these patches looks at."""
    excess = np.maximum(canvases[..., 2].astype(float) - canvases[..., 0], 0)
    return gaussian_filter(excess, (0, 3, 3)) * (canvases.max(axis=-1) > 0)


def grade(canvases: np.ndarray) -> np.ndarray:
    return np.maximum(canvases[..., 2].astype(float) - canvases[..., 0], 0).mean(axis=(1, 2)) / 10


def vessels(canvases: np.ndarray) -> np.ndarray:
    return np.stack([vessel_map(canvas, canvas.max(axis=-1) > 0) for canvas in canvases])


def noise(canvases: np.ndarray) -> np.ndarray:
    return np.stack([np.random.default_rng(7).random((SIDE, SIDE))] * len(canvases))


def stages() -> Iterator[tuple[str, object]]:
    yield "head", blue
    yield "stem", noise


PHOTOGRAPHS = [retina(number) for number in range(6)]


def outcomes(maps, **judge) -> dict[str, str]:
    found = measure("mine", PHOTOGRAPHS, [MapEvaluator(maps=maps, score=grade, **judge)], STEPS)
    missing = {} if "shuffled" in judge else {"shuffled": "x"}
    if "randomised" not in judge:
        missing["randomised"] = "x"
    return {each.name: each.result for each in decide("mine", found.table, not_run=missing, resamples=200).tests}


def test_a_map_of_what_the_grade_hangs_on_passes_everything():
    told = outcomes(blue, randomised=stages, shuffled=noise)

    assert told == dict.fromkeys(TESTS, "passed")


def test_scores_that_are_alike_in_all_patients_decide_without_an_interval():
    """Resamples that do not vary give none; six of six on one side decide, and on the other side as well."""
    table = measure("mine", PHOTOGRAPHS, [MapEvaluator(maps=blue, score=grade)], STEPS).table
    mine = table["method"] == "mine"
    results = []
    for share in (0.0, 0.1, 0.11):
        tests = decide(
            "mine", table.assign(outside=table["outside"].mask(mine, share)), not_run={}, resamples=100
        ).tests
        results.append(next(test for test in tests if test.name == "inside"))

    assert [test.result for test in results] == ["passed", "passed", "failed"]
    assert {(test.low, test.high, test.why) for test in results} == {(None, None, "all patients have this value")}


def test_a_map_that_does_not_change_with_the_network_fails_for_that_alone():
    told = outcomes(blue, randomised=lambda: iter([("stem", blue)]), shuffled=blue)

    assert {name for name, result in told.items() if result == "failed"} == {"randomised", "shuffled"}


def test_a_map_of_vessels_is_no_better_than_the_map_of_vessels():
    told = outcomes(vessels)

    assert told["vessels"] == "failed"
    assert (told["randomised"], told["shuffled"]) == ("not run", "not run")


def test_a_map_of_noise_fails_to_find_lesions_to_be_needed_and_to_stay_inside():
    told = outcomes(noise)

    assert {told[name] for name in ("chance", "inside", "stable")} == {"failed"}


def test_a_map_that_shows_nothing_fails_and_does_not_pass_for_want_of_values():
    told = outcomes(lambda canvases: np.zeros((len(canvases), 4, 4)))

    assert {told[name] for name in ("chance", "centre", "energy", "stable", "inside")} == {"failed"}


def test_of_five_patients_nothing_is_certified():
    judge = MapEvaluator(maps=blue, score=grade, randomised=stages)
    few = measure("mine", PHOTOGRAPHS[:5], [judge], STEPS)

    told = {each.name: each for each in decide("mine", few.table, not_run={}, resamples=100).tests}

    assert (told["chance"].result, told["chance"].why) == ("failed", "5 patients, at least 6 needed")
    assert (told["randomised"].result, told["shuffled"].result) == ("not run", "failed")


def test_each_photograph_is_explained_by_its_own_evaluator_and_the_stages_are_kept():
    photographs = [
        PHOTOGRAPHS[0],
        PreparedPhotograph(scene=PHOTOGRAPHS[1].scene, canvas=PHOTOGRAPHS[1].canvas, evaluator=1),
    ]
    judges = [MapEvaluator(maps=blue, score=grade, randomised=stages), MapEvaluator(maps=noise, score=grade)]

    found = measure("mine", photographs, judges, Steps(shifts=(), road_fractions=()), baselines=False)

    mine = found.table[(found.table["method"] == "mine") & (found.table["lesions"] == "any")].set_index("image")
    assert mine.loc["0.jpg", "auroc"] > 0.95
    assert abs(mine.loc["1.jpg", "auroc"] - 0.5) < 0.1
    assert list(zip(found.stages["image"], found.stages["stage"], strict=True)) == [
        ("0.jpg", "head"),
        ("0.jpg", "stem"),
    ]
    assert found.stages["spearman"].iloc[0] == pytest.approx(1)
    assert mine["randomised_spearman"].notna().tolist() == [True, False]
    assert set(found.table["method"]) == {"mine", CHANCE}


def test_of_a_photograph_without_lesions_it_is_told_where_the_map_peaks_and_nothing_is_decided():
    free = retina(9, lesions=False)

    found = measure("mine", [PHOTOGRAPHS[0], free], [MapEvaluator(maps=noise, score=grade)], STEPS)

    row = found.table[(found.table["lesions"] == NONE) & (found.table["method"] == "mine")].iloc[0]
    assert row["peak"] == pytest.approx(1, abs=0.01)
    assert row["peak_from_centre"] >= 0
    assert np.isnan(row["road_gap"])
    verdict = decide("mine", found.table, not_run={}, resamples=50)
    assert set(verdict.lesion_free) == {"peak", "peak_from_centre", "outside", "empty"}
    assert next(each for each in verdict.tests if each.name == "chance").photographs == 1


def test_the_same_photographs_give_the_same_table_on_one_thread_or_two():
    judges = [MapEvaluator(maps=blue, score=grade, seeds=(blue, noise))]
    both = [
        measure("mine", PHOTOGRAPHS[:2], judges, Steps(shifts=(), threads=threads, deletion_steps=3)).table
        for threads in (1, 2)
    ]

    assert both[0].equals(both[1])
    assert {"road_gap", "deletion", "insertion", "seed_agreement"} <= set(both[0])
    assert {CENTRE, VESSELS} < set(both[0]["method"])


@pytest.mark.parametrize(
    ("name", "low", "high", "passes"),
    [
        ("chance", 0.001, 0.2, True),
        ("chance", 0.0, 0.2, False),
        ("stable", 0.7, 0.9, True),
        ("stable", 0.69, 0.99, False),
        ("inside", 0.0, 0.1, True),
        ("inside", 0.0, 0.11, False),
        ("randomised", -0.1, 0.3, False),
        ("randomised", -0.1, 0.29, True),
        ("chance", float("nan"), 0.2, False),
    ],
)
def test_the_bound_decides_and_not_the_mean(name, low, high, passes):
    assert TESTS[name].passes(low, high) is passes
