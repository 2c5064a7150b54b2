from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.sections import Lesions, Network, Optimiser
from fundoscope.training.networks.backbone import build_backbone
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.objectives.optimiser import build_optimiser

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 2}


def test_a_transformer_grades_pictures_of_the_recipe_s_side():
    network = GradingNetwork(Network(backbone="vit_tiny_patch16_224", size=SMALL), side=96).eval()

    output = network(torch.rand(2, 3, 96, 96))

    assert output.raw.shape == (2, 4)
    assert output.features.shape == (2, 24)


def test_the_features_are_timm_s_own():
    torch.manual_seed(0)
    settings = Network(backbone="vit_tiny_patch16_224", size=SMALL, pool="mean")
    network = GradingNetwork(settings, side=64).eval()
    pictures = torch.rand(2, 3, 64, 64)

    torch.testing.assert_close(network(pictures).features, network.backbone(pictures))


def test_training_leaves_what_is_frozen_in_evaluation():
    network = GradingNetwork(Network(backbone="mobilenetv2_035", trainable=("last stage",)))

    network.train()

    assert network.head.training
    assert network.backbone.bn2.training
    assert not network.backbone.bn1.training
    assert not network.backbone.blocks[0].training
    network.eval()
    assert not any(module.training for module in network.modules())


def test_frozen_batch_norm_reaches_the_whole_backbone():
    network = GradingNetwork(Network(backbone="mobilenetv2_035", frozen_batch_norm=True)).train()

    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert len(norms) > 10
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad for norm in norms)


@pytest.mark.parametrize("pool", ["mean", "class_token"])
def test_layer_decay_is_retfound_s_ladder(pool: str):
    """RETFound's for 24 blocks: scale = decay^(25 - i); embeddings 0, block k at k + 1, norm and head at the top."""
    depth, decay = 4, 0.65
    settings = Network(backbone="vit_large_patch16_224", size=SMALL | {"depth": depth}, pool=pool)
    backbone, head = build_backbone(settings, side=64), torch.nn.Linear(24, 5)

    optimiser = build_optimiser(backbone, head, Optimiser(rate=1.0, layer_decay=decay, weight_decay=0.05))

    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    levels = depth + 1
    for name, parameter in backbone.named_parameters():
        level = levels
        if name.startswith(("cls_token", "pos_embed", "patch_embed")):
            level = 0
        if name.startswith("blocks."):
            level = int(name.split(".")[1]) + 1
        assert rates[id(parameter)] == pytest.approx(decay ** (levels - level)), name
    assert rates[id(head.weight)] == 1.0
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays[id(backbone.pos_embed)] == decays[id(backbone.cls_token)] == 0
    assert decays[id(backbone.blocks[0].mlp.fc1.weight)] == 0.05


def test_lesions_need_inner_maps():
    pytest.importorskip("open_clip", reason="needs open_clip (the train extra)")
    settings = Network(backbone="clip_vit_b16", size={"width": 32, "layers": 1, "heads": 2})

    with pytest.raises(BadExperiment, match=r"lesions\.weight: expected 0 for a backbone without inner maps"):
        GradingNetwork(settings, Lesions(weight=0.5), side=64)


def test_the_simple_network_has_lesion_maps_too():
    network = GradingNetwork(Network(backbone="cnn3"), Lesions(weight=0.5, index=1))

    assert network(torch.rand(1, 3, 64, 64)).lesions.shape == (1, 2, 16, 16)
