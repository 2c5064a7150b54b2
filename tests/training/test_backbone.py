from __future__ import annotations

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from safetensors.torch import save_file

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.training.backbone import build_backbone, feature_width, load_weights
from fundoscope.training.guard import import_torchvision

import_torchvision()
import timm


def stored(tmp_path: Path, state: dict) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, str(path))
    return path


def test_weights_from_a_path_are_the_ones_in_the_network(tmp_path: Path):
    state = timm.create_model("resnet18").state_dict()

    backbone = build_backbone("resnet18", stored(tmp_path, state))

    assert torch.equal(backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda state: state.pop("layer1.0.conv1.weight"),
            "1 keys are missing for this network, among them layer1.0.conv1",
        ),
        (
            lambda state: state.update({"encoder.x": torch.zeros(1)}),
            "1 keys are unexpected for this network, among them encoder.x",
        ),
        (lambda state: state.update({"conv1.weight": torch.zeros(1)}), "1 keys are of another shape"),
    ],
)
def test_a_partial_load_is_refused(tmp_path: Path, spoil, message: str):
    state = timm.create_model("resnet18").state_dict()
    spoil(state)

    with pytest.raises(BadCheckpoint, match=re.escape(message)):
        build_backbone("resnet18", stored(tmp_path, state))


def test_only_the_declared_head_may_be_left_out(tmp_path: Path):
    state = {
        key: value for key, value in timm.create_model("resnet18").state_dict().items() if not key.startswith("fc.")
    }

    build_backbone("resnet18", stored(tmp_path, state))
    with pytest.raises(BadCheckpoint, match="2 keys are missing"):
        load_weights(timm.create_model("resnet18"), state, where="here", may_miss=("\0",))


def test_a_pickle_is_not_opened(tmp_path: Path):
    path = tmp_path / "weights.pth"
    torch.save({"conv1.weight": torch.zeros(1)}, path)

    with pytest.raises(BadCheckpoint, match="expected a safetensors file"):
        build_backbone("resnet18", path)


def test_nothing_is_downloaded_when_the_file_is_absent(tmp_path: Path):
    with pytest.raises(BadCheckpoint, match=r"there is none\. Nothing is downloaded"):
        build_backbone("resnet18", tmp_path / "absent.safetensors")


def test_an_unknown_network_is_named_with_its_neighbours():
    with pytest.raises(BadExperiment, match=r"timm knows no network 'resnet19'; near it: .*resnet"):
        build_backbone("resnet19")


@pytest.mark.parametrize("name", ["mobilenet_edgetpu_100", "mobilenetv2_100"])
def test_the_shared_weights_recognise_as_their_authors_network(shared_weights: Path, name: str):
    """Loaded whole, and deterministic in evaluation mode; the feature is 1280 long (weights/README.md)."""
    backbone = build_backbone(name, shared_weights / name / f"{name}.safetensors").eval()

    with torch.no_grad():
        features = backbone(torch.zeros(1, 3, 96, 96))

    assert features.shape == (1, 1280) == (1, feature_width(backbone))
    assert torch.isfinite(features).all()


def test_the_edgetpu_network_has_no_relu_after_its_first_block():
    assert isinstance(build_backbone("mobilenet_edgetpu_100").blocks[0][0].bn1.act, torch.nn.Identity)
