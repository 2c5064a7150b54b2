from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadRequest
from fundoscope.training.loop.processes import Processes, processes


def test_a_program_that_was_started_by_itself_is_the_only_process():
    assert processes({}) == Processes(world=1, nodes=1, rank=0)
    assert processes({"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}) == Processes()


def test_what_torchrun_started_is_counted_by_machine():
    found = processes({"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5"})

    assert found == Processes(world=8, nodes=2, rank=5)
    assert found.on_each_node == 4


def test_what_slurm_started_is_counted_by_machine():
    assert processes({"SLURM_NTASKS": "6", "SLURM_NNODES": "3", "SLURM_PROCID": "4"}) == Processes(6, 3, 4)


def test_machines_with_unequal_numbers_of_processes_are_refused():
    with pytest.raises(BadRequest, match="expected equally many processes on each machine, got 5 on 2"):
        processes({"SLURM_NTASKS": "5", "SLURM_NNODES": "2", "SLURM_PROCID": "0"})
