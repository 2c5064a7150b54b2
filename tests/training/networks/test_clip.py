"""With a small random CLIP of open_clip's: the published weights cannot be had here, and no number rests on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

import fundoscope.training.torchvision_shim

from safetensors.torch import save_file

open_clip = pytest.importorskip("open_clip", reason="needs open_clip (the train extra)")

from fundoscope.errors import BadCheckpoint, BadExperiment, BadRequest
from fundoscope.training.experiment.sections import Network, Optimiser
from fundoscope.training.networks.backbone import build_backbone, feature_width
from fundoscope.training.networks.clip import text_prototypes
from fundoscope.training.networks.freezing import frozen_parts
from fundoscope.training.networks.heads import read_prototypes
from fundoscope.training.networks.normalisation import own_normalisation
from fundoscope.training.objectives.optimiser import build_optimiser

SIZE = {"width": 32, "layers": 2, "heads": 2, "patch_size": 16, "output_dim": 12}
CONFIG = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}
TEXTS = ["no retinopathy", "few microaneurysms", "haemorrhages and exudates", "venous beading", "new vessels"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory):
    """A CLIP of both towers and its file."""
    torch.manual_seed(3)
    model = open_clip.CLIP(**CONFIG).eval()
    path = tmp_path_factory.mktemp("clip") / "open_clip_model.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, str(path))
    return model, path


def test_the_image_tower_gives_the_features_that_open_clip_gives(whole):
    model, path = whole
    tower = build_backbone(Network(backbone="clip_vit_b16", size=SIZE, weights=str(path)), side=64).eval()
    pictures = torch.rand(2, 3, 64, 64)

    with torch.no_grad():
        torch.testing.assert_close(tower(pictures), model.encode_image(pictures))
    assert feature_width(tower) == 12


def test_another_side_resamples_the_positions(whole):
    _, path = whole

    tower = build_backbone(Network(backbone="clip_vit_b16", size=SIZE, weights=str(path)), side=96).eval()

    assert tower.visual.positional_embedding.shape == (37, 32)
    with torch.no_grad():
        assert tower(torch.rand(1, 3, 96, 96)).shape == (1, 12)


def test_a_file_that_lacks_a_part_of_the_tower_is_refused(whole, tmp_path: Path):
    model, _ = whole
    state = {key: value.contiguous() for key, value in model.state_dict().items() if key != "visual.proj"}
    save_file(state, str(tmp_path / "w.safetensors"))

    with pytest.raises(BadCheckpoint, match=r"1 keys are missing for this network, among them visual\.proj"):
        build_backbone(Network(backbone="clip_vit_b16", size=SIZE, weights=str(tmp_path / "w.safetensors")), side=64)


def test_it_is_normalised_with_clip_s_colours_not_imagenet_s():
    """RetinaScan fed it ImageNet's."""
    mean, std = own_normalisation(Network(backbone="clip_vit_b16"))

    assert mean == (0.48145466, 0.4578275, 0.40821073)  # openai/CLIP, clip.py
    assert std == (0.26862954, 0.26130258, 0.27577711)


def test_descriptions_become_the_prototypes_that_the_head_starts_from(whole, tmp_path: Path):
    model, path = whole

    prototypes = text_prototypes(path, TEXTS, tmp_path / "prototypes.npz", config=CONFIG)

    with torch.no_grad():
        tokens = open_clip.tokenize(TEXTS)
        expected = model.encode_text(tokens, normalize=True).numpy()
    np.testing.assert_allclose(prototypes, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(prototypes, axis=1), 1, atol=1e-5)
    assert torch.equal(read_prototypes(tmp_path / "prototypes.npz", 12), torch.from_numpy(prototypes))
    with np.load(tmp_path / "prototypes.npz") as stored:
        assert stored["descriptions"].tolist() == TEXTS


@pytest.mark.parametrize("texts", [TEXTS[:4], [*TEXTS[:4], " "]])
def test_every_grade_needs_a_description(texts: list[str], tmp_path: Path):
    with pytest.raises(BadRequest, match="expected 5 texts, one for each grade"):
        text_prototypes(tmp_path / "absent", texts, tmp_path / "prototypes.npz")


def test_weights_that_are_not_there_are_not_fetched(tmp_path: Path):
    with pytest.raises(BadCheckpoint, match="Nothing is downloaded"):
        text_prototypes(tmp_path / "absent.safetensors", TEXTS, tmp_path / "prototypes.npz", config=CONFIG)


def test_an_option_that_the_tower_does_not_take_is_named():
    with pytest.raises(BadExperiment, match=r"network\.size: expected options among patch_size, .* got 'depth'"):
        build_backbone(Network(backbone="clip_vit_b16", size={"depth": 2}))


def test_deeper_blocks_learn_faster_and_the_last_stage_alone_where_asked():
    settings = Network(backbone="clip_vit_b16", size=SIZE, trainable=("last stage",))
    tower = build_backbone(settings, side=64)

    optimiser = build_optimiser(tower, torch.nn.Linear(12, 4), Optimiser(rate=1.0, layer_decay=0.5))

    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert rates[id(tower.visual.proj)] == 1.0
    assert rates[id(tower.visual.transformer.resblocks[1].mlp.c_fc.weight)] == 0.5
    assert rates[id(tower.visual.conv1.weight)] == 0.125
    still = frozen_parts(tower, settings)
    assert "visual.transformer.resblocks.0" in still
    assert not [name for name in still if name.startswith(("visual.transformer.resblocks.1", "visual.proj"))]
