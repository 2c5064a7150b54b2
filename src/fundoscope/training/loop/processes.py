"""Several processes that train together, as `torchrun` or SLURM starts them; one where neither did."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from fundoscope.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Processes:
    """How many there are, and which of them this one is."""

    world: int = 1
    """All of them, on all machines."""
    nodes: int = 1
    """Machines."""
    rank: int = 0
    """This one's number; 0 writes the files."""

    @property
    def on_each_node(self) -> int:
        """Processes on each machine."""
        return self.world // self.nodes


def processes(environment: Mapping[str, str] = os.environ) -> Processes:
    """What `torchrun` (WORLD_SIZE, LOCAL_WORLD_SIZE, RANK) or SLURM (SLURM_NTASKS, SLURM_NNODES, SLURM_PROCID) say.

    Raises:
        BadRequest: If the machines do not all run equally many processes.
    """
    if "WORLD_SIZE" in environment:
        world = int(environment["WORLD_SIZE"])
        per_node = int(environment.get("LOCAL_WORLD_SIZE", world))
        group = Processes(world, max(1, world // per_node), int(environment.get("RANK", "0")))
    elif int(environment.get("SLURM_NTASKS", "1")) > 1 and "SLURM_PROCID" in environment:
        world, nodes = int(environment["SLURM_NTASKS"]), int(environment.get("SLURM_NNODES", "1"))
        group = Processes(world, nodes, int(environment["SLURM_PROCID"]))
    else:
        group = Processes()
    if group.world % group.nodes:
        raise BadRequest(
            f"train: expected equally many processes on each machine, got {group.world} on {group.nodes}. "
            "Start the same number everywhere (torchrun --nproc-per-node, srun --ntasks-per-node)"
        )
    return group


def wait_for_all() -> None:
    """Return when every process has come here."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()
