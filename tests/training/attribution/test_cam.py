"""Class activation maps against closed forms, explicit loops and, where it is right, the package grad-cam."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.cam import (
    CAMS,
    eigen_cam,
    fuse,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
)
from fundoscope.training.attribution.explain import Method, explain
from fundoscope.training.attribution.targets import Target
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

NORMALISE = Normalise(Recipe(side=64))


def network(backbone: str = "cnn3", head: str = "softmax", **more) -> GradingNetwork:
    torch.manual_seed(1)
    return GradingNetwork(Network(backbone=backbone, head=head, **more), side=64).eval()


@pytest.fixture
def canvases() -> torch.Tensor:
    return torch.randint(0, 255, (3, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def held() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return torch.randn(2, 5, 4, 6).relu(), torch.randn(2, 5, 4, 6)


@pytest.mark.parametrize("head", ["softmax", "regression", "coral", "cumulative", "corn", "prototype"])
def test_of_a_pooled_network_grad_cam_and_hires_cam_are_the_closed_form(head: str, canvases: torch.Tensor):
    net = network(head=head)
    maps = net.maps(NORMALISE(canvases)).detach()
    features = net.pool(maps)
    weights = net.head.relevance(features, net.head(features)).detach()
    expected = (maps * weights[:, :, None, None]).sum(dim=1).relu().numpy()

    for name in ("grad-cam", "hires-cam"):
        given = explain([net], NORMALISE, canvases, Method(name=name)).map.numpy()
        cells = maps.shape[2] * maps.shape[3]
        scale = 4 / cells if head == "coral" else 1 / cells  # four cuts share CORAL's logit; pooling is a mean
        np.testing.assert_allclose(given, expected * scale, rtol=1e-3, atol=1e-7)


def test_signs_are_explained_like_grades(canvases: torch.Tensor):
    torch.manual_seed(1)
    net = GradingNetwork(Network(backbone="cnn3", head="signs"), side=64, outputs=3).eval()
    maps = net.maps(NORMALISE(canvases)).detach()
    weights = net.head.linear.weight[2].detach()
    expected = torch.einsum("nchw,c->nhw", maps, weights).relu()

    given = explain([net], NORMALISE, canvases, Method(target=Target("sign", 2))).map

    torch.testing.assert_close(given * maps[0, 0].numel(), expected, rtol=1e-3, atol=1e-6)


def test_grad_cam_plus_plus_is_the_paper_s_sum_over_places(held: tuple[torch.Tensor, torch.Tensor]):
    activations, gradients = (each.double().numpy() for each in held)
    expected = np.zeros((2, 4, 6))
    for photo in range(2):
        for channel in range(5):
            a, g = activations[photo, channel], gradients[photo, channel]
            weight = sum(
                g[i, j] ** 2 / (2 * g[i, j] ** 2 + a.sum() * g[i, j] ** 3) * max(g[i, j], 0)
                for i in range(4)
                for j in range(6)
            )
            expected[photo] += weight * a

    given = grad_cam_plus_plus(held[0].double(), held[1].double()).numpy()

    np.testing.assert_allclose(given, expected, rtol=1e-8)


def test_where_nothing_moves_the_score_no_map_is_undefined(held: tuple[torch.Tensor, torch.Tensor]):
    for name, cam in CAMS.items():
        if name != "eigen-cam":
            assert torch.equal(cam(held[0], torch.zeros_like(held[1])), torch.zeros(2, 4, 6)), name


def test_eigen_cam_is_the_first_singular_direction_whatever_its_sign(held: tuple[torch.Tensor, torch.Tensor]):
    given = eigen_cam(*held)

    for photo in range(2):
        places = held[0][photo].flatten(1).T.numpy()
        left, strength, _ = np.linalg.svd(places, full_matrices=False)
        expected = left[:, 0] * strength[0]
        expected *= np.sign(expected.sum())
        np.testing.assert_allclose(given[photo].flatten().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_grad_cam_takes_the_mean_gradient_of_a_channel_and_hires_cam_each_place_s_own():
    activations = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    gradients = torch.tensor([[[[-1.0, 1.0], [1.0, 1.0]]]])

    assert grad_cam(activations, gradients)[0, 0, 0] == 0.5
    assert hires_cam(activations, gradients)[0, 0, 0] == -1.0


def test_layer_cam_lets_only_what_raises_the_score_speak_and_keeps_what_was_suppressed_negative():
    """A layer without a rectifier has activations below 0: where more of such a channel would raise the score."""
    activations = torch.tensor([[[[2.0, -2.0]], [[3.0, 3.0]]]])
    gradients = torch.tensor([[[[1.0, 1.0]], [[-1.0, 1.0]]]])

    torch.testing.assert_close(layer_cam(activations, gradients), torch.tensor([[[2.0, 1.0]]]))


def test_layers_are_fused_on_the_finest_grid_by_their_largest(held: tuple[torch.Tensor, torch.Tensor]):
    coarse, fine = torch.rand(2, 2, 3), torch.rand(2, 4, 6)

    joined = fuse([coarse, fine])

    assert joined.shape == (2, 4, 6)
    assert (joined >= torch.tanh(2 * fine / fine.amax(dim=(1, 2), keepdim=True)) - 1e-6).all()
    assert joined.max() <= np.tanh(2) + 1e-6


@pytest.mark.parametrize("name", ["grad-cam", "grad-cam++", "hires-cam", "layer-cam"])
def test_maps_are_those_of_the_package_grad_cam_where_it_is_right(name: str, canvases: torch.Tensor):
    package = pytest.importorskip("pytorch_grad_cam", reason="needs grad-cam (the dev extra)")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    size = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
    net = network("resnet18", size=size)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            return self.net(pictures).raw

    kinds = {
        "grad-cam": package.GradCAM,
        "grad-cam++": package.GradCAMPlusPlus,
        "hires-cam": package.HiResCAM,
        "layer-cam": package.LayerCAM,
    }
    with kinds[name](Logits(), [net.backbone.layer3]) as cam:
        expected = cam(NORMALISE(canvases), targets=[ClassifierOutputTarget(3)] * 3)

    method = Method(name=name, layers=("layer3",), target=Target("grade", 3))
    given = explain([net], NORMALISE, canvases, method).map
    laid = torch.nn.functional.interpolate(given[:, None], (64, 64), mode="bilinear", align_corners=False)[:, 0].numpy()
    for ours, theirs in zip(laid, expected, strict=True):
        if theirs.std() > 0:
            assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] >= 0.999
    assert laid.std() > 0


def test_a_regression_s_map_is_its_gradient_s_where_the_package_falls_into_the_first_class(canvases: torch.Tensor):
    """The package takes the argmax of an output of one number as a class (its issue 573): same here, whatever the sign.

    A regression that answers -value must be explained by what lowers the value.
    """
    net = network(head="regression")
    up = explain([net], NORMALISE, canvases, Method(target=Target("cut", 2))).map
    with torch.no_grad():
        net.head.linear.weight.neg_()
    down = explain([net], NORMALISE, canvases, Method(target=Target("cut", 2))).map

    maps = net.maps(NORMALISE(canvases)).detach()
    signed = torch.einsum("nchw,c->nhw", maps, net.head.linear.weight[0].detach()) / maps[0, 0].numel()
    torch.testing.assert_close(down, signed.relu(), rtol=1e-3, atol=1e-7)
    torch.testing.assert_close(up, (-signed).relu(), rtol=1e-3, atol=1e-7)
