"""Items: what a batch holds of each photograph, under augmentation drawn from (seed, epoch, row), or as it is.

What is shown is the objective's choice (`Views`). `SupervisedViews` shows a photograph with its grade, class or signs,
and what else its losses ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from fundoscope.arrays import Canvas
from fundoscope.tables.fellows import NO_FELLOW
from fundoscope.training.augmentation.mixing import draw_mixture, mix, own_share
from fundoscope.training.augmentation.parameters import AugmentParams, apply_params, draw_params, move_mask, movement_of
from fundoscope.training.batches.rows import Rows
from fundoscope.training.experiment.ranges import Augment

Batch = dict[str, Tensor]
"""`canvas` (photo, side, side, 3) uint8, with two eyes (photo, 2, side, side, 3), the second being the
fellow or, where there is none, zeros; `grade` (photo), where other things are learnt the class (photo) or the signs
(photo, sign); where lesions are asked for also `lesions` (photo, side, side, 2) uint8 and `lesions_known` (photo);
where photographs are mixed also `grade_partner` and `share` (photo), for share * loss(grade) + (1 - share) *
loss(grade_partner); where rows are weighed `weight` (photo), and `weight_partner`; where second views are
shown `second_view`, as `canvas`, the same under FundusAug; where teachers look at it `plain_view`, as `canvas`, without
what changes more than its position."""


class Item(TypedDict, total=False):
    """One photograph of a batch."""

    canvas: np.ndarray
    grade: np.ndarray | np.int64
    lesions: np.ndarray
    lesions_known: float
    grade_partner: np.ndarray | np.int64
    share: float
    weight: float
    weight_partner: float
    second_view: np.ndarray
    plain_view: np.ndarray


class Shown(NamedTuple):
    """One place in an epoch, which decides all draws that are made for it."""

    epoch: int
    row: int
    """Position of the photograph."""
    repeat: int = 0
    """How often the epoch showed it before: drawn twice, it is augmented in two ways."""
    partner: int = -1
    """Position of the photograph it may be mixed with; -1: none."""
    partner_repeat: int = 0


@runtime_checkable
class Views(Protocol):
    """What an objective is shown of each photograph. Loader processes get a copy: it is small and holds no network."""

    @property
    def seed(self) -> int:
        """Seed of every draw; the order of the photographs is drawn by it, too."""

    @property
    def mixes(self) -> bool:
        """Whether every place of a batch is given a partner that its photograph may be mixed with."""

    def item(self, rows: Rows, place: Shown) -> Mapping[str, Any]:
        """Return arrays and numbers by name, of the same names and shapes for all rows."""


class TrainingDataset(Dataset[Mapping[str, Any]]):
    """Rows as an objective is shown them; asked by place in an epoch, not by index."""

    def __init__(self, rows: Rows, views: Views) -> None:
        self.rows, self.views = rows, views

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Shown | tuple[int, int]) -> Mapping[str, Any]:
        return self.views.item(self.rows, Shown(*place))


AUGMENTATION, MIXING, FELLOW = 0, 1, 2
"""What a generator is for: part of the key that it is made from."""


@dataclass(frozen=True, slots=True)
class SupervisedViews:
    """A photograph under augmentation with what is known of it: the same however it is loaded.

    Draws are keyed by (seed, epoch, row, repetition, purpose), so that a resumed fit repeats them.
    """

    augment: Augment
    seed: int
    second_view: bool = False
    """Also show each photograph under FundusAug, as `second_view`; `canvas` is then without."""
    plain_view: bool = False
    """Also show each photograph in the same position without any change of its look, as `plain_view`."""
    fellow_dropout: float = 0.0
    """Of rows of both eyes: share of the photographs that are shown without the other eye."""

    @property
    def mixes(self) -> bool:
        """Whether photographs are mixed in pairs (MixUp, CutMix)."""
        return self.augment.mixes

    def item(self, rows: Rows, place: Shown) -> Item:
        """Return the photograph of a place, mixed with its partner's where the draw says so."""
        item = self._alone(rows, place.epoch, place.row, place.repeat)
        if not self.mixes:
            return item
        mixture = draw_mixture(self._generator(place, MIXING), self.augment)
        if place.partner < 0 or mixture.share == 1.0:
            item |= Item(grade_partner=item["grade"], share=1.0)
            return item | Item(weight_partner=item["weight"]) if "weight" in item else item
        partner = self._alone(rows, place.epoch, place.partner, place.partner_repeat)
        mixed = Item(
            canvas=mix(item["canvas"], partner["canvas"], mixture),
            grade=item["grade"],
            grade_partner=partner["grade"],
            share=own_share(mixture, item["canvas"].shape[0]),
        )
        if "lesions" in item:
            mixed["lesions"] = mix(item["lesions"], partner["lesions"], mixture)
            mixed["lesions_known"] = item["lesions_known"] * partner["lesions_known"]
        if "weight" in item:
            mixed |= Item(weight=item["weight"], weight_partner=partner["weight"])
        return mixed

    def _alone(self, rows: Rows, epoch: int, row: int, repeat: int) -> Item:
        """Return a photograph unmixed; where both eyes are shown with its fellow, which has draws of its own."""
        params = draw_params(self._generator(Shown(epoch, row, repeat), AUGMENTATION), self.augment, run_seed=self.seed)
        canvas = rows.stored[row].canvas()
        item = Item(canvas=apply_params(canvas, params), grade=rows.targets[row])
        if self.second_view:
            item |= Item(canvas=apply_params(canvas, without_fundus_aug(params)), second_view=item["canvas"])
        if self.plain_view:
            item["plain_view"] = apply_params(canvas, movement_of(params))
        if rows.weights is not None:
            item["weight"] = float(rows.weights[row])
        if rows.lesions is not None:
            lesions = rows.lesions[row]
            blank = np.zeros((*canvas.shape[:2], 2), np.uint8)
            item["lesions"] = blank if lesions is None else move_mask(lesions, params)
            item["lesions_known"] = float(lesions is not None)
        if rows.eyes == 2:
            item["canvas"] = np.stack([item["canvas"], self._fellow(rows, epoch, row, repeat)])
        return item

    def _fellow(self, rows: Rows, epoch: int, row: int, repeat: int) -> Canvas:
        """Return the other eye under draws of its own; zeros where there is none, or it is not to be shown."""
        rng = self._generator(Shown(epoch, row, repeat), FELLOW)
        hidden = rng.random() < self.fellow_dropout
        params = draw_params(rng, self.augment, run_seed=self.seed)
        fellow = fellow_canvas(rows, row)
        return np.zeros_like(fellow) if hidden or not fellow.any() else apply_params(fellow, params)

    def _generator(self, place: Shown, purpose: int) -> np.random.Generator:
        key = [self.seed, place.epoch, place.row]
        # Version 1's key for what version 1 drew: its runs, and the shipped release's, repeat exactly.
        return np.random.default_rng([*key, place.repeat, purpose] if place.repeat or purpose else key)


def without_fundus_aug(params: AugmentParams) -> AugmentParams:
    """The parameters without FundusAug, as GDRNet shows one of its two views."""
    return replace(params, sharpness=1.0, halo=None, hole=None, spots=(), blur=0.0)


def fellow_canvas(rows: Rows, row: int) -> Canvas:
    """The prepared photograph of the other eye; zeros where there is none."""
    fellow = int(rows.fellows[row])
    return np.zeros_like(rows.stored[row].canvas()) if fellow == NO_FELLOW else rows.stored[fellow].canvas()


class EvaluationDataset(Dataset[Item]):
    """Prepared photographs without augmentation, for validation and prediction."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        canvas = self.rows.stored[index].canvas()
        if self.rows.eyes == 2:
            canvas = np.stack([canvas, fellow_canvas(self.rows, index)])
        return Item(canvas=canvas, grade=self.rows.targets[index])
