from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.clinic.calibration.retinascan import with_both_heads
from fundoscope.decide.kappa import kappa
from fundoscope.errors import BadExperiment
from fundoscope.evaluation.statistics.agreement import accuracy
from fundoscope.run_folder import SNAPSHOTS
from fundoscope.tables import read_table, write_table
from fundoscope.training.batches.rows import Rows, training_rows
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.callbacks import write_weights
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.runs.predict import answer
from fundoscope.training.runs.retinascan_modes import (
    check_modes,
    grade_by_modes,
    look,
    mean_of,
    modes_table,
    with_weights,
)


def retinascan(tiny: Experiment) -> Experiment:
    """Prototypes with cuts beside them, on a network of a few thousand weights."""
    network = dataclasses.replace(
        tiny.network, head="prototype", second_head="cumulative", hidden=8, projection=6, hidden_dropout=0.5
    )
    loss = dataclasses.replace(tiny.loss, name="focal", second="coral")
    fit = dataclasses.replace(tiny.fit, snapshots=2, compare_modes=True)
    release = dataclasses.replace(tiny.release, neighbours=3)
    return dataclasses.replace(tiny, network=network, loss=loss, fit=fit, release=release)


@pytest.fixture
def looked_at(tiny: Experiment) -> tuple[Experiment, GradingNetwork, Rows, Rows]:
    """An untrained network and photographs to train on and to grade."""
    experiment = retinascan(tiny)
    torch.manual_seed(0)
    network = GradingNetwork(experiment.network).eval()
    rows = training_rows(experiment, ("train",), lambda line: None)
    return experiment, network, rows, rows.take(np.arange(8))


def test_the_seven_ways_are_what_their_names_say(looked_at, tmp_path: Path):
    """Two equal snapshots: averaging changes nothing; a photograph among its own neighbours votes for its grade."""
    experiment, network, train, held_out = looked_at
    for epoch in (0, 1):
        write_weights(network, tmp_path / SNAPSHOTS / f"epoch{epoch}.safetensors")
    experiment = dataclasses.replace(experiment, release=dataclasses.replace(experiment.release, neighbours=1))

    modes = grade_by_modes(experiment, network, tmp_path, train, held_out)

    assert len(modes) == 8
    plain = (look(network, experiment, held_out).cuts > 0).sum(axis=1)
    assert (modes["cuts"] == plain).all()
    assert (modes["cuts, weights averaged over snapshots"] == plain).all()
    assert (modes["cuts, predictions averaged over snapshots"] == plain).all()
    assert (modes["1 nearest photographs"] == held_out.grades).all()


def test_predictions_carry_both_heads_so_that_retinascan_s_calibration_can_read_them(looked_at, tmp_path: Path):
    experiment, network, train, held_out = looked_at

    write_table(answer(network, experiment, train, held_out, fold=0), tmp_path / "out_of_fold.csv")

    table, seen = read_table(tmp_path / "out_of_fold.csv"), look(network, experiment, held_out)
    np.testing.assert_allclose(table[[f"cut{k}" for k in range(4)]], seen.cuts, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(table[[f"raw{k}" for k in range(5)]], seen.scores, rtol=1e-4, atol=1e-6)
    rows = table.assign(grade=held_out.grades)
    held = with_both_heads(rows, held_out=False, path=tmp_path / "out_of_fold.csv")
    assert held.cuts.shape == (8, 4)


def test_thresholds_are_judged_on_patients_they_were_not_tuned_on(looked_at, tmp_path: Path):
    """RetinaScan tuned and reported on the same photographs: a photograph's grade may not move its own."""
    experiment, network, train, held_out = looked_at
    write_weights(network, tmp_path / SNAPSHOTS / "epoch0.safetensors")
    name = "cuts, thresholds tuned on other patients"
    before = grade_by_modes(experiment, network, tmp_path, train, held_out)[name]
    patient = held_out.frame["patient"].to_numpy()
    asked = 0
    for chosen in np.unique(patient):
        frame = held_out.frame.copy()
        frame.loc[patient == chosen, "grade"] = 4 - frame.loc[patient == chosen, "grade"]
        frame["fold"] = None
        after = grade_by_modes(experiment, network, tmp_path, train, dataclasses.replace(held_out, frame=frame))[name]
        if (halves(frame) == halves(held_out.frame)).all():  # the halves are dealt by grade and may change with one
            asked += 1
            assert (before[patient == chosen] == after[patient == chosen]).all()
    assert asked


def halves(frame):
    """Which half of the patients each row is in."""
    from fundoscope.data.split import fold_by_patient

    return fold_by_patient(frame.drop(columns="fold", errors="ignore"), folds=2)["fold"].to_numpy(int)


def test_averaging_over_views_turns_whole_photographs_with_dropout_off(looked_at):
    """The same view twice gives the same numbers; a turn seen by the network is the turned photograph."""
    experiment, network, _, held_out = looked_at
    network.train()
    first, second = (look(network, experiment, held_out, turn=(1, True)) for _ in range(2))
    assert (first.cuts == second.cuts).all()
    canvas = held_out.stored[0].canvas()
    turned = np.rot90(canvas, 1, axes=(0, 1))[:, ::-1]
    from fundoscope.training.networks.normalisation import Normalise

    with torch.inference_mode():
        expected = network(Normalise(experiment.recipe)(torch.from_numpy(turned.copy())[None])).second.numpy()
    assert first.cuts[:1] == pytest.approx(expected, abs=1e-5)


def test_the_mean_of_states_is_the_mean_of_each_weight(looked_at):
    _, network, _, _ = looked_at
    first = network.state_dict()
    second = {key: value + 2 if value.is_floating_point() else value + 7 for key, value in first.items()}

    mean = mean_of([first, second])

    for key, value in mean.items():
        expected = first[key] + 1 if first[key].is_floating_point() else second[key]
        torch.testing.assert_close(value, expected)
    assert with_weights(network, mean) is not network


def test_the_table_has_the_figures_of_each_way_with_intervals(looked_at):
    _, _, train, _ = looked_at
    grades = train.grades
    modes = {"right": grades, "all two": np.full(len(grades), 2)}

    table = modes_table(train.frame, grades, modes).set_index("mode")

    assert table.loc["right", "accuracy"] == 1
    assert table.loc["all two", "accuracy"] == pytest.approx(accuracy(grades, modes["all two"]))
    assert table.loc["all two", "quadratic_kappa"] == pytest.approx(kappa(grades, modes["all two"]))
    assert (table["accuracy_low"] <= table["accuracy"]).all()


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        (
            "network",
            {"head": "softmax", "projection": 512},
            "expected network.head 'prototype' and network.second_head 'cumulative'",
        ),
        ("fit", {"snapshots": 0}, "expected fit.snapshots of at least 1"),
    ],
)
def test_a_network_that_cannot_grade_in_seven_ways_is_refused(tiny: Experiment, section, change, message):
    experiment = retinascan(tiny)
    experiment = dataclasses.replace(
        experiment, **{section: dataclasses.replace(getattr(experiment, section), **change)}
    )

    with pytest.raises(BadExperiment, match=message):
        check_modes(experiment)
