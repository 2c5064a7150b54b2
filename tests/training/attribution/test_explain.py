from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadRequest
from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.explain import IN_ONE_PASS, METHODS, Method, explain
from fundoscope.training.attribution.reference import integrated_gradients, occlusion
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

NORMALISE = Normalise(Recipe(side=64))


def network(backbone: str = "cnn3", *, seed: int = 1, **more) -> GradingNetwork:
    torch.manual_seed(seed)
    return GradingNetwork(Network(**({"backbone": backbone, "head": "coral"} | more)), side=64).eval()


@pytest.fixture
def canvases() -> torch.Tensor:
    return torch.randint(0, 255, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize(
    "name", ["grad-cam", "grad-cam++", "hires-cam", "layer-cam", "eigen-cam", "integrated-gradients"]
)
def test_flipping_the_photograph_flips_the_map_of_a_network_that_sees_both_alike(name: str, canvases: torch.Tensor):
    net = network(flip_average=True)
    method = Method(name=name, steps=4)

    straight = explain([net], NORMALISE, canvases, method).map
    flipped = explain([net], NORMALISE, canvases.flip(2), method).map

    torch.testing.assert_close(flipped, straight.flip(-1), rtol=1e-3, atol=1e-6)
    assert straight.max() > 0


def test_flipping_flips_the_map_where_the_filters_are_their_own_mirror_images(canvases: torch.Tensor):
    net = network()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_((module.weight + module.weight.flip(-1)) / 2)

    straight = explain([net], NORMALISE, canvases, Method()).map

    torch.testing.assert_close(explain([net], NORMALISE, canvases.flip(2), Method()).map, straight.flip(-1))


def test_several_networks_are_explained_by_the_mean_of_their_answers(canvases: torch.Tensor):
    nets = [network(seed=1, head="softmax"), network(seed=2, head="softmax")]
    raw = sum(net(NORMALISE(canvases)).raw.detach() for net in nets) / 2

    both = explain(nets, NORMALISE, canvases, Method()).map

    signed = []
    for net in nets:
        maps = net.maps(NORMALISE(canvases)).detach()
        weights = net.head.relevance(net.pool(maps), raw).detach()
        signed.append((maps * weights[:, :, None, None]).sum(dim=1))
    expected = (signed[0] + signed[1]).relu()
    torch.testing.assert_close(both / both.max(), expected / expected.max(), rtol=1e-3, atol=1e-6)


def test_integrated_gradients_add_up_to_the_difference_of_the_scores(canvases: torch.Tensor):
    net = network()

    rough = explain([net], NORMALISE, canvases, Method(name="integrated-gradients", steps=2))
    fine = explain([net], NORMALISE, canvases, Method(name="integrated-gradients", steps=64))

    assert fine.residual is not None
    assert rough.residual is not None
    assert fine.residual.abs().max() < 0.2 * rough.residual.abs().max() + 1e-4
    linear = torch.randn(3, 4, 4)
    pictures, baseline = torch.randn(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    given, residual = integrated_gradients(lambda x: (x * linear).sum(dim=(1, 2, 3)), pictures, baseline, steps=1)
    torch.testing.assert_close(given, pictures * linear)
    torch.testing.assert_close(residual, torch.zeros(2), atol=1e-5, rtol=0)
    # In the middle of each step a gradient that grows evenly is its own mean, so that one step is enough.
    given, residual = integrated_gradients(lambda x: (x**2).sum(dim=(1, 2, 3)), pictures, baseline, steps=1)
    torch.testing.assert_close(given, pictures**2)
    torch.testing.assert_close(residual, torch.zeros(2), atol=1e-4, rtol=0)


def test_what_is_covered_marks_where_the_score_came_from():
    pictures = torch.zeros(1, 3, 16, 16)
    pictures[0, :, 4:8, 8:12] = 1.0

    given = occlusion(lambda x: x.sum(dim=(1, 2, 3)), pictures, torch.zeros_like(pictures), window=4, stride=4)

    expected = torch.zeros(1, 4, 4)
    expected[0, 1, 2] = 48.0
    torch.testing.assert_close(given, expected)
    raised = occlusion(lambda x: -x.sum(dim=(1, 2, 3)), pictures, torch.zeros_like(pictures), window=4, stride=4)
    assert not raised.any(), "a square whose loss raises the score spoke against it"


def test_where_squares_overlap_each_place_gets_the_mean_fall_of_those_that_cover_it(rng: np.random.Generator):
    window, stride, side = 4, 2, 8
    picture = rng.random((side, side)).astype(np.float32)
    squares = [
        (slice(top, min(side, top + window)), slice(left, min(side, left + window)))
        for top in range(0, side, stride)
        for left in range(0, side, stride)
    ]
    falls, covered = np.zeros((side, side)), np.zeros((side, side))
    for square in squares:
        falls[square] += picture[square].sum()
        covered[square] += 1
    expected = (falls / covered).reshape(side // stride, stride, side // stride, stride).mean(axis=(1, 3))

    pictures = torch.from_numpy(picture)[None, None].repeat(1, 3, 1, 1)
    given = occlusion(
        lambda x: x[:, 0].sum(dim=(1, 2)), pictures, torch.zeros_like(pictures), window=window, stride=stride
    )

    np.testing.assert_allclose(given[0].numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_each_photograph_its_own_map_whatever_the_batch(name: str, canvases: torch.Tensor):
    attention = name in ("rollout", "grad-rollout", "last-attention")
    net = (
        network("vit_tiny_patch16_224", size={"depth": 2, "embed_dim": 24, "num_heads": 2}) if attention else network()
    )
    method = Method(name=name, steps=4, window=32)

    together = explain([net], NORMALISE, canvases, method)

    assert together.map.shape == (2, *together.grid)
    assert (together.map >= 0).all()
    assert not together.map.requires_grad
    for at in range(2):
        alone = explain([net], NORMALISE, canvases[at : at + 1], method).map[0]
        torch.testing.assert_close(alone, together.map[at], rtol=1e-3, atol=1e-6)
    assert (together.residual is not None) == (name == "integrated-gradients")


@pytest.mark.parametrize("name", [*IN_ONE_PASS[:4], "occlusion", "integrated-gradients"])
def test_of_both_eyes_the_graded_one_is_explained(name: str):
    net = network(eyes=2)
    pairs = torch.randint(0, 255, (2, 2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))

    given = explain([net], NORMALISE, pairs, Method(name=name, steps=2, window=32)).map

    assert len(given) == 2
    other = pairs.clone()
    other[:, 0] = 0
    assert not torch.allclose(explain([net], NORMALISE, other, Method(name=name, steps=2, window=32)).map, given)


@pytest.mark.parametrize("backbone", ["resnet18", "vit_tiny_patch16_224"])
def test_frozen_weights_are_explained_too_and_left_as_they_are(backbone: str, canvases: torch.Tensor):
    sizes = {
        "resnet18": {"layers": [1, 1, 1, 1], "channels": [16] * 4},
        "vit_tiny_patch16_224": {"depth": 1, "embed_dim": 24, "num_heads": 2},
    }
    net = network(backbone, size=sizes[backbone])
    expected = explain([net], NORMALISE, canvases, Method()).map
    net.requires_grad_(False)
    before = {name: value.clone() for name, value in net.state_dict().items()}

    torch.testing.assert_close(explain([net], NORMALISE, canvases, Method()).map, expected)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_methods_and_layers_that_are_not_there_are_refused_by_name(canvases: torch.Tensor):
    size = {"layers": [1, 1, 1, 1], "channels": [16] * 4}
    with pytest.raises(BadRequest, match=r"method: expected one of grad-cam, .*got 'saliency'"):
        explain([network()], NORMALISE, canvases, Method(name="saliency"))
    with pytest.raises(BadRequest, match=r"layer: expected a module of ResNet, got 'layer9'\. It has .*layer4"):
        explain([network("resnet18", size=size)], NORMALISE, canvases, Method(layers=("layer9",)))
    with pytest.raises(BadRequest, match="expected one that keeps places"):
        explain([network("resnet18", size=size)], NORMALISE, canvases, Method(layers=("global_pool",)))
    np.testing.assert_equal(Method().layers, ())
