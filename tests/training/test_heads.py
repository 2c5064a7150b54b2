from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.decide.heads import probabilities
from fundoscope.training.heads import HEADS


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_relevance_is_the_gradient_that_autograd_finds(name: str, hidden: int):
    torch.manual_seed(1)
    head = HEADS[name](12, hidden)
    features = torch.randn(5, 12, requires_grad=True)
    raw = head(features)
    # The score that stands for the answer: the likeliest grade's logit, the value, one cut's logit, all cuts'.
    score = {"softmax": raw.max(dim=1).values, "cumulative": raw.sum(dim=1)}.get(name, raw[:, 0])

    expected = torch.autograd.grad(score.sum(), features)[0]

    torch.testing.assert_close(head.relevance(features, raw), expected, rtol=1e-4, atol=1e-6)


def test_coral_shares_one_weight_vector_and_starts_with_falling_biases():
    head = HEADS["coral"](12)

    raw = head(torch.randn(6, 12))

    differences = raw - raw[:, :1]
    torch.testing.assert_close(differences, differences[:1].expand_as(differences))
    assert head.biases.tolist() == [1.0, 0.75, 0.5, 0.25]


def test_independent_cuts_may_rise_where_corals_cannot():
    torch.manual_seed(0)
    head = HEADS["cumulative"](12)

    raw = head(torch.randn(64, 12))

    assert (raw.diff(dim=1) > 0).any()
    assert (raw.diff(dim=1) < 0).any()


@pytest.mark.parametrize(("name", "outputs"), [("softmax", 5), ("regression", 1), ("coral", 4), ("cumulative", 4)])
def test_every_head_gives_what_the_clinic_reads_as_probabilities(name: str, outputs: int):
    raw = HEADS[name](12)(torch.randn(6, 12)).detach().numpy()

    given = probabilities(name, raw.astype(np.float64))

    assert raw.shape == (6, outputs)
    assert given.sum(axis=1) == pytest.approx(np.ones(6))


def test_softmax_in_torch_equals_softmax_in_numpy():
    raw = torch.randn(20, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 4

    assert probabilities("softmax", raw.numpy()) == pytest.approx(torch.softmax(raw, dim=1).numpy(), abs=1e-12)


def test_coral_in_torch_equals_coral_in_numpy():
    generator = torch.Generator().manual_seed(0)
    raw = torch.randn(20, 1, dtype=torch.float64, generator=generator) + torch.tensor([2.0, 1.0, 0.0, -1.0])
    above = torch.sigmoid(raw)
    ones, noughts = torch.ones(20, 1), torch.zeros(20, 1)

    expected = torch.cat([ones, above], dim=1) - torch.cat([above, noughts], dim=1)

    assert probabilities("coral", raw.numpy()) == pytest.approx(expected.numpy(), abs=1e-12)
