from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.batches.sampler import decayed, draw_epoch, epoch_size, photo_weights, repeats
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.photographs import Sampling

EYEPACS = (25810, 2443, 5292, 873, 708)
"""Photographs of each grade in EyePACS' training set, as the DenseNet study counts them."""

GRADES = np.repeat(np.arange(5), [60, 20, 30, 6, 4])
SOURCES = np.array(["aptos"] * 40 + ["idrid"] * 75 + ["messidor"] * 5, dtype=object)[
    np.random.default_rng(1).permutation(120)
]


def drawn(strategy: str, epochs: int = 60, **settings) -> np.ndarray:
    """All photographs of some epochs."""
    sampling = Sampling(strategy=strategy, **settings)
    orders = [draw_epoch(sampling, GRADES, SOURCES, seed=3, epoch=epoch, batch=40) for epoch in range(epochs)]
    assert all(len(order) == 120 for order in orders)
    return np.concatenate(orders)


def chi_square(order: np.ndarray, weights: np.ndarray) -> float:
    """Of how often each photograph was drawn, against how often it should be; 119 degrees of freedom."""
    expected = len(order) * weights / weights.sum()
    return float(((np.bincount(order, minlength=120) - expected) ** 2 / expected).sum())


ONE_PERCENT = 157.8
"""Of the chi-square distribution with 119 degrees of freedom."""


def loop_weights(strategy: str) -> np.ndarray:
    """Each strategy's definition, photograph by photograph."""
    weights = []
    for grade, source in zip(GRADES, SOURCES, strict=True):
        of_grade = sum(other == grade for other in GRADES)
        of_source = sum(other == source for other in SOURCES)
        if strategy == "inverse":
            weights.append(1 / of_grade)
        elif strategy == "inverse_sqrt":
            weights.append(1 / of_grade**0.5)
        elif strategy == "weights":
            weights.append([0.1, 1, 0.5, 3, 4][grade])
        elif strategy == "source":
            weights.append(1 / of_source)
        elif strategy == "grade_source":
            # GDRNet: p^0.5, normalised over the labels, inverted; grade and source multiplied.
            grades = [sum(other == label for other in GRADES) / 120 for label in range(5)]
            sources = [sum(other == label for other in SOURCES) / 120 for label in set(SOURCES)]
            smooth_grade = (of_grade / 120) ** 0.5 / sum(p**0.5 for p in grades)
            smooth_source = (of_source / 120) ** 0.5 / sum(p**0.5 for p in sources)
            weights.append(1 / smooth_grade * 1 / smooth_source)
    return np.array(weights)


@pytest.mark.parametrize("strategy", ["inverse", "inverse_sqrt", "weights", "source", "grade_source"])
def test_photographs_are_drawn_by_the_papers_weights(strategy):
    expected = loop_weights(strategy)

    ours = photo_weights(Sampling(strategy=strategy), GRADES, SOURCES, epoch=0)

    assert ours / ours.sum() == pytest.approx(expected / expected.sum(), rel=1e-12)
    assert chi_square(drawn(strategy), expected) < ONE_PERCENT


def test_the_chi_square_test_can_tell_two_strategies_apart():
    assert chi_square(drawn("inverse_sqrt"), loop_weights("inverse")) > 2 * ONE_PERCENT


def test_inverse_frequencies_show_every_grade_equally_often():
    shares = np.bincount(GRADES[drawn("inverse", epochs=100)]) / 12000

    assert shares == pytest.approx([0.2] * 5, abs=0.015)


def test_every_source_is_shown_equally_often():
    shown = SOURCES[drawn("source", epochs=100)]

    assert [(shown == source).mean() for source in ("aptos", "idrid", "messidor")] == pytest.approx(
        [1 / 3] * 3, abs=0.02
    )


def test_the_studys_weights_make_the_grades_of_eyepacs_about_equal():
    """[0.1, 1, 0.5, 3, 4] are weights of a photograph, not shares of a grade."""
    shares = np.array(EYEPACS) * np.array(Sampling().weights)

    assert shares / shares.sum() == pytest.approx([0.2] * 5, abs=0.02)


def test_decaying_weights_go_from_the_first_towards_the_last():
    """EyePACS, 2nd place: weights * 0.975^epoch + final * (1 - 0.975^epoch)."""
    sampling = Sampling(strategy="decaying")
    share = 1.0
    for epoch in range(250):
        expected = [share * a + (1 - share) * b for a, b in zip(
            [1.36, 14.4, 6.64, 40.2, 49.6], [1, 2, 2, 2, 2], strict=True)]  # fmt: skip
        assert decayed(sampling, epoch) == pytest.approx(expected)
        share *= 0.975
    assert decayed(sampling, 0) == sampling.start
    assert decayed(sampling, 249) == pytest.approx(sampling.end, rel=0.05)


def test_decaying_weights_draw_by_the_epoch():
    sampling = Sampling(strategy="decaying")
    ours = photo_weights(sampling, GRADES, None, epoch=30)

    assert ours.tolist() == [decayed(sampling, 30)[grade] for grade in GRADES]


def test_no_strategy_shows_each_photograph_once_in_version_ones_order():
    """What trained the shipped release: numpy's permutation from (seed, epoch)."""
    order = draw_epoch(Sampling(), np.zeros(24, np.int64), None, seed=1, epoch=0, batch=5)

    assert order.tolist() == [1, 21, 7, 17, 16, 23, 22, 15, 20, 11, 2, 12, 10, 3, 4, 5, 8, 0, 9, 14, 18, 13, 6, 19]
    assert sorted(drawn("none", epochs=2)) == sorted([*range(120), *range(120)])


def test_every_balanced_batch_has_eight_of_each_grade():
    order = draw_epoch(Sampling(strategy="balanced"), GRADES, None, seed=0, epoch=4, batch=40)

    assert len(order) == epoch_size(Sampling(strategy="balanced"), 120, 40) == 120
    for batch in order.reshape(-1, 40):
        assert np.bincount(GRADES[batch]).tolist() == [8] * 5
    assert (np.diff(GRADES[order[:40]]) < 0).any()  # in mixed order


def test_balanced_batches_share_out_the_grades_that_there_are():
    """With no proliferative retinopathy among the training rows, four grades share the batch."""
    some = GRADES[GRADES < 4]

    order = draw_epoch(Sampling(strategy="balanced"), some, None, seed=0, epoch=0, batch=8)

    assert len(order) == 112
    assert np.bincount(some[order[:8]]).tolist() == [2] * 4


def test_an_epoch_smaller_than_its_batch_is_one_balanced_batch():
    few = np.array([0, 0, 0, 1])

    order = draw_epoch(Sampling(strategy="balanced"), few, None, seed=0, epoch=0, batch=10)

    assert len(order) == epoch_size(Sampling(strategy="balanced"), 4, 10) == 10
    assert np.bincount(few[order]).tolist() == [5, 5]


def test_a_batch_that_cannot_be_balanced_is_refused():
    with pytest.raises(BadExperiment, match=re.escape(
        "fit.batch: expected a multiple of 5 for sampling.strategy 'balanced', for the training rows have 5 grades, "
        "got 16. Change fit.batch, to 15 for instance"
    )):  # fmt: skip
        draw_epoch(Sampling(strategy="balanced"), GRADES, None, seed=0, epoch=0, batch=16)


@pytest.mark.parametrize("strategy", ["source", "grade_source"])
@pytest.mark.parametrize(
    ("sources", "came"),
    [(None, "no column source"), (np.array([*SOURCES[:-1], None], dtype=object), "rows without one")],
)
def test_missing_sources_are_refused(strategy, sources, came):
    with pytest.raises(BadExperiment, match=f"{strategy}.*expected a source for every training row.*got {came}"):
        draw_epoch(Sampling(strategy=strategy), GRADES, sources, seed=0, epoch=0, batch=40)


def test_weights_that_leave_nothing_to_show_are_refused():
    sampling = Sampling(strategy="weights", weights=(0.0, 0.0, 0.0, 0.0, 1.0))

    with pytest.raises(
        BadExperiment, match="expected a weight above 0 for some grade of the training rows, which are 0, 1;"
    ):
        draw_epoch(sampling, np.array([0, 1, 1]), None, seed=0, epoch=0, batch=2)


def test_weights_by_grade_are_refused_for_labels_that_are_no_grades():
    with pytest.raises(BadExperiment, match="weights by grade expect grades from 0 to 4, got labels from 0 to 7"):
        draw_epoch(Sampling(strategy="weights"), np.array([0, 7]), None, seed=0, epoch=0, batch=2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": [0, 0, 0, 0, 0]}, "sampling.weights: expected five numbers of at least 0, not all 0, got"),
        ({"start": [1, 1, 1, 1, -1]}, "sampling.start: expected five numbers of at least 0, not all 0, got"),
        ({"weights": [1, 2]}, "sampling.weights: expected 5 values, got [1, 2]"),
        ({"decay": 1.1}, "sampling.decay: expected a number from 0 to 1, got 1.1. Change sampling.decay"),
        ({"power": -0.5}, "sampling.power: expected a number from 0 to 1, got -0.5. Change sampling.power"),
        ({"strategy": "smote"}, "sampling.strategy: expected one of ('none', 'inverse',"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_their_key(values, message):
    with pytest.raises(BadExperiment, match=re.escape(message)):
        experiment_from_dict({"name": "x", "sampling": values}, where="x")


@pytest.mark.parametrize("strategy", ["none", "inverse", "balanced", "decaying", "grade_source"])
def test_an_epoch_is_drawn_again_from_its_seed_and_number(strategy):
    sampling = Sampling(strategy=strategy)
    orders = {
        key: draw_epoch(sampling, GRADES, SOURCES, seed=key[0], epoch=key[1], batch=10).tolist()
        for key in [(0, 0), (0, 1), (1, 0)]
    }

    assert orders[0, 0] == draw_epoch(sampling, GRADES, SOURCES, seed=0, epoch=0, batch=10).tolist()
    assert orders[0, 0] != orders[0, 1] != orders[1, 0] != orders[0, 0]


def test_power_nought_is_no_weighting_and_power_one_the_inverse():
    flat, inverse = (
        photo_weights(dataclasses.replace(Sampling(strategy="grade_source"), power=power), GRADES, SOURCES, epoch=0)
        for power in (0.0, 1.0)
    )

    assert np.ptp(flat) == pytest.approx(0)
    expected = loop_weights("inverse") * loop_weights("source")
    assert inverse / inverse.sum() == pytest.approx(expected / expected.sum())


def test_repeats_count_what_was_there_before(rng):
    order = rng.integers(0, 7, 60)
    seen: dict[int, int] = {}
    counted = []
    for row in order.tolist():
        counted.append(seen.get(row, 0))
        seen[row] = counted[-1] + 1

    assert repeats(order).tolist() == counted
