"""A whole run of an experiment, from the manifest to an exported release; `fundoscope.run_folder` shows what it writes.

What a finished run holds is not done again, so a killed run continues where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fundoscope.training.batches.rows import Report
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.export.release import export_run
from fundoscope.training.loop.processes import processes, wait_for_all
from fundoscope.training.loop.progress import RunProgress
from fundoscope.training.networks.normalisation import resolved_recipe
from fundoscope.training.runs.folder import claim_run
from fundoscope.training.runs.supervised import train_supervised

RUNS: Final[dict[str, Callable[..., None]]] = {"supervised": train_supervised}
"""How an experiment is run, by its objective."""


def train(
    experiment: Experiment, run: Path, *, say: Report = lambda line: None, progress: RunProgress | None = None
) -> None:
    """Do everything the experiment asks for, continuing what the run folder already holds.

    Args:
        experiment: The whole experiment.
        run: Folder of the run; made where absent.
        say: Called with a line about each part.
        progress: Called while photographs are prepared and networks are trained.

    Raises:
        BadExperiment: If the manifest is not given or has no rows of the splits asked for.
        BadCheckpoint: If the folder holds a run of another experiment.
        BadTable: If the manifest or a photograph cannot be read.
    """
    experiment = resolved_recipe(experiment)
    claim_run(experiment, run)
    RUNS[experiment.objective](experiment, run, say=say, progress=progress)
    wait_for_all()
    if experiment.fit.export and processes().rank == 0:
        say("exporting the release")
        export_run(run)
