from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

import fundoscope.training.torchvision_shim

import timm
from safetensors.torch import save_file

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.backbone import HALF, IMAGENET, build_backbone, feature_width
from fundoscope.training.networks.normalisation import own_normalisation, resolved_recipe
from fundoscope.training.runs.fits import build_network

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 2}

# One of each family that the experiments name, small enough to be built in a moment.
FAMILIES = [
    ("resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 16, 16, 24]}),
    ("densenet121", {"growth_rate": 4, "block_config": [1, 1, 1, 2]}),
    ("vgg16", {"cfg": [8, "M", 8, "M", 16, "M"], "num_features": 32}),
    ("efficientnet_b0", {}),
    ("convnext_atto", {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 24]}),
    ("mobilenetv3_small_050", {}),
    ("vit_small_patch16_224", SMALL),
    ("vit_base_patch14_dinov2", SMALL),
    ("vit_base_patch14_reg4_dinov2", SMALL),
    ("cnn3", {"widths": [4, 6, 8]}),
]


def network(backbone: str, **values: object) -> Network:
    return Network(backbone=backbone, **values)


def stored(tmp_path: Path, state: dict) -> str:
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, str(path))
    return str(path)


@pytest.mark.parametrize(("name", "size"), FAMILIES)
def test_every_family_gives_one_feature_vector_for_each_photograph(name: str, size: dict):
    side = 70 if "patch14" in name else 64

    model = build_backbone(network(name, size=size), side=side).eval()

    with torch.no_grad():
        pictures = torch.rand(2, 3, side, side)
        features = model.forward_head(model.forward_features(pictures), pre_logits=True)
        assert features.shape == (2, feature_width(model))
        torch.testing.assert_close(features, model(pictures))


def test_weights_from_a_path_are_the_ones_in_the_network(tmp_path: Path):
    state = timm.create_model("resnet18").state_dict()

    backbone = build_backbone(network("resnet18", weights=stored(tmp_path, state)))

    assert torch.equal(backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_a_classifier_in_the_file_or_left_out_is_the_same_network(tmp_path: Path):
    state = timm.create_model("resnet18", num_classes=5).state_dict()
    bare = {key: value for key, value in state.items() if not key.startswith("fc.")}

    whole = build_backbone(network("resnet18", weights=stored(tmp_path, state))).state_dict()
    without = build_backbone(network("resnet18", weights=stored(tmp_path, bare))).state_dict()

    assert all(torch.equal(value, without[key]) for key, value in whole.items())


def test_the_norm_in_a_convnext_s_head_is_no_classifier_and_must_be_there(tmp_path: Path):
    size = FAMILIES[4][1]
    state = timm.create_model("convnext_atto", **size).state_dict()
    del state["head.norm.weight"]

    with pytest.raises(BadCheckpoint, match=r"1 keys are missing for this network, among them head\.norm\.weight"):
        build_backbone(network("convnext_atto", size=size, weights=stored(tmp_path, state)))


def test_an_unknown_network_is_named_with_its_neighbours():
    with pytest.raises(BadExperiment, match=r"timm knows no network 'resnet19'; near it: .*resnet"):
        build_backbone(network("resnet19"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (network("resnet18", size={"wings": 2}), r"network\.size: expected options that its builder takes .*wings"),
        (network("vit_tiny_patch16_224", size={"embed_dim": 50}), r"network\.size: expected options that its builder"),
        (network("resnet18", size={"checkpoint_path": "x.pth"}), r"network\.size\.checkpoint_path: expected sizes of"),
        (network("cnn3", size={"width": 3}), r"network\.size\.width: expected widths alone for cnn3"),
        (network("cnn3", size={"widths": [8, 8]}), r"network\.size\.widths: expected the channels of three"),
        (network("cnn3", weights="x"), r"network\.weights: expected none for cnn3"),
        (network("densenet121", drop_path=0.1), r"network\.drop_path: expected 0 \(it has no such thing\)"),
        (network("cnn3", drop_path=0.1), r"network\.drop_path: expected it left out for cnn3"),
        (network("resnet18", pool="mean"), r"network\.pool: expected default \(only vision transformers"),
    ],
)
def test_what_a_builder_does_not_take_is_named(settings: Network, message: str):
    with pytest.raises(BadExperiment, match=message):
        build_backbone(settings)


def test_a_side_that_patches_do_not_fill_is_refused():
    with pytest.raises(BadExperiment, match=r"recipe\.side: expected a multiple of 14.*got 64\. Set recipe\.side=56"):
        build_backbone(network("vit_base_patch14_dinov2", size=SMALL), side=64)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_base_patch14_reg4_dinov2"])
def test_mean_pooling_counts_patches_alone_and_class_token_the_first(name: str):
    pictures = torch.rand(2, 3, 56 * 2, 56 * 2)

    for pool in ("mean", "class_token"):
        torch.manual_seed(0)
        model = build_backbone(network(name, size=SMALL, pool=pool), side=112).eval()
        with torch.no_grad():
            tokens = model.forward_features(pictures)
            features = model(pictures)
        patches = tokens[:, 1 + ("reg4" in name) * 4 :]
        assert patches.shape[1] == (112 // model.patch_embed.patch_size[0]) ** 2
        expected = model.fc_norm(patches.mean(dim=1)) if pool == "mean" else tokens[:, 0]
        torch.testing.assert_close(features, expected)


@pytest.mark.parametrize("held", ["norm", "fc_norm"])
def test_a_transformer_pooled_by_its_mean_learns_a_norm_behind_it_unless_one_is_stored(tmp_path: Path, held: str):
    """RETFound, of a checkpoint with `norm`, exactly the classifier and fc_norm are missing."""
    pool = {"norm": "token", "fc_norm": "avg"}[held]
    state = timm.create_model("vit_tiny_patch16_224", global_pool=pool, num_classes=0, **SMALL).state_dict()
    state[f"{held}.weight"] = torch.full((24,), 3.0)

    model = build_backbone(network("vit_tiny_patch16_224", size=SMALL, pool="mean", weights=stored(tmp_path, state)))

    assert model.fc_norm.weight[0].item() == {"norm": 1.0, "fc_norm": 3.0}[held]
    assert isinstance(model.norm, torch.nn.Identity)
    assert torch.equal(model.blocks[1].attn.qkv.weight, state["blocks.1.attn.qkv.weight"])


def test_dinov2_keeps_its_trained_norm_under_the_mean(tmp_path: Path):
    """RETFound-Green's pooling; a fresh norm on DINOv2's tokens is the error of RETFound's notebook."""
    state = timm.create_model("vit_base_patch14_dinov2", num_classes=0, img_size=56, **SMALL).state_dict()
    state["norm.weight"] = torch.full((24,), 3.0)
    settings = network("vit_base_patch14_dinov2", size=SMALL, pool="mean", weights=stored(tmp_path, state))

    model = build_backbone(settings, side=56)

    assert model.norm.weight[0].item() == 3.0
    assert isinstance(model.fc_norm, torch.nn.Identity)


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("mobilenet_edgetpu_100", HALF),  # weights/README.md
        ("mobilenetv2_100", HALF),
        ("vit_tiny_patch16_224", HALF),
        ("resnet50", IMAGENET),
        ("vit_base_patch14_dinov2", IMAGENET),
        ("vit_large_patch16_224", HALF),  # AugReg's, not RETFound's
        ("retfound", IMAGENET),
        ("retfound_green", HALF),
    ],
)
def test_each_backbone_is_normalised_as_its_weights_were_trained(name: str, colours: tuple):
    assert own_normalisation(network(name)) == colours


def test_a_backbone_without_weights_of_its_own_has_no_normalisation():
    with pytest.raises(BadExperiment, match=r"got cnn3 \(it is trained from scratch\)\. Set network\.normalisation"):
        own_normalisation(network("cnn3"))
    with pytest.raises(BadExperiment, match="timm has no weights of it"):
        own_normalisation(network("densenet264d"))


def test_the_recipe_takes_the_backbone_s_colours_only_where_asked():
    values = {"name": "x", "recipe": {"side": 64, "mean": [0.1, 0.2, 0.3]}, "network": {"backbone": "resnet50"}}
    plain = experiment_from_dict(values, where="the test")
    values["network"]["normalisation"] = "backbone"
    asked = experiment_from_dict(values, where="the test")

    assert resolved_recipe(plain) is plain
    resolved = resolved_recipe(asked)
    assert (resolved.recipe.mean, resolved.recipe.std) == IMAGENET
    assert resolved.recipe.side == 64
    assert resolved_recipe(resolved) == resolved


@pytest.mark.parametrize("name", ["mobilenet_edgetpu_100", "mobilenetv2_100"])
def test_the_shared_weights_recognise_as_their_authors_network(shared_weights: Path, name: str):
    """Loaded whole, and deterministic in evaluation mode; the feature is 1280 long (weights/README.md)."""
    weights = str(shared_weights / name / f"{name}.safetensors")
    backbone = build_backbone(network(name, weights=weights)).eval()

    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 96, 96))

    assert features.shape == (1, 1280) == (1, feature_width(backbone))
    assert torch.isfinite(features).all()


def test_the_shared_transformer_loads_at_another_size(shared_weights: Path):
    path = shared_weights / "vit_tiny_patch16_224" / "vit_tiny_patch16_224.safetensors"

    model = build_backbone(network("vit_tiny_patch16_224", weights=str(path)), side=96).eval()

    assert model.pos_embed.shape == (1, 37, 192)
    with torch.no_grad():
        assert torch.isfinite(model(torch.zeros(1, 3, 96, 96))).all()


def test_the_edgetpu_network_has_no_relu_after_its_first_block():
    backbone = build_backbone(network("mobilenet_edgetpu_100"))

    assert isinstance(backbone.blocks[0][0].bn1.act, torch.nn.Identity)


def test_a_missing_file_says_that_nothing_is_downloaded(tmp_path: Path):
    absent = str(tmp_path / "absent.safetensors")

    with pytest.raises(BadCheckpoint, match=re.escape("there is none. Nothing is downloaded")):
        build_backbone(network("resnet18", weights=absent))


def test_a_transformer_that_takes_one_size_is_not_resized_while_it_learns(tiny):
    network = dataclasses.replace(tiny.network, backbone="vit_tiny_patch16_224", size=SMALL)
    resized = dataclasses.replace(tiny, network=network, fit=dataclasses.replace(tiny.fit, sides=((0.0, 48),)))

    with pytest.raises(BadExperiment, match=r"fit\.sides: expected none but recipe\.side = 64 for vit_tiny"):
        build_network(resized)
    same = dataclasses.replace(resized, fit=dataclasses.replace(tiny.fit, sides=((0.0, 64),)))
    assert build_network(same).features == 24
