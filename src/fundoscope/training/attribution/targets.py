"""What a heatmap explains: the answer, a grade, a cut, the expected grade, a sign. Scores of a head's raw output.

A heatmap is made of the gradient of one number. For `answer` that is the number each head's `relevance` speaks of,
so that a map of the last layer is the one a release shows. For the others it is read from the raw output alike for all
heads: the logit of P(grade >= k) for a cut, the log probability of a grade (its logit where there is one), and the
expected grade.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from fundoscope.decide.heads import REGRESSION_CUTS
from fundoscope.errors import BadRequest
from fundoscope.grades import GRADES
from fundoscope.training.networks.heads import Coral, Corn, Cumulative, Head, Prototype, Regression, Signs, Softmax

Raw = Float[Tensor, "photo output"]
Score = Float[Tensor, " photo"]
Kind = Literal["answer", "expected", "grade", "cut", "sign"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is explained."""

    kind: Kind = "answer"
    level: int | None = None
    """Of `grade`: 0 to 4 (or the class); of `cut`: 1 to 4, for P(grade >= level); of `sign`: its place, from 0."""

    @classmethod
    def parse(cls, words: str) -> Target:
        """Read `answer`, `expected`, `grade:3`, `cut:2` or `sign:0`.

        Raises:
            BadRequest: If it is none of these.
        """
        kind, colon, level = words.partition(":")
        counted = kind in ("grade", "cut", "sign")
        if kind not in get_args(Kind) or counted != level.isdecimal() or (colon and not counted):
            raise BadRequest(
                f"target: expected answer, expected, grade:K, cut:K or sign:K, got {words!r}. For the probability that "
                "the grade is 2 or more, for instance, write cut:2"
            )
        return cls(_KINDS[kind], int(level) if counted else None)

    def __str__(self) -> str:
        return self.kind if self.level is None else f"{self.kind}:{self.level}"


_KINDS: Final[dict[str, Kind]] = {kind: kind for kind in get_args(Kind)}


def score(head: Head, raw: Raw, target: Target) -> Score:
    """The number that a heatmap's gradient is taken of.

    Raises:
        BadRequest: If the head has no such answer: a grade it does not know, a sign of a network that grades.
    """
    return _SCORES[target.kind](head, raw, target)


def cut_logits(head: Head, raw: Raw) -> Float[Tensor, "photo cut"]:
    """Logit of P(grade >= k) for k = 1 to 4; a regression's distance from its cuts, which moves as that logit does.

    Raises:
        BadRequest: If the network does not grade.
    """
    if isinstance(head, Signs) or raw.shape[1] != {Regression: 1, Softmax: GRADES, Prototype: GRADES}.get(
        type(head), GRADES - 1
    ):
        raise BadRequest(
            f"target: expected a network that grades, got a {type(head).__name__.lower()} head of {raw.shape[1]} "
            "outputs. Ask for target answer, grade:K (a class) or sign:K"
        )
    if isinstance(head, Regression):
        return raw - raw.new_tensor(REGRESSION_CUTS)
    if isinstance(head, Corn):
        log_above = torch.cumsum(F.logsigmoid(raw), dim=1)
        return log_above - torch.log(-torch.expm1(log_above.clamp(max=-1e-6)))
    if isinstance(head, (Coral, Cumulative)):
        return raw
    return torch.stack(
        [raw[:, k:].logsumexp(dim=1) - raw[:, :k].logsumexp(dim=1) for k in range(1, raw.shape[1])], dim=1
    )


def _answer(head: Head, raw: Raw, target: Target) -> Score:
    """What `Head.relevance` is the gradient of."""
    if isinstance(head, (Softmax, Prototype)):
        return raw.amax(dim=1)
    if isinstance(head, Corn):
        reached = torch.cumsum(F.logsigmoid(raw.detach()[:, :-1]), dim=1).exp()
        return (raw * torch.cat([torch.ones_like(raw[:, :1]), reached], dim=1)).sum(dim=1)
    return raw.sum(dim=1)


def _cut(head: Head, raw: Raw, target: Target) -> Score:
    logits, level = cut_logits(head, raw), target.level or 0
    _check_level(level, range(1, GRADES), target)
    return logits[:, level - 1]


def _expected(head: Head, raw: Raw, target: Target) -> Score:
    """The mean of the grade; for a regression its value."""
    return raw[:, 0] if isinstance(head, Regression) else torch.sigmoid(cut_logits(head, raw)).sum(dim=1)


def _grade(head: Head, raw: Raw, target: Target) -> Score:
    level = target.level or 0
    if isinstance(head, (Softmax, Prototype)) and not isinstance(head, Signs):
        _check_level(level, range(raw.shape[1]), target)
        return raw[:, level]
    above = torch.sigmoid(cut_logits(head, raw))
    _check_level(level, range(GRADES), target)
    edges = torch.cat([torch.ones_like(above[:, :1]), above, torch.zeros_like(above[:, :1])], dim=1)
    return (edges[:, level] - edges[:, level + 1]).clamp_min(1e-6).log()


def _sign(head: Head, raw: Raw, target: Target) -> Score:
    if not isinstance(head, Signs):
        raise BadRequest(
            f"target: expected a network of several signs for {target}, got a {type(head).__name__.lower()} head. "
            "Ask for target answer, grade:K or cut:K"
        )
    level = target.level or 0
    _check_level(level, range(raw.shape[1]), target)
    return raw[:, level]


def _check_level(level: int, known: range, target: Target) -> None:
    if level not in known:
        raise BadRequest(f"target: expected {target.kind}:{known[0]} to {target.kind}:{known[-1]}, got {target}")


_SCORES: Final[dict[str, Callable[[Head, Raw, Target], Score]]] = {
    "answer": _answer,
    "cut": _cut,
    "expected": _expected,
    "grade": _grade,
    "sign": _sign,
}
