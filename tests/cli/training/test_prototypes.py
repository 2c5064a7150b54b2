"""`fundoscope prototypes`, with a small random CLIP: the published weights cannot be had here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

TEXTS = ["no retinopathy", "few microaneurysms", "haemorrhages and exudates", "venous beading", "new vessels"]
CONFIG = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture
def clip(training_extra: None, tmp_path: Path) -> tuple[Path, Path]:
    """A random CLIP's weights and its description, as open_clip writes it to a hub."""
    import fundoscope.training.torchvision_shim

    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(5)
    state = open_clip.CLIP(**CONFIG).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, str(tmp_path / "clip.safetensors"))
    (tmp_path / "config.json").write_text(json.dumps({"model_cfg": CONFIG}), encoding="utf-8")
    return tmp_path / "clip.safetensors", tmp_path / "config.json"


@pytest.fixture
def descriptions(tmp_path: Path) -> Path:
    (tmp_path / "grades.txt").write_text("\n".join(TEXTS) + "\n\n", encoding="utf-8")
    return tmp_path / "grades.txt"


def test_descriptions_become_a_file_that_an_experiment_starts_from(run_verb, clip, descriptions, tmp_path):
    weights, config = clip

    status, out, err = run_verb(
        "prototypes", weights, descriptions, "--model-config", config, "--out", tmp_path / "made" / "p.npz"
    )

    assert status == 0, err
    assert "5 prototypes of 12 numbers. Train with network.prototypes=" in out
    from fundoscope.training.experiment.sections import Network
    from fundoscope.training.networks.heads import Prototype, build_head

    head = build_head(
        Network(head="prototype", prototypes=str(tmp_path / "made" / "p.npz"), projection=12, dropout=0.0), 7
    )
    assert isinstance(head, Prototype)
    with np.load(tmp_path / "made" / "p.npz") as stored:
        np.testing.assert_allclose(head.prototypes.detach().numpy(), stored["prototypes"], atol=1e-6)
        assert stored["descriptions"].tolist() == TEXTS
        # Texts that mean different things lie apart.
        assert np.linalg.matrix_rank(stored["prototypes"]) == 5


def test_what_is_missing_is_said(run_verb, clip, descriptions, tmp_path):
    weights, config = clip
    four = tmp_path / "four.txt"
    four.write_text("\n".join(TEXTS[:4]), encoding="utf-8")
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps({"embed_dim": 12}), encoding="utf-8")

    for words, message in (
        ((weights, four, "--model-config", config), "descriptions: expected 5 texts, one for each grade, got 4"),
        ((weights, tmp_path / "no.txt"), "no.txt: expected descriptions as UTF-8 text, got"),
        ((weights, descriptions, "--model-config", bare), "the keys embed_dim, vision_cfg, text_cfg, vision_cfg is"),
        ((weights, descriptions, "--model-config", descriptions), "expected open_clip's JSON description of a network"),
        ((tmp_path / "no.safetensors", descriptions, "--model-config", config), "Nothing is downloaded"),
    ):
        status, _, err = run_verb("prototypes", *words, "--out", tmp_path / "p.npz")
        assert (status, message in err) == (2, True), err
    assert not (tmp_path / "p.npz").exists()


def test_a_file_that_is_there_is_not_written_over(run_verb, tmp_path: Path):
    (tmp_path / "mine.npz").write_bytes(b"mine")

    status, _, err = run_verb("prototypes", tmp_path / "w.pth", tmp_path / "d.txt", "--out", tmp_path / "mine.npz")

    assert status == 2
    assert "mine.npz: expected a file that is not there yet" in err
    assert (tmp_path / "mine.npz").read_bytes() == b"mine"
