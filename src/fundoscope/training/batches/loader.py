"""From rows of a manifest to augmented batches, in an order that a resumed run repeats exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fundoscope.arrays import Canvas
from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Recipe
from fundoscope.tables.fellows import NO_FELLOW, find_fellows
from fundoscope.training.augmentation.mixing import draw_mixture, mix, own_share
from fundoscope.training.augmentation.parameters import AugmentParams, apply_params, draw_params, move_mask
from fundoscope.training.batches.cache import Stored, prepare_all
from fundoscope.training.batches.lesions import KIND_OF_MASK, boxes_map, masks_map, read_boxes
from fundoscope.training.batches.sampler import Order, draw_epoch, epoch_size, repeats
from fundoscope.training.batches.targets import GRADE, Target, Values
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.sections import Sampling

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


@dataclass(frozen=True)
class Rows:
    """Rows of a manifest with their prepared photographs; lesion maps where they are asked for."""

    frame: pd.DataFrame
    stored: Sequence[Stored]
    lesions: Sequence[UInt8[np.ndarray, "side side 2"] | None] | None = None
    weights: Float[np.ndarray, " row"] | None = None
    """How much each counts in the loss, where that depends on more than its grade."""
    second_views: bool = False
    """In training: show each photograph without FundusAug and, beside it, with."""
    target: Target = GRADE
    """What is learnt."""
    eyes: int = 1
    """2: show each photograph together with its fellow, the same patient's other eye among the rows."""
    fellow_dropout: float = 0.0
    """Share of the photographs that are shown without it in training."""

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows whose positions are given."""
        lesions = None if self.lesions is None else [self.lesions[i] for i in chosen]
        weights = None if self.weights is None else self.weights[chosen]
        stored = [self.stored[i] for i in chosen]
        return replace(self, frame=self.frame.iloc[chosen], stored=stored, lesions=lesions, weights=weights)

    @property
    def grades(self) -> np.ndarray:
        """Grade of each row, 0 to 4."""
        return self.frame["grade"].to_numpy(np.int64)

    @cached_property
    def targets(self) -> Values:
        """What each row is to be learnt as: its grade or class (row), or its signs (row, sign)."""
        return self.target.values(self.frame)

    @cached_property
    def fellows(self) -> Int[np.ndarray, " row"]:
        """Position of each row's fellow, as grading finds it; -1 where there is none."""
        return find_fellows(self.frame)

    @property
    def classes(self) -> Int[np.ndarray, " row"]:
        """Grade or class of each row, which a sampler may go by; of signs, which no class holds, 0."""
        return self.targets if self.targets.ndim == 1 else np.zeros(len(self), dtype=np.int64)


def load_rows(
    frame: pd.DataFrame,
    folder: Path,
    recipe: Recipe,
    *,
    cache: Path | str,
    lesions: bool = False,
    target: Target | None = None,
    advance: Callable[[], object] | None = None,
) -> Rows:
    """Prepare the photographs of a manifest's rows.

    Args:
        frame: Rows of a checked manifest.
        folder: Where the manifest lies; its paths are relative to it.
        recipe: How photographs are prepared.
        cache: Folder of prepared photographs.
        lesions: Also read `boxes` and `mask_*`.
        target: What is learnt, which every row must have; None: the grade.
        advance: Called after each photograph.

    Raises:
        BadTable: If there are no rows, a row has no grade (or whatever is learnt), or a file cannot be read.
    """
    if frame.empty:
        raise BadTable("the manifest has no rows to train on; expected some with the splits asked for (data.train)")
    learnt = target or GRADE
    learnt.values(frame)  # refuses here, before hours of preparing, what cannot be learnt
    stored = prepare_all([folder / str(image) for image in frame["image"]], recipe, cache, advance=advance)
    maps = _lesion_maps(frame, folder, stored) if lesions else None
    return Rows(frame, stored, maps, target=learnt)


def _lesion_maps(frame: pd.DataFrame, folder: Path, stored: Sequence[Stored]) -> list[np.ndarray | None]:
    """A lesion map for each row: marked, known to be empty (grade 0), or None where nothing is known."""
    boxes_of: dict[Path, pd.DataFrame] = {}
    for name in frame["boxes"].dropna().unique() if "boxes" in frame else []:
        boxes_of |= read_boxes(folder / str(name))
    maps: list[np.ndarray | None] = []
    for (_, row), kept in zip(frame.iterrows(), stored, strict=True):
        prepared, size = kept.prepared()
        masks = {name: folder / str(row[name]) for name in KIND_OF_MASK if name in row and pd.notna(row[name])}
        boxes = boxes_of.get((folder / str(row["image"])).resolve())
        if masks:
            maps.append(masks_map(masks, prepared, size))
        elif boxes is not None:
            drawn = boxes_map(boxes, prepared, size)
            maps.append(drawn if drawn.any() or row.get("grade") == 0 else None)
        else:
            maps.append(np.zeros((*prepared.canvas.shape[:2], 2), np.uint8) if row.get("grade") == 0 else None)
    return maps


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
        params = draw_params(self._generator(Shown(epoch, row, repeat), TWEAK), self.augment)
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


TWEAK, MIXING, FELLOW = 0, 1, 2
"""What a generator is for."""


class ResumableLoader:
    """Batches in an order given by (seed, epoch), which continues in the middle of an epoch.

    Lightning stores `state_dict` in its checkpoints and hands it back. Under several processes each
    takes its share of every epoch's order.
    """

    def __init__(self, data: Augmented, *, batch: int, workers: int = 0, sampling: Sampling | None = None) -> None:
        self.data, self.batch, self.workers = data, batch, workers
        self.sampling = sampling or Sampling()
        self.epoch, self.done = 0, 0
        self._drawn(epoch=0, batch=batch)  # refuses here what cannot be drawn

    def __len__(self) -> int:
        # A last batch of one photograph has no batch statistics: it joins no epoch.
        share = self._share()
        return max(1, share // self.batch + (share % self.batch > 1))

    def __iter__(self) -> Iterator[Batch]:
        if self.done >= len(self):  # the epoch before was handed out to its end
            self.epoch, self.done = self.epoch + 1, 0
        batches = self._order()[self.done :]
        loader: DataLoader[Any] = DataLoader(self.data, batch_sampler=batches, num_workers=self.workers)
        for batch in loader:
            self.done += 1
            yield batch

    def _order(self) -> list[list[Shown]]:
        """This process's batches of the epoch. Together the processes' batches are one process's larger ones."""
        world, rank = _world(), _rank()
        order = self._drawn(epoch=self.epoch, batch=self.batch * world)[: self._share() * world]
        places = [Shown(self.epoch, int(row), int(repeat)) for row, repeat in zip(order, repeats(order), strict=True)]
        if self.data.augment.mixes:
            places = _paired(places, self.batch * world)
        own = places[rank::world]
        starts = range(0, len(self) * self.batch, self.batch)
        return [own[start : start + self.batch] for start in starts]

    def _share(self) -> int:
        """Photographs that this process shows in an epoch."""
        world = _world()
        return epoch_size(self.sampling, len(self.data), self.batch * world) // world

    def _drawn(self, *, epoch: int, batch: int) -> Order:
        rows = self.data.rows
        sources = rows.frame["source"].to_numpy(object) if "source" in rows.frame else None
        return draw_epoch(self.sampling, rows.classes, sources, seed=self.data.seed, epoch=epoch, batch=batch)

    def state_dict(self) -> dict[str, int]:
        """Where the run is: the epoch and the batches of it that were handed out."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from there."""
        self.epoch, self.done = state["epoch"], state["done"]


def _paired(places: list[Shown], batch: int) -> list[Shown]:
    """Give each photograph of a batch a partner to be mixed with: the one as far from the batch's other end."""
    paired = []
    for start in range(0, len(places), batch):
        together = places[start : start + batch]
        for shown, partner in zip(together, reversed(together), strict=True):
            paired.append(shown._replace(partner=partner.row, partner_repeat=partner.repeat))
    return paired


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


def evaluation_loader(rows: Rows, *, batch: int) -> DataLoader[Any]:
    """Batches of the rows in their order."""
    return DataLoader(EvaluationDataset(rows), batch_size=batch, shuffle=False)


def _world() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
