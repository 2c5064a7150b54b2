"""From rows of a manifest to augmented batches, in an order that a resumed run repeats exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Recipe
from fundoscope.training.augment import apply_tweak, draw_tweak, move_mask
from fundoscope.training.config import Augment
from fundoscope.training.lesions import KIND_OF_MASK, boxes_map, masks_map, read_boxes
from fundoscope.training.prepared import Stored, prepare_all

Batch = dict[str, Tensor]
"""`canvas` (photo, side, side, 3) uint8; `grade` (photo); where lesions are asked for also `lesions`
(photo, side, side, 2) uint8 and `lesions_known` (photo)."""


class Item(TypedDict, total=False):
    """One photograph of a batch."""

    canvas: np.ndarray
    grade: int
    lesions: np.ndarray
    lesions_known: float


@dataclass(frozen=True)
class Rows:
    """Rows of a manifest with their prepared photographs; lesion maps where they are asked for."""

    frame: pd.DataFrame
    stored: Sequence[Stored]
    lesions: Sequence[UInt8[np.ndarray, "side side 2"] | None] | None = None

    def __len__(self) -> int:
        return len(self.stored)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows whose positions are given."""
        lesions = None if self.lesions is None else [self.lesions[i] for i in chosen]
        return Rows(self.frame.iloc[chosen], [self.stored[i] for i in chosen], lesions)

    @property
    def grades(self) -> np.ndarray:
        """Grade of each row, 0 to 4."""
        return self.frame["grade"].to_numpy(np.int64)


def load_rows(
    frame: pd.DataFrame,
    folder: Path,
    recipe: Recipe,
    *,
    cache: Path | str,
    lesions: bool = False,
    advance: Callable[[], object] | None = None,
) -> Rows:
    """Prepare the photographs of a manifest's rows.

    Args:
        frame: Rows of a checked manifest; every one must have a grade.
        folder: Where the manifest lies; its paths are relative to it.
        recipe: How photographs are prepared.
        cache: Folder of prepared photographs.
        lesions: Also read `boxes` and `mask_*`.
        advance: Called after each photograph.

    Raises:
        BadTable: If there are no rows, a row has no grade, or a file cannot be read.
    """
    if frame.empty:
        raise BadTable("the manifest has no rows to train on; expected some with the splits asked for (data.train)")
    if frame["grade"].isna().any():
        first = frame.loc[frame["grade"].isna(), "image"].iloc[0]
        raise BadTable(f"{frame['grade'].isna().sum()} rows to be trained on have no grade, the first is {first}")
    stored = prepare_all([folder / str(image) for image in frame["image"]], recipe, cache, advance=advance)
    maps = _lesion_maps(frame, folder, stored) if lesions else None
    return Rows(frame, stored, maps)


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
            maps.append(drawn if drawn.any() or row["grade"] == 0 else None)
        else:
            maps.append(np.zeros((*prepared.canvas.shape[:2], 2), np.uint8) if row["grade"] == 0 else None)
    return maps


class Augmented(Dataset[Item]):
    """Prepared photographs under tweaks drawn from (seed, epoch, row): the same however they are loaded."""

    def __init__(self, rows: Rows, augment: Augment, seed: int) -> None:
        self.rows, self.augment, self.seed = rows, augment, seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        epoch, index = key
        tweak = draw_tweak(np.random.default_rng([self.seed, epoch, index]), self.augment)
        canvas = self.rows.stored[index].canvas()
        item = Item(canvas=apply_tweak(canvas, tweak), grade=int(self.rows.grades[index]))
        if self.rows.lesions is not None:
            lesions = self.rows.lesions[index]
            known = lesions is not None
            blank = np.zeros((*canvas.shape[:2], 2), np.uint8)
            item["lesions"] = move_mask(lesions, tweak) if lesions is not None else blank
            item["lesions_known"] = float(known)
        return item


class ResumableLoader:
    """Batches in an order given by (seed, epoch), which continues in the middle of an epoch.

    Lightning stores `state_dict` in its checkpoints and hands it back. Under several processes each
    takes its share of every epoch's order.
    """

    def __init__(self, data: Augmented, *, batch: int, workers: int = 0) -> None:
        self.data, self.batch, self.workers = data, batch, workers
        self.epoch, self.done = 0, 0

    def __len__(self) -> int:
        # A last batch of one photograph has no batch statistics: it joins no epoch.
        share = len(self.data) // _world()
        return max(1, share // self.batch + (share % self.batch > 1))

    def __iter__(self) -> Iterator[Batch]:
        if self.done >= len(self):  # the epoch before was handed out to its end
            self.epoch, self.done = self.epoch + 1, 0
        batches = self._order()[self.done :]
        loader: DataLoader[Any] = DataLoader(self.data, batch_sampler=batches, num_workers=self.workers)
        for batch in loader:
            self.done += 1
            yield batch

    def _order(self) -> list[list[tuple[int, int]]]:
        order = np.random.default_rng([self.data.seed, self.epoch]).permutation(len(self.data))
        share = order[_rank() :: _world()][: len(self.data) // _world()]
        starts = range(0, len(self) * self.batch, self.batch)
        return [[(self.epoch, int(row)) for row in share[start : start + self.batch]] for start in starts]

    def state_dict(self) -> dict[str, int]:
        """Where the run is: the epoch and the batches of it that were handed out."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from there."""
        self.epoch, self.done = state["epoch"], state["done"]


class Still(Dataset[Item]):
    """Prepared photographs without augmentation, for validation and prediction."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Item:
        return Item(canvas=self.rows.stored[index].canvas(), grade=int(self.rows.grades[index]))


def still_loader(rows: Rows, *, batch: int) -> DataLoader[Any]:
    """Batches of the rows in their order."""
    return DataLoader(Still(rows), batch_size=batch, shuffle=False)


def _world() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
