"""From photographs to patients: the worst eye decides, for the reference as for the system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fundoscope.decide.referral import decide_eye, decide_patient
from fundoscope.evaluation.cases import GRADED, UNREADABLE, Cases, cases_of
from fundoscope.grades import (
    CANNOT_GRADE,
    CANNOT_GRADE_REFER,
    EYES,
    GRADED_DECISIONS,
    OR_DME,
    REFER,
    REFERABLE,
    RESCREEN,
)
from fundoscope.tables.joining import WHO_AND_WHAT
from fundoscope.tables.patients import patient_keys, texts

UNKNOWN = -1
"""The reference of a patient of whom it is not known: an eye without one, and no eye that is known to be referable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What was to be found in each patient and what was answered; arrays of one length."""

    reference: Int[np.ndarray, " patient"]
    """Grade of the worst eye; `UNKNOWN` where an eye has no reference grade and no other is referable."""
    referable_or_dme: Int[np.ndarray, " patient"]
    """1, 0 or `UNKNOWN`; likewise of `grades.OR_DME`. All `UNKNOWN` where `dme` is known of no photograph."""
    answered: Int[np.ndarray, " patient"]
    """The highest grade answered; -1 where an eye has none."""
    scores: Float[np.ndarray, " patient"]
    """The highest P(referable); NaN where an eye has none."""
    decision: tuple[str, ...]
    """As `fundoscope grade` rolls up: one of `grades.DECISIONS`; of a table without decisions, by its grades."""
    decides: bool
    """Whether the system decides or grades at all: of scores alone, `decision` is "cannot grade" and means nothing."""
    one_eye: Bool[np.ndarray, " patient"]
    """Whether photographs of one eye only are matched, or the eye of some is not known."""
    ungraded_eye: Bool[np.ndarray, " patient"]
    """Whether there is an eye of which no photograph was graded."""
    unknown_eye: Bool[np.ndarray, " patient"]
    """Whether there is an eye without a reference grade."""


def with_unanswered(matched: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Add the photographs without a prediction of patients who have one: an eye that nobody answered is not healthy.

    Args:
        matched: `Cases.matched`.
        chosen: Rows of the manifest that are meant (`tables.pair.Reference.chosen`).

    Returns:
        The rows of both, those added with the status unreadable and without an answer. Patients without any prediction
        stay out.
    """
    patients = {key for key in patient_keys(matched) if key[0] == "patient"}
    missing = chosen[~chosen["image"].isin(matched["image"])]
    missing = missing[[key in patients for key in patient_keys(missing)]]
    if missing.empty:
        return matched
    columns = [name for name in (*WHO_AND_WHAT, "grade", "dme") if name in missing]
    return pd.concat([matched, missing[columns].assign(status=UNREADABLE)], ignore_index=True)


def outcomes_of(matched: pd.DataFrame) -> Outcomes | None:
    """Gather matched photographs into patients; None where no photograph names its patient.

    Photographs without a patient's name are left out: nobody knows whose fellow eye is missing.

    Args:
        matched: `Cases.matched`, best `with_unanswered`.
    """
    named = matched[np.array([name is not None for name in texts(matched, "patient")], dtype=bool)]
    if named.empty or "grade" not in named:
        return None
    has_reference = named["grade"].notna().to_numpy()
    # Arrays are of photographs with a reference; the others get one that is masked again.
    cases = cases_of(named.assign(grade=named["grade"].fillna(0)))
    graded, decisions = _graded(cases), _decisions(cases)
    answered = np.where(graded & (cases.answered >= 0), cases.answered, np.nan)
    sides = texts(cases.rows, "eye")
    gathered: dict[int, dict[Hashable, list[int]]] = defaultdict(lambda: defaultdict(list))
    for at, patient in enumerate(cases.patients.tolist()):
        gathered[patient][sides[at] or at].append(at)
    eyes = [list(of_patient.values()) for of_patient in gathered.values()]
    return Outcomes(
        reference=_references(np.where(has_reference, cases.reference, UNKNOWN), eyes, positive_from=REFERABLE),
        referable_or_dme=_references(_or_dme(cases, has_reference), eyes, positive_from=1),
        answered=np.nan_to_num(_highest(answered, eyes), nan=-1).astype(np.int64),
        scores=_highest(np.where(graded, cases.score("referable"), np.nan), eyes),
        decision=tuple(
            decide_patient([decide_eye([decisions[at] for at in eye]) for eye in of_patient]) for of_patient in eyes
        ),
        one_eye=np.array([{sides[at] for eye in of_patient for at in eye} != set(EYES) for of_patient in eyes]),
        decides=not graded.any()
        or any(
            was_graded and (decision != "" or grade >= 0)
            for was_graded, decision, grade in zip(
                graded.tolist(), cases.decision, cases.answered.tolist(), strict=True
            )
        ),
        ungraded_eye=_any_eye(~graded, eyes),
        unknown_eye=_any_eye(~has_reference, eyes),
    )


def _graded(cases: Cases) -> Bool[np.ndarray, " photo"]:
    return np.array([status == GRADED for status in cases.status], dtype=bool)


def _decisions(cases: Cases) -> list[str]:
    """Return each photograph's decision; of one without, that of its grade. What was not graded cannot be healthy."""
    graded = _graded(cases).tolist()
    by_grade = [
        CANNOT_GRADE if grade < 0 else REFER if grade >= REFERABLE else RESCREEN for grade in cases.answered.tolist()
    ]
    refused = {REFER: CANNOT_GRADE_REFER, CANNOT_GRADE_REFER: CANNOT_GRADE_REFER}
    return [
        (decision or grade) if was_graded else refused.get(decision, CANNOT_GRADE)
        for decision, grade, was_graded in zip(cases.decision, by_grade, graded, strict=True)
    ]


def _or_dme(cases: Cases, has_reference: Bool[np.ndarray, " photo"]) -> Int[np.ndarray, " photo"]:
    """Return 1 for referable by grade or oedema, 0 for neither, `UNKNOWN` where one of them is not known."""
    if cases.dme is None:
        return np.full(len(cases.reference), UNKNOWN)
    of_photographs = cases.or_dme(next(name for name, cut in OR_DME.items() if cut == REFERABLE))
    positive = of_photographs.positive & (has_reference | (cases.dme >= 0))
    return np.where(positive, 1, np.where(of_photographs.known & has_reference, 0, UNKNOWN))


def _references(
    values: Int[np.ndarray, " photo"], eyes: Sequence[Sequence[Sequence[int]]], *, positive_from: int
) -> Int[np.ndarray, " patient"]:
    """Return each patient's worst value; `UNKNOWN` where an eye has none and no other is `positive_from` or more."""
    worst = []
    for of_patient in eyes:
        of_eyes = [int(values[eye].max()) for eye in map(list, of_patient)]
        highest = max(of_eyes)
        worst.append(UNKNOWN if UNKNOWN in of_eyes and highest < positive_from else highest)
    return np.array(worst, dtype=np.int64)


def _highest(
    values: Float[np.ndarray, " photo"], eyes: Sequence[Sequence[Sequence[int]]]
) -> Float[np.ndarray, " patient"]:
    """Return the highest value of each patient; NaN where an eye has none."""
    of_eyes = [[np.fmax.reduce(values[list(eye)]) for eye in of_patient] for of_patient in eyes]
    return np.array([np.nan if np.isnan(values).any() else max(values) for values in of_eyes], dtype=np.float64)


def _any_eye(
    lacking: Bool[np.ndarray, " photo"], eyes: Sequence[Sequence[Sequence[int]]]
) -> Bool[np.ndarray, " patient"]:
    return np.array([any(lacking[list(eye)].all() for eye in of_patient) for of_patient in eyes], dtype=bool)


def were_graded(decisions: Sequence[str]) -> Bool[np.ndarray, " patient"]:
    """Return which decisions are of what was graded."""
    return np.isin(np.array(decisions, dtype=object), GRADED_DECISIONS)
