"""Confidence intervals: bootstrapped by patient for any statistic, exact and Wilson's for proportions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import sparse, stats

from fundoscope.records import null_if_nan

Statistic = Callable[[Any, Any], float]
"""Called as `statistic(grades, scores)`; NaN where it is undefined."""

Weights = Float[np.ndarray, "draw photo"]
"""How often each photograph was drawn, one row for each resample."""

PatientWeights = Float[np.ndarray, "draw patient"]
"""How often each patient was drawn."""

Statistics = Callable[[Weights], Mapping[str, Float[np.ndarray, " draw"]]]
"""Several statistics at once: one value for each row of weights, by name; NaN where undefined."""


@runtime_checkable
class OfPatients(Protocol):
    """Statistics that can be computed from how often each patient was drawn, as `sums` makes them."""

    def of_patients(self, owner: Int[np.ndarray, " photo"]) -> Statistics:
        """The same statistics, of one weight for each patient; `owner` numbers them from 0."""


UNDEFINED_SHARE: Final = 0.05
"""Above this share of undefined resamples there is no interval: it would describe a selection of the resamples."""

WIDTHLESS: Final = 1e-12
"""Bounds that are no farther apart than this, relative to the estimate, are one value up to rounding."""

PROPORTION_METHODS: Final[dict[str, Literal["exact", "wilson"]]] = {"clopper-pearson": "exact", "wilson": "wilson"}
"""SciPy's name of each method."""

FEW_PATIENTS: Final = 100
"""Below so many patients "auto" takes BCa: percentiles of an AUROC cover 0.87 to 0.90 of 0.95 at 30 patients
(docs/results/coverage.md)."""

INTERVALS: Final = {
    "auto": f"bootstrap, patients drawn with replacement: BCa of fewer than {FEW_PATIENTS} patients, else percentiles",
    "percentile": "percentile bootstrap, patients drawn with replacement",
    "bca": "BCa bootstrap, patients drawn with replacement, acceleration by leaving patients out",
}
"""Methods of reading the bounds off the resamples, and their descriptions."""

LEFT_OUT: Final = 1000
"""Number of leave-outs for BCa at most; of more patients, groups are left out."""

BLOCK: Final = 4_000_000
"""Weights of photographs held at once: 32 MB."""

PATIENT_BLOCK: Final = 400_000
"""Weights of patients held at once: 3.2 MB, so that the sums over them stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with its confidence interval."""

    estimate: float
    low: float
    """NaN, as `high`, where there is no interval."""
    high: float
    level: float
    undefined: int
    """Resamples left out because the statistic had no value on them (e.g. no referable eye drawn)."""

    def ends(self) -> dict[str, float | None]:
        """Return `estimate`, `low` and `high` as JSON can hold them: None where undefined."""
        return {name: null_if_nan(float(getattr(self, name))) for name in ("estimate", "low", "high")}

    def to_dict(self) -> dict[str, float | int | None]:
        """Return `ends`, and the number of undefined resamples."""
        return {**self.ends(), "undefined": self.undefined}

    def __str__(self) -> str:
        if math.isnan(self.estimate):
            return "n/a"
        if math.isnan(self.low):
            return f"{self.estimate:.3f} (no interval)"
        return f"{self.estimate:.3f} ({self.level:.0%} CI {self.low:.3f} to {self.high:.3f})"


def patient_interval(
    statistic: Statistic,
    grades: Int[np.ndarray, " photo"],
    scores: Shaped[np.ndarray, " photo *score"],
    patients: Shaped[np.ndarray, " photo"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Compute the percentile interval of a statistic, resampling patients rather than photographs.

    Two photographs of one patient are not two independent cases. Resampling photographs
    would pretend they are and return an interval that is too narrow.

    Args:
        statistic: Called as `statistic(grades, scores)`. Returns NaN where it is undefined.
        grades: Reference grade of each photograph, 0 to 4.
        scores: What the grader gave each photograph: one number, or one row of numbers.
        patients: Patient identifier of each photograph. Any comparable type.
        rng: Source of the resamples; the same generator state gives the same interval.
        level: Confidence level, between 0 and 1 exclusive.
        resamples: Number of resamples.

    Returns:
        The statistic on all photographs, with its interval.

    Raises:
        ValueError: If `level` is not a proportion, if there are fewer than two patients,
            or if the statistic is undefined on more than one resample in twenty.
    """
    _check_level(level)
    names, owner = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"patients must hold at least 2 patients, got {len(names)}")
    photos_of = np.split(np.argsort(owner, kind="stable"), np.cumsum(np.bincount(owner))[:-1])
    values = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(len(names), size=len(names))
        rows = np.concatenate([photos_of[patient] for patient in drawn])
        values[i] = statistic(grades[rows], scores[rows])
    interval = _interval(float(statistic(grades, scores)), values, level)
    if math.isnan(interval.low):
        raise ValueError(
            f"statistic is undefined on {interval.undefined} of {resamples} resamples; "
            "too few patients carry the grade it needs"
        )
    return interval


def patient_intervals(
    statistics: Statistics,
    patients: Shaped[np.ndarray, " photo"],
    *,
    rng: np.random.Generator,
    level: float = 0.95,
    resamples: int = 2000,
    method: str = "auto",
) -> dict[str, Interval]:
    """Compute bootstrap intervals of many statistics on the same resamples of patients, quickly.

    The resamples are those of `patient_interval`, represented by how often each photograph was drawn.

    Args:
        statistics: From weights to values; see `Statistics`.
        patients: Patient identifier of each photograph. Any comparable type.
        rng: Source of the resamples; the same generator state gives the same intervals.
        level: Confidence level, between 0 and 1 exclusive.
        resamples: Number of resamples.
        method: A name in `INTERVALS`. "auto" is "bca" of fewer than `FEW_PATIENTS` patients, else "percentile".
            "bca" (Efron, JASA 82, 1987, 171-185) corrects for bias and skewness; its
            acceleration is that of leaving out one patient at a time (of more than `LEFT_OUT`: groups of them).

    Returns:
        By name. `estimate` is NaN where a statistic is undefined; `low` and `high` are NaN where it
        is undefined on more than one resample in twenty, there are fewer than two patients, both bounds would be one
        value (the resamples do not vary: an interval without width would claim certainty), or BCa is taken and all
        resamples lie on one side of the estimate or a patient cannot be left out. Rates have an interval even then:
        `rates.rate_interval`.

    Raises:
        ValueError: If `level` is not a proportion or `method` is not a name in `INTERVALS`.
    """
    _check_level(level)
    if method not in INTERVALS:
        raise ValueError(f"method must be one of {', '.join(INTERVALS)}, got {method!r}")
    estimates = statistics(np.ones((1, len(patients))))
    owner = np.unique(patients, return_inverse=True)[1]
    if not len(owner) or owner.max() == 0:
        undefined = np.full(resamples, np.nan)
        return {name: _interval(float(estimate[0]), undefined, level) for name, estimate in estimates.items()}
    count = int(owner.max()) + 1
    if method == "auto":
        method = "bca" if count < FEW_PATIENTS else "percentile"
    of_patients, block = _of_patients(statistics, owner, count)
    values = _collected(of_patients, _draws(count, rng, resamples, block))
    left_out = _collected(of_patients, _without(count, block)) if method == "bca" else {}
    return {
        name: _interval(float(estimate[0]), values[name], level, left_out.get(name))
        for name, estimate in estimates.items()
    }


def proportion_interval(
    hits: int, total: int, *, level: float = 0.95, method: str = "clopper-pearson"
) -> tuple[float, float]:
    """Compute the interval of a proportion of *independent* cases: nobody counted twice.

    Clopper-Pearson is exact and never too narrow; Wilson is shorter and right on average.

    Args:
        hits: How many, 0 to `total`.
        total: Of how many, at least 1.
        level: Between 0 and 1 exclusive.
        method: "clopper-pearson" or "wilson".

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> [round(bound, 3) for bound in proportion_interval(48, 50)]
        [0.863, 0.995]
    """
    _check_level(level)
    if total < 1 or not 0 <= hits <= total:
        raise ValueError(f"hits must lie between 0 and total, and total be at least 1, got {hits} of {total}")
    if method not in PROPORTION_METHODS:
        raise ValueError(f"method must be one of {', '.join(PROPORTION_METHODS)}, got {method!r}")
    low, high = stats.binomtest(hits, total).proportion_ci(level, method=PROPORTION_METHODS[method])
    return float(low), float(high)


def _of_patients(statistics: Statistics, owner: Int[np.ndarray, " photo"], count: int) -> tuple[Statistics, int]:
    """Return the statistics as functions of the patients' weights, and how many resamples to take at once."""
    if isinstance(statistics, OfPatients):
        return statistics.of_patients(owner), max(1, PATIENT_BLOCK // count)
    # A photograph counts as often as its patient was drawn: (draw, patient) -> (draw, photo).
    return lambda weights: statistics(np.ascontiguousarray(weights[:, owner])), max(1, BLOCK // len(owner))


def _draws(patients: int, rng: np.random.Generator, resamples: int, block: int) -> Iterator[PatientWeights]:
    """Yield how often each patient was drawn, a block of resamples at a time; in memory patient by patient.

    Counting is done by turning a sparse array into a dense one, which adds entries of one place; in two bytes each, so
    that the counters of a resample stay in a core's first cache. Drawn as 32-bit numbers, patients are the same as
    drawn as 64-bit ones.
    """
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        numbers = rng.integers(patients, size=(draws, patients), dtype=np.int32)  # of the patients drawn
        once = np.ones(numbers.size, dtype=np.uint16)
        # Row d of the sparse array has a 1 in the column of each patient drawn in resample d, rows end at `row_ends`.
        row_ends = np.arange(draws + 1, dtype=np.int32) * np.int32(patients)
        by_patient = np.empty((patients, draws))
        by_patient[...] = sparse.csr_array((once, numbers.ravel(), row_ends), shape=numbers.shape).toarray().T
        yield by_patient.T  # (patient, draw) -> (draw, patient), a view


def _without(patients: int, block: int) -> Iterator[PatientWeights]:
    """Yield weights that leave out each patient, or group of patients, in turn; a block of them at a time."""
    group = np.arange(patients) % LEFT_OUT
    groups = min(patients, LEFT_OUT)
    for start in range(0, groups, block):
        yield (group != np.arange(start, min(start + block, groups))[:, None]).astype(np.float64)


def _collected(statistics: Statistics, blocks: Iterator[Weights]) -> dict[str, Float[np.ndarray, " draw"]]:
    """Compute the statistics of all blocks of weights: one value for each row of weights, by name."""
    parts: dict[str, list[Float[np.ndarray, " draw"]]] = {}
    for weights in blocks:
        for name, values in statistics(weights).items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def _interval(
    estimate: float,
    values: Float[np.ndarray, " draw"],
    level: float,
    left_out: Float[np.ndarray, " patient"] | None = None,
) -> Interval:
    """Read the interval off a statistic's values on the resamples; with `left_out` by BCa, else by percentiles."""
    defined = values[~np.isnan(values)]
    undefined = len(values) - len(defined)
    low = high = math.nan
    if undefined <= UNDEFINED_SHARE * len(values) and len(defined) and not math.isnan(estimate):
        shares = np.array([(1 - level) / 2, (1 + level) / 2])
        shares = shares if left_out is None else _bca_shares(estimate, defined, left_out, shares)
        if not np.isnan(shares).any():
            low, high = (float(bound) for bound in np.quantile(defined, shares))
    if high - low <= WIDTHLESS * max(1.0, abs(estimate)):
        low = high = math.nan
    return Interval(estimate, low, high, level, undefined)


def _bca_shares(
    estimate: float,
    values: Float[np.ndarray, " draw"],
    left_out: Float[np.ndarray, " patient"],
    shares: Float[np.ndarray, " bound"],
) -> Float[np.ndarray, " bound"]:
    """Return the shares of resamples at which BCa reads its bounds, NaN where it is undefined.

    Efron's (1987) formula: z0 + z moves to z0 + (z0 + z) / (1 - a (z0 + z)), with the bias z0 and the acceleration a.
    Resamples that equal the estimate, up to rounding, count half as below it.
    """
    slack = 1e-12 * max(1.0, abs(estimate))
    below = (np.mean(values < estimate - slack) + np.mean(values <= estimate + slack)) / 2
    if not 0 < below < 1 or np.isnan(left_out).any():
        return np.full(len(shares), np.nan)
    bias = stats.norm.ppf(below)  # z0: 0 where half of the resamples lie below the estimate
    # a: the skewness of what each patient contributes, by the jackknife.
    influence = left_out.mean() - left_out
    spread = float((influence**2).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > slack**2 else 0.0
    moved = bias + stats.norm.ppf(shares)  # z0 + z of each wanted share
    return np.asarray(stats.norm.cdf(bias + moved / (1 - acceleration * moved)), dtype=np.float64)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
