"""Attention as an explanation: how much each patch reaches what the head reads, through all blocks or the last.

    attention rollout  A' = (mean_h(A) + I) / 2, product over blocks          Abnar and Zuidema, ACL 2020, section 3
    GradRollout        A' = (relu(mean_h(A * G)) + I) / 2, rows normalised    after Gildenblat 2020, for any score
    last attention     relu(mean_h(A * G)) of the last block alone            RetinaScan, against the matched prototype

A are softmax attentions in the order of the forward pass, G the score's gradients with respect to the same block's A.
The known implementation of GradRollout pairs the first block's attention with the last block's gradient, normalises
columns and drops exactly one prefix token (vit-explain #6, #23); there is a test for each.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fundoscope.training.attribution.capture import Attention, Grid

Joint = Float[Tensor, "photo query key"]
"""Attention with the heads joined."""

Readout = Literal["class_token", "mean"]
"""What the head reads: the class token, or the mean over the patches' tokens."""


def rollout(attentions: list[Attention]) -> Joint:
    """How much of each input token is in each output token; rows sum to 1."""
    return _through([_with_residual(attention.mean(dim=1)) for attention in attentions])


def grad_rollout(attentions: list[Attention], gradients: list[Attention], *, discard: float = 0.0) -> Joint:
    """The same, of the attention that raised the score.

    Args:
        attentions: Of each block, in the order of the forward pass.
        gradients: Of the score with respect to these, in the same order.
        discard: Share of each block's smallest joined attentions set to 0, in [0, 1); a token's to itself never is.
    """
    joined = [
        _discarded((attention * gradient).mean(dim=1).relu(), discard)
        for attention, gradient in zip(attentions, gradients, strict=True)
    ]
    return _through([_with_residual(each) for each in joined])


def last_attention(attentions: list[Attention], gradients: list[Attention]) -> Joint:
    """What the last block attends to and what raises the score thereby."""
    return (attentions[-1] * gradients[-1]).mean(dim=1).relu()


def patches(reach: Joint, grid: Grid, readout: Readout) -> Float[Tensor, "photo row column"]:
    """What reaches the head from each patch: all prefix tokens, also registers, left out."""
    rows = reach[:, :1] if readout == "class_token" else reach[:, grid.prefix :]
    relevance = rows.mean(dim=1)[:, grid.prefix :]  # (photo, patch)
    return relevance.reshape(-1, grid.rows, grid.columns)


def _with_residual(joined: Joint) -> Joint:
    """Half attention, half the residual connection; each row sums to 1."""
    mixed = (joined + torch.eye(joined.shape[-1], dtype=joined.dtype, device=joined.device)) / 2
    return mixed / mixed.sum(dim=-1, keepdim=True)


def _through(blocks: list[Joint]) -> Joint:
    """A'_L ... A'_1: later blocks from the left."""
    reach = blocks[0]
    for block in blocks[1:]:
        reach = block @ reach
    return reach


def _discarded(joined: Joint, share: float) -> Joint:
    """The joined attention without its smallest entries."""
    if share == 0:
        return joined
    limit = torch.quantile(joined.flatten(1), share, dim=1)[:, None, None]
    own = torch.eye(joined.shape[-1], dtype=torch.bool, device=joined.device)
    return torch.where((joined >= limit) | own, joined, torch.zeros_like(joined))
