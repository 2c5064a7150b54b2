"""Compare systems on the photographs that all of them answered: paired differences from the first, and one table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.cases import UNGRADABLE, UNREADABLE, Cases, cases_of
from fundoscope.evaluation.runs import Run, read_run_folder, recipe_words, seed_groups, shared_manifest
from fundoscope.evaluation.statistics.interval import INTERVALS, Interval
from fundoscope.evaluation.statistics.significance import NotWorse, not_worse
from fundoscope.evaluation.summary import Summary, summarise
from fundoscope.evaluation.systems import (
    LOWER_IS_BETTER,
    STATISTICS,
    Against,
    PairedDifferences,
    compare_systems,
    shared_answers,
    short_names,
)
from fundoscope.grades import GRADES
from fundoscope.records import without_nan
from fundoscope.tables.pair import pair_with, read_reference

MCNEMAR_UNIT: Final = "one case for each patient: the worst grade"

HEADLINES: Final = {
    "quadratic_kappa": "quadratic kappa",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mean_absolute_error": "mean absolute error",
    "any_auroc": "AUROC any",
    "referable_auroc": "AUROC referable",
    "sight_threatening_auroc": "AUROC sight-threatening",
    "calibration_error": "calibration error",
}
"""Statistics of the table: name in `Summary.intervals`, and in `systems.STATISTICS`."""

DME_HEADLINES: Final = {
    "referable_or_dme_auroc": "AUROC referable or DME",
    "sight_threatening_or_dme_auroc": "AUROC sight-threatening or DME",
    "referable_or_dme_sensitivity": "sensitivity referable or DME",
    "referable_or_dme_specificity": "specificity referable or DME",
}
"""The same where `dme` is known: names in `Summary.intervals`, and in `systems.DME_STATISTICS`."""

RECIPE: Final = tuple(recipe_words({}))
"""Headings of the recipe of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonOptions:
    """What is compared, and how the intervals are computed."""

    resamples: int = 2000
    """Bootstrap resamples of patients."""
    seed: int = 0
    """Seed of the resamples."""
    level: float = 0.95
    """Confidence level of the intervals."""
    method: str = "auto"
    """Method of the intervals, a name in `interval.INTERVALS`."""
    margins: Mapping[str, float] = field(default_factory=dict)
    """Non-inferiority margins by the name of the statistic in `systems.STATISTICS`."""
    with_table: bool = True
    """Whether to evaluate each system by itself, too."""

    def __post_init__(self) -> None:
        """Refuse margins of unknown statistics.

        Raises:
            ValueError: If a margin is of no statistic in `systems.STATISTICS`.
        """
        for name in self.margins:
            if name not in STATISTICS:
                raise ValueError(f"margins must be of {', '.join(STATISTICS)}, got {name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """One system in the table of a comparison: a run, or a table of predictions of any other."""

    name: str
    """Short, and different for each."""
    path: Path
    """As it was given."""
    run: Run | None
    summary: Summary
    """By itself, on the photographs that all answered."""
    against: Against | None
    """The first system against this one; None for the first."""

    @property
    def grade_f1(self) -> tuple[Interval, ...]:
        """F1 of grades 0 to 4."""
        return tuple(self.summary.intervals[f"grade{grade}_f1"] for grade in range(GRADES))

    @property
    def differences(self) -> dict[str, Interval]:
        """First system minus this one, by the names of `systems.STATISTICS`; empty for the first."""
        return {name: self.against.differences[name] for name in self.headlines.values()} if self.against else {}

    @property
    def headlines(self) -> dict[str, str]:
        """`HEADLINES`, and `DME_HEADLINES` where `dme` is known."""
        return HEADLINES | (DME_HEADLINES if self.summary.or_dme else {})


@dataclass(frozen=True, slots=True)
class Spread:
    """Runs of one recipe with several seeds: how far the seed alone moves each statistic."""

    name: str
    runs: tuple[str, ...]
    mean_and_sd: dict[str, tuple[float, float]]
    """Of each headline over the seeds; the standard deviation is that of a sample. Not the data's interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Each further system against the first."""

    paths: tuple[Path, ...]
    """Systems as they were given."""
    names: tuple[str, ...]
    """Short names, different for each."""
    manifest: Path
    split: str | None
    cases: Cases
    """Photographs that all graded, with the answers of the first."""
    left_out: dict[str, int]
    """Photographs that a system graded and others did not, by its path."""
    refused: dict[str, int]
    """Photographs with a reference grade that a system could not grade, by its path; left out for all systems."""
    paired: PairedDifferences
    table: tuple[System, ...]
    """Each system by itself; empty where it was not asked for."""
    options: ComparisonOptions

    def verdicts(self, at: int) -> dict[str, NotWorse]:
        """Return whether the first system and further system number `at` are not worse, by the name of the margin."""
        against = self.paired.against[at]
        differences, same = against.differences, against.identical
        return {
            name: not_worse(differences[name], margin, lower_is_better=name in LOWER_IS_BETTER, identical=name in same)
            for name, margin in self.options.margins.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent; `second` and `statistics` are of the first comparison."""
        comparisons = [
            {
                "first": str(self.paths[0]),
                "second": str(self.paths[at + 1]),
                "statistics": _entries(against, self.paired.holm[at]),
                "mcnemar": {
                    name: {**asdict(test), "p_holm": self.paired.holm[at][name]}
                    for name, test in against.mcnemar.items()
                },
                "not_worse": {name: asdict(verdict) for name, verdict in self.verdicts(at).items()},
                "identical": sorted(against.identical),
            }
            for at, against in enumerate(self.paired.against)
        ]
        record: dict[str, Any] = {
            "first": str(self.paths[0]),
            "second": str(self.paths[1]),
            "photographs": len(self.cases.reference),
            "patients": len(np.unique(self.cases.patients)),
            "without_patient": self.cases.without_patient,
            "resamples": self.options.resamples,
            "seed": self.options.seed,
            "level": self.options.level,
            "manifest": str(self.manifest),
            "split": self.split,
            "left_out": self.left_out,
            "refused": self.refused,
            "statistics": comparisons[0]["statistics"],
            "systems": [str(path) for path in self.paths],
            "interval": INTERVALS[self.options.method],
            "delong": self.paired.delong_method,
            "mcnemar_unit": MCNEMAR_UNIT,
            "holm_family": self.paired.family,
            "comparisons": comparisons,
        }
        return record | (table_to_dict(self.table) if self.table else {})


def compare_tables(
    systems: Sequence[Path],
    manifest: Path | None = None,
    *,
    split: str | None = None,
    options: ComparisonOptions | None = None,
) -> Comparison:
    """Compare systems on the photographs that all of them graded, each with the first.

    What a system refused is in none of its figures: how many it refused stands beside them (`Comparison.refused`).

    Args:
        systems: At least two; each a table of predictions, or the folder of a run.
        manifest: Table with the reference grades; None: the one that all runs were made with.
        split: Split of the manifest to compare on; None: all rows.
        options: What is compared; by default everything.

    Raises:
        BadRequest: If there are fewer than two systems, a folder is no finished run, or no manifest is known.
        BadTable: If a table is not usable, or the systems have no answers of one kind on the same photographs.
        BadCheckpoint: If a file of a run is damaged.
    """
    chosen = options or ComparisonOptions()
    if len(systems) < 2:
        came = "no manifest" if manifest is None else f"the manifest {manifest}"
        raise BadRequest(
            f"compare: expected two or more runs or tables of predictions, and a manifest, got {len(systems)} and "
            f"{came}. Name the manifest last; runs alone need none."
        )
    runs = [read_run_folder(path) if path.is_dir() else None for path in systems]
    place = _manifest_of(systems, runs) if manifest is None else manifest
    tables = [path if run is None else run.table for path, run in zip(systems, runs, strict=True)]
    cases, left_out, refused = _shared(systems, tables, place, split)
    resampling: dict[str, Any] = {"resamples": chosen.resamples, "level": chosen.level, "method": chosen.method}
    paired = compare_systems(cases, rng=np.random.default_rng(chosen.seed), **resampling)
    names = short_names(systems)
    table = [
        System(
            name=name,
            path=path,
            run=run,
            summary=summarise(own, seed=chosen.seed, **resampling),
            against=against,
        )
        for name, path, run, own, against in zip(names, systems, runs, cases, (None, *paired.against), strict=True)
        if chosen.with_table
    ]
    return Comparison(
        paths=tuple(systems),
        names=names,
        manifest=place,
        split=split,
        cases=cases[0],
        left_out=left_out,
        refused=refused,
        paired=paired,
        table=tuple(table),
        options=chosen,
    )


def _manifest_of(systems: Sequence[Path], runs: Sequence[Run | None]) -> Path:
    """Return the manifest that all runs name."""
    for path, run in zip(systems, runs, strict=True):
        if run is None:
            raise BadRequest(
                f"{path}: expected a manifest for a table of predictions, got none. Name the manifest last."
            )
    return shared_manifest([run for run in runs if run is not None])


def _shared(
    systems: Sequence[Path], tables: Sequence[Path], manifest: Path, split: str | None
) -> tuple[list[Cases], dict[str, int], dict[str, int]]:
    """Return every system's cases on the photographs that all graded, how many more each graded, and each refused."""
    reference = read_reference(manifest, split=split)
    own = [cases_of(pair_with(table, reference).rows) for table in tables]
    kinds, answered = shared_answers(own)
    paths = " and ".join(map(str, systems))
    if not kinds and all(len(cases.rows) for cases in own):
        raise BadTable(
            f"{paths}: expected answers of one kind from all, got none that all give. Compare tables that all have "
            "grade, all p_referable, or all p0 to p4."
        )
    rows = [cases.rows[inside] if kinds else cases.rows for cases, inside in zip(own, answered, strict=True)]
    shared = set.intersection(*(set(frame["image"]) for frame in rows))
    if len(shared) < 2:
        raise BadTable(
            f"{paths}: expected photographs of {manifest} that all graded, got {len(shared)} "
            f"({', '.join(str(len(frame)) for frame in rows)} by each alone). Compare systems on the same photographs; "
            "write image as the manifest does, in every table."
        )
    kept = [cases_of(frame[frame["image"].isin(shared)]) for frame in rows]
    counts = zip(systems, rows, kept, strict=True)
    lacking = [sum(status in (UNGRADABLE, UNREADABLE) for status in cases.status) for cases in own]
    refused = dict(zip(map(str, systems), lacking, strict=True))
    return kept, {str(path): len(frame) - len(cases.rows) for path, frame, cases in counts}, refused


def _entries(against: Against, corrected: Mapping[str, float]) -> dict[str, Any]:
    """Convert the statistics of one comparison for JSON."""
    entries = {}
    for name, difference in against.differences.items():
        first, second = against.values[name]
        entry: dict[str, Any] = {
            "first": first,
            "second": second,
            "difference": difference.estimate,
            "low": difference.low,
            "high": difference.high,
            "undefined": difference.undefined,
        }
        if name in against.delong:
            test = against.delong[name]
            entry |= {"delong_low": test.low, "delong_high": test.high, "delong_z": test.z, "delong_p": test.p}
            entry["p_holm"] = corrected[name]
        entries[name] = without_nan(entry)
    return entries


def seed_spreads(systems: Sequence[System]) -> list[Spread]:
    """Compute mean and standard deviation over the seeds of each recipe that was run with several."""
    by_name = {system.name: system for system in systems}
    groups = seed_groups({system.name: system.run for system in systems if system.run})
    return [
        Spread(
            recipe,
            names,
            {
                key: _mean_and_sd([by_name[name].summary.intervals[key].estimate for name in names])
                for key in by_name[names[0]].headlines
            },
        )
        for recipe, names in groups.items()
    ]


def _mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    if any(map(math.isnan, values)):
        return math.nan, math.nan
    return statistics.mean(values), statistics.stdev(values)


def system_record(system: System) -> dict[str, Any]:
    """Convert one system to numbers: bounds in columns of their own, what is not known blank."""
    run = system.run
    record: dict[str, Any] = {"system": str(system.path), "name": system.name}
    recipe = recipe_words(run.experiment) if run else dict.fromkeys(RECIPE, "")
    record |= {name.replace(" ", "_"): words for name, words in recipe.items()}
    record |= {
        "parameters": run.parameters if run else None,
        "photographs_per_second": run.photographs_per_second if run else None,
        "minutes": run.minutes if run else None,
        "photographs": system.summary.counts["photographs"],
        "patients": system.summary.counts["patients"],
    }
    for name in (*system.headlines, *(f"grade{grade}_f1" for grade in range(GRADES))):
        record |= dict(_bounds(name, system.summary.intervals[name]))
    for name, statistic in system.headlines.items():
        record |= dict(_bounds(f"{name}_first_minus_this", system.differences.get(statistic)))
    return record


def _bounds(name: str, interval: Interval | None) -> Iterator[tuple[str, float | None]]:
    ends = {} if interval is None else interval.ends()
    for suffix, key in (("", "estimate"), ("_low", "low"), ("_high", "high")):
        yield name + suffix, ends.get(key)


def table_to_dict(systems: Sequence[System]) -> dict[str, Any]:
    """Convert table, confusion matrices, learning curves and seeds to what JSON can represent: no NaN."""
    return {
        "table": [
            {
                **system_record(system),
                "confusion": [list(row) for row in system.summary.confusion],
                "curves": [asdict(curve) for curve in system.run.curves] if system.run else [],
            }
            for system in systems
        ],
        "seeds": [
            {
                "recipe": spread.name,
                "runs": list(spread.runs),
                "statistics": {
                    name: without_nan({"mean": mean, "sd": sd}) for name, (mean, sd) in spread.mean_and_sd.items()
                },
            }
            for spread in seed_spreads(systems)
        ],
    }
