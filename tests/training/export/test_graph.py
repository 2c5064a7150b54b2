"""The heatmap in a release is the gradient of the whole answer, whatever that is a mean of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs the train extra")

from fundoscope.errors import BadRelease
from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.targets import Target, score
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export.graph import ReleaseGraph, check_parity, run_onnx, to_onnx
from fundoscope.training.networks import heads
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

SIDE = 32
NORMALISE = Normalise(Recipe(side=SIDE, crop="square"))
HEADS = ("softmax", "regression", "coral", "cumulative", "corn", "prototype", "signs")


def networks(head: str, *, number: int = 1, hidden: int = 12, eyes: int = 1, flip: bool = True) -> list[GradingNetwork]:
    """Networks of three convolutions with a hidden layer that is far from linear."""
    made = []
    for seed in range(number):
        torch.manual_seed(seed)
        settings = Network(
            backbone="cnn3", head=head, hidden=hidden, projection=8, eyes=eyes, flip_average=flip, dropout=0.0
        )
        network = GradingNetwork(settings, outputs=3 if head == "signs" else 5).eval()
        with torch.no_grad():
            for weight in network.head.stem.parameters():
                weight.mul_(6.0)
        made.append(network)
    return made


@pytest.fixture
def canvases() -> np.ndarray:
    """One half of each picture is bright: its mirror image has other features."""
    rng = np.random.default_rng(2)
    pictures = rng.integers(0, 255, (4, SIDE, SIDE, 3))
    pictures[:, :, : SIDE // 2] //= 4
    return pictures.astype(np.uint8)


def by_autograd(nets: list[GradingNetwork], canvases: np.ndarray) -> np.ndarray:
    """Grad-CAM by its definition, of the answer as it is given: views and networks averaged, then the score."""
    pictures = NORMALISE(torch.from_numpy(canvases))
    held, raws = [], []
    for net in nets:
        for view, mirrored in net.views(pictures):
            laid, there = net.lay_out(view)
            maps = net.maps(laid).detach().requires_grad_()
            raws.append(net.head(net.join(net.pool(maps), there)))
            held.append((maps, mirrored))
    answer = score(nets[0].head, torch.stack(raws).mean(dim=0), Target()).sum()
    slopes = torch.autograd.grad(answer, [maps for maps, _ in held])
    total = torch.zeros(())
    for (maps, mirrored), slope in zip(held, slopes, strict=True):
        weights = slope.mean(dim=(2, 3), keepdim=True)
        heat = (weights * maps).sum(dim=1)[: len(canvases)]
        total = total + (heat.flip(-1) if mirrored else heat)
    heat = total.relu().detach().numpy()
    return heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-12)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("head", HEADS)
def test_the_heatmap_of_a_mean_over_mirror_images_is_the_gradient_of_that_mean(
    head: str, number: int, canvases: np.ndarray
):
    nets = networks(head, number=number)

    with torch.no_grad():
        raw, features, heat = ReleaseGraph(nets, NORMALISE)(torch.from_numpy(canvases))

    np.testing.assert_allclose(heat.numpy(), by_autograd(nets, canvases), atol=2e-3)
    graded = [net.grade(NORMALISE(torch.from_numpy(canvases))) for net in nets]
    torch.testing.assert_close(raw, torch.stack([answer for answer, _ in graded]).mean(dim=0))
    torch.testing.assert_close(features, torch.cat([own for _, own in graded], dim=1))


def test_the_same_with_both_eyes(canvases: np.ndarray):
    nets = networks("softmax", eyes=2)
    pairs = np.stack([canvases, canvases[::-1]], axis=1)

    with torch.no_grad():
        heat = ReleaseGraph(nets, NORMALISE)(torch.from_numpy(pairs))[2]

    np.testing.assert_allclose(heat.numpy(), by_autograd(nets, pairs), atol=2e-3)


def test_the_exported_graph_shows_that_heatmap(canvases: np.ndarray):
    nets = networks("softmax")
    graph = ReleaseGraph(nets, NORMALISE)
    model = to_onnx(graph, SIDE)

    check_parity(graph, model, canvases, "softmax")

    np.testing.assert_allclose(run_onnx(model, canvases)["heatmap"], by_autograd(nets, canvases), atol=2e-3)


def test_export_refuses_a_closed_form_that_is_not_the_gradient_of_the_answer(
    canvases: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """Graph and export agree with one another, and are both wrong."""
    pull_back = heads.Stem.pull_back

    def elsewhere(self: heads.Stem, features: Any, gradient: Any) -> Any:
        return pull_back(self, -features, gradient)

    monkeypatch.setattr(heads.Stem, "pull_back", elsewhere)
    graph = ReleaseGraph(networks("softmax"), NORMALISE)

    with pytest.raises(BadRelease, match=r"correlate >= 0\.999 with the gradient of the whole answer, got 0\."):
        check_parity(graph, to_onnx(graph, SIDE), canvases, "softmax")
