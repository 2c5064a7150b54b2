from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.decide import heads as read_by_the_clinic
from fundoscope.decide.heads import SEPARATION, outputs_of, probabilities
from fundoscope.errors import BadCheckpoint
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export.graph import ReleaseGraph, check_parity, to_onnx
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.heads import HEADS, Prototype, build_head, build_second_head
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.objectives.losses import coral, cross_entropy, cut_weights, focal, soft_kappa
from fundoscope.training.objectives.supervised import Supervised


@pytest.mark.parametrize("hidden", [0, 7])
@pytest.mark.parametrize("name", sorted(HEADS))
def test_relevance_is_the_gradient_that_autograd_finds(name: str, hidden: int):
    torch.manual_seed(1)
    head = HEADS[name](12, hidden)
    features = torch.randn(5, 12, requires_grad=True)
    raw = head(features)
    above = torch.cat([torch.ones(5, 1), torch.cumprod(torch.sigmoid(raw[:, :-1]), dim=1)], dim=1).detach()
    # The score that stands for the answer; else the first column: the value, one cut's logit.
    score = {
        "softmax": raw.max(dim=1).values,
        "prototype": raw.max(dim=1).values,
        "cumulative": raw.sum(dim=1),
        "corn": (raw * above).sum(dim=1),
    }.get(name, raw[:, 0])

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


@pytest.mark.parametrize("name", sorted(HEADS))
def test_every_head_gives_what_the_clinic_reads_as_probabilities(name: str):
    raw = HEADS[name](12)(torch.randn(6, 12)).detach().numpy()

    given = probabilities(name, raw.astype(np.float64))

    assert raw.shape == (6, outputs_of(name))
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


def test_what_is_trained_is_what_the_clinic_can_read():
    assert set(HEADS) == set(read_by_the_clinic.HEADS)


def test_corn_in_torch_equals_corn_in_numpy():
    raw = torch.randn(20, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 3
    product = torch.cumprod(torch.sigmoid(raw), dim=1)
    # Every grade keeps its share of what lies on its side of the referable cut, whose probability is the product.
    over_none, over_mild, over_moderate, over_severe = product.unbind(dim=1)
    over_none = torch.maximum(over_none, over_mild + SEPARATION * (1 - over_mild))
    over_moderate = torch.minimum(over_moderate, (1 - SEPARATION) * over_mild)
    over_severe = torch.minimum(over_severe, (1 - SEPARATION) * over_moderate)
    above = torch.stack([over_none, over_mild, over_moderate, over_severe], dim=1)
    ones, noughts = torch.ones(20, 1), torch.zeros(20, 1)

    expected = torch.cat([ones, above], dim=1) - torch.cat([above, noughts], dim=1)

    assert probabilities("corn", raw.numpy()) == pytest.approx(expected.numpy(), abs=1e-12)
    moved = (above != product).any(dim=1)
    assert moved.any()
    assert not moved.all()


def test_prototype_scores_are_cosines_times_a_learnable_factor():
    torch.manual_seed(2)
    head = Prototype(12, 7, projection=9)
    features = torch.randn(6, 12)

    raw = head(features)

    for photo, projected in enumerate(head.project(features)):
        for grade, prototype in enumerate(head.prototypes):
            cosine = (projected @ prototype) / (projected.norm() * prototype.norm())
            assert raw[photo, grade].item() == pytest.approx(cosine.item() / 0.07, rel=1e-4)
    raw.square().sum().backward()
    assert head.log_scale.grad.item() != 0
    assert head.prototypes.grad.abs().sum() > 0


def test_prototypes_start_at_right_angles_unless_texts_are_given():
    start = Prototype(12, projection=9).prototypes.detach()

    torch.testing.assert_close(start @ start.T, torch.eye(5), atol=1e-5, rtol=0)


def test_the_factor_on_the_cosines_stops_growing():
    head = Prototype(12, projection=9)
    torch.nn.init.constant_(head.log_scale, 50.0)

    assert head.scale.item() == pytest.approx(100.0)


def prototypes_file(folder: Path, array: np.ndarray, name: str = "prototypes") -> str:
    np.savez(folder / "texts.npz", **{name: array})
    return str(folder / "texts.npz")


def test_prototypes_start_as_the_text_embeddings_of_the_file(tmp_path: Path, rng: np.random.Generator):
    texts = rng.normal(size=(5, 9)) * 10
    network = Network(head="prototype", projection=9, prototypes=prototypes_file(tmp_path, texts))

    head = build_head(network, 12)

    lengths = np.linalg.norm(texts, axis=1, keepdims=True)
    assert head.prototypes.detach().numpy() == pytest.approx(texts / lengths, abs=1e-6)


@pytest.mark.parametrize(
    ("array", "name", "message"),
    [
        (np.ones((4, 9)), "prototypes", r"expected prototypes of floats \(5, 9\), got float64 \(4, 9\)\. Give another"),
        (np.ones((5, 8)), "prototypes", r"got float64 \(5, 8\).*set network\.projection to its width"),
        (np.ones((5, 9), int), "prototypes", r"of floats \(5, 9\), got int64"),
        (np.full((5, 9), np.nan), "prototypes", r"expected finite prototypes other than zero, got lengths \[nan"),
        (np.zeros((5, 9)), "prototypes", r"expected finite prototypes other than zero, got lengths \[0\.0"),
        (
            np.array([{}] * 5),
            "prototypes",
            r"the array prototypes, without objects, got Object arrays cannot be loaded",
        ),
        (np.ones((5, 9)), "texts", r"the array prototypes, without objects, got 'prototypes is not a file"),
    ],
)
def test_prototypes_that_do_not_fit_are_refused(tmp_path: Path, array: np.ndarray, name: str, message: str):
    path = prototypes_file(tmp_path, array, name)

    with pytest.raises(BadCheckpoint, match=message):
        build_head(Network(head="prototype", projection=9, prototypes=path), 12)


def test_an_absent_file_of_prototypes_is_refused():
    with pytest.raises(
        BadCheckpoint, match=r"nosuch\.npz: expected an NPZ file with the array prototypes, .*No such file"
    ):
        build_head(Network(head="prototype", prototypes="nosuch.npz"), 12)


def test_a_second_head_stands_on_the_hidden_layer_of_the_first():
    network = Network(head="cumulative", hidden=7, second_head="prototype", projection=9)
    first = build_head(network, 12)
    second = build_second_head(network, first)
    assert second is not None
    features = torch.randn(3, 12)

    second(first.embed(features)).square().sum().backward()

    assert second(first.embed(features)).shape == (3, 5)
    assert second.projection.in_features == 7
    assert first.stem.layer.weight.grad.abs().sum() > 0
    assert first.linear.weight.grad is None
    assert build_second_head(Network(), first) is None


def test_hidden_activations_are_dropped_only_while_training():
    head = build_head(Network(head="cumulative", hidden=64, hidden_dropout=0.5), 12)
    features = torch.randn(3, 12)

    assert not torch.equal(head(features), head(features))
    head.eval()
    assert torch.equal(head(features), head(features))


@pytest.fixture
def retinascan(tiny: Experiment) -> Experiment:
    """Cuts that grade, prototypes beside them while training, on one hidden layer."""
    network = dataclasses.replace(tiny.network, head="cumulative", hidden=6, second_head="prototype", projection=9)
    loss = dataclasses.replace(tiny.loss, name="coral", second="focal", focal_gamma=2.5, cut_weights="sqrt")
    return dataclasses.replace(tiny, network=network, loss=loss)


def test_both_heads_learn_and_only_the_first_one_grades(retinascan: Experiment, rng: np.random.Generator):
    torch.manual_seed(0)
    grades = torch.tensor([0, 1, 2, 4])
    course = Supervised(retinascan, GradingNetwork(retinascan.network), grades).eval()
    batch = {"canvas": torch.from_numpy(rng.integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)), "grade": grades}

    losses = course.losses(batch)
    losses["loss"].backward()

    output = course.network(course.normalise(batch["canvas"]))
    cuts = coral(output.raw, grades, positive=cut_weights(grades, "sqrt")).mean()
    prototypes = focal(output.second, grades, gamma=2.5).mean()
    torch.testing.assert_close(losses["loss"], cuts + 0.5 * prototypes)
    assert course.network.second_head.prototypes.grad.abs().sum() > 0
    assert course.network.head.linear.weight.grad.abs().sum() > 0
    raw, _ = course.grade(batch["canvas"])
    torch.testing.assert_close(raw, output.raw)


def test_two_losses_of_one_head_are_added_with_their_weight(tiny: Experiment, rng: np.random.Generator):
    grades = torch.tensor([0, 1, 2, 4])
    mixed = dataclasses.replace(
        tiny,
        network=dataclasses.replace(tiny.network, head="softmax"),
        loss=dataclasses.replace(tiny.loss, name="cross_entropy", second="soft_kappa", second_weight=0.25),
    )
    course = Supervised(mixed, GradingNetwork(mixed.network), grades).eval()
    batch = {"canvas": torch.from_numpy(rng.integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)), "grade": grades}

    total = course.losses(batch)["loss"]

    raw, _ = course.grade(batch["canvas"])
    torch.testing.assert_close(total, cross_entropy(raw, grades).mean() + 0.25 * soft_kappa(raw, grades).mean())


def test_a_mixed_photograph_learns_both_grades_by_their_share(retinascan: Experiment, rng: np.random.Generator):
    torch.manual_seed(0)
    grades, partners = torch.tensor([0, 1, 2, 4]), torch.tensor([4, 2, 1, 0])
    share = torch.tensor([0.25, 1.0, 0.5, 0.0], dtype=torch.float64)
    course = Supervised(retinascan, GradingNetwork(retinascan.network), grades).eval()
    batch = {"canvas": torch.from_numpy(rng.integers(0, 255, (4, 64, 64, 3)).astype(np.uint8)), "grade": grades}

    mixed = course.losses({**batch, "grade_partner": partners, "share": share})

    output = course.network(course.normalise(batch["canvas"]))
    expected = torch.zeros(())
    for photo in range(4):
        for grade, part in ((grades[[photo]], share[photo]), (partners[[photo]], 1 - share[photo])):
            cuts = coral(output.raw[[photo]], grade, positive=cut_weights(grades, "sqrt"))
            expected = expected + part * (cuts + 0.5 * focal(output.second[[photo]], grade, gamma=2.5)).sum() / 4
    assert mixed["loss"].item() == pytest.approx(expected.item(), rel=1e-5)
    assert mixed["loss"].item() == pytest.approx(mixed["grade_loss"].item() + 0.5 * mixed["second_loss"].item())


class Squares(torch.nn.Module):
    """A backbone of one convolution: the exporter needs seconds for a real one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 8, 16, stride=16)

    def forward_features(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.layer(pictures).relu()

    def forward_head(self, maps: torch.Tensor, pre_logits: bool) -> torch.Tensor:
        return maps.mean(dim=(2, 3))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(pictures), pre_logits=True)


@pytest.mark.parametrize("head", ["corn", "prototype"])
def test_the_exported_graph_agrees_with_torch_and_holds_no_second_head(
    retinascan: Experiment, head: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
):
    onnx = pytest.importorskip("onnx", reason="needs the train extra")
    monkeypatch.setattr("fundoscope.training.networks.grading.build_backbone", lambda *_, **__: Squares())
    torch.manual_seed(0)
    settings = dataclasses.replace(retinascan.network, head=head, second_head="softmax", flip_average=True)
    graph = ReleaseGraph(GradingNetwork(settings), Normalise(retinascan.recipe))
    canvases = rng.integers(0, 255, (3, 64, 64, 3)).astype(np.uint8)

    model = to_onnx(graph, 64)

    check_parity(graph, model, canvases, head)
    names = [weight.name for weight in onnx.load_from_string(model).graph.initializer]
    assert any("networks.0.head." in name for name in names)
    assert not [name for name in names if "second_head" in name]
