"""MixUp and CutMix: two photographs in one, and two grades with the share of each.

Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: beyond empirical risk minimization", ICLR 2018. Yun, Han,
Oh, Chun, Choe and Yoo, "CutMix: regularization strategy to train strong classifiers with localizable
features", ICCV 2019. Ordinal and regression losses are not linear in the grade, so the mixture of the
targets is a mixture of the losses: share * loss(own) + (1 - share) * loss(partner).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from fundoscope.training.experiment.ranges import Augment

Pictures = UInt8[np.ndarray, "*photo side side channel"]
"""One canvas or lesion map, or a batch of them."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """How a photograph is mixed with its partner."""

    share: float = 1.0
    """Of the photograph itself; 1: unmixed."""
    cut: bool = False
    """CutMix: a box of the partner is pasted. Otherwise MixUp: the two are averaged."""
    right: float = 0.5
    """Centre of the box, as a share of the side from the left; `down` likewise from the top."""
    down: float = 0.5


def draw_mixture(rng: np.random.Generator, ranges: Augment) -> Mixture:
    """Draw how one photograph is mixed: share from Beta(alpha, alpha), the box's centre anywhere."""
    # Everything is drawn whatever the coins say, so that a probability changes no other draw.
    coin, choice, right, down = (float(value) for value in rng.random(4))
    shares = [float(rng.beta(alpha, alpha)) if alpha else 1.0 for alpha in (ranges.mixup, ranges.cutmix)]
    if not ranges.mixes or coin >= ranges.mix_probability:
        return Mixture()
    cut = bool(ranges.cutmix) and (not ranges.mixup or choice < 0.5)
    return Mixture(share=shares[1], cut=True, right=right, down=down) if cut else Mixture(share=shares[0])


def box_px(mixture: Mixture, side: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels of the pasted box: its sides are sqrt(1 - share), cut at the frame."""
    half = math.sqrt(1 - mixture.share) * side / 2
    top, bottom, left, right = (
        min(max(round(centre * side + reach), 0), side)
        for centre in (mixture.down, mixture.right)
        for reach in (-half, half)
    )
    return top, bottom, left, right


def own_share(mixture: Mixture, side: int) -> float:
    """Share of the photograph itself in the mixed picture: under CutMix the area that was not pasted over."""
    if not mixture.cut:
        return mixture.share
    top, bottom, left, right = box_px(mixture, side)
    return 1 - (bottom - top) * (right - left) / side**2


def mix(own: Pictures, partner: Pictures, mixture: Mixture) -> Pictures:
    """The mixed picture. Lesion maps (0 or 255) are mixed alike; under MixUp they become shares of 255."""
    if not mixture.cut:
        weighed = mixture.share * own.astype(np.float32) + (1 - mixture.share) * partner.astype(np.float32)
        return np.rint(weighed).astype(np.uint8)
    top, bottom, left, right = box_px(mixture, own.shape[-2])
    mixed = own.copy()
    mixed[..., top:bottom, left:right, :] = partner[..., top:bottom, left:right, :]
    return mixed


def mixed_loss(
    own: Float[Tensor, " photo"], partner: Float[Tensor, " photo"], share: Float[Tensor, " photo"]
) -> Float[Tensor, " photo"]:
    """Loss of mixed photographs, from the losses against their own grades and against their partners'."""
    return share * own + (1 - share) * partner
