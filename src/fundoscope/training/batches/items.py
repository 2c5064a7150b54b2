"""Items: what a batch holds of each photograph, under augmentation drawn from (seed, epoch, row), or as it is."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypedDict

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from fundoscope.arrays import Canvas
from fundoscope.errors import BadTable
from fundoscope.tables.fellows import NO_FELLOW
from fundoscope.training.augmentation.mixing import draw_mixture, mix, own_share
from fundoscope.training.augmentation.parameters import AugmentParams, apply_params, draw_params, move_mask
from fundoscope.training.batches.rows import Rows
from fundoscope.training.experiment.ranges import Augment

Batch = dict[str, Tensor]
"""`canvas` (photo, side, side, 3) uint8, with two eyes (photo, 2, side, side, 3), the second being the
fellow or, where there is none, zeros; `grade` (photo), where other things are learnt the class (photo) or the signs
(photo, sign); where lesions are asked for also `lesions` (photo, side, side, 2) uint8 and `lesions_known` (photo);
where photographs are mixed also `grade_partner` and `share` (photo), for share * loss(grade) + (1 - share) *
loss(grade_partner); where rows are weighed `weight` (photo), and `weight_partner`; where second views are
shown `second_view`, as `canvas`, the same under FundusAug."""


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


AUGMENTATION, MIXING, FELLOW = 0, 1, 2
"""What a generator is for: part of the key that it is made from."""


class Augmented(Dataset[Item]):
    """Prepared photographs under augmentation drawn from (seed, epoch, row): the same however they are loaded."""

    def __init__(self, rows: Rows, augment: Augment, seed: int) -> None:
        self.rows, self.augment, self.seed = rows, augment, seed
        if rows.eyes == 2 and (rows.fellows == NO_FELLOW).all():
            raise BadTable(
                "network.eyes 2: expected training rows whose patient and eye tell which belong together, "
                f"got none of {len(rows)} with the other eye. Fill these columns of the manifest, or set network.eyes=1"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Shown | tuple[int, int]) -> Item:
        shown = Shown(*key)
        item = self._alone(shown.epoch, shown.row, shown.repeat)
        if not self.augment.mixes:
            return item
        mixture = draw_mixture(self._generator(shown, MIXING), self.augment)
        if shown.partner < 0 or mixture.share == 1.0:
            item |= Item(grade_partner=item["grade"], share=1.0)
            return item | Item(weight_partner=item["weight"]) if "weight" in item else item
        partner = self._alone(shown.epoch, shown.partner, shown.partner_repeat)
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

    def _alone(self, epoch: int, row: int, repeat: int) -> Item:
        """A photograph under its params, unmixed; where both eyes are shown with its fellow under another."""
        params = draw_params(self._generator(Shown(epoch, row, repeat), AUGMENTATION), self.augment)
        canvas = self.rows.stored[row].canvas()
        item = Item(canvas=apply_params(canvas, params), grade=self.rows.targets[row])
        if self.rows.second_views:
            item |= Item(canvas=apply_params(canvas, unspoilt(params)), second_view=item["canvas"])
        if self.rows.weights is not None:
            item["weight"] = float(self.rows.weights[row])
        if self.rows.lesions is not None:
            lesions = self.rows.lesions[row]
            known = lesions is not None
            blank = np.zeros((*canvas.shape[:2], 2), np.uint8)
            item["lesions"] = move_mask(lesions, params) if lesions is not None else blank
            item["lesions_known"] = float(known)
        if self.rows.eyes == 2:
            item["canvas"] = np.stack([item["canvas"], self._fellow(epoch, row, repeat)])
        return item

    def _fellow(self, epoch: int, row: int, repeat: int) -> Canvas:
        """The other eye under draws of its own; zeros where there is none, or it is not to be shown."""
        rng = self._generator(Shown(epoch, row, repeat), FELLOW)
        hidden, params = rng.random() < self.rows.fellow_dropout, draw_params(rng, self.augment)
        fellow = fellow_canvas(self.rows, row)
        return np.zeros_like(fellow) if hidden or not fellow.any() else apply_params(fellow, params)

    def _generator(self, shown: Shown, purpose: int) -> np.random.Generator:
        key = [self.seed, shown.epoch, shown.row]
        # Version 1's key for what version 1 drew: its runs, and the shipped release's, repeat exactly.
        return np.random.default_rng([*key, shown.repeat, purpose] if shown.repeat or purpose else key)


def unspoilt(params: AugmentParams) -> AugmentParams:
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
