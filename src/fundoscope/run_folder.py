"""The names of the files in a run folder and in the folder of each of its fits: the only place that knows them.

RUN/experiment.json          the experiment, resolved
RUN/photographs.json         SHA-256 of the photographs it may learn from
RUN/training_rows.csv        their rows of the manifest, as they were when training began, and the folds they are in
RUN/held_out_rows.csv        rows that held-out predictions are made of, where these are not the rows trained on
RUN/left_out_rows.csv        rows that are not used, for the release would not grade their photographs, with the reason
RUN/fold0/ ...               one fit each
RUN/out_of_fold.csv          predictions for every photograph by a network that never saw its patient
RUN/final/                   the fit on all training rows (or the only fit, where there are no folds)
RUN/predictions.csv          predictions for the validation rows of the only fit
RUN/modes.csv                RetinaScan's seven ways of grading, where they are compared
RUN/domains.csv, .json, .md  the table of a protocol over sources, each of which has a folder as a fit has
RUN/release/                 the exported release

FIT/experiment.json          the experiment that the fit was begun with
FIT/checkpoints/last.ckpt    what a killed fit continues from; best.ckpt: the best validated weights
FIT/snapshots/*.safetensors  weights after each of the last epochs
FIT/log, log2 ...            figures of each attempt: metrics.csv
FIT/timing.json              seconds and photographs of all attempts
FIT/network.safetensors      the weights of a finished fit
FIT/neighbours.npz           the k-NN reference set of a release that grades by neighbours
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

WEIGHTS: Final = "network.safetensors"
TIMING: Final = "timing.json"
SNAPSHOTS: Final = "snapshots"
FINAL: Final = "final"
RELEASE: Final = "release"
RESERVED: Final = (FINAL, RELEASE)
"""Folders of a run that no source may be called."""


@dataclass(frozen=True, slots=True)
class FitFolder:
    """Paths of the files of one fit."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment that the fit was begun with; absent in runs of earlier versions."""
        return self.path / "experiment.json"

    @property
    def weights(self) -> Path:
        """Weights of the finished network, fp32; absent while the fit is not finished."""
        return self.path / WEIGHTS

    @property
    def timing(self) -> Path:
        """Seconds and photographs of all attempts."""
        return self.path / TIMING

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The checkpoint that a killed fit continues from."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The checkpoint with the best validation figure."""
        return self.checkpoints / "best.ckpt"

    @property
    def snapshots(self) -> Path:
        """Folder of the weights after each of the last epochs."""
        return self.path / SNAPSHOTS

    @property
    def logs(self) -> list[Path]:
        """Folders of the attempts' logs, in order: log, log2, ..."""
        attempts = [path for path in self.path.glob("log*") if re.fullmatch(r"log\d*", path.name)]
        return sorted(attempts, key=lambda attempt: int(attempt.name.removeprefix("log") or 1))

    @property
    def next_log(self) -> str:
        """Name of the next attempt's log folder: a resumed fit must not overwrite what the killed one wrote."""
        attempts = len(self.logs)
        return f"log{attempts + 1}" if attempts else "log"

    @property
    def metrics(self) -> list[Path]:
        """The figures that each attempt logged, in order; attempts that logged none are left out."""
        return [path for log in self.logs if (path := log / "metrics.csv").is_file()]

    @property
    def predictions(self) -> Path:
        """Predictions for the photographs that this fit was tested on (protocols over sources)."""
        return self.path / "predictions.csv"

    @property
    def photographs(self) -> Path:
        """SHA-256 of the photographs that this fit learnt from (protocols over sources)."""
        return self.path / "photographs.json"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of the files of a run."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The experiment, resolved."""
        return self.path / "experiment.json"

    @property
    def photographs(self) -> Path:
        """SHA-256 of the photographs that it may learn from."""
        return self.path / "photographs.json"

    @property
    def training_rows(self) -> Path:
        """The manifest's rows of these photographs, as they were when training began, and the folds they are in."""
        return self.path / "training_rows.csv"

    @property
    def held_out_rows(self) -> Path:
        """Rows that held-out predictions are made of; absent where these are the rows trained on."""
        return self.path / "held_out_rows.csv"

    @property
    def left_out_rows(self) -> Path:
        """Rows that are not used, for the release would not grade their photographs; absent where there are none."""
        return self.path / "left_out_rows.csv"

    @property
    def out_of_fold(self) -> Path:
        """Predictions for every photograph by a network that never saw its patient."""
        return self.path / "out_of_fold.csv"

    @property
    def predictions(self) -> Path:
        """Predictions for the validation rows of the only fit."""
        return self.path / "predictions.csv"

    @property
    def modes(self) -> Path:
        """RetinaScan's ways of grading, compared."""
        return self.path / "modes.csv"

    @property
    def final(self) -> FitFolder:
        """The fit on all training rows, or the only fit."""
        return FitFolder(self.path / FINAL)

    @property
    def release(self) -> Path:
        """Folder of the exported release."""
        return self.path / RELEASE

    def fold(self, number: int) -> FitFolder:
        """Return the fit without fold `number`."""
        return FitFolder(self.path / f"fold{number}")

    def folds(self) -> list[FitFolder]:
        """Return the fits of the folds that are there, in the order of their numbers."""
        folders = [path for path in self.path.glob("fold*") if path.name.removeprefix("fold").isdigit()]
        return [FitFolder(path) for path in sorted(folders, key=lambda path: int(path.name.removeprefix("fold")))]

    def source(self, name: str) -> FitFolder:
        """Return the fit of a protocol over sources that is named after a source."""
        return FitFolder(self.path / name)

    def domains(self, suffix: str) -> Path:
        """Return the table of a protocol over sources, as `.csv`, `.json` or `.md`."""
        return self.path / f"domains{suffix}"
