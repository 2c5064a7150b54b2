from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.batches.rows import PREPARING
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.progress import TRAINING, ProgressOfFits
from fundoscope.training.train import train


def test_fits_count_in_proportion_to_the_photographs_they_learn_from():
    reported: list[tuple[str, int, int]] = []
    fits = ProgressOfFits(lambda *said: reported.append(said), [30, 10], epochs=2)

    first, second = fits.of(0), fits.of(1)
    assert first is not None
    assert second is not None
    first(0, 4)
    first(4, 4)
    second(1, 2)
    second(3, 2)

    assert reported == [(TRAINING, done, 80) for done in (0, 60, 70, 80)]


def test_nothing_is_reported_where_nobody_listens():
    assert ProgressOfFits(None, [1], epochs=1).of(0) is None


def test_a_run_of_folds_reports_all_of_its_work_once(tiny: Experiment, tmp_path: Path):
    experiment = replace(tiny, data=replace(tiny.data, folds=2), fit=replace(tiny.fit, final=True))
    reported: list[tuple[str, int, int]] = []

    train(experiment, tmp_path / "run", progress=lambda *said: reported.append(said))

    prepared = sorted(done for what, done, total in reported if what == PREPARING)
    trained = [(done, total) for what, done, total in reported if what == TRAINING]
    assert prepared == list(range(1, 21))
    assert {total for _, total in trained} == {2 * (10 + 10 + 20)}
    assert [done for done, _ in trained] == sorted(done for done, _ in trained)
    assert trained[-1] == (80, 80)
