"""Heads: pooled features to raw output, and which features spoke for the answer.

`decide.heads` reads the raw output as probabilities; what is here is only what is trained.
Every head offers `relevance`: the gradient of the score that stands for its answer with respect to
the features, in closed form, so that a pooled network's Grad-CAM needs no backward pass and can be
a part of an exported graph.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fundoscope.grades import GRADES

Features = Float[Tensor, "photo feature"]
Raw = Float[Tensor, "photo output"]


class Stem(nn.Module):
    """An optional hidden layer: nothing, or Linear-GELU of `hidden` units (DRStageNet: 512)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.Linear(features, hidden) if hidden else None
        self.width = hidden or features

    def forward(self, features: Features) -> Float[Tensor, "photo hidden"]:
        """The hidden activations, or the features themselves."""
        if self.layer is None:
            return features
        hidden: Tensor = nn.functional.gelu(self.layer(features))
        return hidden

    def pull_back(self, features: Features, gradient: Float[Tensor, "photo hidden"]) -> Float[Tensor, "photo feature"]:
        """Gradient with respect to the features, given that with respect to the hidden activations.

        d gelu(x) / dx = Phi(x) + x phi(x), with the standard normal's distribution and density.
        """
        if self.layer is None:
            return gradient
        x = self.layer(features)
        slope = 0.5 * (1 + torch.erf(x * 2**-0.5)) + x * torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5
        pulled: Tensor = (gradient * slope) @ self.layer.weight
        return pulled


class Softmax(nn.Module):
    """Five logits. Relevance: of the logit of the likeliest grade."""

    def __init__(self, features: int, hidden: int = 0) -> None:
        super().__init__()
        self.stem = Stem(features, hidden)
        self.linear = nn.Linear(self.stem.width, GRADES)

    def forward(self, features: Features) -> Raw:
        """Logits, unnormalised."""
        raw: Tensor = self.linear(self.stem(features))
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the largest logit."""
        chosen = nn.functional.one_hot(raw.argmax(dim=1), GRADES).to(raw.dtype)
        return self.stem.pull_back(features, chosen @ self.linear.weight)


class Regression(nn.Module):
    """One value on the scale of the grades. Relevance: of the value."""

    def __init__(self, features: int, hidden: int = 0) -> None:
        super().__init__()
        self.stem = Stem(features, hidden)
        self.linear = nn.Linear(self.stem.width, 1)
        nn.init.constant_(self.linear.bias, (GRADES - 1) / 2)

    def forward(self, features: Features) -> Raw:
        """The value, one column."""
        raw: Tensor = self.linear(self.stem(features))
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the value."""
        return self.stem.pull_back(features, torch.ones_like(raw[:, :1]) @ self.linear.weight)


class Coral(nn.Module):
    """Four cut logits from one shared weight vector and a bias for each cut.

    Cao, Mirjalili, Raschka (2020), section 3.3: the shared vector makes the cuts' probabilities
    fall with the cut (rank consistency). Biases start descending. Relevance: of the shared logit,
    which moves every cut alike.
    """

    def __init__(self, features: int, hidden: int = 0) -> None:
        super().__init__()
        self.stem = Stem(features, hidden)
        self.shared = nn.Linear(self.stem.width, 1, bias=False)
        cuts = GRADES - 1
        self.biases = nn.Parameter(torch.arange(cuts, 0, -1).float() / cuts)

    def forward(self, features: Features) -> Raw:
        """Cut logits: column k is the logit of `grade > k`."""
        raw: Tensor = self.shared(self.stem(features)) + self.biases
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the shared logit."""
        return self.stem.pull_back(features, torch.ones_like(raw[:, :1]) @ self.shared.weight)


class Cumulative(nn.Module):
    """Four cut logits, each with a weight vector of its own (Cheng, Wang, Pollastri 2008; RetinaScan's ordinal head).

    Freer than CORAL: each cut may look at signs of its own, and nothing keeps their probabilities
    falling (`decide.heads` lowers the later cut where they rise). Relevance: of the sum of the logits.
    """

    def __init__(self, features: int, hidden: int = 0) -> None:
        super().__init__()
        self.stem = Stem(features, hidden)
        self.linear = nn.Linear(self.stem.width, GRADES - 1)

    def forward(self, features: Features) -> Raw:
        """Cut logits: column k is the logit of `grade > k`."""
        raw: Tensor = self.linear(self.stem(features))
        return raw

    def relevance(self, features: Features, raw: Raw) -> Features:
        """Gradient of the sum of the cut logits."""
        return self.stem.pull_back(features, torch.ones_like(raw) @ self.linear.weight)


Head = Softmax | Regression | Coral | Cumulative

HEADS: dict[str, type[Softmax] | type[Regression] | type[Coral] | type[Cumulative]] = {
    "softmax": Softmax,
    "regression": Regression,
    "coral": Coral,
    "cumulative": Cumulative,
}
