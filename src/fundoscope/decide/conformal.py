"""Sets of grades that hold the reference grade as often as promised, whatever the network is worth.

Split conformal prediction (Vovk, Gammerman & Shafer 2005) with the ordinal adaptive sets of Lu, Angelopoulos &
Pomerantz (MICCAI 2022): a set begins with the answer and grows by the likelier of its two neighbours, so it is never
empty and never has a gap. The photographs of a patient are not exchangeable with those of others, patients are: each
counts once however often she was photographed (Lee, Barber & Willett 2023, arXiv 2306.06342).

What is promised, with n patients held out of *everything* that made the probabilities: the set of a photograph of a new
patient from where these came from (her photographs drawn evenly, or all of them at once: `unit`) holds its reference
grade with probability at least 1 - alpha, on average over the patients that calibrated it; and, with continuous
scores, at most 1 - alpha + 1/(n + 1) unless the answer alone is right more often than that. Nothing is promised of one
grade, camera or clinic apart from the groups asked for, or once the patients change. Out-of-fold predictions carry the
promise over to the final network only so far as that does not err more than those of the folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Bool, Float, Int

from fundoscope.arrays import Grades, Probabilities, Scores
from fundoscope.decide.held_out import HeldOut
from fundoscope.decide.referral import SCORE_TOLERANCE
from fundoscope.grades import GRADES
from fundoscope.records import check_keys, is_number, is_whole_number

UNITS: Final = {
    "photograph": "a photograph of a new patient, all of hers equally likely",
    "patient": "all photographs of a new patient at once",
}
"""Of what the promise is made, and in words."""

SLACK: Final = 1e-9
"""Rounding of sums of shares."""

EVERY_GRADE: Final = 1.0
"""The threshold that leaves no grade out: no score is above 1."""

Sets = Bool[np.ndarray, "photo 5"]
"""True where a grade cannot be excluded; the True ones of a row lie side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conformal:
    """Thresholds of the sets, what they promise, and how sure that is."""

    alpha: float
    """Share of sets that may miss the reference grade, between 0 and 1."""
    threshold: float
    """A grade is in the set if at most this much probability is taken up before it; in [0, 1]."""
    patients: int
    """How many calibrated it."""
    unit: str = "photograph"
    """A name in `UNITS`."""
    by: str = ""
    """The column that groups were told apart by; blank: none were."""
    groups: Mapping[str, float] = field(default_factory=dict)
    """Threshold of each group that was large enough."""
    too_small: Mapping[str, int] = field(default_factory=dict)
    """Patients of each group that was not: it has the threshold of all, and no promise of its own."""
    out_of_fold: bool = False
    """Calibrated on the networks of folds, not on the one that is released."""

    def __post_init__(self) -> None:
        check_alpha(self.alpha)
        if self.unit not in UNITS:
            raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {self.unit!r}")
        for name, threshold in {"all": self.threshold, **self.groups}.items():
            if not 0 <= threshold <= 1:
                raise ValueError(f"threshold of {name} must lie between 0 and 1, got {threshold}")

    def sets(self, probabilities: Probabilities, *, groups: Sequence[str] = (), answers: Grades | None = None) -> Sets:
        """Return which grades cannot be excluded.

        Args:
            probabilities: Probabilities, calibrated as those were that the thresholds are from.
            groups: Of each photograph; one that is not known, or was too small, has the threshold of all. May be left
                out only if no groups were told apart.
            answers: The grade answered, where the sets began with it; as in `fit_conformal`.

        Raises:
            ValueError: If groups are needed and not given, or numbers differ.
        """
        if self.by and not groups and len(probabilities):
            raise ValueError(f"the {self.by} of each photograph is needed, got none")
        if groups and len(groups) != len(probabilities):
            raise ValueError(
                f"every photograph needs one group, got {len(probabilities)} photographs and {len(groups)} groups"
            )
        threshold = np.array([self.groups.get(name, self.threshold) for name in groups] or [self.threshold])
        return np.asarray(ordinal_scores(probabilities, answers) <= threshold[:, None])

    def warnings(self) -> tuple[str, ...]:
        """Return what the reader of a set has to know."""
        warnings = [
            f"{self.by} {name}: {patients} patients are too few for a threshold of its own at {1 - self.alpha:.0%} "
            f"({fewest_patients(self.alpha)} are needed). It has that of all, which promises nothing for it alone."
            for name, patients in self.too_small.items()
        ]
        if self.patients < fewest_patients(self.alpha):
            warnings.append(
                f"{self.patients} patients are too few to exclude any grade at {1 - self.alpha:.0%} "
                f"({fewest_patients(self.alpha)} are needed): every set holds all grades."
            )
        if self.out_of_fold:
            warnings.append(
                "The sets were calibrated on the networks of folds: the promise holds for the released one only so far "
                "as it errs no more than they."
            )
        return tuple(warnings)

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return {
            "alpha": self.alpha,
            "threshold": self.threshold,
            "patients": self.patients,
            "unit": self.unit,
            "by": self.by,
            "groups": dict(self.groups),
            "too_small": dict(self.too_small),
            "out_of_fold": self.out_of_fold,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Conformal:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        check_keys(values, cls)
        numbers = {"alpha": values["alpha"], "threshold": values["threshold"], **values["groups"]}
        for name, value in numbers.items():
            if not is_number(value):
                raise ValueError(f"{name} of conformal sets must be a number, got {value!r}")
        groups = {name: float(value) for name, value in values["groups"].items()}
        return cls(
            **{**values, "alpha": float(values["alpha"]), "threshold": float(values["threshold"]), "groups": groups}
        )


def fit_conformal(
    held: HeldOut, *, alpha: float = 0.1, unit: str = "photograph", by: str = "", answers: Grades | None = None
) -> Conformal:
    """Fit thresholds such that a share of 1 - alpha of new sets contain the reference grade (see the module).

    Args:
        held: Held-out photographs; with `by`, with their `groups`. Probabilities by a calibration that was fitted on
            others (`calibrators.cross_fit_predict`).
        alpha: Share that may be missed, between 0 and 1.
        unit: A name in `UNITS`.
        by: Name of what `held.groups` are: each group has a threshold, and a promise, of its own (Vovk 2012). One with
            fewer than `fewest_patients(alpha)` has that of all, and is named in `too_small`; so have blank groups.
        answers: The grade answered to each photograph, if sets shall begin with it; else the likeliest.

    Raises:
        ValueError: If there are no photographs, groups are needed and not given, or an argument is out of range.
    """
    check_alpha(alpha)
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
    if not len(held.grades):
        raise ValueError("held-out photographs are needed, got none")
    if by and not held.groups:
        raise ValueError(f"the {by} of each held-out photograph is needed, got none")
    scores = ordinal_scores(held.probabilities, answers)[np.arange(len(held.grades)), held.grades]
    names = np.array(held.groups, dtype=object)
    groups, too_small = {}, {}
    for name in sorted(set(held.groups) - {""}) if by else []:
        mine = names == name
        patients = len(np.unique(held.patients[mine]))
        if patients >= fewest_patients(alpha):
            groups[name] = _threshold(scores[mine], held.patients[mine], alpha, unit)
        else:
            too_small[name] = patients
    return Conformal(
        alpha=alpha,
        threshold=_threshold(scores, held.patients, alpha, unit),
        patients=len(np.unique(held.patients)),
        unit=unit,
        by=by,
        groups=groups,
        too_small=too_small,
        out_of_fold=held.out_of_fold,
    )


def ordinal_scores(probabilities: Probabilities, answers: Grades | None = None) -> Probabilities:
    """Compute the probability that a growing set contains before it reaches each grade: 0 for the answer.

    The set begins with `answers`, else with the likeliest grade, and grows by the likelier of the two grades beside
    it; of equally likely ones by the worse. Uses no chance.
    """
    # Among equals argmax of the reversed row finds the worst grade.
    first = GRADES - 1 - probabilities[:, ::-1].argmax(axis=1) if answers is None else answers
    rows = np.arange(len(probabilities))
    walled = np.pad(probabilities, ((0, 0), (1, 1)), constant_values=-1.0)  # walls are less likely than any grade
    low = high = first
    scores = np.zeros(probabilities.shape)
    taken = probabilities[rows, first].astype(np.float64)
    for _ in range(GRADES - 1):
        up = walled[rows, high + 2] >= walled[rows, low]
        reached = np.where(up, high + 1, low - 1)
        scores[rows, reached] = np.minimum(taken, 1.0)
        taken = taken + probabilities[rows, reached]
        low, high = np.where(up, low, reached), np.where(up, reached, high)
    return scores


def fewest_patients(alpha: float) -> int:
    """Return the fewest patients with which a threshold can exclude anything: 1/alpha - 1, rounded up."""
    check_alpha(alpha)
    return math.ceil(1 / alpha - 1 - SLACK)


def lowest_threshold(scores: Scores, patients: Int[np.ndarray, " photo"], alpha: float) -> float:
    """Find the lowest t with (sum over patients of the share of her scores above t) + 1 <= alpha * (n + 1).

    Of one photograph each that is the score of rank ceil((1 - alpha) * (n + 1)): the threshold of split conformal
    prediction, and of conformal risk control for the loss `score above t`. Infinite where n is too small.
    """
    owner = np.unique(patients, return_inverse=True)[1]
    counts = np.bincount(owner)
    order = np.argsort(scores, kind="stable")
    below = np.cumsum(1 / counts[owner[order]])
    enough = np.flatnonzero(len(counts) - below + 1 <= alpha * (len(counts) + 1) + SLACK)
    return float(scores[order[enough[0]]]) if len(enough) else math.inf


def worst_of_patients(scores: Scores, patients: Int[np.ndarray, " photo"]) -> Float[np.ndarray, " patient"]:
    """Return the largest score of each patient, by her number."""
    owner = np.unique(patients, return_inverse=True)[1]
    worst = np.full(int(owner.max()) + 1, -np.inf)
    np.maximum.at(worst, owner, scores)
    return worst


def grades_text(sets: Sets) -> list[str]:
    """Write the column `grades_set`: the grades in order with blanks between, `1 2 3`.

    Not `1-3`: spreadsheets read that as a date.
    """
    return [" ".join(map(str, np.flatnonzero(row))) for row in sets]


def check_alpha(alpha: float) -> None:
    """Refuse an alpha that is no proportion.

    Raises:
        ValueError: If `alpha` is not between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}")


def _threshold(scores: Scores, patients: Int[np.ndarray, " photo"], alpha: float, unit: str) -> float:
    """Return the threshold above the score that sets it, so that the grade which set it is in its set again."""
    if unit == "patient":
        scores = worst_of_patients(scores, patients)
        patients = np.arange(len(scores))
    return min(lowest_threshold(scores, patients, alpha) + SCORE_TOLERANCE, EVERY_GRADE)


GROUPED_BY: Final = ("", "quality")
"""What a release's sets of grades may be grouped by: what is known when a photograph is graded. Blank: nothing."""


@dataclass(frozen=True, slots=True)
class GradeSets:
    """Which grades cannot be excluded, and where the sets begin."""

    thresholds: Conformal
    from_answer: bool
    """Sets begin with the grade that is answered, which is in each; otherwise with the likeliest."""

    def text(self, given: Probabilities, answers: Grades, *, quality: str | None) -> str:
        """Return what `grades_set` holds for one photograph, whose arrays have one row."""
        groups = [quality or ""] if self.thresholds.by else []
        sets = self.thresholds.sets(given, groups=groups, answers=answers if self.from_answer else None)
        return grades_text(sets)[0]

    def to_dict(self) -> dict[str, Any]:
        """As `release.json` holds it."""
        return self.thresholds.to_dict() | {"from_answer": self.from_answer}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GradeSets:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        stored = dict(values)
        from_answer = stored.pop("from_answer", None)
        counts = [stored.get("patients"), *stored.get("too_small", {}).values()]
        if not all(is_whole_number(count) and count >= 0 for count in counts):
            raise ValueError(f"patients must be whole numbers, got {counts}")
        flags = from_answer, stored.get("out_of_fold")
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError(f"from_answer and out_of_fold must be true or false, got {flags}")
        thresholds = Conformal.from_dict(stored)
        if thresholds.by not in GROUPED_BY:
            raise ValueError(
                f"by must be blank or {GROUPED_BY[1]}, which is known when a photograph is graded, "
                f"got {thresholds.by!r}"
            )
        return cls(thresholds, from_answer)
