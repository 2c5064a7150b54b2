"""A table of stress as arrays: what a system answered to each photograph, clean and under every condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.cases import GRADED, UNREADABLE
from fundoscope.evaluation.statistics.detection import of_auroc
from fundoscope.evaluation.statistics.sums import Sums
from fundoscope.evaluation.stress.stress_set import CLEAN, DISTURBANCES
from fundoscope.grades import CUTS, REFER, REFERABLE, RESCREEN
from fundoscope.tables import PROBABILITIES
from fundoscope.tables.patients import patient_keys

FEWEST: Final = 10
"""Photographs with and without referable disease that a condition needs, of each, to have an AUROC."""

SURE: Final = 0.1
"""Without sets of grades, a probability of referable disease this near to 0 or 1 is a confident answer."""

Mask = Bool[np.ndarray, " photo"]

Condition = tuple[str, int]
"""Name of a disturbance, and a dose from 1; (`CLEAN`, 0)."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers of a system under one condition, photograph by photograph."""

    graded: Mask
    scores: Mapping[str, Float[np.ndarray, " photo"]]
    """Probability of each of `grades.CUTS`; NaN where it was refused, or the table does not give it."""
    grade: Int[np.ndarray, " photo"]
    """The grade answered; -1 where none was."""
    refers: Mask
    rescreens: Mask
    sure_healthy: Mask
    """Answered without referable disease, and confidently: its set of grades has none, or the probability is low."""
    sure_referable: Mask

    def take(self, places: Int[np.ndarray, " kept"]) -> Answers:
        """Return the answers to some photographs, by their places."""
        return Answers(
            graded=self.graded[places],
            scores={name: scores[places] for name, scores in self.scores.items()},
            grade=self.grade[places],
            refers=self.refers[places],
            rescreens=self.rescreens[places],
            sure_healthy=self.sure_healthy[places],
            sure_referable=self.sure_referable[places],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StressTable:
    """A table of stress as arrays: photographs that were read and, clean, were graded."""

    system: str
    stress_set: str
    images: tuple[str, ...]
    sha256: tuple[str, ...]
    reference: Int[np.ndarray, " photo"]
    """Reference grade of each photograph."""
    patients: np.ndarray
    """Number of each photograph's patient."""
    answers: Mapping[Condition, Answers]
    refused_clean: int
    """Photographs that were refused as they are; they are in no figure."""
    unreadable: int

    @property
    def positive(self) -> Mask:
        """Whose reference grade is referable."""
        return np.asarray(self.reference >= REFERABLE)

    @property
    def conditions(self) -> list[Condition]:
        """Of the stress set, without the clean one."""
        return [condition for condition in self.answers if condition != (CLEAN, 0)]

    @property
    def clean(self) -> Answers:
        """Answers to the untouched photographs."""
        return self.answers[CLEAN, 0]

    def take(self, places: Sequence[int]) -> StressTable:
        """Return the table of some photographs, by their places."""
        at = np.asarray(places, dtype=np.int64)
        return replace(
            self,
            images=tuple(self.images[place] for place in places),
            sha256=tuple(self.sha256[place] for place in places),
            reference=self.reference[at],
            patients=self.patients[at],
            answers={condition: answers.take(at) for condition, answers in self.answers.items()},
        )

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
        reference=kept["reference"].to_numpy(np.int64),
        patients=np.array([number[key] for key in keys]),
        answers=dict(sorted(by_condition.items(), key=lambda item: (order[item[0][0]], item[0][1]))),
        refused_clean=int((~clean["status"].isin([GRADED, UNREADABLE])).sum()),
        unreadable=int((clean["status"] == UNREADABLE).sum()),
    )


def _answers(rows: pd.DataFrame, images: pd.Series) -> Answers:
    of = rows.set_index("image").reindex(images)
    graded = (of["status"] == GRADED).to_numpy(bool)
    scores = {name: np.where(graded, _probability(of, name), np.nan) for name in CUTS}
    score = scores["referable"]
    refers, rescreens = ((of["decision"] == word).to_numpy(bool) & graded for word in (REFER, RESCREEN))
    sets = [[] if pd.isna(text) else [int(grade) for grade in str(text).split()] for text in of["grades_set"]]
    has_set = np.array([bool(members) for members in sets])
    none_referable = np.array([bool(members) and max(members) < REFERABLE for members in sets])
    all_referable = np.array([bool(members) and min(members) >= REFERABLE for members in sets])
    return Answers(
        graded=graded,
        scores=scores,
        grade=of["grade"].fillna(-1).to_numpy(np.int64),
        refers=refers,
        rescreens=rescreens,
        sure_healthy=graded & rescreens & np.where(has_set, none_referable, score <= SURE),
        sure_referable=graded & refers & np.where(has_set, all_referable, score >= 1 - SURE),
    )


def _probability(rows: pd.DataFrame, cut: str) -> Float[np.ndarray, " photo"]:
    """Return the probability of a cut: that of referable disease as it was answered, others from p0 to p4."""
    if CUTS[cut] == REFERABLE:
        return rows["p_referable"].to_numpy(np.float64)
    if not set(PROBABILITIES) <= set(rows.columns):
        return np.full(len(rows), np.nan)
    return np.asarray(rows[list(PROBABILITIES[CUTS[cut] :])].to_numpy(np.float64).sum(axis=1))


def auroc_among(positive: Mask, score: Float[np.ndarray, " photo"], inside: Mask, name: str) -> Sums:
    """Build the AUROC of the photographs inside, of weights on all photographs."""
    return of_auroc(positive[inside], score[inside], name).among(inside)
