"""Backbones: any network of timm's by its name, and a few that are ours, with weights from a path.

Nothing is fetched: where timm would go to a hub, the message says which file to bring.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import fundoscope.training.torchvision_shim

import timm
import torch
from timm.layers.classifier import ClassifierHead
from timm.models.vgg import VGG, ConvMlp
from torch import nn

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks.checkpoints import load_weights, read_checkpoint, resampled
from fundoscope.training.networks.clip import CLIP, ClipImageTower
from fundoscope.training.networks.cnn3 import ThreeConvolutions

CNN3: Final = "cnn3"
"""Name of the network of three convolutions."""

Colours = tuple[float, float, float]
HALF: Final[tuple[Colours, Colours]] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET: Final[tuple[Colours, Colours]] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

TIMM_ONLY = (
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only",
    "num_classes", "in_chans", "img_size", "global_pool", "drop_path_rate", "scriptable", "exportable", "no_jit",
)  # fmt: skip
"""timm's options that `network.size` may not give: another key decides them, or they would fetch or unpickle."""


def _edgetpu(name: str, **options: Any) -> nn.Module:
    """MobileNet-EdgeTPU as its weights were trained: "same" padding, no ReLU after the first block."""
    model: Any = _same_padding(name, **options)
    model.blocks[0][0].bn1.act = nn.Identity()
    return cast("nn.Module", model)


def _same_padding(name: str, **options: Any) -> nn.Module:
    """MobileNetV2 ported from TensorFlow: "same" padding."""
    return _plain(name, pad_type="same", **options)


def _plain(name: str, **options: Any) -> nn.Module:
    """Any other network as timm builds it."""
    return timm.create_model(name, pretrained=False, **options)


def _vgg(name: str, **options: Any) -> nn.Module:
    """A VGG; `cfg` lists its convolutions and poolings, `num_features` is the width of its two dense layers."""
    width = options.pop("num_features", 0)
    if "cfg" not in options:
        model: Any = _plain(name, **options)
    else:
        norm = nn.BatchNorm2d if name.endswith("_bn") else None
        model = VGG(norm_layer=norm, **options)
        model.pretrained_cfg = pretrained_config(name).to_dict()
    if width:
        model.pre_logits = ConvMlp(model.num_features, width, 7)
        model.head = ClassifierHead(width, model.num_classes)
        model.head_hidden_size = width
    return cast("nn.Module", model)


@dataclass(frozen=True, slots=True)
class Published:
    """What a network's weights need that timm's defaults for its name do not say."""

    build: Callable[..., nn.Module] = _plain
    timm_name: str = ""
    """timm's name of the network, where ours is another."""
    colours: tuple[Colours, Colours] | None = None
    """Mean and standard deviation that the weights were trained with, where timm's are others."""
    options: Mapping[str, Any] = field(default_factory=dict)


PUBLISHED: Final[dict[str, Published]] = {
    # timm's weights of these two were ported from TensorFlow.
    "mobilenet_edgetpu_100": Published(_edgetpu, colours=HALF),
    "mobilenetv2_100": Published(_same_padding, colours=HALF),
    # Retinal networks stand on timm's architectures, but were trained with colours of their own.
    "retfound": Published(timm_name="vit_large_patch16_224", colours=IMAGENET),
    "retfound_dinov2": Published(timm_name="vit_large_patch14_dinov2", colours=IMAGENET),
    "retfound_green": Published(timm_name="vit_small_patch14_reg4_dinov2", colours=HALF),
}
"""Names of backbones, ours and timm's, whose published weights need something of their own."""


def build_backbone(network: Network, *, side: int | None = None) -> nn.Module:
    """The network without its classifier, with its weights where there are any.

    Args:
        network: Name, builder's options, weights, pooling and drop path.
        side: Side of the pictures in pixels, for networks that take one size only; None: as published.

    Returns:
        A network with timm's `forward_features` and `forward_head(..., pre_logits=True)`.

    Raises:
        BadExperiment: If there is no such network, or it does not take an option.
        BadCheckpoint: If the weights' file is missing, of an unknown layout, or does not fit exactly.
    """
    if network.backbone in (CNN3, CLIP):
        return _ours(network, side)
    name = timm_name(network)
    options = _pooling(network, name) | (_known_side(name, side))
    if network.drop_path > 0:
        options["drop_path_rate"] = network.drop_path
    model: Any = _built(network, name, options)
    _check_side(model, side)
    if network.weights:
        _load(model, network)
    model.reset_classifier(0)
    return cast("nn.Module", model)


def timm_name(network: Network) -> str:
    """timm's name of the backbone.

    Raises:
        BadExperiment: If timm knows no such network.
    """
    name = network.backbone
    ours = PUBLISHED.get(name, Published()).timm_name or name
    if not timm.is_model(ours):
        every = [*timm.list_models(), *PUBLISHED, CNN3, CLIP]
        near = ", ".join(difflib.get_close_matches(name, every, 5)) or "none"
        raise BadExperiment(f"network.backbone: timm knows no network {name!r}; near it: {near}")
    return ours


def takes_one_side(network: Network) -> bool:
    """Whether the backbone, once built, takes pictures of one size only, as transformers with learnt positions do."""
    if network.backbone == CNN3:
        return False
    return network.backbone == CLIP or bool(
        pretrained_config(timm_name(network)).fixed_input_size and not network.size.get("dynamic_img_size")
    )


def pretrained_config(name: str) -> Any:
    """What timm notes of a network's published weights: their colours, their side, the name of the classifier."""
    return timm.get_pretrained_cfg(name)


def feature_width(model: nn.Module) -> int:
    """Length of the pooled feature vector, measured with a small picture."""
    network: Any = model
    if hasattr(network, "patch_embed") or isinstance(model, (ClipImageTower, ThreeConvolutions)):
        return int(network.num_features)  # a transformer takes pictures of its own size only
    training = model.training
    with torch.no_grad():
        width = model.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    model.train(training)
    return int(width)


def _ours(network: Network, side: int | None) -> nn.Module:
    """The backbones that are not timm's."""
    if network.drop_path > 0 or network.pool != "default":
        key, got = ("drop_path", network.drop_path) if network.drop_path > 0 else ("pool", network.pool)
        raise _refused(network, key, "it left out", got)
    if network.backbone == CNN3:
        if network.weights:
            raise BadExperiment(
                f"network.weights: expected none for {CNN3}, which is trained from scratch, got {network.weights!r}. "
                "Leave it out"
            )
        unknown = sorted(set(network.size) - {"widths"})
        if unknown:
            raise _refused(network, f"size.{unknown[0]}", "widths alone", network.size[unknown[0]])
        return ThreeConvolutions(**network.size)
    tower = ClipImageTower(**({"side": side} if side else {}), size=network.size)
    if network.weights:
        tower.load(network.weights)
    return tower


def _built(network: Network, name: str, options: dict[str, Any]) -> nn.Module:
    """Call the builder; what it refuses is the experiment's fault where the experiment gave options."""
    published = PUBLISHED.get(network.backbone, Published(_vgg if name.startswith("vgg") else _plain))
    reserved = sorted(set(network.size) & set(TIMM_ONLY))
    if reserved:
        raise _refused(network, f"size.{reserved[0]}", "sizes of its layers", network.size[reserved[0]])
    try:
        return published.build(name, **(dict(published.options) | network.size | options))
    except (TypeError, ValueError, AssertionError, RuntimeError, IndexError, AttributeError, KeyError) as problem:
        if "drop_path_rate" in str(problem):
            raise _refused(network, "drop_path", "0 (it has no such thing)", network.drop_path) from problem
        if network.size:
            raise _refused(network, "size", f"options that its builder takes ({problem})", network.size) from problem
        raise


def _pooling(network: Network, name: str) -> dict[str, Any]:
    """timm's options for `network.pool`.

    The mean is over the patch tokens alone. Behind it stands the norm that a masked autoencoder's encoder is
    fine-tuned with (RETFound's fc_norm); DINOv2's tokens keep the norm they were trained behind, as RETFound-Green's.
    """
    transformer = timm.model_entrypoint(name).__module__.endswith(".vision_transformer")
    if network.pool == "default":
        # RETFound and RETFound-Green are published with the mean.
        pool = "mean" if network.backbone in ("retfound", "retfound_green") else "default"
    elif not transformer:
        raise _refused(network, "pool", "default (only vision transformers have tokens)", network.pool)
    else:
        pool = network.pool
    if pool == "default":
        return {}
    if pool == "class_token":
        return {"global_pool": "token"}
    return {"global_pool": "avg", **({"fc_norm": False} if "dinov2" in name else {})}


def _known_side(name: str, side: int | None) -> dict[str, int]:
    """timm's option for the pictures' side, where the network is built for one."""
    return {"img_size": side} if side and pretrained_config(name).fixed_input_size else {}


def _check_side(model: nn.Module, side: int | None) -> None:
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if side and patch and side % patch[0]:
        raise BadExperiment(
            f"recipe.side: expected a multiple of {patch[0]}, the patch of {type(model).__name__}, got {side}. "
            f"Set recipe.side={side - side % patch[0] or patch[0]}"
        )


def _load(model: Any, network: Network) -> None:
    """Load published weights: the classifier may be missing, and where the mean is pooled, the norm behind it."""
    state, layout = read_checkpoint(network.weights)
    if layout == "RETFound" and network.normalisation == "backbone" and network.backbone not in PUBLISHED:
        raise BadExperiment(
            f"network.normalisation: expected 'recipe' for RETFound's weights in {network.backbone}, whose own colours "
            "are others, got 'backbone'. Set network.backbone='retfound', which knows them"
        )
    classifier = model.pretrained_cfg["classifier"]
    may_miss = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    own = model.state_dict()
    if "pos_embed" in state and "pos_embed" in own:
        prefix = 0 if getattr(model, "no_embed_class", False) else getattr(model, "num_prefix_tokens", 1)
        state["pos_embed"] = resampled(state["pos_embed"], own["pos_embed"], prefix=prefix)
    if "fc_norm.weight" in own and "fc_norm.weight" not in state:
        # The norm over single tokens says nothing about their mean: it is left out, and a fresh one learnt.
        state = {name: value for name, value in state.items() if name not in ("norm.weight", "norm.bias")}
        may_miss = (*may_miss, "fc_norm.")
    load_weights(model, state, where=str(Path(network.weights)), may_miss=may_miss)


def _refused(network: Network, key: str, expected: str, got: object) -> BadExperiment:
    return BadExperiment(
        f"network.{key}: expected {expected} for {network.backbone}, got {got!r}. Change network.{key.split('.')[0]}"
    )
