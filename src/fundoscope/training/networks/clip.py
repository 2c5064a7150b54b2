"""CLIP ViT-B/16 through open_clip: the image tower as a backbone, the text tower for prototypes of the grades.

The published weights are OpenAI's, which use QuickGELU (Radford et al., ICML 2021). They cannot be had without a
network and none are shipped: bring them as a safetensors file, or a `.pth` file of tensors, in open_clip's names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import fundoscope.training.torchvision_shim

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.errors import BadCheckpoint, BadExperiment, BadRequest
from fundoscope.files import replacing
from fundoscope.grades import GRADES
from fundoscope.training.networks.checkpoints import load_weights, read_checkpoint, resampled

CLIP: Final = "clip_vit_b16"
"""Name of the image tower as `network.backbone`."""

PUBLISHED: Final = "ViT-B-16-quickgelu"
"""open_clip's name of the same network, text tower and all."""

SIDE: Final = 224
"""Side in pixels that it was trained at."""

TEXT_TOWER = ("transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection", "attn_mask")
"""Beginnings of the names of the text tower's weights, which the image tower leaves out."""

SCALES = ("logit_scale", "logit_bias")
"""Weights of the comparison of the towers, and what OpenAI's archive notes beside them."""

NOTES = ("input_resolution", "context_length", "vocab_size")


class ClipImageTower(nn.Module):
    """Normalised pictures (photo, 3, side, side) to projected features (photo, 512), as they meet text's."""

    visual: Any

    def __init__(self, side: int = SIDE, size: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        open_clip = _open_clip()
        tower: dict[str, Any] = {
            "patch_size": 16, "width": 768, "layers": 12, "heads": 12, "mlp_ratio": 4.0, "output_dim": 512
        }  # fmt: skip
        options = dict(size or {})
        unknown = sorted(set(options) - set(tower))
        if unknown:
            raise BadExperiment(
                f"network.size: expected options among {', '.join(tower)} for {CLIP}, got {unknown[0]!r}. Leave it out"
            )
        layers = open_clip.transformer
        self.visual = layers.VisionTransformer(
            image_size=side, act_layer=layers.QuickGELU, norm_layer=layers.LayerNorm, **(tower | options)
        )
        self.num_features = int(self.visual.output_dim)

    def forward_features(self, pictures: Float[Tensor, "photo 3 side side"]) -> Float[Tensor, "photo feature"]:
        """The projected features: there is no map after the projection."""
        features: Tensor = self.visual(pictures)
        return features

    def forward_head(
        self, features: Float[Tensor, "photo feature"], pre_logits: bool = True
    ) -> Float[Tensor, "photo feature"]:
        """The features as they are."""
        return features

    def forward(self, pictures: Float[Tensor, "photo 3 side side"]) -> Float[Tensor, "photo feature"]:
        """The features."""
        return self.forward_features(pictures)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's grouping by depth, for layer decay: embeddings, blocks, and the norm and projection after them."""
        return {
            "stem": r"^visual\.(?:class_embedding|positional_embedding|conv1|ln_pre)",
            "blocks": [(r"^visual\.transformer\.resblocks\.(\d+)", None), (r"^visual\.(?:ln_post|proj)", (10**6,))],
        }

    def load(self, path: Path | str) -> None:
        """Load CLIP's image tower; position embeddings of another grid are resampled, the text tower is left out.

        Raises:
            BadCheckpoint: If the file is missing or does not hold this image tower, whole.
        """
        state = read_checkpoint(path).state
        name = "visual.positional_embedding"
        if name in state and state[name].ndim == 2:
            state[name] = resampled(state[name][None], self.visual.positional_embedding[None], prefix=1)[0]
        load_weights(self, state, where=str(path), may_miss=(*TEXT_TOWER, *SCALES, *NOTES))


def own_mean_and_std() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation (RGB) that open_clip prescribes for OpenAI's weights, not ImageNet's."""
    config = _open_clip().get_pretrained_cfg(PUBLISHED, "openai")
    return tuple(config["mean"]), tuple(config["std"])


def text_prototypes(
    weights: Path | str,
    descriptions: Sequence[str],
    path: Path | str,
    *,
    config: Mapping[str, Any] | None = None,
) -> Float[np.ndarray, "grade width"]:
    """Encode a clinical description of each grade with CLIP's text tower, for the prototype head to start from.

    Args:
        weights: CLIP's weights, both towers, in open_clip's names. They cannot be had without a network.
        descriptions: Five texts, of grades 0 to 4. CLIP reads the first 77 tokens of each.
        path: Receives the NPZ file that `network.prototypes` names: `prototypes` (5, width) of length 1, and
            `descriptions`.
        config: The network as open_clip describes it (`embed_dim`, `vision_cfg`, `text_cfg`); the published one.

    Returns:
        The prototypes.

    Raises:
        BadRequest: If there are not five descriptions, or one is empty.
        BadCheckpoint: If the file is missing or does not hold this network, whole.
    """
    if len(descriptions) != GRADES or not all(text.strip() for text in descriptions):
        raise BadRequest(
            f"descriptions: expected {GRADES} texts, one for each grade, got {len(descriptions)} "
            f"({sum(not text.strip() for text in descriptions)} empty). Describe each grade once"
        )
    open_clip = _open_clip()
    described = dict(config or open_clip.get_model_config(PUBLISHED))
    model: Any = open_clip.CLIP(**described)
    load_weights(model, read_checkpoint(weights).state, where=str(weights), may_miss=("attn_mask", *NOTES))
    tokens = open_clip.SimpleTokenizer(context_length=model.context_length)(list(descriptions))
    with torch.inference_mode():
        encoded = model.eval().encode_text(tokens, normalize=True)
    prototypes = np.asarray(encoded.float().numpy(), np.float32)
    if not np.isfinite(prototypes).all():
        raise BadCheckpoint(f"{weights}: expected weights that give finite features, got others. Fetch the file again")
    with replacing(Path(path)) as fresh, fresh.open("wb") as file:
        np.savez(file, prototypes=prototypes, descriptions=np.array(list(descriptions)))
    return prototypes


def _open_clip() -> Any:
    try:
        import open_clip
        import open_clip.transformer
    except ModuleNotFoundError as error:
        raise BadExperiment(
            f"network.backbone: {CLIP} needs open_clip, which is not installed ({error}). "
            "Install it: pip install 'fundoscope[train]'"
        ) from None
    return open_clip
