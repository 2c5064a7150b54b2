"""Backbones from timm, with weights from a path, behind one function.

Nothing is fetched: where timm would go to a hub, the message says which file to bring.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from fundoscope.errors import BadCheckpoint, BadExperiment
from fundoscope.training.guard import import_torchvision

import_torchvision()
import timm  # noqa: E402  (needs an importable torchvision)

HEAD_KEYS = ("classifier.", "head.", "fc.", "head_dist.")
"""Prefixes of the original classifier's weights in timm's names: the only keys a load may leave out."""


def _edgetpu(name: str, drop_path: float) -> nn.Module:
    """MobileNet-EdgeTPU as its weights were trained: "same" padding, no ReLU after the first block."""
    model: Any = _same_padding(name, drop_path)
    model.blocks[0][0].bn1.act = nn.Identity()
    return cast("nn.Module", model)


def _same_padding(name: str, drop_path: float) -> nn.Module:
    """MobileNetV2 ported from TensorFlow: "same" padding."""
    return timm.create_model(name, pretrained=False, pad_type="same", drop_path_rate=drop_path)


def _plain(name: str, drop_path: float) -> nn.Module:
    """Any other network as timm builds it."""
    return timm.create_model(name, pretrained=False, drop_path_rate=drop_path)


# Networks whose published weights need something else than timm's defaults.
BUILDERS: dict[str, Callable[[str, float], nn.Module]] = {
    "mobilenet_edgetpu_100": _edgetpu,
    "mobilenetv2_100": _same_padding,
}


def build_backbone(name: str, weights: Path | str = "", *, drop_path: float = 0.0) -> nn.Module:
    """A timm network without its classifier, with weights from a safetensors file.

    Args:
        name: timm's name of the network.
        weights: Path of a state dict in timm's names; empty leaves the random initialisation.
        drop_path: Share of residual branches dropped in training at the deepest block.

    Raises:
        BadExperiment: If timm knows no such network.
        BadCheckpoint: If the file is missing, is no safetensors file, or does not fit exactly.
    """
    if not timm.is_model(name):
        near = ", ".join(difflib.get_close_matches(name, timm.list_models(), 5)) or "none"
        raise BadExperiment(f"network.backbone: timm knows no network {name!r}; near it: {near}")
    model: Any = BUILDERS.get(name, _plain)(name, drop_path)
    if weights:
        load_weights(model, read_safetensors(weights), where=str(weights))
    model.reset_classifier(0)
    return cast("nn.Module", model)


def read_safetensors(path: Path | str) -> dict[str, Tensor]:
    """Tensors of a safetensors file by name.

    Raises:
        BadCheckpoint: If there is no such file or it is not safetensors. Pickled files are never opened.
    """
    if not Path(path).is_file():
        raise BadCheckpoint(f"{path}: expected a safetensors file, there is none. Nothing is downloaded: put it there")
    try:
        return load_file(str(path))
    except Exception as error:  # safetensors raises its own untyped errors
        raise BadCheckpoint(
            f"{path}: expected a safetensors file ({error}). Convert a pickled checkpoint to safetensors first"
        ) from error


def load_weights(
    model: nn.Module, state: Mapping[str, Tensor], *, where: str, may_miss: tuple[str, ...] = HEAD_KEYS
) -> None:
    """Load a state dict and refuse every mismatch outside the declared head keys.

    A network that is half random grades without a word of warning; so a key too many, a key too
    few or a wrong shape is an error that lists them.

    Raises:
        BadCheckpoint: If keys or shapes do not fit.
    """
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.startswith(may_miss)]
    surplus = [key for key in state if key not in own and not key.startswith(may_miss)]
    shapes = [key for key in state if key in own and state[key].shape != own[key].shape]
    wrong_shapes = [key for key in shapes if not key.startswith(may_miss)]
    # BatchNorm's counter of batches has no influence on anything that is computed.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    for kind, keys in (("missing", missing), ("unexpected", surplus), ("of another shape", wrong_shapes)):
        if keys:
            raise BadCheckpoint(
                f"{where}: {len(keys)} keys are {kind} for this network, among them {', '.join(keys[:3])}. "
                "The file belongs to another network or another naming; a partial load is refused"
            )
    kept = {key: value for key, value in state.items() if key in own and key not in shapes}
    model.load_state_dict(kept, strict=False)


def feature_width(model: nn.Module) -> int:
    """Length of the pooled feature vector, measured with a small picture."""
    network: Any = model
    if hasattr(network, "patch_embed"):  # a transformer takes pictures of its own size only
        return int(network.num_features)
    training = model.training
    with torch.no_grad():
        width = model.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    model.train(training)
    return int(width)
