"""Mean and standard deviation that a backbone was trained with: looked up, never assumed.

CLIP fed with ImageNet's statistics (RetinaScan) and transformers of timm's AugReg family fed with them lose
recognition without an error; so `network.normalisation = "backbone"` takes the right ones from where they are written.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fundoscope.errors import BadExperiment
from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.networks import clip
from fundoscope.training.networks.backbone import CNN3, PUBLISHED, Colours, Published, pretrained_config, timm_name


def own_normalisation(network: Network) -> tuple[Colours, Colours]:
    """Mean and standard deviation (RGB, of values in [0, 1]) that the backbone's published weights were trained with.

    Raises:
        BadExperiment: If it has none: `cnn3`, or a network that timm has no weights of.
    """
    if network.backbone == clip.CLIP:
        return clip.own_mean_and_std()
    if network.backbone == CNN3:
        raise _refusal(network, "it is trained from scratch")
    published = PUBLISHED.get(network.backbone, Published())
    name = timm_name(network)
    if published.colours:
        return published.colours
    config = pretrained_config(name)
    if not config.has_weights:
        raise _refusal(network, "timm has no weights of it")
    return tuple(config.mean), tuple(config.std)


def resolved_recipe(experiment: Experiment) -> Experiment:
    """The experiment with the mean and standard deviation it will be trained, graded and released with.

    With `network.normalisation = "backbone"` those of the recipe are replaced; else nothing changes.
    """
    if experiment.network.normalisation == "recipe":
        return experiment
    mean, std = own_normalisation(experiment.network)
    return replace(experiment, recipe=replace(experiment.recipe, mean=mean, std=std))


def _refusal(network: Network, why: str) -> BadExperiment:
    return BadExperiment(
        f"network.normalisation: expected a backbone whose own mean and standard deviation are known, got "
        f"{network.backbone} ({why}). Set network.normalisation='recipe' and give recipe.mean and recipe.std"
    )


class Normalise(nn.Module):
    """Prepared photographs to what the network takes: the torch second_view of `photo.recipe.normalise`."""

    gain: Tensor
    offset: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
        self.register_buffer("gain", (1 / (255 * std)).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("offset", (-mean / std).reshape(1, 3, 1, 1), persistent=False)

    def forward(
        self, canvases: UInt8[Tensor, "photo *eyes side side 3"], *, side: int | None = None
    ) -> Float[Tensor, "photo *eyes 3 small small"]:
        """(x / 255 - mean) / std, channels first, optionally shrunk to `side`.

        Of a pair's canvases one of all zeros stays all zeros: there is no photograph.
        """
        if canvases.ndim == 5:
            there = canvases.flatten(2).float().amax(dim=2) > 0
            pairs: Tensor = self(canvases.flatten(0, 1), side=side).unflatten(0, (-1, canvases.shape[1]))
            return pairs * there[:, :, None, None, None]
        pictures = canvases.permute(0, 3, 1, 2).float()
        if side is not None and side != canvases.shape[1]:
            pictures = F.interpolate(pictures, size=(side, side), mode="bilinear", antialias=True)
        return pictures * self.gain + self.offset
