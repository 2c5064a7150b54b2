from __future__ import annotations

import itertools

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.experiment.sections import Network, Optimiser
from fundoscope.training.networks.backbone import build_backbone
from fundoscope.training.objectives.optimiser import build_optimiser, rate_factor, side_at


def test_the_rate_rises_to_its_peak_and_falls_to_its_floor():
    factors = [rate_factor(step, 100, Optimiser(warmup=0.1, floor=0.05)) for step in range(101)]

    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.05 + 0.95 * 0.5, abs=0.02)
    assert factors[100] == pytest.approx(0.05)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))


def test_by_steps_the_rate_falls_at_each_milestone_and_nowhere_else():
    """GDRBench: a tenth from the middle on; EyePACS' second place: .003, .0003, .00003 at 0, 150 and 220 of 250."""
    half = Optimiser(schedule="steps", warmup=0.0)
    second = Optimiser(schedule="steps", warmup=0.0, milestones=(150 / 250, 220 / 250))

    assert [rate_factor(step, 100, half) for step in (0, 49, 50, 99)] == pytest.approx([1, 1, 0.1, 0.1])
    assert [rate_factor(step, 250, second) for step in (0, 149, 150, 219, 220, 249)] == pytest.approx(
        [1, 1, 0.1, 0.1, 0.01, 0.01]
    )


def test_a_constant_rate_is_constant_after_its_rise():
    constant = Optimiser(schedule="constant", warmup=0.2)

    assert [rate_factor(step, 10, constant) for step in range(10)] == pytest.approx([0.5] + [1.0] * 9)


def test_without_warm_up_the_first_step_has_the_peak_rate():
    assert rate_factor(0, 10, Optimiser(warmup=0.0)) == 1.0


def test_a_batch_takes_the_last_side_that_is_due():
    sides = [(0.0, 256), (0.6, 384)]

    assert [side_at(share, sides) for share in (0.0, 0.59, 0.6, 1.0)] == [256, 256, 384, 384]
    assert side_at(0.5, []) is None


def test_layers_nearer_the_picture_learn_slower_and_biases_are_not_decayed():
    backbone, head = build_backbone(Network(backbone="resnet18")), torch.nn.Linear(512, 4)

    optimiser = build_optimiser(backbone, head, Optimiser(rate=1.0, layer_decay=0.5, weight_decay=0.1))

    rate = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert rate[id(head.weight)] == 1.0
    assert (
        rate[id(backbone.conv1.weight)]
        < rate[id(backbone.layer1[0].conv1.weight)]
        < rate[id(backbone.layer4[1].conv2.weight)]
        <= 1.0
    )
    decay = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decay[id(head.weight)] == 0.1
    assert decay[id(head.bias)] == decay[id(backbone.bn1.weight)] == 0.0


def test_frozen_weights_are_given_to_no_optimiser():
    backbone = build_backbone(Network(backbone="resnet18"))
    backbone.layer1.requires_grad_(False)

    optimiser = build_optimiser(backbone, torch.nn.Linear(512, 4), Optimiser(name="sgd"))

    given = {id(p) for group in optimiser.param_groups for p in group["params"]}
    assert not given & {id(p) for p in backbone.layer1.parameters()}
    assert optimiser.defaults["nesterov"]


def retfound_layer(name: str, depth: int) -> int:
    """RETFound's get_layer_id_for_vit: embeddings 0, block k at k + 1, whatever stands behind the blocks at the top."""
    if name in ("cls_token", "pos_embed", "reg_token") or name.startswith("patch_embed"):
        return 0
    return int(name.split(".")[1]) + 1 if name.startswith("blocks") else depth + 1


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("vit_tiny_patch16_224", "class_token"),
        ("vit_tiny_patch16_224", "mean"),
        ("vit_small_patch14_dinov2", "class_token"),
        ("vit_small_patch14_reg4_dinov2", "mean"),
        ("retfound", "default"),
    ],
)
def test_a_transformer_s_rates_are_those_of_retfound_s_ladder(name: str, pool: str):
    depth, decay, size = 3, 0.65, {"depth": 3, "embed_dim": 24, "num_heads": 2}
    backbone = build_backbone(Network(backbone=name, size=size, pool=pool))
    head = torch.nn.Linear(24, 4)

    optimiser = build_optimiser(backbone, head, Optimiser(rate=1.0, layer_decay=decay, weight_decay=0.1))

    group_of = {id(p): group for group in optimiser.param_groups for p in group["params"]}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(group_of)
    for key, weight in backbone.named_parameters():
        group = group_of[id(weight)]
        assert group["lr"] == pytest.approx(decay ** (depth + 1 - retfound_layer(key, depth))), key
        assert weight.ndim > 1 or group["weight_decay"] == 0.0, key
    assert group_of[id(head.weight)]["lr"] == 1.0


def test_without_layer_decay_every_layer_has_the_full_rate():
    backbone = build_backbone(Network(backbone="vit_tiny_patch16_224", size={"depth": 2}, pool="class_token"))

    optimiser = build_optimiser(backbone, torch.nn.Linear(192, 4), Optimiser(rate=0.5))

    assert {group["lr"] for group in optimiser.param_groups} == {0.5}
