"""From rows of a manifest to augmented batches, in an order that a resumed run repeats exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from fundoscope.training.batches.items import Batch, EvaluationDataset, Shown, TrainingDataset
from fundoscope.training.batches.rows import Rows
from fundoscope.training.batches.sampler import Order, draw_epoch, epoch_size, repeats
from fundoscope.training.experiment.photographs import Sampling


@dataclass(frozen=True, slots=True)
class Batches:
    """What a fit draws from."""

    train: ResumableLoader
    validation: DataLoader[Any] | None = None
    """Held-out photographs, in their order; None: the fit is not validated."""


class ResumableLoader:
    """Batches in an order given by (seed, epoch), which continues in the middle of an epoch.

    Lightning stores `state_dict` in its checkpoints and hands it back. Under several processes each
    takes its share of every epoch's order.
    """

    def __init__(
        self, data: TrainingDataset, *, batch: int, workers: int = 0, sampling: Sampling | None = None
    ) -> None:
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
        if self.data.views.mixes:
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
        return draw_epoch(self.sampling, rows.classes, sources, seed=self.data.views.seed, epoch=epoch, batch=batch)

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


def evaluation_loader(rows: Rows, *, batch: int) -> DataLoader[Any]:
    """Batches of the rows in their order."""
    return DataLoader(EvaluationDataset(rows), batch_size=batch, shuffle=False)


def _world() -> int:
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def _rank() -> int:
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
