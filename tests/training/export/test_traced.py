"""Heatmaps that need gradients, run by onnxruntime alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
onnx = pytest.importorskip("onnx", reason="needs the train extra")

from fundoscope.errors import BadRelease, BadRequest
from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.explain import Method, explain
from fundoscope.training.attribution.targets import Target
from fundoscope.training.experiment.sections import Network, Release
from fundoscope.training.export.graph import PlainGraph, ReleaseGraph, check_parity, run_onnx, to_onnx
from fundoscope.training.export.traced import TracedGraph, heatmap_graph
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise

NORMALISE = Normalise(Recipe(side=64))
RESNET = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
DENSENET = {"growth_rate": 8, "block_config": [1, 1, 1, 1]}
TRANSFORMER = {"depth": 2, "embed_dim": 24, "num_heads": 2}
VGG = {"cfg": [16, "M", 16, "M"], "num_features": 16}


def network(backbone: str, size: dict, **more) -> GradingNetwork:
    torch.manual_seed(1)
    settings = {"backbone": backbone, "size": size, "head": "softmax"} | more
    return GradingNetwork(Network(**settings), side=64).eval()


@pytest.fixture
def canvases(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 255, (5, 64, 64, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("backbone", "size", "method"),
    [
        ("resnet18", RESNET, Method(name="grad-cam++", layers=("layer3", "last"))),
        ("densenet121", DENSENET, Method(name="layer-cam", layers=("features.denseblock3",))),
        ("vgg16", VGG, Method()),
        ("vit_tiny_patch16_224", TRANSFORMER, Method(name="grad-rollout")),
        ("vit_small_patch14_reg4_dinov2", TRANSFORMER | {"img_size": 56}, Method()),
    ],
)
def test_onnxruntime_alone_gives_torch_s_map_for_any_number_of_photographs(
    backbone: str, size: dict, method: Method, canvases: np.ndarray
):
    side = 56 if "dinov2" in backbone else 64
    size = {key: value for key, value in size.items() if key != "img_size"}
    torch.manual_seed(1)
    net = GradingNetwork(Network(backbone=backbone, size=size, head="softmax"), side=side).eval()
    normalise = Normalise(Recipe(side=side))
    graph = TracedGraph(net, normalise, method)
    small = np.ascontiguousarray(canvases[:, :side, :side])

    model = to_onnx(graph, side)

    check_parity(graph, model, small, "softmax")
    given = run_onnx(model, small)
    expected = explain([net], normalise, torch.from_numpy(small), method).map.numpy()
    assert expected.std() > 0
    tops = expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(given["heatmap"], expected / np.maximum(tops, 1e-30), atol=1e-3)
    with torch.inference_mode():
        raw, features = net.grade(normalise(torch.from_numpy(small)))
    np.testing.assert_allclose(given["raw"], raw.numpy(), atol=1e-4)
    np.testing.assert_allclose(given["features"], features.numpy(), atol=1e-3)
    np.testing.assert_allclose(run_onnx(model, small[:1])["heatmap"], given["heatmap"][:1], atol=1e-4)


def test_where_nothing_spoke_for_the_answer_the_map_is_dark_and_never_undefined(canvases: np.ndarray):
    net = network("resnet18", RESNET)
    with torch.no_grad():
        net.head.linear.weight.zero_()

    heat = TracedGraph(net, NORMALISE, Method(name="layer-cam", layers=("layer3",)))(torch.from_numpy(canvases))[2]

    assert torch.equal(heat, torch.zeros_like(heat))


@pytest.mark.parametrize(
    ("backbone", "size", "release", "kind", "heatmap"),
    [
        ("resnet18", RESNET, Release(), ReleaseGraph, "grad-cam"),
        ("resnet18", RESNET, Release(heatmap="grad-cam"), ReleaseGraph, "grad-cam"),
        ("resnet18", RESNET, Release(heatmap="none"), PlainGraph, "none"),
        ("resnet18", RESNET, Release(heatmap="layer-cam", heatmap_layers=("layer2",)), TracedGraph, "layer-cam"),
        ("resnet18", RESNET, Release(heatmap_layers=("layer2",)), TracedGraph, "grad-cam"),
        ("vgg16", VGG, Release(), TracedGraph, "grad-cam"),
        ("vit_tiny_patch16_224", TRANSFORMER, Release(), TracedGraph, "grad-rollout"),
    ],
)
def test_an_experiment_says_how_its_release_explains_itself(
    backbone: str, size: dict, release: Release, kind: type, heatmap: str, canvases: np.ndarray
):
    first, *rest = heatmap_graph([network(backbone, size)], NORMALISE, canvases, release)

    assert type(first) is kind
    assert first.heatmap == heatmap
    assert [type(each) for each in rest] == ([PlainGraph] if kind is TracedGraph and release.heatmap == "auto" else [])


def test_ways_that_cannot_be_exported_are_refused_by_name(canvases: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    net = network("resnet18", RESNET)

    for method in (Method(name="occlusion"), Method(name="eigen-cam"), Method(target=Target("cut", 2))):
        with pytest.raises(BadRequest, match=r"release\.heatmap: expected one of grad-cam, .* for the answer, got"):
            TracedGraph(net, NORMALISE, method)

    def refuse(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError(
            "A long story\n<class 'x.DispatchError'>: No ONNX function found for aten.svd\nmore"
        )

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(BadRelease, match=r"ONNX has operators for, got No ONNX function found for aten\.svd\. Choose"):
        to_onnx(TracedGraph(net, NORMALISE, Method()), 64)


def test_tracing_leaves_the_network_as_it_was(canvases: np.ndarray):
    net = network("vit_tiny_patch16_224", TRANSFORMER)
    fused = [block.attn.fused_attn for block in net.backbone.blocks]

    TracedGraph(net, NORMALISE, Method())(torch.from_numpy(canvases))

    assert [block.attn.fused_attn for block in net.backbone.blocks] == fused
    plain = network("resnet18", RESNET)
    TracedGraph(plain, NORMALISE, Method())(torch.from_numpy(canvases))
    assert not any("forward" in vars(module) for module in plain.modules())
