"""From locally graded patients to a threshold whose sensitivity is guaranteed, the choice of the threshold included.

The threshold is the k-th smallest score of the n referable patients. What share of all the site's referable patients
scores at least that much is, whatever the scores' distribution, Beta(n - k + 1, k): a one-sided tolerance limit (Wilks,
Annals of Mathematical Statistics 12, 1941, 91-96; with ties it is at least that: Scheffe and Tukey, ibid. 16, 1945,
187-192). So k, which n alone fixes and no score, is the largest for which n - k + 1 hits of n have an exact
(Clopper-Pearson) lower bound at the wanted sensitivity. The threshold looks at no negative, so that the interval of
the specificity is exact as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from fundoscope.clinic.commissioning.planning import hits_needed, lower_bound, positives_needed, sample_size
from fundoscope.decide.referral import threshold_at
from fundoscope.evaluation.statistics.interval import Interval, proportion_interval
from fundoscope.evaluation.statistics.sums import ratio

PLANNED: Final = (0.9, 0.92, 0.95, 0.98)
"""True sensitivities for which the study that would show the wanted one is planned."""

ROUNDING: Final = 1e-12
"""By which a bound may miss the wanted sensitivity: both are computed, by different functions."""

LEVEL: Final = 0.95
"""Of the two-sided intervals beside the guarantee."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is asked for; to be settled before the data are looked at."""

    sensitivity: float = 0.85
    """Sensitivity to be guaranteed, patients, in (0, 1)."""
    confidence: float = 0.975
    """How sure the guarantee is to be over all looks, one-sided, in [0.5, 1)."""
    looks: int = 1
    """How often the site looks at its growing data in all; each look has its Bonferroni share of the doubt."""

    def __post_init__(self) -> None:
        if not 0 < self.sensitivity < 1:
            raise ValueError(f"sensitivity must lie between 0 and 1, got {self.sensitivity}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be at least 0.5 and below 1, got {self.confidence}")
        if self.looks < 1:
            raise ValueError(f"looks must be at least 1, got {self.looks}")

    @property
    def confidence_each(self) -> float:
        """Confidence of this one look."""
        return 1 - (1 - self.confidence) / self.looks


@dataclass(frozen=True, slots=True)
class Patients:
    """A site's patients as the system and the reference see them; arrays of one length, in one order."""

    scores: Float[np.ndarray, " patient"]
    """Largest score of the photographs that could be graded; -inf where none could, +inf where a grade refers."""
    ungradable: Bool[np.ndarray, " patient"]
    """True where there is an eye of which no photograph could be graded."""
    referable: Bool[np.ndarray, " patient"]
    """True where the reference says referable in any eye."""
    threatening: Bool[np.ndarray, " patient"]
    """True where it says sight-threatening in any eye."""

    def answered(self, *, ungradable_refers: bool) -> Float[np.ndarray, " patient"]:
        """Return the deciding score; +inf (always referred) where an eye could not be graded and that counts."""
        return np.where(self.ungradable & ungradable_refers, np.inf, self.scores)


@dataclass(frozen=True, slots=True)
class Bound:
    """A proportion of patients with its exact one-sided lower bound."""

    hits: int
    total: int
    low: float
    confidence: float

    @property
    def estimate(self) -> float:
        """Share of the patients seen."""
        return self.hits / self.total if self.total else float("nan")


@dataclass(frozen=True, slots=True)
class Choice:
    """The threshold that the referable patients' scores give."""

    threshold: float
    """Refer at this score and above; just below the score of the patient that sets it (`referral.threshold_at`), +inf
    where only those that are referred anyway need to be."""
    rank: int
    """It is the rank-th smallest score of the referable patients, from 1."""
    total: int
    """Referable patients."""
    low: float
    """Exact lower bound of the sensitivity at it, with the confidence asked for; at least the wanted one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a threshold does to the patients that were seen."""

    sensitivity: Bound
    spared: int
    """Patients without referable disease who are not referred."""
    healthy: int
    """Patients without referable disease."""
    specificity: Interval
    """Exact, two-sided; NaN where there is nobody without referable disease."""
    threatening: Bound
    """Sensitivity for sight-threatening disease; its bound is as if the threshold had been fixed beforehand."""
    referred: int
    """Patients referred."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a site is to expect at a prevalence, which is taken as known; intervals hold jointly."""

    prevalence: float
    referred: Interval
    """Share of all patients referred."""
    ppv: Interval
    npv: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class CommissioningResult:
    """What the data say of the terms."""

    terms: Terms
    guaranteed: bool
    chosen: bool
    """Whether the threshold was chosen on these data; it was not where the system only gives grades."""
    threshold: float | None
    """None where none can be guaranteed."""
    rank: int | None
    """Its rank among the referable patients' scores, where it was chosen."""
    figures: Figures | None
    """At the threshold, an eye that cannot be graded counted as referred."""
    otherwise: Figures | None
    """At the same threshold, such an eye not counted; its bounds are as if the threshold had been fixed beforehand."""
    expected: Expected | None
    """None where there is no threshold, or nobody without referable disease."""
    positives_missing: int | None
    """Referable patients to be added before a guarantee is possible; 0 where there is one, None where more of the same
    would not help."""
    plan: dict[str, int | None]
    """Referable patients needed to show the wanted sensitivity at a threshold fixed beforehand, with 80 % power, by
    true sensitivity."""


def choose_threshold(scores: Float[np.ndarray, " patient"], *, sensitivity: float, confidence: float) -> Choice | None:
    """Choose the largest threshold whose sensitivity is guaranteed, from the referable patients' scores alone.

    Over sites drawn at random, the sensitivity at it falls below the wanted one with probability 1 - `confidence` at
    most, whatever the distribution of the scores; with ties less often.

    Args:
        scores: One for each independent referable patient; +inf: always referred, -inf: never.
        sensitivity: Wanted, in (0, 1).
        confidence: One-sided.

    Returns:
        None where there are too few patients, or too many of them are never referred.

    Raises:
        ValueError: If a score is NaN.

    Example:
        >>> choose_threshold(np.linspace(0.01, 1, 100), sensitivity=0.85, confidence=0.975).rank
        8
    """
    if np.isnan(scores).any():
        raise ValueError(f"scores must be numbers, got {int(np.isnan(scores).sum())} NaN")
    hits = hits_needed(len(scores), sensitivity=sensitivity, confidence=confidence) if len(scores) else None
    if hits is None:
        return None
    rank = len(scores) - hits + 1
    score = float(np.sort(scores)[rank - 1])
    if score == -np.inf:
        return None
    return Choice(threshold_at(score), rank, len(scores), lower_bound(hits, len(scores), confidence=confidence))


def commission(
    patients: Patients, terms: Terms, *, fixed: float | None = None, prevalence: float | None = None
) -> CommissioningResult:
    """Choose the operating point, or say that these patients cannot guarantee one.

    Args:
        patients: Of the site; independent of one another and unknown to the system.
        terms: What is asked for.
        fixed: A threshold that was settled before the data were seen (a cut of grades); None: it is chosen.
        prevalence: Share of referable patients to expect, in (0, 1); None: that of these patients.

    Raises:
        ValueError: If no patient is referable, or the prevalence is no proportion.
    """
    positives = int(patients.referable.sum())
    if not positives:
        raise ValueError("at least one referable patient is needed, got none")
    answered = patients.answered(ungradable_refers=True)
    confidence = terms.confidence_each
    choice = None
    if fixed is None:
        choice = choose_threshold(answered[patients.referable], sensitivity=terms.sensitivity, confidence=confidence)
    # A score is at most 1: where only what cannot be graded need be referred, 1 is as strict as a threshold goes.
    threshold = fixed if choice is None else min(choice.threshold, 1.0)
    figures = otherwise = expected = None
    if threshold is not None:
        figures = _figures(patients, threshold, confidence, ungradable_refers=True, choice=choice)
        otherwise = _figures(patients, threshold, confidence, ungradable_refers=False)
        expected_prevalence = positives / len(patients.referable) if prevalence is None else prevalence
        least = figures.sensitivity.hits if choice is None else choice.total - choice.rank + 1
        expected = _expected(figures, expected_prevalence, least=least) if figures.healthy else None
    guaranteed = figures is not None and figures.sensitivity.low >= terms.sensitivity - ROUNDING
    return CommissioningResult(
        terms=terms,
        guaranteed=guaranteed,
        chosen=fixed is None,
        threshold=threshold,
        rank=None if choice is None else choice.rank,
        figures=figures,
        otherwise=otherwise,
        expected=expected,
        positives_missing=0 if guaranteed else _missing(positives, figures, terms),
        plan=_plan(terms),
    )


def _figures(
    patients: Patients, threshold: float, confidence: float, *, ungradable_refers: bool, choice: Choice | None = None
) -> Figures:
    refer = patients.answered(ungradable_refers=ungradable_refers) >= threshold
    positive, negative = patients.referable, ~patients.referable
    hits, total = int((refer & positive).sum()), int(positive.sum())
    # With ties more are found than the rank says; the guarantee is the rank's.
    low = lower_bound(hits, total, confidence=confidence) if choice is None else choice.low
    threatened = int(patients.threatening.sum())
    threatened_hits = int((refer & patients.threatening).sum())
    threatened_low = lower_bound(threatened_hits, threatened, confidence=confidence) if threatened else float("nan")
    spared, healthy = int((~refer & negative).sum()), int(negative.sum())
    return Figures(
        sensitivity=Bound(hits, total, low, confidence),
        spared=spared,
        healthy=healthy,
        specificity=_exact(spared, healthy, LEVEL),
        threatening=Bound(threatened_hits, threatened, threatened_low, confidence),
        referred=int(refer.sum()),
    )


def _exact(hits: int, total: int, level: float) -> Interval:
    low, high = proportion_interval(hits, total, level=level) if total else (np.nan, np.nan)
    return Interval(hits / total if total else np.nan, low, high, level, 0)


def _expected(figures: Figures, prevalence: float, *, least: int) -> Expected:
    """Compute workload and predictive values from the exact intervals of sensitivity and specificity.

    Each of the two has half of the doubt, so that both hold jointly; all three figures rise or fall with either.

    Args:
        figures: With somebody without referable disease.
        prevalence: In (0, 1).
        least: Hits that the lower end of the sensitivity is for: fewer than seen where a chosen threshold has ties.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must lie between 0 and 1, got {prevalence}")
    level = 1 - (1 - LEVEL) / 2
    hits, total = figures.sensitivity.hits, figures.sensitivity.total
    sensitivity = np.array([hits / total, _exact(least, total, level).low, _exact(hits, total, level).high])
    clear = _exact(figures.spared, figures.healthy, level)
    spared = np.array([clear.estimate, clear.low, clear.high])
    # In the order estimate, low, high: for the workload a high specificity is the low end.
    alarms = (1 - prevalence) * (1 - spared[[0, 2, 1]])
    referred = prevalence * sensitivity + alarms
    ppv = _share(prevalence * sensitivity, (1 - prevalence) * (1 - spared))
    npv = _share((1 - prevalence) * spared, prevalence * (1 - sensitivity))
    return Expected(prevalence, _ends(referred), _ends(ppv), _ends(npv))


def _ends(values: Float[np.ndarray, " end"]) -> Interval:
    estimate, low, high = map(float, values)
    return Interval(estimate, low, high, LEVEL, 0)


def _share(part: Float[np.ndarray, " end"], rest: Float[np.ndarray, " end"]) -> Float[np.ndarray, " end"]:
    """Divide `part` by `part` and `rest`; NaN where there is neither."""
    return ratio(part, part + rest)


def _missing(positives: int, figures: Figures | None, terms: Terms) -> int | None:
    """Return how many referable patients must be added before there can be a guarantee."""
    confidence = terms.confidence_each
    if figures is None:
        least = positives_needed(sensitivity=terms.sensitivity, confidence=confidence)
        return least - positives if least > positives else None
    if figures.sensitivity.estimate <= terms.sensitivity:
        return None
    needed = sample_size(figures.sensitivity.estimate, wanted=terms.sensitivity, confidence=confidence)
    return None if needed is None else max(1, needed - positives)


def _plan(terms: Terms) -> dict[str, int | None]:
    return {
        f"{true:.2f}": sample_size(true, wanted=terms.sensitivity, confidence=terms.confidence_each)
        for true in PLANNED
        if true > terms.sensitivity
    }
