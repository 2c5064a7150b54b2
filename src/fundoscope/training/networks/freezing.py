"""Which parts of a backbone learn: by the names of parts, or by what the papers call them.

A part that does not learn is out of the optimiser and stays in evaluation mode, so that its batch norms keep
their statistics and its dropout is off: it computes what it computed when it was loaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, Final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.sections import Network

HEAD: Final = "head"
"""Word of `network.trainable`: nothing of the backbone learns."""


def frozen_parts(backbone: nn.Module, network: Network) -> tuple[str, ...]:
    """Names of the parts that stay as they were loaded: the largest modules that hold nothing which learns.

    Args:
        backbone: A backbone of `training.backbone`, as built.
        network: Its `freeze` names parts that stay, its `trainable` those that alone learn.

    Returns:
        Names of modules and of single parameters; the empty name is the whole backbone.

    Raises:
        BadExperiment: If a name is no part of this backbone.
    """
    if not network.trainable:
        return tuple(_known(backbone, name, "freeze") for name in network.freeze)
    learning = _learning(backbone, network.trainable)
    return tuple(_largest_without(backbone, "", frozenset(learning)))


def freeze_parts(backbone: nn.Module, still: Iterable[str]) -> None:
    """Take the named parts out of learning."""
    modules, parameters = dict(backbone.named_modules()), dict(backbone.named_parameters())
    for name in still:
        (modules[name] if name in modules else parameters[name]).requires_grad_(False)


def keep_frozen(backbone: nn.Module, still: Iterable[str], *, batch_norm: bool = False) -> None:
    """Put the named parts into evaluation mode; with `batch_norm` all batch norms of the backbone too."""
    modules = dict(backbone.named_modules())
    for name in still:
        if name in modules:
            modules[name].eval()
    for module in modules.values() if batch_norm else ():
        if isinstance(module, _BatchNorm):
            module.eval()


def last_stage(backbone: nn.Module) -> tuple[str, ...]:
    """The last stage by the names of its parts, with the norm or projection that follows it.

    Raises:
        BadExperiment: If the network is of none of the families that are known.
    """
    for holds, parts in FAMILIES.values():
        if holds(backbone):
            return tuple(name for name in parts(backbone) if _has(backbone, name))
    raise BadExperiment(
        f"network.trainable: expected a network whose last stage is known ({', '.join(FAMILIES)}), got "
        f"{type(backbone).__name__}. Name the parts that learn: {', '.join(n for n, _ in backbone.named_children())}"
    )


def _learning(backbone: nn.Module, wanted: tuple[str, ...]) -> list[str]:
    """Names of the parts that learn, words replaced."""
    if HEAD in wanted and len(wanted) > 1:
        raise BadExperiment(
            f"network.trainable: expected '{HEAD}' alone (nothing of the backbone learns), got {list(wanted)}. "
            "Leave either out; the head always learns"
        )
    names: list[str] = []
    for word in wanted:
        if word in WORDS:
            names += last_stage(backbone)
            _check_word(backbone, word)
        elif word != HEAD:
            names.append(_known(backbone, word, "trainable"))
    return names


def _check_word(backbone: nn.Module, word: str) -> None:
    family = next(name for name, (holds, _) in FAMILIES.items() if holds(backbone))
    if family not in WORDS[word]:
        raise BadExperiment(
            f"network.trainable: expected {' or '.join(WORDS[word])} for {word!r}, got a {family}. "
            "Say 'last stage', or name the part"
        )


def _known(backbone: nn.Module, name: str, key: str) -> str:
    """The name, if it is one of a part."""
    if name and _has(backbone, name):
        return name
    every = [part for part, _ in backbone.named_modules()] + [part for part, _ in backbone.named_parameters()]
    near = difflib.get_close_matches(name, every, 5, cutoff=0.4) or [part for part, _ in backbone.named_children()]
    raise BadExperiment(
        f"network.{key}: expected parts of {type(backbone).__name__}, got {name!r}; near it: {', '.join(near)}. "
        "Change the name"
    )


def _has(backbone: nn.Module, name: str) -> bool:
    return name in dict(backbone.named_modules()) or name in dict(backbone.named_parameters())


def _largest_without(module: nn.Module, name: str, learning: frozenset[str]) -> list[str]:
    """The largest parts of `module` that neither are, nor hold, nor belong to a part that learns."""
    if name in learning:
        return []
    below = f"{name}." if name else ""
    if not any(part.startswith(below) for part in learning):
        return [name]
    own = [below + key for key, _ in module.named_parameters(recurse=False)]
    names = [key for key in own if key not in learning]
    for key, child in module.named_children():
        names += _largest_without(child, below + key, learning)
    return names


def _of_vgg(backbone: Any) -> list[str]:
    """The convolutions between the last pooling but one and the last."""
    pools = [number for number, layer in enumerate(backbone.features) if isinstance(layer, nn.MaxPool2d)]
    first = pools[-2] + 1 if len(pools) > 1 else 0
    return [f"features.{number}" for number in range(first, len(backbone.features))]


def _of_densenet(backbone: Any) -> list[str]:
    """The last dense block (denseblock4, as published) and the norm after it."""
    blocks = [name for name, _ in backbone.features.named_children() if name.startswith("denseblock")]
    return [f"features.{blocks[-1]}", "features.norm5"]


def _type_name(*names: str) -> Callable[[nn.Module], bool]:
    return lambda backbone: type(backbone).__name__ in names


def _last(attribute: str, *after: str) -> Callable[[Any], list[str]]:
    """The last child of a sequence, and what follows it."""
    return lambda backbone: [f"{attribute}.{len(getattr(backbone, attribute)) - 1}", *after]


Family = tuple[Callable[[nn.Module], bool], Callable[[Any], list[str]]]

FAMILIES: Final[dict[str, Family]] = {
    "DenseNet": (_type_name("DenseNet"), _of_densenet),
    "ResNet": (_type_name("ResNet"), lambda _: ["layer4"]),
    "VGG": (_type_name("VGG"), _of_vgg),
    "MobileNet or EfficientNet": (
        _type_name("EfficientNet", "MobileNetV3"),
        _last("blocks", "conv_head", "bn2", "norm_head"),
    ),
    "ConvNeXt": (_type_name("ConvNeXt"), _last("stages", "head.norm")),
    "CNN of three convolutions": (_type_name("ThreeConvolutions"), _last("stages")),
    "CLIP image tower": (
        _type_name("ClipImageTower"),
        lambda backbone: [
            f"visual.transformer.resblocks.{len(backbone.visual.transformer.resblocks) - 1}",
            "visual.ln_post",
            "visual.proj",
        ],
    ),
    "vision transformer": (_type_name("VisionTransformer"), _last("blocks", "norm", "fc_norm")),
}
"""How each family's last stage is named; a name that a network lacks is left out."""

_CONVOLUTIONAL = ("ResNet", "VGG", "MobileNet or EfficientNet", "ConvNeXt", "CNN of three convolutions")

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "last stage": tuple(FAMILIES),
    "last dense block": ("DenseNet",),
    "last convolutional block": _CONVOLUTIONAL,
}
"""Words of `network.trainable` besides `head`, and the families that have such a thing."""
