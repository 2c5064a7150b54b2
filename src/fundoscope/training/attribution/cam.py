"""Class activation maps: a layer's activations A, weighted by the gradient G of the score with respect to them.

    Grad-CAM    sum_c mean(G_c) A_c                            Selvaraju et al., ICCV 2017, eq. 1 and 2
    Grad-CAM++  sum_c w_c A_c, w_c = sum(alpha relu(G_c))      Chattopadhay et al., WACV 2018, eq. 5, 7 and 19
    HiRes-CAM   sum_c G_c A_c                                  Draelos and Carin 2020, eq. 4
    Layer-CAM   sum_c relu(G_c) A_c                            Jiang et al., TIP 2021, eq. 6 and 7
    Eigen-CAM   the activations' first principal direction     Muhammad and Yeasin, IJCNN 2020, eq. 3 to 5

Each is (photo, row, column) of the layer's grid, with its sign: what spoke against the score is below 0. A heatmap is
the positive part, taken last, so that the maps of several networks and of the mirror image can be averaged before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fundoscope.training.attribution.capture import Maps

Map = Float[Tensor, "photo row column"]


def grad_cam(activations: Maps, gradients: Maps) -> Map:
    """Channels weighted by their mean gradient."""
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)


def grad_cam_plus_plus(activations: Maps, gradients: Maps) -> Map:
    """Channels weighted by their positive gradients, each place by how much it takes to explain the score.

    With the score's exponential as the explained quantity its higher derivatives are powers of the gradient (eq. 19):
    alpha = G^2 / (2 G^2 + sum(A) G^3), and 0 where that has no value.
    """
    squared = gradients**2
    divisor = 2 * squared + activations.sum(dim=(2, 3), keepdim=True) * squared * gradients
    alpha = torch.where(divisor != 0, squared / torch.where(divisor != 0, divisor, torch.ones_like(divisor)), 0.0)
    weights = (alpha * gradients.relu()).sum(dim=(2, 3), keepdim=True)
    return (weights * activations).sum(dim=1)


def hires_cam(activations: Maps, gradients: Maps) -> Map:
    """Gradient times activation, place by place: what each place adds to the score, where the rest is linear."""
    return (gradients * activations).sum(dim=1)


def layer_cam(activations: Maps, gradients: Maps) -> Map:
    """The same with positive gradients alone, which keeps early layers' maps from cancelling out."""
    return (gradients.relu() * activations).sum(dim=1)


def eigen_cam(activations: Maps, gradients: Maps) -> Map:
    """Activations along their first right singular vector, turned so that the map's sum is positive.

    It looks at no score: it says what the layer sees most of, not why it answered.
    """
    photos, _, rows, columns = activations.shape
    places = activations.flatten(2).transpose(1, 2)
    directions = torch.linalg.svd(places, full_matrices=False).Vh[:, 0]
    along = torch.einsum("npc,nc->np", places, directions)
    turned = along * torch.where(along.sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    return turned.reshape(photos, rows, columns)


def fuse(maps: list[Float[Tensor, "photo _ _"]], *, gain: float = 2.0) -> Map:
    """Heatmaps of several layers as one of the finest grid: the largest of tanh(gain x map / maximum) (Jiang III-C)."""
    rows, columns = max(each.shape[1] for each in maps), max(each.shape[2] for each in maps)
    scaled = []
    for each in maps:
        top = each.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        squashed = torch.tanh(gain * each / top)
        scaled.append(F.interpolate(squashed[:, None], (rows, columns), mode="bilinear", align_corners=False)[:, 0])
    return torch.stack(scaled).amax(dim=0)


CAMS: Final[dict[str, Callable[[Maps, Maps], Map]]] = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "hires-cam": hires_cam,
    "layer-cam": layer_cam,
    "eigen-cam": eigen_cam,
}
"""Called as `cam(activations, gradients)`."""
