"""Figures of a study: rates against the references, agreement, and what the answer changes, with intervals.

Intervals resample patients. The readers are taken as they are: an interval says how other patients would change a
figure, and nothing of other readers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from jaxtyping import Float

from fundoscope.decide.kappa import kappa_of
from fundoscope.evaluation.statistics.agreement import of_confusions
from fundoscope.evaluation.statistics.detection import of_hits
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.evaluation.statistics.sums import Together
from fundoscope.evaluation.subgroups import FEW_CASES
from fundoscope.grades import REFERABLE
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER
from fundoscope.service.work.studies.observations import MISSING, Codes, Flags, Observations, referred

RELEASE: Final = "the release"
MEAN: Final = "mean of the readers"
"""In place of a reader's name; no account has a name with a blank in it."""

RATES: Final = ("sensitivity", "specificity")

Values = Mapping[str, Float[np.ndarray, " draw"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A statistic, or why there is none."""

    interval: Interval | None
    """None: there are too few patients."""
    patients: int
    """Patients that it is of."""
    eyes: int
    """Graded eyes that it is of, those of each sitting counted."""

    @property
    def words(self) -> str:
        """The statistic with its interval, or why there is none."""
        if self.interval is None:
            return f"too few: {self.patients} of at least {FEW_CASES} patients"
        if np.isnan(self.interval.estimate):
            return "not defined: only one grade was given"
        if np.isnan(self.interval.low):
            return f"{self.interval.estimate:.2f} (no interval)"
        return f"{self.interval.estimate:.2f} ({self.interval.low:.2f} to {self.interval.high:.2f})"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLine:
    """Sensitivity and specificity of a reader, of the release, or of the readers on average."""

    reader: str
    stage: str
    """A stage, `CHANGE` from the first to the second, or blank for the release."""
    sensitivity: Figure
    specificity: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class KappaLine:
    """Quadratic kappa of two readers, of a reader and the release, or of a reader's sittings."""

    first: str
    second: str
    stage: str
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFigures:
    """All figures of a study that have an interval."""

    rates: tuple[RateLine, ...]
    """Empty where no eye has a reference."""
    kappas: tuple[KappaLine, ...]


CHANGE: Final = "difference"
"""In place of a stage: the rate with the answer minus that without it."""


@dataclass(frozen=True, slots=True)
class _Statistic:
    """A statistic that can be computed of some observations, under a name."""

    inside: Flags
    """Observations that it is of."""
    build: Callable[[], Together]
    rate: Rate | None = None
    """Where it is a rate, for its interval."""


def figures_of(study: str, observations: Observations) -> StudyFigures:
    """Compute the figures of a study.

    Args:
        study: Its identifier, which determines the resamples.
        observations: Its grades.
    """
    rates, kappas = dict(_rates(observations)), dict(_kappas(observations))
    statistics = rates | kappas
    patients = {name: _patients(observations, statistic.inside) for name, statistic in statistics.items()}
    computable = {name: statistic for name, statistic in statistics.items() if patients[name] >= FEW_CASES}
    means = _means(observations, rates)
    computable_means = {name: parts for name, parts in means.items() if all(part in computable for part in parts)}
    intervals = _intervals(study, observations, computable, computable_means)

    def figure(name: str) -> Figure:
        parts = means.get(name, (name,))  # a mean has as many patients as the reader with the fewest
        return Figure(
            interval=intervals.get(name),
            patients=min(patients[part] for part in parts),
            eyes=sum(int(np.count_nonzero(statistics[part].inside)) for part in parts),
        )

    return StudyFigures(
        rates=tuple(_rate_lines([*rates, *means], figure)),
        kappas=tuple(KappaLine(**_parts(name), figure=figure(name)) for name in kappas),
    )


def _patients(observations: Observations, inside: Flags) -> int:
    return len(np.unique(observations.patients[inside]))


def _intervals(
    study: str, observations: Observations, statistics: Mapping[str, _Statistic], means: Mapping[str, tuple[str, ...]]
) -> dict[str, Interval]:
    """Compute statistics, and means of them, on the same resamples of patients; rates have `rates.rate_interval`."""
    if not statistics:
        return {}

    def with_means(values: Values) -> Values:
        averages = {name: np.mean([values[part] for part in parts], axis=0) for name, parts in means.items()}
        return dict(values) | averages

    together = Together(tuple(statistic.build() for statistic in statistics.values()), with_means)
    seed = int.from_bytes(hashlib.sha256(study.encode()).digest()[:8], "big")
    intervals = patient_intervals(together, observations.patients, rng=np.random.default_rng(seed))
    rates = {name: statistic.rate for name, statistic in statistics.items() if statistic.rate is not None}
    return widened(intervals, rates, observations.patients)


def _rates(observations: Observations) -> Iterator[tuple[str, _Statistic]]:
    """Yield the rates of the release, of each reader in each stage, and their changes."""
    has_reference = observations.reference != MISSING
    if not has_reference.any():
        return
    yield from _rates_of(
        RELEASE, "", observations, has_reference & observations.first_sitting, observations.release_referred
    )
    for reader in observations.readers:
        graded = {stage: observations.grades[reader, stage] != MISSING for stage in observations.stages}
        referrals = {stage: referred(observations.grades[reader, stage]) for stage in observations.stages}
        for stage in observations.stages:
            yield from _rates_of(reader, stage, observations, has_reference & graded[stage], referrals[stage])
        if WITH_ANSWER in observations.stages:
            graded_twice = has_reference & graded[ALONE] & graded[WITH_ANSWER]
            yield from _changes_of(reader, observations, graded_twice, referrals)


def _rates_of(
    reader: str, stage: str, observations: Observations, inside: Flags, referrals: Flags
) -> Iterator[tuple[str, _Statistic]]:
    positive = observations.reference >= REFERABLE
    for rate, among, right in ((RATES[0], positive, referrals), (RATES[1], ~positive, ~referrals)):
        name, counted = _name(reader, stage, rate), inside & among
        yield name, _Statistic(counted, _hits(name, positive, referrals, counted, rate), Rate(counted & right, counted))


def _changes_of(
    reader: str, observations: Observations, graded_twice: Flags, referrals: Mapping[str, Flags]
) -> Iterator[tuple[str, _Statistic]]:
    positive = observations.reference >= REFERABLE
    for rate, among in ((RATES[0], positive), (RATES[1], ~positive)):
        name, counted = _name(reader, CHANGE, rate), graded_twice & among
        parts = tuple(_hits(stage, positive, referrals[stage], counted, rate) for stage in (ALONE, WITH_ANSWER))
        yield name, _Statistic(counted, _difference(name, parts))


def _hits(name: str, positive: Flags, referrals: Flags, inside: Flags, rate: str) -> Callable[[], Together]:
    """Return what makes one rate of the observations inside, by a name of its own."""

    def build() -> Together:
        hits = of_hits(positive[inside], referrals[inside]).among(inside)
        return Together((hits,), lambda values: {name: values[rate]})

    return build


def _difference(name: str, parts: tuple[Callable[[], Together], ...]) -> Callable[[], Together]:
    def build() -> Together:
        return Together(tuple(part() for part in parts), lambda values: {name: values[WITH_ANSWER] - values[ALONE]})

    return build


def _means(observations: Observations, rates: Mapping[str, _Statistic]) -> dict[str, tuple[str, ...]]:
    """Return which statistics are averaged over the readers, by the name of the average; none of a single reader."""
    if len(observations.readers) < 2:
        return {}
    return {
        _name(MEAN, stage, rate): tuple(_name(reader, stage, rate) for reader in observations.readers)
        for stage in (*observations.stages, CHANGE)
        for rate in RATES
        if _name(observations.readers[0], stage, rate) in rates
    }


def _rate_lines(names: Sequence[str], figure: Callable[[str], Figure]) -> Iterator[RateLine]:
    for name in names:
        reader, stage, rate = name.split("\t")
        specificity = _name(reader, stage, RATES[1])
        if rate == RATES[0] and specificity in names:
            yield RateLine(reader=reader, stage=stage, sensitivity=figure(name), specificity=figure(specificity))


def _kappas(observations: Observations) -> Iterator[tuple[str, _Statistic]]:
    """Yield the agreement of readers with one another, with the release, and with themselves in other sittings."""
    for stage in observations.stages:
        for first, second in combinations(observations.readers, 2):
            grades = (observations.grades[first, stage], observations.grades[second, stage])
            yield _kappa(_name(first, second, stage), *grades)
        for reader in observations.readers:
            yield _kappa(_name(reader, RELEASE, stage), observations.grades[reader, stage], observations.release)
    if observations.sittings > 1:
        for reader in observations.readers:
            earlier = observations.grades[reader, ALONE]
            later = np.full(len(earlier), MISSING)
            later[: -len(observations.eyes)] = earlier[len(observations.eyes) :]
            yield _kappa(_name(reader, f"{reader}, next sitting", ALONE), earlier, later)


def _kappa(name: str, first: Codes, second: Codes) -> tuple[str, _Statistic]:
    inside = (first >= 0) & (second >= 0)

    def build() -> Together:
        confusions = of_confusions(first[inside], second[inside], lambda counts: {name: kappa_of(counts)})
        return Together((confusions.among(inside),))

    return name, _Statistic(inside, build)


def _name(*parts: str) -> str:
    return "\t".join(parts)


def _parts(name: str) -> dict[str, str]:
    first, second, stage = name.split("\t")
    return {"first": first, "second": second, "stage": stage}
