"""Heads: pooled features to raw output, and which features spoke for the answer.

`decide.heads` reads the raw output as probabilities; what is here is only what is trained.
Every head offers `relevance`: the gradient of the score that stands for its answer with respect to
the features, in closed form, so that a pooled network's Grad-CAM needs no backward pass and can be
a part of an exported graph.
"""

from __future__ import annotations

import math
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.errors import BadCheckpoint
from fundoscope.grades import GRADES
from fundoscope.training.experiment.sections import Network

Features = Float[Tensor, "photo feature"]
Embedded = Float[Tensor, "photo hidden"]
Raw = Float[Tensor, "photo output"]

FIRST_SCALE: Final = 1 / 0.07
"""Factor on the cosines that a prototype head starts with: CLIP's (Radford et al., ICML 2021)."""

LARGEST_SCALE: Final = 100.0
"""Where that factor stops growing, as in CLIP."""


class Stem(nn.Module):
    """An optional hidden layer: nothing, or Linear-GELU of `hidden` units (DRStageNet: 512), then dropout."""

    def __init__(self, features: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(features, hidden) if hidden else None
        self.dropout = nn.Dropout(dropout)
        self.width = hidden or features

    def forward(self, features: Features) -> Embedded:
        """The hidden activations, or the features themselves."""
        if self.layer is None:
            return features
        hidden: Tensor = self.dropout(nn.functional.gelu(self.layer(features)))
        return hidden

    def pull_back(self, features: Features, gradient: Embedded) -> Features:
        """Gradient with respect to the features, given that with respect to the hidden activations (no dropout).

        d gelu(x) / dx = Phi(x) + x phi(x), with the standard normal's distribution and density.
        """
        if self.layer is None:
            return gradient
        x = self.layer(features)
        slope = 0.5 * (1 + torch.erf(x * 2**-0.5)) + x * torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5
        pulled: Tensor = (gradient * slope) @ self.layer.weight
        return pulled


class Head(nn.Module, ABC):
    """What the heads have in common: the optional hidden layer, from which `read` makes the raw output.

    A second head stands on the first one's hidden layer: it reads what `embed` gives.
    """

    def __init__(self, features: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = Stem(features, hidden, dropout)

    def forward(self, features: Features) -> Raw:
        """The raw output, as `decide.heads` takes it."""
        return self.read(self.embed(features))

    def embed(self, features: Features) -> Embedded:
        """The hidden layer's activations; the features themselves where there is none."""
        embedded: Tensor = self.stem(features)
        return embedded

    @abstractmethod
    def read(self, embedded: Embedded) -> Raw:
        """The raw output from what `embed` gives."""

    @abstractmethod
    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the score that stands for the answer."""


class Softmax(Head):
    """A logit for each grade, or for each class of another target. Relevance: of the likeliest one's logit."""

    def __init__(self, features: int, hidden: int = 0, dropout: float = 0.0, *, outputs: int = GRADES) -> None:
        super().__init__(features, hidden, dropout)
        self.linear = nn.Linear(self.stem.width, outputs)

    def read(self, embedded: Embedded) -> Raw:
        """Logits, unnormalised."""
        raw: Tensor = self.linear(embedded)
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the largest logit."""
        chosen = nn.functional.one_hot(raw.argmax(dim=1), raw.shape[1]).to(raw.dtype)
        return self.stem.pull_back(features, chosen @ self.linear.weight)


class Signs(Softmax):
    """A logit for each sign, which is there or not whatever the others are. Relevance: of the likeliest one's."""


class Regression(Head):
    """One value on the scale of the grades. Relevance: of the value."""

    def __init__(self, features: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(features, hidden, dropout)
        self.linear = nn.Linear(self.stem.width, 1)
        nn.init.constant_(self.linear.bias, (GRADES - 1) / 2)

    def read(self, embedded: Embedded) -> Raw:
        """The value, one column."""
        raw: Tensor = self.linear(embedded)
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the value."""
        return self.stem.pull_back(features, torch.ones_like(raw[:, :1]) @ self.linear.weight)


class Coral(Head):
    """Four cut logits from one shared weight vector and a bias for each cut.

    Cao, Mirjalili, Raschka (2020), section 3.3: the shared vector makes the cuts' probabilities
    fall with the cut (rank consistency). Biases start descending. Relevance: of the shared logit,
    which moves every cut alike.
    """

    def __init__(self, features: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(features, hidden, dropout)
        self.shared = nn.Linear(self.stem.width, 1, bias=False)
        cuts = GRADES - 1
        self.biases = nn.Parameter(torch.arange(cuts, 0, -1).float() / cuts)

    def read(self, embedded: Embedded) -> Raw:
        """Cut logits: column k is the logit of `grade > k`."""
        raw: Tensor = self.shared(embedded) + self.biases
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the shared logit."""
        return self.stem.pull_back(features, torch.ones_like(raw[:, :1]) @ self.shared.weight)


class Cumulative(Head):
    """Four cut logits, each with a weight vector of its own (Cheng, Wang, Pollastri 2008; RetinaScan's ordinal head).

    Freer than CORAL: each cut may look at signs of its own, and nothing keeps their probabilities
    falling (`decide.heads` lowers the later cut where they rise). Relevance: of the sum of the logits.
    """

    def __init__(self, features: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__(features, hidden, dropout)
        self.linear = nn.Linear(self.stem.width, GRADES - 1)

    def read(self, embedded: Embedded) -> Raw:
        """Cut logits: column k is the logit of `grade > k`."""
        raw: Tensor = self.linear(embedded)
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the sum of the cut logits."""
        return self.stem.pull_back(features, torch.ones_like(raw) @ self.linear.weight)


class Corn(Cumulative):
    """Four conditional cut logits: column k is the logit of `grade > k` given `grade > k - 1`.

    Shi, Cao, Raschka (2021): independent weights, and yet probabilities that fall with the cut, for they are
    products. Relevance: of the sum of the logits, each weighted by the probability that the photograph reaches
    its cut (held fixed): a logit was never trained on photographs that stop before it and has nothing to say there.
    """

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the sum of the logits, weighted by P(grade > k - 1)."""
        reached = torch.cumsum(nn.functional.logsigmoid(raw[:, :-1]), dim=1).exp()
        weights = torch.cat([torch.ones_like(raw[:, :1]), reached], dim=1)
        return self.stem.pull_back(features, weights @ self.linear.weight)


class Prototype(Head):
    """Five scores: cosines of the projected features with a learnable vector for each grade, times a learnable factor.

    RetinaScan: the vectors start as text embeddings of five clinical descriptions, where they are given; else
    at right angles to one another. The projection is the hidden layer, where there is one, and a linear layer of
    `projection` units. The scores are read as softmax logits. Relevance: of the largest score.
    """

    def __init__(
        self,
        features: int,
        hidden: int = 0,
        dropout: float = 0.0,
        *,
        projection: int = 512,
        prototypes: Float[Tensor, "grade projection"] | None = None,
    ) -> None:
        super().__init__(features, hidden, dropout)
        self.projection = nn.Linear(self.stem.width, projection)
        self.prototypes = nn.Parameter(torch.empty(GRADES, projection))
        if prototypes is None:
            nn.init.orthogonal_(self.prototypes)
        else:
            with torch.no_grad():
                self.prototypes.copy_(nn.functional.normalize(prototypes, dim=1))
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))

    @property
    def scale(self) -> Float[Tensor, ""]:
        """The factor on the cosines: 1 / temperature."""
        return self.log_scale.exp().clamp(max=LARGEST_SCALE)

    def project(self, features: Features) -> Float[Tensor, "photo projection"]:
        """What the prototypes are compared with, and RetinaScan's neighbours with one another."""
        projected: Tensor = self.projection(self.embed(features))
        return projected

    def read(self, embedded: Embedded) -> Raw:
        """Scaled cosines, one for each grade."""
        unit = nn.functional.normalize(self.projection(embedded).float(), dim=1)
        # Written as a sum, which mixed precision leaves in single: times the scale, bfloat16 would be off by 0.1.
        cosines: Tensor = (unit[:, None, :] * self._anchors()[None]).sum(dim=2)
        return cosines * self.scale

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the largest score: with e the projection and p its prototype, s (p - cos e/|e|) / |e|."""
        chosen = nn.functional.one_hot(raw.argmax(dim=1), GRADES).to(raw.dtype)
        anchor = chosen @ self._anchors()
        projected = self.project(features)
        length = projected.norm(dim=1, keepdim=True).clamp_min(1e-12)
        unit = projected / length
        cosine = (unit * anchor).sum(dim=1, keepdim=True)
        gradient = self.scale * (anchor - cosine * unit) / length
        return self.stem.pull_back(features, gradient @ self.projection.weight)

    def _anchors(self) -> Float[Tensor, "grade projection"]:
        return nn.functional.normalize(self.prototypes, dim=1)


HEADS: dict[str, type[Head]] = {
    "softmax": Softmax,
    "regression": Regression,
    "coral": Coral,
    "cumulative": Cumulative,
    "corn": Corn,
    "prototype": Prototype,
}


def build_head(network: Network, features: int, *, outputs: int = GRADES) -> Head:
    """The head that an experiment asks for, on `features` pooled features; `outputs` classes or signs.

    Raises:
        BadCheckpoint: If `network.prototypes` names a file that holds no fitting prototypes.
    """
    if network.head in ("softmax", "signs"):
        kind = Softmax if network.head == "softmax" else Signs
        return kind(features, network.hidden, network.hidden_dropout, outputs=outputs)
    return _build(network.head, features, network, network.hidden)


def build_second_head(network: Network, first: Head) -> Head | None:
    """The auxiliary head for training, which reads the first one's hidden layer; None where none is asked for.

    Raises:
        BadCheckpoint: As `build_head`.
    """
    if network.second_head == "none":
        return None
    return _build(network.second_head, first.stem.width, network, 0)


def _build(name: str, features: int, network: Network, hidden: int) -> Head:
    if name != "prototype":
        return HEADS[name](features, hidden, network.hidden_dropout)
    start = read_prototypes(network.prototypes, network.projection) if network.prototypes else None
    return Prototype(features, hidden, network.hidden_dropout, projection=network.projection, prototypes=start)


def read_prototypes(path: Path | str, width: int) -> Float[Tensor, "grade projection"]:
    """Prototypes to start from: the array `prototypes` (grade, width) of an NPZ file, one row for each grade.

    Raises:
        BadCheckpoint: If there is no such file, it holds objects, or its array is missing, of another shape,
            not finite or has a row of zeros.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            vectors = np.asarray(stored["prototypes"])
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as problem:
        raise _refusal(path, "an NPZ file with the array prototypes, without objects", str(problem)) from None
    if vectors.dtype.kind != "f" or vectors.shape != (GRADES, width):
        raise _refusal(path, f"prototypes of floats ({GRADES}, {width})", f"{vectors.dtype} {vectors.shape}")
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    if not (np.isfinite(lengths).all() and lengths.all()):
        raise _refusal(path, "finite prototypes other than zero", f"lengths {lengths.tolist()}")
    return torch.from_numpy(vectors.astype(np.float32))


def _refusal(path: Path | str, expected: str, got: str) -> BadCheckpoint:
    return BadCheckpoint(
        f"{path}: expected {expected}, got {got}. Give another file as network.prototypes, set network.projection "
        "to its width, or leave both to start from vectors at right angles"
    )
