"""How the learning rate and the picture's side change with the step; which weights learn how fast."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import fundoscope.training.torchvision_shim

import timm.optim
import torch
from torch import nn

from fundoscope.training.experiment.sections import Optimiser


def rate_factor(step: int, steps: int, config: Optimiser) -> float:
    """Factor on the peak rate at a step, counted from 0: a linear rise, then the schedule.

    cosine: from 1 to `floor`. steps: times `milestone_factor` at each milestone, a share of all steps. constant: 1.
    """
    rise = round(config.warmup * steps)
    if step < rise:
        return (step + 1) / rise
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "steps":
        passed = sum(step >= milestone * steps for milestone in config.milestones)
        return config.milestone_factor**passed
    progress = (step - rise) / max(1, steps - rise)
    return config.floor + (1 - config.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def side_at(share: float, sides: Sequence[tuple[float, int]]) -> int | None:
    """Side of the pictures once `share` of the epochs is done; None: as prepared."""
    due = [side for start, side in sides if share >= start]
    return due[-1] if due else None


def build_optimiser(backbone: nn.Module, rest: nn.Module, config: Optimiser) -> torch.optim.Optimizer:
    """The optimiser, with layer-wise rates for the backbone and the full rate for the rest.

    Args:
        backbone: A timm network; with `layer_decay` d its k-th layer from the end learns at rate * d^k.
        rest: What stands on the backbone (a head); learns at the full rate.
        config: Name, rate and decays.

    Frozen parameters are left out; biases, normalisation and whatever the backbone spares (position embeddings, class
    tokens) are not decayed.
    """
    grouping: Any = timm.optim
    spared: Callable[[], Iterable[str]] = getattr(backbone, "no_weight_decay", tuple)
    groups: list[dict[str, Any]] = grouping.param_groups_layer_decay(
        backbone,
        weight_decay=config.weight_decay,
        no_weight_decay_list=tuple(spared()),
        layer_decay=config.layer_decay,
    )
    _leave_the_top_to_the_head(backbone, groups, config.layer_decay)
    own = [p for p in rest.parameters() if p.requires_grad]
    groups.append({"params": [p for p in own if p.ndim > 1], "weight_decay": config.weight_decay})
    groups.append({"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "lr_scale": config.bias_rate})
    for group in groups:
        group["lr"] = config.rate * group.pop("lr_scale", 1.0)
    groups = [group for group in groups if group["params"]]
    if config.name == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(groups) if config.name == "adamw" else torch.optim.Adam(groups)


def _leave_the_top_to_the_head(backbone: nn.Module, groups: list[dict[str, Any]], decay: float) -> None:
    """Lower every layer by one where a block is the topmost, but not what stands behind the blocks.

    RETFound's ladder (scale d^(25 - i), block k of 24 at i = k + 1) has the head and the norm before it at 1; timm
    counts within the backbone only, and puts the last block there, with the norm where that is counted as its part.
    """
    blocks = {id(weight) for name, weight in backbone.named_parameters() if re.search(r"\.\d+\.", name)}
    top = [group for group in groups if group["lr_scale"] == 1.0]
    if decay == 1.0 or not any(id(weight) in blocks for group in top for weight in group["params"]):
        return
    behind = []
    for group in top:
        rest = [weight for weight in group["params"] if id(weight) not in blocks]
        group["params"] = [weight for weight in group["params"] if id(weight) in blocks]
        behind.append({**group, "params": rest})
    for group in groups:
        group["lr_scale"] *= decay
    groups.extend(behind)
