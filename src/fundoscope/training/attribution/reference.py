"""Slow references: integrated gradients and occlusion, which need nothing of the network but its score."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Pictures = Float[Tensor, "photo 3 row column"]
Score = Callable[[Pictures], Float[Tensor, " photo"]]
Map = Float[Tensor, "photo cell_row cell_column"]

STEPS = 32
"""Points on the way from the baseline that gradients are taken at."""


def integrated_gradients(
    score: Score, pictures: Pictures, baseline: Pictures, *, steps: int = STEPS
) -> tuple[Float[Tensor, "photo 3 row column"], Float[Tensor, " photo"]]:
    """Attribution of each value along the straight way from a baseline (Sundararajan, Taly, Yan, ICML 2017, eq. 3).

    Midpoint rule. What all attributions together miss of the difference of the scores is returned beside them: by
    completeness (their proposition 1) it is 0 but for the number of steps.

    Returns:
        The attributions, and the residual: their sum minus the difference of the scores.
    """
    total = torch.zeros_like(pictures)
    for step in range(steps):
        between = (baseline + (pictures - baseline) * ((step + 0.5) / steps)).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(between).sum(), between)
        total = total + gradient
    attributions = (pictures - baseline) * total / steps
    with torch.no_grad():
        difference = score(pictures) - score(baseline)
    return attributions, attributions.sum(dim=(1, 2, 3)) - difference


def occlusion(score: Score, pictures: Pictures, fill: Pictures, *, window: int, stride: int) -> Map:
    """How much the score falls when a square is covered (Zeiler and Fergus, ECCV 2014, section 4.2).

    Args:
        score: Called with as many pictures as are given.
        pictures: Normalised.
        fill: What is laid over them.
        window: Side of the square in pixels.
        stride: Steps it moves by in pixels; the map has a cell for each.

    Returns:
        For each cell of `stride` pixels the mean fall over the squares that cover it; rises count as 0.
    """
    height, width = pictures.shape[-2:]
    fall = pictures.new_zeros(len(pictures), height, width)
    covered = pictures.new_zeros(height, width)
    with torch.no_grad():
        whole = score(pictures)
        for top in range(0, height, stride):
            for left in range(0, width, stride):
                place = (..., slice(top, top + window), slice(left, left + window))
                hidden = pictures.clone()
                hidden[place] = fill[place]
                fall[place] += (whole - score(hidden))[:, None, None]
                covered[place] += 1
    mean = (fall / covered.clamp_min(1)).relu()
    return F.avg_pool2d(mean[:, None], stride, stride, ceil_mode=True)[:, 0]
