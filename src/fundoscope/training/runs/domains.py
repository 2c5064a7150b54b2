"""Train on some sources and test on others, for every division of a protocol; then one table.

    RUN/<source>/                 a fit, as any other, of the division named after what it leaves out (leave_one_out)
                                  or is trained on (single_source)
    RUN/<source>/photographs.json hashes of the photographs it learnt from
    RUN/<source>/predictions.csv  predictions for the photographs it was tested on
    RUN/domains.csv, .json, .md   GDRBench's table, with intervals
    RUN/out_of_fold.csv           leave_one_out: every source's photographs by the network that was not trained on it
    RUN/final/                    where asked: the fit on all sources

The photographs tested on are prepared before a fit, but given to nothing before it is finished: nothing is chosen by
what is reached on them. All are prepared in the one way that the experiment's recipe says.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Shaped

from fundoscope.data.manifest import with_hashes
from fundoscope.data.protocols import leave_one_out, train_only
from fundoscope.errors import BadExperiment
from fundoscope.evaluation.domains import DomainTable, domain_table
from fundoscope.files import write_text
from fundoscope.run_folder import FINAL, RESERVED, FitFolder, RunFolder
from fundoscope.tables import join, read_table, write_table
from fundoscope.training.batches.rows import Report, Rows, listed, prepared, to_learn
from fundoscope.training.experiment.bounds import LONGEST_NAME
from fundoscope.training.experiment.photographs import Domains
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.loop.progress import FitProgress, ProgressOfFits, RunProgress
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.runs.crossfit import cross_fit_answers
from fundoscope.training.runs.fits import fit_network
from fundoscope.training.runs.folder import write_place
from fundoscope.training.runs.held_out import check_sources
from fundoscope.training.runs.predict import answer, write_reference_set
from fundoscope.training.runs.record import (
    left_out_hashes,
    record_left_out_rows,
    record_protocol_rows,
    record_training_rows,
    usable_rows,
)

Sides = Shaped[np.ndarray, " photo"]
"""train, val, test or None for each photograph."""

OTHERS = "all others"
"""In the table of leave_one_out: what was trained on."""


@dataclass(frozen=True, slots=True)
class Part:
    """One fit of a protocol."""

    name: str
    """The source left out, trained on, or `final`."""
    sides: Sides
    fold: int | None = None


def train_domains(
    experiment: Experiment, run: Path, *, say: Report = lambda line: None, progress: RunProgress | None = None
) -> DomainTable:
    """Fit and test every division of the protocol, write the table, and fit on all sources where asked.

    A division whose predictions are there is not done again; a fit that was killed continues.

    Raises:
        BadExperiment: If a source's name cannot name a folder.
        BadRequest: If a source is not in the manifest, or a division leaves nothing to train or to test on.
        BadTable: If the manifest or a photograph cannot be read.
    """
    frame = listed(experiment)
    graded = frame[frame["grade"].notna()].reset_index(drop=True)
    if len(graded) < len(frame):
        say(f"{len(frame) - len(graded)} photographs without a grade are left out")
    graded = with_hashes(graded, Path(experiment.data.manifest).parent)
    files = RunFolder(run)
    begun, columns = files.held_out_rows.is_file(), ("grade", experiment.domains.by)
    if begun:
        graded = record_protocol_rows(graded, run, columns)
    parts = divisions(experiment.domains, graded)
    if experiment.domains.protocol == "leave_one_out":
        grades = graded["grade"].to_numpy(np.int64)
        check_sources({part.name: grades[_on(part.sides, ("test",))] for part in parts})
    final = Part(FINAL, everything(experiment.domains, graded)) if experiment.fit.final else None
    todo = [part for part in parts if not files.source(part.name).predictions.is_file()]
    finish = [final] if final and not files.final.weights.is_file() else []
    ready, place = _prepared(experiment, graded, [*todo, *finish], say, progress)
    hashes, left_out = left_out_hashes(run), []
    if not begun and ready is not None:
        left_out = [usable_rows(ready, run, experiment.data, say, splits=("all sources",))[1]]
        hashes = {stored.sha256 for stored in left_out[0].stored}
    todo, finish = (_without(part_list, graded, hashes) for part_list in (todo, finish))
    if not begun:
        record_left_out_rows(left_out, run)
        record_protocol_rows(graded, run, columns)
    write_place(experiment, run)
    sizes = [len(_on(part.sides, experiment.data.train)) for part in (*todo, *finish)]
    fits = ProgressOfFits(progress, sizes, experiment.fit.epochs + experiment.fit.rebalance_epochs)
    for number, part in enumerate(todo):
        _test(experiment, _taken(part, ready, place), run / part.name, say, fits.of(number))
    table = _table(experiment, graded, [part.name for part in parts], run)
    for line in table.to_markdown().splitlines():
        say(line)
    for part in finish:
        sides, rows = _taken(part, ready, place)
        network = _learn(experiment, (sides, rows), run / part.name, say, fits.of(len(todo)), note=run)
        write_reference_set(network, experiment, rows.take(_on(sides.sides, experiment.data.train)), run / part.name)
    return table


def divisions(domains: Domains, frame: pd.DataFrame) -> list[Part]:
    """The divisions of the protocol, in order of the sources' names.

    Args:
        domains: The protocol.
        frame: A checked manifest, every row with a grade.

    Raises:
        BadExperiment: If a source's name cannot name a folder.
        BadRequest: As `data.protocols`.
    """
    parts = []
    for number, name in enumerate(domains.targets or trainable(domains, frame)):
        if name in RESERVED or len(name) > LONGEST_NAME or not re.fullmatch(r"\w[\w .+-]*", name):
            raise BadExperiment(
                f"domains.by: expected names of letters, digits, spaces, dots, + and - in the column {domains.by}, for "
                f"each gets a folder, and none of {', '.join(RESERVED)}, got {name!r}. Rename it in the manifest"
            )
        fold = number if domains.protocol == "leave_one_out" else None
        parts.append(Part(name, _divided(domains, frame, name), fold))
    return parts


def _divided(domains: Domains, frame: pd.DataFrame, name: str) -> Sides:
    if domains.protocol == "single_source":
        # What is trained on stays whole, as in GDRBench: nearly every patient of RLDR has a photograph in EyePACS.
        divided = train_only(frame, name, by=domains.by, drop_from="test")
    else:
        divided = leave_one_out(frame, name, by=domains.by, never_train=_left_out(domains, frame))
    return divided["split"].to_numpy(object)


def everything(domains: Domains, frame: pd.DataFrame) -> Sides:
    """Each photograph on the side, train or val, that it has wherever its source is trained on; None: nowhere."""
    splits = [
        leave_one_out(frame, name, by=domains.by, never_train=_left_out(domains, frame))["split"].to_numpy(object)
        for name in trainable(domains, frame)
    ]
    sides = np.full(len(frame), None, dtype=object)
    for side in ("train", "val"):
        sides[np.any([split == side for split in splits], axis=0)] = side
    return sides


def trainable(domains: Domains, frame: pd.DataFrame) -> list[str]:
    """Sources of the manifest that may be trained on, by name."""
    return sorted({str(name) for name in frame[domains.by].dropna()} - set(domains.never_train))


def _left_out(domains: Domains, frame: pd.DataFrame) -> set[str]:
    """Sources never trained on, of those that are there: nobody need have all of EyePACS to leave it out."""
    return set(domains.never_train) & {str(name) for name in frame[domains.by].dropna()}


def _prepared(
    experiment: Experiment, frame: pd.DataFrame, parts: list[Part], say: Report, progress: RunProgress | None
) -> tuple[Rows | None, np.ndarray]:
    """The photographs that the parts need, and for each row of the manifest its place among them."""
    needed = np.zeros(len(frame), dtype=bool)
    for part in parts:
        needed |= _on(part.sides, (*experiment.data.train, *experiment.data.validate, "test"), mask=True)
    place = np.cumsum(needed) - 1
    if not needed.any():
        return None, place
    say(f"preparing {needed.sum()} photographs of {experiment.data.manifest}")
    return prepared(experiment, frame[needed].reset_index(drop=True), progress), place


def _without(parts: list[Part], frame: pd.DataFrame, hashes: set[str]) -> list[Part]:
    """The parts without the photographs that are left out.

    Raises:
        BadExperiment: If that leaves a part nothing to train or to test on.
    """
    left_out = frame["sha256"].isin(hashes).to_numpy()
    parts = [Part(part.name, _nowhere(part.sides, left_out), part.fold) for part in parts]
    for part in parts:
        counts = {side: len(_on(part.sides, (side,))) for side in ("train", "test")}
        if hashes and not all(counts[side] for side in (("train",) if part.name == FINAL else counts)):
            raise BadExperiment(
                f"{part.name}: expected gradable photographs to train and to test on, got {counts['train']} and "
                f"{counts['test']}. Set data.keep_ungradable=true, or choose other sources with domains.targets"
            )
    return parts


def _nowhere(sides: Sides, left_out: np.ndarray) -> Sides:
    sides = sides.copy()
    sides[left_out] = None
    return sides


def _taken(part: Part, ready: Rows | None, place: np.ndarray) -> tuple[Part, Rows]:
    """A part with the photographs on one of its sides."""
    assert ready is not None
    used = np.flatnonzero([side is not None for side in part.sides])
    return Part(part.name, part.sides[used], part.fold), ready.take(place[used])


def _on(sides: Sides, wanted: tuple[str, ...], *, mask: bool = False) -> np.ndarray:
    """Positions, or a mask, of the photographs on one of the sides."""
    among = np.isin(sides.astype(str), wanted)
    return among if mask else np.flatnonzero(among)


def _learn(
    experiment: Experiment,
    taken: tuple[Part, Rows],
    folder: Path,
    say: Report,
    progress: FitProgress | None,
    *,
    note: Path,
) -> GradingNetwork:
    """Fit on the sources' training side, watching their validation side; the fit is handed nothing else."""
    part, rows = taken
    train = record_training_rows(rows.take(_on(part.sides, experiment.data.train)), note)
    watched = rows.take(_on(part.sides, experiment.data.validate))
    say(f"{part.name}: {len(train)} train, {len(watched)} val, {len(_on(part.sides, ('test',)))} test")
    return fit_network(experiment, to_learn(experiment, train), watched or None, folder, progress=progress)


def _test(
    experiment: Experiment, taken: tuple[Part, Rows], folder: Path, say: Report, progress: FitProgress | None
) -> None:
    """Fit a part and, when it is finished, write what it says of the photographs tested on."""
    part, rows = taken
    network = _learn(experiment, taken, folder, say, progress, note=folder)
    train, tested = (rows.take(_on(part.sides, sides)) for sides in (experiment.data.train, ("test",)))
    write_table(answer(network, experiment, train, tested, fold=part.fold), FitFolder(folder).predictions)


def _table(experiment: Experiment, frame: pd.DataFrame, names: list[str], run: Path) -> DomainTable:
    """Write the table of all divisions and, under leave_one_out, their predictions together."""
    protocol, by = experiment.domains.protocol, experiment.domains.by
    files = RunFolder(run)
    answers = {name: read_table(files.source(name).predictions) for name in names}
    cells: dict[tuple[str, str], pd.DataFrame] = {}
    for name, answered in answers.items():
        rows_asked = frame[frame["image"].isin(answered["image"])]  # and not a copy of it that another source holds
        rows = join(answered, rows_asked, predictions_path=files.source(name).predictions).rows
        for tested, mine in rows.groupby(by, sort=True):
            cells[name if protocol == "single_source" else OTHERS, str(tested)] = mine.reset_index(drop=True)
    table = domain_table(cells, protocol=protocol)
    write_table(table.to_frame(), files.domains(".csv"))
    write_text(files.domains(".json"), json.dumps(table.to_dict(), indent=2) + "\n")
    write_text(files.domains(".md"), f"# {experiment.name}\n\n{table.to_markdown()}")
    if protocol == "leave_one_out":
        _out_of_fold(experiment, frame, pd.concat(answers.values(), ignore_index=True), run)
    return table


def _out_of_fold(experiment: Experiment, frame: pd.DataFrame, answers: pd.DataFrame, run: Path) -> None:
    """Each source's photographs, with what the others' set temperature, cuts and threshold to."""
    grade = dict(zip(frame["image"], frame["grade"], strict=True))
    grades = np.array([int(grade[image]) for image in answers["image"]], dtype=np.int64)
    write_table(cross_fit_answers(answers, grades, experiment), RunFolder(run).out_of_fold)
