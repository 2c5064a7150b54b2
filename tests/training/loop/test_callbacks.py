from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import load_file

from fundoscope.run_folder import SNAPSHOTS, TIMING, WEIGHTS
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.objectives.losses import coral, cut_weights
from fundoscope.training.objectives.supervised import Supervised
from fundoscope.training.train import train


def test_a_fit_with_rebalancing_keeps_its_last_weights_and_tells_its_time(tiny: Experiment, tmp_path: Path):
    """Two epochs and one to rebalance, at a tenth of the peak rate; of the last two epochs the weights are kept."""
    fit = dataclasses.replace(tiny.fit, epochs=2, rebalance_epochs=1, snapshots=2)
    tiny = dataclasses.replace(tiny, fit=fit, optimiser=dataclasses.replace(tiny.optimiser, rate=1e-3, warmup=0.0))

    train(tiny, tmp_path / "run")

    folder = tmp_path / "run" / "final"
    kept = sorted((folder / SNAPSHOTS).glob("*"))
    assert [path.name for path in kept] == ["epoch001.safetensors", "epoch002.safetensors"]
    last, end = load_file(kept[-1]), load_file(folder / WEIGHTS)
    assert all(torch.equal(value, end[key]) for key, value in last.items())
    assert any(not torch.equal(value, end[key]) for key, value in load_file(kept[0]).items())
    log = pd.read_csv(folder / "log" / "metrics.csv")
    rates = log.dropna(subset=["rate"]).groupby("epoch")["rate"].max()
    assert rates[2] == pytest.approx(1e-4)
    assert rates[0] > rates[1] > 0
    timing = json.loads((folder / TIMING).read_text())
    assert timing["photographs"] == 3 * 20
    assert timing["seconds"] > 0


@pytest.mark.parametrize("head", ["coral", "cumulative"])
def test_rebalancing_weighs_each_cut_by_the_root_of_those_below_to_those_above(tiny: Experiment, head: str):
    """RetinaScan: from plain cuts to sqrt(negatives / positives), and back."""
    tiny = dataclasses.replace(tiny, network=dataclasses.replace(tiny.network, head=head))
    grades = torch.tensor([0, 0, 0, 1, 2, 2, 4])
    objective = Supervised(tiny, GradingNetwork(tiny.network), grades)
    raw = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))

    plain = objective.loss(raw, grades)
    objective._rebalance(True)
    even = objective.loss(raw, grades)
    objective._rebalance(False)

    torch.testing.assert_close(plain, coral(raw, grades))
    torch.testing.assert_close(even, coral(raw, grades, positive=cut_weights(grades, "sqrt")))
    assert not torch.allclose(plain, even)
    torch.testing.assert_close(objective.loss(raw, grades), plain)
