from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.backbone import build_backbone
from fundoscope.training.networks.freezing import freeze_parts, frozen_parts, keep_frozen, last_stage

TRANSFORMER = {"depth": 3, "embed_dim": 24, "num_heads": 2}
DENSE = {"growth_rate": 4, "block_config": [1, 1, 1, 16]}
VGG = {"cfg": [4, "M", 4, "M", 8, 8, "M"], "num_features": 16}
RESIDUAL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 8, 8]}


def frozen(backbone: str, size: dict, **values: object):
    """A backbone with its parts frozen, in training mode as training has it."""
    network = Network(backbone=backbone, size=size, **values)
    model = build_backbone(network)
    still = frozen_parts(model, network)
    freeze_parts(model, still)
    keep_frozen(model.train(), still, batch_norm=network.frozen_batch_norm)
    return model


def learning(model: torch.nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


@pytest.mark.parametrize(
    ("backbone", "size", "word", "parts"),
    [
        ("densenet121", DENSE, "last dense block", ("features.denseblock4.", "features.norm5.")),
        ("resnet18", RESIDUAL, "last convolutional block", ("layer4.",)),
        ("vgg16", VGG, "last convolutional block", ("features.6.", "features.8.")),
        ("mobilenetv2_035", {}, "last convolutional block", ("blocks.6.", "conv_head.", "bn2.")),
        ("mobilenetv3_small_050", {}, "last stage", ("blocks.5.", "conv_head.")),
        ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}, "last stage", ("stages.3.", "head.norm.")),
        ("vit_tiny_patch16_224", TRANSFORMER, "last stage", ("blocks.2.", "norm.")),
        ("cnn3", {}, "last stage", ("stages.2.",)),
        ("densenet121", DENSE, "features.denseblock4.denselayer14", ("features.denseblock4.denselayer14.",)),
        ("vit_tiny_patch16_224", TRANSFORMER, "norm", ("norm.",)),
    ],
)
def test_only_the_named_part_learns_and_the_rest_is_still(backbone: str, size: dict, word: str, parts: tuple[str, ...]):
    model = frozen(backbone, size, trainable=(word,))

    every = {name for name, _ in model.named_parameters()}
    assert learning(model) == {name for name in every if name.startswith(parts)} != set()
    assert all(any(name.startswith(part) for name in every) for part in parts)
    for name, module in model.named_modules():
        if (name and list(module.parameters(recurse=False))) or type(module).__name__ == "Dropout":
            assert module.training == f"{name}.".startswith(parts), name


def test_nothing_of_the_backbone_learns_where_the_head_alone_does():
    model = frozen("resnet18", RESIDUAL, trainable=("head",))

    assert learning(model) == set()
    assert not any(module.training for module in model.modules())


def test_without_a_word_all_of_it_learns():
    model = frozen("resnet18", RESIDUAL)

    assert learning(model) == {name for name, _ in model.named_parameters()}
    assert all(module.training for module in model.modules())


def test_what_is_frozen_by_name_is_all_that_is_frozen():
    model = frozen("vit_tiny_patch16_224", TRANSFORMER, freeze=("blocks.0", "pos_embed"))

    still = {name for name, _ in model.named_parameters()} - learning(model)
    assert still == {"pos_embed", *(f"blocks.0.{name}" for name, _ in model.blocks[0].named_parameters())}


@pytest.mark.parametrize("trainable", [(), ("last stage",)])
def test_frozen_batch_norms_give_a_photograph_the_same_answer_in_any_batch(trainable: tuple[str, ...]):
    model = frozen("resnet18", RESIDUAL, frozen_batch_norm=True, trainable=trainable)
    pictures = torch.rand(4, 3, 32, 32)
    statistics = model.bn1.running_mean.clone()

    with torch.no_grad():
        torch.testing.assert_close(model(pictures)[:1], model(pictures[:1]))

    assert torch.equal(model.bn1.running_mean, statistics)
    assert model.layer4[0].bn1.weight.requires_grad


def test_a_step_changes_no_weight_and_no_statistic_of_what_is_frozen():
    model = frozen("densenet121", DENSE, trainable=("last dense block",))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)

    model(torch.rand(4, 3, 64, 64)).square().sum().backward()
    optimiser.step()

    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("features.denseblock4.", "features.norm5.")) for name in changed)
    assert "features.norm5.running_mean" in changed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"freeze": ("layer5",)}, r"network\.freeze: expected parts of ResNet, got 'layer5'; near it: .*layer"),
        ({"trainable": ("layr4",)}, r"network\.trainable: expected parts of ResNet, got 'layr4'; near it: .*layer4"),
        ({"trainable": ("last dense block",)}, "expected DenseNet for 'last dense block', got a ResNet"),
        ({"trainable": ("head", "layer4")}, r"expected 'head' alone .* got \['head', 'layer4'\]"),
        ({"freeze": ("",)}, "got ''; near it"),
    ],
)
def test_an_unknown_part_is_named_with_its_neighbours(values: dict, message: str):
    with pytest.raises(BadExperiment, match=message):
        frozen("resnet18", RESIDUAL, **values)


def test_freezing_and_choosing_what_learns_contradict_one_another():
    with pytest.raises(BadExperiment, match=r"network\.freeze, network\.trainable: expected one of them"):
        Network(freeze=("conv_stem",), trainable=("blocks.6",))


def test_a_network_of_an_unknown_family_asks_for_names():
    with pytest.raises(BadExperiment, match="expected a network whose last stage is known"):
        last_stage(torch.nn.Sequential(torch.nn.Linear(2, 2)))
