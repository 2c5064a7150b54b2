"""What a table of stress says: dose-response of AUROC, refusals, changed decisions, confident mistakes, and one figure.

The figure by which systems are chosen is the mean of the AUROC on clean photographs and of its mean over all conditions
that were graded often enough. Choosing by clean photographs alone prefers what fits their camera.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.cases import GRADED
from fundoscope.evaluation.statistics.detection import of_auroc
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, rate_interval
from fundoscope.evaluation.statistics.sums import Found, Sums, Together
from fundoscope.evaluation.stress.stress_set import CLEAN, DISTURBANCES
from fundoscope.grades import REFER, REFERABLE, RESCREEN
from fundoscope.records import null_if_nan
from fundoscope.tables.patients import patient_keys

FEWEST: Final = 10
"""Photographs with and without referable disease that a condition needs, of each, to have an AUROC."""

SURE: Final = 0.1
"""Without sets of grades, a probability of referable disease this near to 0 or 1 is a confident answer."""

REFUSED_FROM: Final = 0.5
"""Share of refused photographs from which a gate is said to refuse a dose."""

Mask = Bool[np.ndarray, " photo"]

Condition = tuple[str, int]
"""Name of a disturbance, and a dose from 1; (`CLEAN`, 0)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a system under one condition, photograph by photograph."""

    graded: Mask
    score: Float[np.ndarray, " photo"]
    """Probability of referable disease; NaN where it was refused."""
    refers: Mask
    rescreens: Mask
    sure_healthy: Mask
    """Answered without referable disease, and confidently: its set of grades has none, or the probability is low."""
    sure_referable: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class StressTable:
    """A table of stress as arrays: photographs that were read and, clean, were graded."""

    system: str
    stress_set: str
    images: tuple[str, ...]
    sha256: tuple[str, ...]
    positive: Mask
    """Whose reference grade is referable."""
    patients: np.ndarray
    """Number of each photograph's patient."""
    answers: Mapping[Condition, Answers]
    refused_clean: int
    """Photographs that were refused as they are; they are in no figure."""
    unreadable: int

    @property
    def conditions(self) -> list[Condition]:
        """Of the stress set, without the clean one."""
        return [condition for condition in self.answers if condition != (CLEAN, 0)]

    @property
    def clean(self) -> Answers:
        """Answers to the untouched photographs."""
        return self.answers[CLEAN, 0]

    def countable(self, condition: Condition) -> bool:
        """Return whether enough photographs were graded under a condition for an AUROC."""
        return enough(self.positive, self.answers[condition].graded)


def enough(positive: Mask, inside: Mask) -> bool:
    """Return whether there are enough photographs of both kinds."""
    return int((positive & inside).sum()) >= FEWEST and int((~positive & inside).sum()) >= FEWEST


def check_enough(manifest: Path, references: Sequence[int]) -> None:
    """Refuse photographs among which too few have, or too few have not, referable disease.

    Raises:
        BadRequest: If so.
    """
    referable = sum(grade >= REFERABLE for grade in references)
    if min(referable, len(references) - referable) < FEWEST:
        raise BadRequest(
            f"{manifest}: expected at least {FEWEST} photographs with and {FEWEST} without referable disease, got "
            f"{referable} and {len(references) - referable}. Use more photographs."
        )


def read_stress(frame: pd.DataFrame) -> StressTable:
    """Read the rows that `measure` made.

    Raises:
        BadTable: If they are of several stress sets or systems, or no photograph was graded clean.
    """
    names = {column: sorted(set(frame[column].astype(str))) for column in ("stress_set", "release")}
    for column, values in names.items():
        if len(values) != 1:
            raise BadTable(f"stress table: expected one {column}, got {', '.join(values) or 'none'}. Name another.")
    clean = frame[frame["disturbance"] == CLEAN].reset_index(drop=True)
    kept = clean[clean["status"] == GRADED].reset_index(drop=True)
    if not len(kept):
        raise BadTable("stress table: expected photographs that are graded when clean, got none. Name others.")
    keys = patient_keys(kept)
    number = {key: at for at, key in enumerate(dict.fromkeys(keys))}
    condition_of = list(zip(frame["disturbance"].astype(str), frame["dose"].astype(int), strict=True))
    by_condition = {
        condition: _answers(frame[[one == condition for one in condition_of]], kept["image"])
        for condition in dict.fromkeys(condition_of)
    }
    order = {CLEAN: -1} | {name: at for at, name in enumerate(DISTURBANCES)}
    return StressTable(
        system=names["release"][0],
        stress_set=names["stress_set"][0],
        images=tuple(kept["image"].astype(str)),
        sha256=tuple(kept["sha256"].astype(str)),
        positive=kept["reference"].to_numpy(np.int64) >= REFERABLE,
        patients=np.array([number[key] for key in keys]),
        answers=dict(sorted(by_condition.items(), key=lambda item: (order[item[0][0]], item[0][1]))),
        refused_clean=int((~clean["status"].isin([GRADED, "unreadable"])).sum()),
        unreadable=int((clean["status"] == "unreadable").sum()),
    )


def _answers(rows: pd.DataFrame, images: pd.Series) -> Answers:
    of = rows.set_index("image").reindex(images)
    graded = (of["status"] == GRADED).to_numpy(bool)
    score = np.where(graded, of["p_referable"].to_numpy(np.float64), np.nan)
    refers, rescreens = ((of["decision"] == word).to_numpy(bool) & graded for word in (REFER, RESCREEN))
    sets = [[] if pd.isna(text) else [int(grade) for grade in str(text).split()] for text in of["grades_set"]]
    has_set = np.array([bool(members) for members in sets])
    none_referable = np.array([bool(members) and max(members) < REFERABLE for members in sets])
    all_referable = np.array([bool(members) and min(members) >= REFERABLE for members in sets])
    return Answers(
        graded=graded,
        score=score,
        refers=refers,
        rescreens=rescreens,
        sure_healthy=graded & rescreens & np.where(has_set, none_referable, score <= SURE),
        sure_referable=graded & refers & np.where(has_set, all_referable, score >= 1 - SURE),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseFigures:
    """One disturbance in one dose."""

    disturbance: str
    dose: int
    amount: float
    graded: int
    refused: Interval
    """Share of the photographs that were graded clean."""
    auroc: Interval
    """Of referable disease, among the photographs graded; NaN where there are too few."""
    change: Interval
    """AUROC less that of the same photographs clean."""
    sensitivity: Interval
    """Of the decision, among those graded; `specificity` likewise."""
    specificity: Interval
    to_healthier: int
    """Decisions that changed from refer to rescreen."""
    to_referred: int
    """Decisions that changed from rescreen to refer."""
    sure_misses: int
    """Referable photographs that are rescreened confidently."""
    sure_alarms: int
    """Photographs without referable disease that are referred confidently."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        record: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            record[name] = value.to_dict() if isinstance(value, Interval) else value
        return record


@dataclass(frozen=True, slots=True, kw_only=True)
class StressSummary:
    """All figures of one system."""

    table: StressTable
    clean: Interval
    """AUROC of referable disease on the untouched photographs."""
    stressed: Interval
    """Its mean over the conditions that count."""
    criterion: Interval
    """Mean of the two: what systems are chosen by."""
    clean_sensitivity: Interval
    clean_specificity: Interval
    doses: tuple[DoseFigures, ...]
    counted: tuple[Condition, ...]
    """Conditions in `stressed`."""
    resamples: int
    seed: int
    level: float

    def refusing_dose(self, disturbance: str) -> int | None:
        """Return the first dose at which at least half of the photographs are refused; None: none."""
        refusing = [
            one.dose for one in self.doses if one.disturbance == disturbance and one.refused.estimate >= REFUSED_FROM
        ]
        return min(refusing, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent."""
        table, names = self.table, dict.fromkeys(one.disturbance for one in self.doses)
        return {
            "stress_set": table.stress_set,
            "system": table.system,
            "photographs": len(table.images),
            "referable": int(table.positive.sum()),
            "patients": len(np.unique(table.patients)),
            "refused_clean": table.refused_clean,
            "unreadable": table.unreadable,
            "level": self.level,
            "resamples": self.resamples,
            "seed": self.seed,
            "clean_auroc": self.clean.to_dict(),
            "stressed_auroc": self.stressed.to_dict(),
            "criterion": self.criterion.to_dict(),
            "clean_sensitivity": self.clean_sensitivity.to_dict(),
            "clean_specificity": self.clean_specificity.to_dict(),
            "conditions_counted": len(self.counted),
            "conditions": len(self.doses),
            "refusing_dose": {name: self.refusing_dose(name) for name in names},
            "doses": [one.to_dict() for one in self.doses],
        }


def summarise_stress(table: StressTable, *, resamples: int = 1000, seed: int = 0, level: float = 0.95) -> StressSummary:
    """Compute all figures with intervals, bootstrapped by patient.

    Raises:
        BadTable: If there are too few photographs with or without referable disease, or no condition counts.
    """
    counted = tuple(condition for condition in table.conditions if table.countable(condition))
    _check_counted(table, counted)
    parts = [part for condition in table.answers for part in _ranking(table, condition)]
    intervals = patient_intervals(
        Together(tuple(parts), lambda found: _with_criterion(found, counted)),
        table.patients,
        rng=np.random.default_rng(seed),
        resamples=resamples,
        level=level,
    )
    blank = Interval(math.nan, math.nan, math.nan, level, 0)
    clean = table.clean
    return StressSummary(
        table=table,
        clean=intervals["clean"],
        stressed=intervals["stressed"],
        criterion=intervals["criterion"],
        clean_sensitivity=_rate(table, clean.refers, table.positive, level),
        clean_specificity=_rate(table, clean.rescreens, ~table.positive, level),
        doses=tuple(
            _figures(table, condition, intervals.get(f"{_key(condition)} auroc", blank),
                     intervals.get(f"{_key(condition)} change", blank), level)
            for condition in table.conditions
        ),
        counted=counted,
        resamples=resamples,
        seed=seed,
        level=level,
    )  # fmt: skip


def _check_counted(table: StressTable, counted: Sequence[Condition]) -> None:
    if not table.countable((CLEAN, 0)):
        raise BadTable(
            f"stress table of {table.system}: expected at least {FEWEST} photographs with and without referable "
            f"disease, got {int(table.positive.sum())} and {int((~table.positive).sum())}. Use more photographs."
        )
    if not counted:
        raise BadTable(
            f"stress table of {table.system}: expected a condition with at least {FEWEST} graded photographs with and "
            "without referable disease, got none. Use more photographs or milder doses."
        )


def _key(condition: Condition) -> str:
    return f"{condition[0]} {condition[1]}"


def _ranking(table: StressTable, condition: Condition) -> list[Sums]:
    """Return the AUROC of a condition and, on the photographs graded both clean and so, the two to compare."""
    answers, key = table.answers[condition], _key(condition)
    if not table.countable(condition):
        return []
    if condition == (CLEAN, 0):
        return [auroc_among(table.positive, answers.score, answers.graded, "clean")]
    return [
        auroc_among(table.positive, answers.score, answers.graded, f"{key} auroc"),
        auroc_among(table.positive, table.clean.score, answers.graded, f"{key} before"),
    ]


def auroc_among(positive: Mask, score: Float[np.ndarray, " photo"], inside: Mask, name: str) -> Sums:
    """Build the AUROC of the photographs inside, of weights on all photographs."""
    return of_auroc(positive[inside], score[inside], name).among(inside)


def _with_criterion(found: Found, counted: Sequence[Condition]) -> Found:
    keys = [_key(condition) for condition in counted]
    changes = {f"{key} change": found[f"{key} auroc"] - found[f"{key} before"] for key in keys}
    return dict(found) | changes | criterion_of(found["clean"], [found[f"{key} auroc"] for key in keys])


def criterion_of(
    clean: Float[np.ndarray, " draw"], stressed: Sequence[Float[np.ndarray, " draw"]]
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Return the mean AUROC over conditions, and its mean with the clean one."""
    mean = np.mean(np.stack(list(stressed)), axis=0)  # (condition, draw) -> (draw,)
    return {"stressed": mean, "criterion": (clean + mean) / 2}


def _rate(table: StressTable, hits: Mask, among: Mask, level: float) -> Interval:
    share = float(hits[among].mean()) if among.any() else math.nan
    return rate_interval(Interval(share, math.nan, math.nan, level, 0), Rate(hits, among), table.patients)


def _figures(table: StressTable, condition: Condition, auroc: Interval, change: Interval, level: float) -> DoseFigures:
    here, clean, positive = table.answers[condition], table.clean, table.positive
    name, dose = condition
    return DoseFigures(
        disturbance=name,
        dose=dose,
        amount=float(DISTURBANCES[name].amounts[dose - 1]),
        graded=int(here.graded.sum()),
        refused=_rate(table, ~here.graded, np.ones(len(positive), dtype=bool), level),
        auroc=auroc,
        change=change,
        sensitivity=_rate(table, here.refers, here.graded & positive, level),
        specificity=_rate(table, here.rescreens, here.graded & ~positive, level),
        to_healthier=int((clean.refers & here.rescreens).sum()),
        to_referred=int((clean.rescreens & here.refers).sum()),
        sure_misses=int((here.sure_healthy & positive).sum()),
        sure_alarms=int((here.sure_referable & ~positive).sum()),
    )


def summary_words(summary: StressSummary) -> str:
    """Return the three figures in one sentence."""
    return (
        f"AUROC of referable disease: clean {summary.clean}, mean under stress {summary.stressed}, "
        f"mean of the two {summary.criterion}"
    )


def record_for_release(summary: StressSummary, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few figures that a release carries, with what they are of.

    Args:
        summary: Of the release, or of the networks of its folds.
        about: Manifest, split, sample, what was graded by which networks.
    """

    def ends(interval: Interval) -> dict[str, Any]:
        return {name: None if value is None else round(value, 4) for name, value in interval.ends().items()} | {
            "level": interval.level
        }

    table = summary.table
    worst = min(summary.doses, key=lambda one: one.change.estimate if not math.isnan(one.change.estimate) else math.inf)
    return {
        "stress_set": table.stress_set,
        **about,
        "photographs": len(table.images),
        "patients": len(np.unique(table.patients)),
        "conditions_counted": f"{len(summary.counted)} of {len(summary.doses)}",
        "referable_auroc_clean": ends(summary.clean),
        "referable_auroc_stressed": ends(summary.stressed),
        "criterion": ends(summary.criterion),
        "largest_loss": f"{worst.disturbance}, dose {worst.dose}: {null_if_nan(round(worst.change.estimate, 4))}",
        "decision_to_healthier_most": max(one.to_healthier for one in summary.doses),
        "decision_sure_misses_most": max(one.sure_misses for one in summary.doses),
    }
