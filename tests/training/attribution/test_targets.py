from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.decide.heads import exceedance, expected_grade, probabilities
from fundoscope.errors import BadRequest
from fundoscope.training.attribution.targets import Target, score
from fundoscope.training.networks.heads import Coral, Corn, Cumulative, Prototype, Regression, Signs, Softmax

HEADS = {
    "softmax": Softmax(6),
    "regression": Regression(6),
    "coral": Coral(6),
    "cumulative": Cumulative(6),
    "corn": Corn(6),
    "prototype": Prototype(6, projection=8),
}


@pytest.fixture
def features() -> torch.Tensor:
    return torch.randn(5, 6, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", HEADS)
def test_the_answer_s_score_has_the_gradient_that_each_head_calls_its_relevance(name: str, features: torch.Tensor):
    head = HEADS[name].eval()
    asked = features.clone().requires_grad_()
    raw = head(asked)

    (slope,) = torch.autograd.grad(score(head, raw, Target()).sum(), asked)

    expected = head.relevance(features, raw)
    # CORAL's is of the logit that its four cuts share.
    torch.testing.assert_close(slope / slope.norm(), expected / expected.norm(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["softmax", "coral", "corn", "prototype"])
def test_a_cut_s_score_is_the_logit_of_what_the_release_would_say(name: str, features: torch.Tensor):
    head = HEADS[name].eval()
    raw = head(features).detach()
    shares = probabilities(name, raw.double().numpy())

    for cut in (1, 2, 3, 4):
        above = exceedance(shares, cut)
        told = score(head, raw, Target("cut", cut)).numpy()
        np.testing.assert_allclose(told, np.log(above / (1 - above)), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(score(head, raw, Target("expected")).numpy(), expected_grade(shares), rtol=1e-4)
    for grade in range(5):
        told = score(head, raw, Target("grade", grade)).exp()
        if name in ("softmax", "prototype"):
            told = told / raw.exp().sum(dim=1)
        np.testing.assert_allclose(told.numpy(), shares[:, grade], rtol=1e-3, atol=1.1e-6)


def test_a_regression_s_cuts_move_with_its_value(features: torch.Tensor):
    head = HEADS["regression"].eval()
    raw = head(features).detach()

    assert torch.equal(score(head, raw, Target("expected")), raw[:, 0])
    torch.testing.assert_close(score(head, raw, Target("cut", 2)), raw[:, 0] - 1.5)
    middle = torch.tensor([[2.0]])
    assert score(head, middle, Target("grade", 2)) > score(head, middle, Target("grade", 1))


def test_a_sign_is_explained_by_its_own_logit():
    raw = torch.tensor([[0.5, -1.0, 2.0]])

    assert score(Signs(6, outputs=3), raw, Target("sign", 1)).item() == -1.0
    assert score(Signs(6, outputs=3), raw, Target()).item() == 2.0


@pytest.mark.parametrize("words", ["answer", "expected", "grade:3", "cut:2", "sign:0"])
def test_targets_are_written_as_they_are_read(words: str):
    assert str(Target.parse(words)) == words


@pytest.mark.parametrize("words", ["", "grade", "grade:", "grade:-1", "answer:1", "expected:", "lesion:2", "cut:two"])
def test_words_that_are_no_target_are_refused(words: str):
    with pytest.raises(BadRequest, match="target: expected answer, expected, grade:K, cut:K or sign:K"):
        Target.parse(words)


def test_targets_that_the_head_does_not_know_are_refused():
    with pytest.raises(BadRequest, match="expected cut:1 to cut:4, got cut:5"):
        score(Coral(6), torch.zeros(1, 4), Target("cut", 5))
    with pytest.raises(BadRequest, match="expected grade:0 to grade:2, got grade:3"):
        score(Softmax(6, outputs=3), torch.zeros(1, 3), Target("grade", 3))
    with pytest.raises(BadRequest, match="expected a network that grades, got a softmax head of 3 outputs"):
        score(Softmax(6, outputs=3), torch.zeros(1, 3), Target("cut", 1))
    with pytest.raises(BadRequest, match="expected a network that grades, got a signs head"):
        score(Signs(6, outputs=4), torch.zeros(1, 4), Target("expected"))
    with pytest.raises(BadRequest, match="expected a network that grades, got a signs head"):
        score(Signs(6, outputs=4), torch.zeros(1, 4), Target("grade", 0))
    with pytest.raises(BadRequest, match="expected a network of several signs for sign:0, got a coral head"):
        score(Coral(6), torch.zeros(1, 4), Target("sign", 0))
