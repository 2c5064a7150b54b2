"""Losses: raw output and grades in, one loss per photograph out. No reduction, no state.

Of all of them only `soft_kappa` and `nt_xent` look at the other photographs of the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from fundoscope.grades import GRADES

PerPhoto = Float[Tensor, " photo"]
Labels = Int[Tensor, " photo"]
Cuts = Float[Tensor, "photo cut"]
"""Cut logits: column k is about `grade > k`."""
Scores = Float[Tensor, "photo grade"]
"""Logits, unnormalised, one for each grade."""
PerCut = Float[Tensor, " cut"]
PerGrade = Float[Tensor, " grade"]


def coral(raw: Cuts, grades: Labels, *, positive: PerCut | None = None) -> PerPhoto:
    """CORAL: sum over the cuts of the binary cross-entropy of `grade > cut`.

    Cao, Mirjalili, Raschka, Pattern Recognition Letters 140 (2020), eq. 4. `raw` holds K-1 cut logits,
    from a shared weight vector or from independent ones; `positive` weighs the photographs above each cut.
    """
    levels = (grades[:, None] > torch.arange(raw.shape[1], device=raw.device)).to(raw.dtype)
    cells = F.binary_cross_entropy_with_logits(raw, levels, pos_weight=positive, reduction="none")
    return cells.sum(dim=1)


def corn(raw: Cuts, grades: Labels, *, positive: PerCut | None = None) -> PerPhoto:
    """CORN: as CORAL, but a photograph teaches a cut only if it passed the one before (`grade > cut - 1`).

    Shi, Cao, Raschka (2021), arXiv 2111.08851. The paper divides the sum over a batch by the number of (photograph,
    cut) pairs that teach; here it stays each photograph's sum, so that no photograph's loss depends on its batch.
    """
    cuts = torch.arange(raw.shape[1], device=raw.device)
    levels = (grades[:, None] > cuts).to(raw.dtype)
    taught = (grades[:, None] >= cuts).to(raw.dtype)
    cells = F.binary_cross_entropy_with_logits(raw, levels, pos_weight=positive, reduction="none")
    return (cells * taught).sum(dim=1)


def cross_entropy(raw: Scores, grades: Labels, *, label_smoothing: float = 0.0) -> PerPhoto:
    """Cross-entropy of unnormalised logits; smoothing spreads that share over all grades."""
    return F.cross_entropy(raw, grades, label_smoothing=label_smoothing, reduction="none")


def focal(raw: Scores, grades: Labels, *, gamma: float = 2.0, alpha: PerGrade | None = None) -> PerPhoto:
    """Focal loss of unnormalised logits: alpha[grade] (1 - p)^gamma (-log p), with p the grade's own probability.

    Lin, Goyal, Girshick, He, Dollar, ICCV 2017, eq. 5. gamma 0 is cross-entropy.
    """
    log_p = F.log_softmax(raw, dim=1).gather(1, grades[:, None])[:, 0]
    missing = (-torch.expm1(log_p)).clamp_min(1e-8)  # 0 has no slope under a power below 1
    loss = -(missing**gamma) * log_p
    return loss if alpha is None else alpha.to(loss.dtype)[grades] * loss


def soft_kappa(raw: Scores, grades: Labels) -> PerPhoto:
    """1 - quadratic kappa, with each photograph counted in the confusion matrix by its probabilities.

    de la Torre, Puig, Valls, Pattern Recognition Letters 105 (2018), without their logarithm. Kappa belongs to a
    batch, not to a photograph: what is returned is each photograph's squared distance, as a multiple of what the
    batch's margins alone would give, so that the mean is 1 - kappa. A photograph's loss therefore depends on its
    batch, which must be large and hold several grades: where all have one grade the mean is 1 whatever is answered,
    and teaches nothing. Several processes each take the kappa of their own share.
    """
    shares = F.softmax(raw, dim=1)
    scale = torch.arange(raw.shape[1], device=raw.device, dtype=raw.dtype)
    penalty = (scale[:, None] - scale) ** 2
    apart = (shares * penalty[grades]).sum(dim=1)
    reference = F.one_hot(grades, raw.shape[1]).to(raw.dtype).mean(dim=0)
    chance = reference @ penalty @ shares.mean(dim=0)
    return apart / chance.clamp_min(1e-6)


def mse(raw: Float[Tensor, "photo 1"], grades: Labels) -> PerPhoto:
    """Squared distance of the regression value from the grade."""
    return (raw[:, 0] - grades.to(raw.dtype)) ** 2


def smooth_l1(raw: Float[Tensor, "photo 1"], grades: Labels) -> PerPhoto:
    """Huber's loss with its knee at 1 grade."""
    return F.smooth_l1_loss(raw[:, 0], grades.to(raw.dtype), reduction="none")


def binary_cross_entropy(raw: Float[Tensor, "photo sign"], signs: Float[Tensor, "photo sign"]) -> PerPhoto:
    """Cross-entropy of each sign by itself, averaged over those known of the photograph; NaN is unknown."""
    is_known = ~torch.isnan(signs)
    cells = F.binary_cross_entropy_with_logits(raw, torch.nan_to_num(signs), reduction="none") * is_known
    return cells.sum(dim=1) / is_known.sum(dim=1).clamp_min(1)


LOSSES: dict[str, Callable[..., PerPhoto]] = {
    "coral": coral,
    "corn": corn,
    "cross_entropy": cross_entropy,
    "focal": focal,
    "soft_kappa": soft_kappa,
    "mse": mse,
    "smooth_l1": smooth_l1,
    "binary_cross_entropy": binary_cross_entropy,
}


def nt_xent(
    first: Float[Tensor, "photo feature"], second: Float[Tensor, "photo feature"], *, temperature: float
) -> PerPhoto:
    """NT-Xent: each of a photograph's two views must find the other among all views of the batch, by cosine.

    Chen, Kornblith, Norouzi, Hinton, ICML 2020 (SimCLR), eq. 1; the mean of a photograph's two views. GDRNet's
    published code further multiplies by temperature / 0.07, left from the code it borrows; that belongs into the
    loss' weight. A batch of one photograph has nothing to tell apart: its loss is 0, as the formula gives. Several
    processes each contrast their own share of a batch.
    """
    views = F.normalize(torch.cat([first, second]), dim=1)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    cosines = (views @ views.T / temperature).masked_fill(itself, float("-inf"))
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(cosines, partner, reduction="none").reshape(2, len(first)).mean(dim=0)


def lesion_loss(
    logits: Float[Tensor, "photo kind row column"],
    target: Float[Tensor, "photo kind row column"],
    is_marked: Float[Tensor, " photo"],
    *,
    positive: float,
) -> PerPhoto:
    """Binary cross-entropy of lesions on a coarse grid, averaged over cells; 0 where none are known.

    Args:
        logits: Cell logits, unnormalised.
        target: Share of lesion in the cell's most lesioned pixel, 0 or 1.
        is_marked: 1 for photographs whose lesions were marked (or that have none), else 0.
        positive: Weight of a cell with a lesion against one without.
    """
    weight = torch.tensor(positive, dtype=logits.dtype, device=logits.device)
    cells = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weight, reduction="none")
    return cells.mean(dim=(1, 2, 3)) * is_marked


def class_weights(grades: Labels, kind: str) -> PerGrade:
    """Weight of each grade from its frequency in the training rows, scaled to mean 1 over those rows.

    `kind` is `none`, `inverse` (1 / frequency) or `inverse_sqrt`. A grade that does not occur gets 0.
    """
    counts = torch.bincount(grades, minlength=GRADES).double()
    power = {"none": 0.0, "inverse": 1.0, "inverse_sqrt": 0.5}[kind]
    weights = torch.where(counts > 0, counts.clamp_min(1) ** -power, torch.zeros_like(counts))
    return (weights * counts.sum() / (weights * counts).sum()).float()


def cut_weights(grades: Labels, kind: str, *, conditional: bool = False) -> PerCut:
    """Weight, at each of the K-1 cuts, of the photographs above it, from the training rows.

    Importance belongs to the cuts, each a task of its own, and not to the grades (coral-pytorch issues 7 and 21).

    Args:
        grades: Of the training rows.
        kind: `none` (1), or `sqrt`: sqrt(negatives / positives), RetinaScan's rebalancing.
        conditional: Count at each cut only those that passed the one before, as CORN trains.

    Returns:
        1 also where a cut has no photograph above it, or none below it.
    """
    cuts = torch.arange(GRADES - 1, device=grades.device)
    above = (grades[:, None] > cuts).sum(dim=0).double()
    below = ((grades[:, None] == cuts) if conditional else (grades[:, None] <= cuts)).sum(dim=0).double()
    if kind == "none":
        return torch.ones(GRADES - 1, device=grades.device)
    ratio = (below / above.clamp_min(1)).sqrt()
    return torch.where((above > 0) & (below > 0), ratio, torch.ones_like(ratio)).float()
