"""GDRBench's table: what graders reach on sources they were not trained on, each and on average, with intervals.

Che, Cheng, Jin and Chen, MICCAI 2023 (github.com/chehx/DGDR, utils/validate.py) give AUROC one against one, accuracy
and macro F1, without intervals; quadratic kappa, which they do not give, stands beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from fundoscope.evaluation.cases import Cases, cases_of
from fundoscope.evaluation.statistics.agreement import agreement_statistics, class_statistics, confusions
from fundoscope.evaluation.statistics.detection import one_vs_one
from fundoscope.evaluation.statistics.interval import INTERVALS, Interval, Statistics, Weights, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.grades import GRADES
from fundoscope.records import without_nan
from fundoscope.tables import patient_keys

METRICS: Final = {
    "auroc_one_vs_one": "AUROC, one against one",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "quadratic_kappa": "quadratic kappa",
}
"""What is measured, and how its column is called."""

AVERAGE: Final = "average"
"""In place of a source's name: the mean over the sources tested on."""

SCHEMA: Final = 1

Cells = Mapping[tuple[str, str], pd.DataFrame]
"""By what was trained on and what was tested on: `Joined.rows` of predictions and reference grades."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainRow:
    """What one network, or the mean of several, reached on one source, or on the mean of several."""

    trained: str
    """Source trained on, or `all others`."""
    tested: str
    """Source tested on, or `average`."""
    photographs: int
    patients: int
    lacking: tuple[int, ...]
    """Grades that no photograph tested has (in an average: in some source): AUROC and F1 are the means without them."""
    intervals: dict[str, Interval]
    """By the names of `METRICS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainTable:
    """All rows, those of one training set together and their average after them."""

    rows: tuple[DomainRow, ...]
    protocol: str
    level: float
    resamples: int
    seed: int

    def to_frame(self) -> pd.DataFrame:
        """One line for each row; a blank where there is no figure or no interval."""
        return pd.DataFrame([_record(row) for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        settings = {"interval": INTERVALS["auto"], "level": self.level, "resamples": self.resamples}
        return {"schema": SCHEMA, "protocol": self.protocol, **settings, "seed": self.seed} | {
            "rows": [without_nan(_record(row)) for row in self.rows]
        }

    def to_markdown(self) -> str:
        """What GDRBench prints: per source tested, or (single source) per source trained on, and the average."""
        single = self.protocol == "single_source"
        shown = [row for row in self.rows if not single or row.tested == AVERAGE]
        heads = ["trained on" if single else "tested on", "photographs", *METRICS.values(), "grades missing"]
        lines = [_line(heads), _line(["---"] * len(heads))]
        for row in shown:
            figures = [_shown(row.intervals[name]) for name in METRICS]
            named = row.trained if single else row.tested
            lines.append(_line([named, str(row.photographs), *figures, _grades(row.lacking)]))
        note = (
            f"Intervals: {self.level:.0%}, {INTERVALS['auto']}, {self.resamples} resamples; of a source's "
            "accuracy the wider of it and Wilson's. Where a grade is "
            "missing, AUROC is the mean over the pairs of grades that occur, and macro F1 over the grades that occur "
            "or are answered."
        )
        return "\n".join([*lines, "", note]) + "\n"


def domain_table(
    cells: Cells, *, protocol: str, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> DomainTable:
    """Measure every cell, and the average of each training set's.

    Args:
        cells: In the order of the table; all with reference grades and p0 to p4.
        protocol: `leave_one_out`: one average of all. `single_source`: one for each training set, then one of all.
        resamples: Draws of patients.
        seed: Seed of the resamples; the same seed gives the same intervals, which are those of `fundoscope evaluate`.
        level: Confidence level of the intervals.

    Returns:
        An average is the plain mean of the cells' figures, however many photographs each has; a patient drawn for its
        interval is drawn in every cell that shows one of their photographs. It has no figure where a cell has none.
    """
    options: dict[str, Any] = {"level": level, "resamples": resamples}
    cases = {cell: cases_of(frame) for cell, frame in cells.items()}
    rows: list[DomainRow] = []
    for trained in dict.fromkeys(trained for trained, _ in cells):
        of_network = {tested: case for (source, tested), case in cases.items() if source == trained}
        for tested, case in of_network.items():
            rng = np.random.default_rng(seed)
            intervals = patient_intervals(_statistics(case), case.patients, rng=rng, **options)
            right = Rate(case.answered == case.reference, np.ones(len(case.reference), dtype=bool))
            rows.append(_row(trained, tested, [case], widened(intervals, {"accuracy": right}, case.patients)))
        if protocol == "single_source":
            rows.append(_average(trained, list(of_network.values()), seed, options))
    rows.append(_average(AVERAGE if protocol == "single_source" else trained, list(cases.values()), seed, options))
    return DomainTable(rows=tuple(rows), protocol=protocol, level=level, resamples=resamples, seed=seed)


def _statistics(cases: Cases) -> Statistics:
    def statistics(weights: Weights) -> Mapping[str, np.ndarray]:
        counts = confusions(weights, cases.reference, cases.answered)
        values = agreement_statistics(counts) | class_statistics(counts)
        values["auroc_one_vs_one"] = one_vs_one(weights, cases.reference, cases.probabilities)
        return {name: values[name] for name in METRICS}

    return statistics


def _average(trained: str, cells: list[Cases], seed: int, options: Mapping[str, Any]) -> DomainRow:
    statistics_of_cells = [_statistics(cases) for cases in cells]
    ends = np.cumsum([len(cases.reference) for cases in cells])
    # The columns of the weights that are each cell's photographs.
    parts = [slice(end - len(cases.reference), end) for end, cases in zip(ends.tolist(), cells, strict=True)]

    def statistics(weights: Weights) -> Mapping[str, np.ndarray]:
        values = [of_cell(weights[:, part]) for of_cell, part in zip(statistics_of_cells, parts, strict=True)]
        return {name: np.mean([of_cell[name] for of_cell in values], axis=0) for name in METRICS}

    intervals = patient_intervals(statistics, _patients(cells), rng=np.random.default_rng(seed), **options)
    return _row(trained, AVERAGE, cells, intervals)


def _patients(cells: list[Cases]) -> np.ndarray:
    """Number of each photograph's patient, the same in all cells."""
    keys = [key for cases in cells for key in patient_keys(cases.rows)]
    number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def _row(trained: str, tested: str, cells: list[Cases], intervals: dict[str, Interval]) -> DomainRow:
    lacking = sorted({grade for cases in cells for grade in range(GRADES) if not (cases.reference == grade).any()})
    return DomainRow(
        trained=trained,
        tested=tested,
        photographs=sum(len(cases.reference) for cases in cells),
        patients=len(np.unique(_patients(cells))),
        lacking=tuple(lacking),
        intervals=intervals,
    )


def _record(row: DomainRow) -> dict[str, Any]:
    record: dict[str, Any] = {"trained_on": row.trained, "tested_on": row.tested, "photographs": row.photographs}
    record |= {"patients": row.patients, "grades_missing": _grades(row.lacking)}
    for name in METRICS:
        interval = row.intervals[name]
        record |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return record


def _grades(lacking: tuple[int, ...]) -> str:
    return " ".join(map(str, lacking))


def _shown(interval: Interval) -> str:
    if math.isnan(interval.estimate):
        return "n/a"
    bounds = "no interval" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"
    return f"{interval.estimate:.3f} ({bounds})"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
