from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

import fundoscope.training.torchvision_shim

import timm
from safetensors.torch import save_file
from timm.models.vision_transformer import checkpoint_filter_fn

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.backbone import build_backbone
from fundoscope.training.networks.checkpoints import load_weights, read_checkpoint, resampled

SMALL = {"depth": 2, "embed_dim": 24, "num_heads": 2}


def vit(name: str, **options: object):
    torch.manual_seed(1)
    return timm.create_model(name, num_classes=0, **(SMALL | options))


def retfound(**changes: object) -> dict:
    """A masked autoencoder's file, as RETFound publishes it."""
    decoder = {"mask_token": torch.zeros(1, 1, 16), "decoder_embed.weight": torch.zeros(16, 24)}
    decoder |= {"decoder_blocks.0.norm1.weight": torch.ones(16), "decoder_pos_embed": torch.zeros(1, 197, 16)}
    state = vit("vit_large_patch16_224").state_dict() | decoder | changes
    return {"model": state, "optimizer": {"state": {}}, "epoch": 799, "args": argparse.Namespace(lr=1e-3)}


def write(path: Path, stored: object) -> str:
    torch.save(stored, path)
    return str(path)


def test_retfound_s_file_becomes_an_encoder_pooled_by_its_mean(tmp_path: Path):
    path = write(tmp_path / "RETFound_cfp_weights.pth", retfound())

    model = build_backbone(Network(backbone="retfound", size=SMALL, weights=path), side=224)

    theirs = vit("vit_large_patch16_224").state_dict()
    ours = model.state_dict()
    assert set(ours) - set(theirs) == {"fc_norm.weight", "fc_norm.bias"}
    assert set(theirs) - set(ours) == {"norm.weight", "norm.bias"}
    assert all(torch.equal(ours[key], theirs[key]) for key in set(ours) & set(theirs))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"blocks.2.norm1.weight": torch.ones(24)},
            "1 keys are unexpected for this network, among them blocks.2.norm1",
        ),
        ({"cls_token": torch.zeros(1, 1, 25)}, "1 keys are of another shape for this network, among them cls_token"),
    ],
)
def test_a_file_with_a_key_too_many_or_of_another_shape_is_refused(tmp_path: Path, change: dict, message: str):
    path = write(tmp_path / "w.pth", retfound(**change))

    with pytest.raises(BadCheckpoint, match=re.escape(message)):
        build_backbone(Network(backbone="retfound", size=SMALL, weights=path), side=224)


def test_a_file_with_a_key_too_few_is_refused(tmp_path: Path):
    stored = retfound()
    del stored["model"]["blocks.1.attn.qkv.bias"]

    with pytest.raises(BadCheckpoint, match=r"1 keys are missing .* among them blocks\.1\.attn\.qkv\.bias"):
        build_backbone(Network(backbone="retfound", size=SMALL, weights=write(tmp_path / "w.pth", stored)), side=224)


def test_retfound_s_weights_are_not_normalised_as_another_network_s(tmp_path: Path):
    path = write(tmp_path / "w.pth", retfound())
    settings = Network(backbone="vit_large_patch16_224", size=SMALL, weights=path, normalisation="backbone")

    with pytest.raises(BadExperiment, match=r"Set network\.backbone='retfound'"):
        build_backbone(settings, side=224)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_dinov2_teacher_loses_its_prefix_its_chunks_and_its_heads(tmp_path: Path, chunked: bool):
    """Without the prefix stripped, nothing loads and nobody notices (RETFound issue 46)."""
    own = vit("vit_large_patch14_dinov2", img_size=56).state_dict()
    teacher = {f"backbone.{key}": value for key, value in own.items()}
    if chunked:
        teacher = {re.sub(r"blocks\.(\d+)", r"blocks.0.\1", key): value for key, value in teacher.items()}
    teacher |= {"backbone.mask_token": torch.zeros(1, 24), "dino_head.mlp.0.weight": torch.zeros(2, 24)}
    path = write(tmp_path / "w.pth", {"teacher": teacher, "iteration": 3})

    model = build_backbone(Network(backbone="retfound_dinov2", size=SMALL, weights=path), side=56)

    assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())


def test_dinov2_as_published_is_read_as_timm_reads_it(tmp_path: Path):
    """With registers, whose class token takes its position along; parity with timm's own conversion."""
    model = vit("vit_base_patch14_reg4_dinov2", img_size=56)
    published = {key: torch.rand_like(value) for key, value in model.state_dict().items()}
    published["register_tokens"] = published.pop("reg_token")
    published["pos_embed"] = torch.rand(1, 17, 24)
    published["mask_token"] = torch.zeros(1, 24)
    path = write(tmp_path / "dinov2.pth", published)
    expected = checkpoint_filter_fn(dict(published), model)

    state, layout = read_checkpoint(path)

    assert layout == "DINOv2"
    assert set(state) == set(expected)
    assert all(torch.equal(value, expected[key]) for key, value in state.items())
    load_weights(model, state, where="the test")


def test_gated_layers_are_renamed():
    state = {
        "mask_token": torch.zeros(1),
        "blocks.0.mlp.w12.weight": torch.ones(2),
        "blocks.0.mlp.w3.bias": torch.ones(1),
    }
    from fundoscope.training.networks.checkpoints import to_timm

    assert set(to_timm(state, "DINOv2", where="x")) == {"blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.bias"}


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_timm_s_own_names_are_read_from_either_kind_of_file(tmp_path: Path, ending: str):
    """RETFound-Green is published so."""
    own = vit("vit_small_patch14_reg4_dinov2", img_size=56).state_dict()
    path = tmp_path / f"green.{ending}"
    torch.save(own, path) if ending == "pth" else save_file(own, str(path))

    model = build_backbone(Network(backbone="retfound_green", size=SMALL, weights=str(path)), side=56)

    assert model.global_pool == "avg"
    assert all(torch.equal(value, own[key]) for key, value in model.state_dict().items())


class Deadly:
    def __reduce__(self):
        return (print, ("run",))


def test_no_code_of_a_file_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write(tmp_path / "w.pth", {"model": Deadly()})

    message = r"expected a checkpoint of tensors and settings alone \(it holds [\w.]*print, which could run code\)"
    with pytest.raises(BadCheckpoint, match=message):
        read_checkpoint(path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("stored", [{"epoch": 3}, {"weights": {"a": {"b": 1}}}, {}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, stored: dict):
    with pytest.raises(BadCheckpoint, match="expected a state dict, by itself or under teacher, model or state_dict"):
        read_checkpoint(write(tmp_path / "w.pth", stored))


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path):
    (tmp_path / "w.safetensors").write_bytes(b"nothing")

    with pytest.raises(BadCheckpoint, match="expected a safetensors file"):
        read_checkpoint(tmp_path / "w.safetensors")
    with pytest.raises(BadCheckpoint, match=r"there is none\. Nothing is downloaded"):
        read_checkpoint(tmp_path / "absent.pth")


def test_positions_of_the_same_grid_stay_and_a_smooth_field_survives_another_grid():
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    grid = torch.stack([rows, columns], dim=-1).reshape(1, 64, 2)
    positions = torch.cat([torch.full((1, 1, 2), 9.0), grid], dim=1)

    assert resampled(positions, positions.clone(), prefix=1) is positions
    finer = resampled(positions, torch.zeros(1, 257, 2), prefix=1)

    assert torch.equal(finer[:, 0], positions[:, 0])  # the class token has no place on the grid
    inner = finer[:, 1:].reshape(16, 16, 2)[4:-4, 4:-4]
    expected = (torch.arange(16.0)[4:-4] + 0.5) / 2 - 0.5  # corners not aligned: cell centres keep their places
    torch.testing.assert_close(inner[..., 0], expected[:, None].expand(8, 8))
    torch.testing.assert_close(inner[..., 1], expected[None].expand(8, 8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda state: state.pop("layer1.0.conv1.weight"), "1 keys are missing for this network, among them layer1.0"),
        (lambda state: state.update({"encoder.x": torch.zeros(1)}), "1 keys are unexpected for this network"),
        (lambda state: state.update({"conv1.weight": torch.zeros(1)}), "1 keys are of another shape"),
        (lambda state: state.pop("fc.weight"), "1 keys are missing for this network, among them fc.weight"),
    ],
)
def test_a_partial_load_is_refused(spoil, message: str):
    model = timm.create_model("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8))
    state = model.state_dict()
    spoil(state)

    with pytest.raises(BadCheckpoint, match=re.escape(message)):
        load_weights(model, state, where="here")


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path):
    state = retfound()["model"]
    state["blocks.1.norm1.bias"] = torch.full((24,), float("nan"))
    path = write(tmp_path / "w.pth", {"model": state})

    with pytest.raises(BadCheckpoint, match=r"expected finite weights, got NaN or infinity in 1 of .*blocks\.1\.norm1"):
        build_backbone(Network(backbone="retfound", size=SMALL, weights=path), side=224)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "model.module.", "net."])
@pytest.mark.parametrize("container", ["", "model", "state_dict", "model_state_dict"])
def test_what_a_wrapper_put_before_every_name_is_taken_off(tmp_path: Path, wrapper: str, container: str):
    state = vit("vit_large_patch16_224").state_dict()
    wrapped = {wrapper + name: value for name, value in state.items()}
    path = write(tmp_path / "W.PTH", {container: wrapped, "epoch": 3} if container else wrapped)

    model = build_backbone(Network(backbone="vit_large_patch16_224", size=SMALL, weights=path), side=224)

    own = model.state_dict()
    assert all(torch.equal(own[name], value) for name, value in state.items())


def test_retfound_s_file_is_recognised_behind_a_wrapper(tmp_path: Path):
    stored = {f"module.{name}": value for name, value in retfound()["model"].items()}

    checkpoint = read_checkpoint(write(tmp_path / "w.pth", {"model": stored}))

    assert checkpoint.layout == "RETFound"
    assert set(checkpoint.state) == set(vit("vit_large_patch16_224").state_dict())


def test_wrapped_safetensors_of_a_convolutional_network_are_read(tmp_path: Path):
    torch.manual_seed(3)
    state = timm.create_model("resnet18", num_classes=7).state_dict()
    save_file({f"module.{name}": value for name, value in state.items()}, tmp_path / "w.safetensors")

    model = build_backbone(Network(backbone="resnet18", weights=str(tmp_path / "w.safetensors")))

    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_prefix_of_some_names_alone_is_no_wrapper_and_refused(tmp_path: Path):
    state = vit("vit_large_patch16_224").state_dict()
    mixed = {(f"module.{name}" if name.startswith("blocks") else name): value for name, value in state.items()}

    with pytest.raises(BadCheckpoint, match=r"keys are missing for this network, among them blocks\.0"):
        build_backbone(
            Network(backbone="vit_large_patch16_224", size=SMALL, weights=write(tmp_path / "w.pth", mixed)), side=224
        )
