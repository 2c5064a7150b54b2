"""Run folders read for comparing: recipe, log, predictions, parameters and times, without torch.

RUN/experiment.json                        the experiment, resolved
RUN/out_of_fold.csv, RUN/predictions.csv   what is compared; the first where there are both
RUN/fold0/, ..., RUN/final/                one fit each: log, log2, ..., network.safetensors, timing.json
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadCheckpoint, BadRequest
from fundoscope.files import sha256_of
from fundoscope.run_folder import FitFolder, RunFolder

STATISTICS_OF_BATCHES: Final = frozenset({"running_mean", "running_var", "num_batches_tracked"})
"""Last part of the names of stored tensors that are counted over photographs, not learned."""

HEADER_LIMIT: Final = 100_000_000
"""Longest header of a safetensors file that is read, in bytes: the format's own limit."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What one fit wrote down. Epochs are those finished, from 1."""

    fit: str
    """fold0, fold1, ... or final."""
    losses: tuple[tuple[int, float], ...]
    """Epoch, and the mean training loss of its steps."""
    kappas: tuple[tuple[int, float], ...]
    """Epoch, and quadratic kappa on the fit's validation photographs; empty where it has none."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one fit took."""

    seconds: float
    photographs: int
    """Shown in all epochs together."""
    threads: int
    device: str
    attempts: tuple[tuple[int, int], ...] = ()
    """First and last step of each, where a fit was killed and resumed; empty where an earlier version did not say."""

    @property
    def gapless(self) -> bool:
        """Whether the attempts that were timed reach from the first step to the last."""
        ends = [last for _, last in self.attempts]
        return bool(ends) and all(first <= end for (first, _), end in zip(self.attempts, [0, *ends], strict=False))


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run."""

    folder: Path
    experiment: dict[str, Any]
    """Nested plain values; runs of earlier versions lack the sections that came later."""
    table: Path
    """Its predictions."""
    curves: tuple[Curve, ...]
    """Of each fit that has a log, folds first."""
    parameters: int | None
    """Numbers that are learned or frozen, in the whole stored network; None where no network is stored."""
    timings: tuple[Timing, ...]
    timed_whole: bool
    """Whether every fit was timed from its first step; of a resumed one an earlier version timed the last attempt."""

    @property
    def manifest(self) -> Path:
        """The manifest as the experiment names it; a relative path starts at the working directory."""
        return Path(str(setting(self.experiment, "data", "manifest") or ""))

    @property
    def photographs_per_second(self) -> float | None:
        """Training speed over all fits that were timed; None where none was."""
        seconds = sum(timing.seconds for timing in self.timings)
        return sum(timing.photographs for timing in self.timings) / seconds if self.timings else None

    @property
    def minutes(self) -> float | None:
        """Training time of all fits together; None unless every one was timed as a whole."""
        return sum(timing.seconds for timing in self.timings) / 60 if self.timed_whole else None

    @property
    def chosen_on_what_is_measured(self) -> bool:
        """Whether the weights were kept for their kappa on the very photographs that the table grades."""
        return bool(setting(self.experiment, "fit", "keep") == "best")


def read_run_folder(folder: Path | str) -> Run:
    """Read a finished run.

    Raises:
        BadRequest: If the folder is no run, or its predictions are not there yet.
        BadCheckpoint: If a file of the run is damaged.
    """
    place = Path(folder)
    files = RunFolder(place)
    if not files.experiment.is_file():
        raise BadRequest(
            f"{place}: expected the folder of a run, got one without {files.experiment.name}. "
            "Give a folder that `fundoscope train` wrote, or a table of predictions."
        )
    # No trained-on photograph is in either; the first that is there is the run's.
    tables = (files.out_of_fold, files.predictions)
    table = next((path for path in tables if path.is_file()), None)
    fits = [fit for fit in (*files.folds(), files.final) if fit.path.is_dir()]
    if table is None:
        done = sum(fit.weights.is_file() for fit in fits)
        raise BadRequest(
            f"{place}: expected a finished run with {' or '.join(path.name for path in tables)}, got neither ({done} "
            f"of {len(fits)} fits begun are done). Finish it with `fundoscope train --resume {place}`; a run without "
            "folds needs rows to validate on (data.validate)."
        )
    experiment = _json(files.experiment)
    curves = tuple(curve for curve in map(_curve, fits) if curve.losses or curve.kappas)
    stored = [fit.weights for fit in fits if fit.weights.is_file()]
    parameters = count_parameters(stored[-1]) if stored else None
    timed = [(fit, _timing(fit.timing)) for fit in fits]
    timings = tuple(timing for _, timing in timed if timing is not None)
    complete = bool(fits) and all(
        timing is not None and (timing.gapless or len(fit.metrics) < 2) for fit, timing in timed
    )
    return Run(place, experiment, table, curves, parameters, timings, complete)


def setting(experiment: Mapping[str, Any], section: str, key: str) -> Any:
    """A value of the experiment; None where its version did not have it yet."""
    values = experiment.get(section)
    return values.get(key) if isinstance(values, Mapping) else None


def recipe_words(experiment: Mapping[str, Any]) -> dict[str, str]:
    """How the run was made, in a few words each; empty where the file does not say."""

    def of(section: str, key: str) -> Any:
        return setting(experiment, section, key)

    hidden = f" ({of('network', 'hidden')} hidden)" if of("network", "hidden") else ""
    folds = of("data", "folds")
    return {
        "experiment": str(experiment.get("name") or ""),
        "backbone": str(of("network", "backbone") or ""),
        "head": _both(of("network", "head"), of("network", "second_head")) + hidden,
        "loss": _both(of("loss", "name"), of("loss", "second"), of("loss", "second_weight")),
        "side": str(of("recipe", "side") or ""),
        "preprocessing": _both(of("recipe", "crop"), of("recipe", "enhance")),
        "sampling": _sampling(experiment),
        "epochs": str(of("fit", "epochs") or ""),
        "seed": str(experiment.get("seed", "")),
        "measured on": f"{folds} folds by patient" if folds else f"split {', '.join(of('data', 'validate') or ())}",
    }


def _both(first: Any, second: Any, weight: Any = None) -> str:
    words = str(first or "")
    if second in (None, "none"):
        return words
    return f"{words} + {weight:g} {second}" if isinstance(weight, float) else f"{words} + {second}"


def _sampling(experiment: Mapping[str, Any]) -> str:
    strategy = setting(experiment, "sampling", "strategy") or "none"
    if strategy == "weights":
        strategy += " " + " ".join(f"{weight:g}" for weight in setting(experiment, "sampling", "weights") or ())
    weights = setting(experiment, "loss", "class_weights") or "none"
    words = [] if strategy == "none" else [strategy]
    words += [] if weights == "none" else [f"loss weighted {weights}"]
    return ", ".join(words) or "none"


def shared_manifest(runs: Sequence[Run]) -> Path:
    """The manifest that all runs were made with: one path, or files of one content.

    Raises:
        BadRequest: If a manifest cannot be found from here, or they differ.
    """
    for run in runs:
        if not run.manifest.is_file():
            raise BadRequest(
                f"{run.folder}: expected the manifest that its {RunFolder(run.folder).experiment.name} names, got no "
                f"such file: {run.manifest}. "
                "Start in the folder where the run was started, or name the manifest last."
            )
    first, *others = runs
    for other in others:
        same = other.manifest.resolve() == first.manifest.resolve()
        if not same and sha256_of(other.manifest) != sha256_of(first.manifest):
            raise BadRequest(
                f"{first.folder} and {other.folder}: expected runs on one manifest, got {first.manifest} and "
                f"{other.manifest}, whose contents differ. Name the manifest to compare on last."
            )
    return first.manifest


def seed_groups(runs: Mapping[str, Run]) -> dict[str, tuple[str, ...]]:
    """Runs of one recipe that differ in `seed` only, two seeds at least; of one seed given twice the first counts.

    Args:
        runs: By name.

    Returns:
        The names of each group's runs, by what the names begin with in common (else the first one's).
    """
    seeds_of: dict[str, dict[int, str]] = defaultdict(dict)
    for name, run in runs.items():
        recipe = json.dumps({key: value for key, value in run.experiment.items() if key != "seed"}, sort_keys=True)
        seeds_of[recipe].setdefault(int(run.experiment.get("seed", 0)), name)
    groups = [tuple(by_seed.values()) for by_seed in seeds_of.values() if len(by_seed) > 1]
    starts = [_start(group) for group in groups]
    return {
        (start if starts.count(start) == 1 else group[0]): group for start, group in zip(starts, groups, strict=True)
    }


def _start(names: Sequence[str]) -> str:
    """What all names begin with, without a trailing `_s`, `-seed` or the like."""
    common = reduce(lambda one, other: one[: _agree(one, other)], names)
    return re.sub(r"[-_./ ]*(s|seed)?[-_./ ]*$", "", common) or names[0]


def _agree(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def count_parameters(path: Path) -> int:
    """Numbers in a safetensors file, batch statistics and other whole-number counters left out.

    Only the header is read: its length in 8 bytes (little-endian), then JSON with each tensor's type and shape.

    Raises:
        BadCheckpoint: If the header cannot be read.
    """
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > HEADER_LIMIT:
                raise ValueError(f"a header of {length} bytes")
            header = json.loads(file.read(length))
        return sum(
            math.prod(tensor["shape"])
            for name, tensor in header.items()
            if name != "__metadata__" and _is_learned(name, tensor["dtype"])
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadCheckpoint(
            f"{path}: expected weights in safetensors format, got: {error}. Train that fit again."
        ) from error


def _is_learned(name: str, dtype: str) -> bool:
    return name.rpartition(".")[2] not in STATISTICS_OF_BATCHES and "F" in dtype


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadCheckpoint(
            f"{path}: expected a JSON object, got: {error}. Copy the file again, or train again."
        ) from error
    if not isinstance(values, dict):
        raise BadCheckpoint(
            f"{path}: expected a JSON object, got {type(values).__name__}. Copy the file again, or train again."
        )
    return values


def _timing(path: Path) -> Timing | None:
    """None where there is no file, or nothing in it: a fit that was killed after its last step had nothing left."""
    if not path.is_file():
        return None
    values = _json(path)
    try:
        timing = Timing(
            float(values["seconds"]),
            int(values["photographs"]),
            int(values["threads"]),
            str(values["device"]),
            tuple((int(attempt["first_step"]), int(attempt["last_step"])) for attempt in values.get("attempts", ())),
        )
        if not timing.seconds >= 0:
            raise ValueError(f"{timing.seconds} seconds")
    except (KeyError, TypeError, ValueError) as error:
        raise BadCheckpoint(
            f"{path}: expected seconds (0 or more), photographs, threads and device, got: {error!r}. Delete the file."
        ) from error
    return timing if timing.seconds > 0 else None


@dataclass(frozen=True, slots=True)
class _Step:
    """A row of the log."""

    step: int
    epoch: int
    loss: float | None
    kappa: float | None


def _curve(fit: FitFolder) -> Curve:
    steps: list[_Step] = []
    for log in fit.metrics:
        later = list(_steps(log))
        if later:
            begins = min(row.step for row in later)
            steps = [row for row in steps if row.step < begins] + later
    losses: dict[int, list[float]] = defaultdict(list)
    for row in steps:
        if row.loss is not None:
            losses[row.epoch + 1].append(row.loss)
    kappas = {row.epoch + 1: row.kappa for row in steps if row.kappa is not None}
    means = tuple((epoch, sum(values) / len(values)) for epoch, values in sorted(losses.items()))
    return Curve(fit.path.name, means, tuple(sorted(kappas.items())))


def _steps(path: Path) -> Iterator[_Step]:
    with open(path, encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                step, epoch = int(row["step"]), int(row["epoch"])
                yield _Step(step, epoch, _number(row.get("train/loss")), _number(row.get("val/kappa")))
            except (KeyError, TypeError, ValueError) as error:
                raise BadCheckpoint(
                    f"{path}, line {number}: expected numbers under step, epoch, train/loss and val/kappa, got: "
                    f"{error!r}. Delete the line."
                ) from error


def _number(text: str | None) -> float | None:
    return float(text) if text else None
