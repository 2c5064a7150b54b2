"""Whether a protocol still holds for the patients who have come since, and why not.

One promise covers all that is looked at: where nothing changed, at most one false alarm in as many patients as the
site says. Half of it goes to the two CUSUMs of the referral rate, which sound on their own; half to the tests that
compare the window as a whole, whose level is that share of the promise which its patients make up, divided among them
after Holm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Final, TypedDict

import numpy as np
from jaxtyping import Bool
from scipy import stats

from fundoscope.clinic.monitoring.changes import (
    STEPS,
    Change,
    Cusum,
    alarm_chance,
    changed_share,
    changed_spread,
    design_cusum,
    run_length,
)
from fundoscope.clinic.monitoring.dust import DustReport
from fundoscope.clinic.monitoring.kernel import Vectors, compare_features
from fundoscope.clinic.monitoring.reasons import notes, rate_changed, system_changed, window_changed
from fundoscope.clinic.monitoring.window import Window
from fundoscope.errors import BadRequest, BadTable
from fundoscope.evaluation.statistics.significance import holm
from fundoscope.tables.patients import texts
from fundoscope.version import __version__

SCHEMA: Final = 1

HIGHEST_LEVEL: Final = 0.05
"""Of the tests of one window together, however many patients it has."""

FEWEST_PERMUTATIONS, MOST_PERMUTATIONS = 999, 9999

ROUGHNESS: Final = 10
"""Permutations for each that the smallest level needs, so that a p-value near it is known well enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What counts as an alarm; to be settled before the data are looked at."""

    false_alarm_after: int = 2000
    """Patients to one false alarm on average, all that is looked at together."""
    odds: float = 2.0
    """Factor by which the odds of a referral must rise or fall to be noticed soonest (Steiner et al., Biostatistics 1,
    2000, 441-452); above 1."""
    confidence: float = 0.95
    """How sure each chart is to keep its promise though the reference's rate is known from its patients only."""
    seed: int = 0
    """Of the draws of patients and permutations."""

    def __post_init__(self) -> None:
        if self.false_alarm_after < 1:
            raise ValueError(f"false_alarm_after must be at least 1, got {self.false_alarm_after}")
        if not self.odds > 1:
            raise ValueError(f"odds must be above 1, got {self.odds}")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence must be at least 0.5 and below 1, got {self.confidence}")

    def level(self, patients: int) -> float:
        """Return the level of the tests of a window together."""
        return min(HIGHEST_LEVEL, patients / (2 * self.false_alarm_after))

    @property
    def chart_after(self) -> int:
        """Patients to a false alarm of each of the two charts."""
        return 4 * self.false_alarm_after


class MonitoringReport(TypedDict):
    """What `monitor.json` holds."""

    schema: int
    kind: str
    date: str
    fundoscope: str
    holds: bool
    """Whether no change was found."""
    reasons: list[str]
    """Why not, a sentence each."""
    notes: list[str]
    protocol: str | None
    """Its seal; None where there is none."""
    rules: dict[str, Any]
    threshold: float | None
    order: str
    """What orders the patients: a name in `window.TIMES`, or `window.TABLE_ORDER`."""
    first_day: str | None
    last_day: str | None
    reference: dict[str, Any]
    """Counts of the reference's photographs and patients."""
    now: dict[str, Any]
    """Counts of the later ones."""
    charts: list[dict[str, Any]]
    """The CUSUMs of the referral rate, upwards and downwards."""
    level: float
    """Of the tests together."""
    tests: list[dict[str, Any]]
    dust: dict[str, Any] | None
    """What has become of the dust on the camera's sensor (`dust.DustReport.to_dict`); None: it was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the two tables are compared by, besides their scores."""

    protocol: Mapping[str, Any] | None = None
    releases: frozenset[str] = frozenset()
    """Names by which the protocol's release may sign; empty: unknown."""
    features: tuple[Sequence[Vectors], Sequence[Vectors]] | None = None
    """Of each patient of the reference, and of each of the window."""
    notes: tuple[str, ...] = ()
    """Sentences for the reader of the report."""
    dust: DustReport | None = None
    """What has become of the dust on the camera's sensor."""


def watch(reference: Window, now: Window, rules: Rules, comparison: Comparison, *, day: date) -> MonitoringReport:
    """Compare the patients of a window with the reference's, and with the protocol where there is one.

    Args:
        reference: Patients of the commissioning.
        now: Patients who came later.
        rules: What counts as an alarm.
        comparison: Protocol and features, where there are any.
        day: Of the report.

    Raises:
        BadTable: If the tables share photographs, or are scored by different columns.
        BadRequest: If nothing says who is referred.
    """
    _check_apart(reference, now)
    threshold = _threshold(reference, now, comparison.protocol)
    before, after = (window.referred(threshold) for window in (reference, now))
    if before is None or after is None:
        lacking = reference if before is None else now
        raise BadRequest(
            f"{lacking.path}: expected a threshold to refer by, got no --protocol and photographs without a decision. "
            "Give --protocol protocol.json, or fill in the column decision."
        )
    charts = [_chart(way, before, after, now, rules) for way in ("up", "down")]
    level = rules.level(len(after))
    tests = _tests(reference, now, comparison, rules, level)
    reasons = [
        *system_changed(reference, now, protocol=comparison.protocol, releases=comparison.releases),
        *(rate_changed(chart, now) for chart in charts if chart["alarm"] is not None),
        *(window_changed(test) for test in tests if test["alarm"]),
        *(() if comparison.dust is None else comparison.dust.reasons),
    ]
    return {
        "schema": SCHEMA,
        "kind": "monitoring report",
        "date": day.isoformat(),
        "fundoscope": __version__,
        "holds": not reasons,
        "reasons": reasons,
        "notes": [
            *notes(reference, now, charts),
            *comparison.notes,
            *(() if comparison.dust is None else comparison.dust.notes),
        ],
        "protocol": None if comparison.protocol is None else comparison.protocol["seal"],
        "rules": asdict(rules),
        "threshold": threshold,
        "order": now.ordered_by,
        "first_day": None if now.days is None else now.days[0],
        "last_day": None if now.days is None else now.days[-1],
        "reference": _counts(reference, before),
        "now": _counts(now, after),
        "charts": charts,
        "level": level,
        "tests": tests,
        "dust": None if comparison.dust is None else comparison.dust.to_dict(),
    }


def _check_apart(reference: Window, now: Window) -> None:
    hashes = set(texts(reference.rows, "sha256")) - {None}
    repeated = [
        image
        for image, sha256 in zip(now.rows["image"], texts(now.rows, "sha256"), strict=True)
        if sha256 is not None and sha256 in hashes
    ]
    if repeated:
        raise BadTable(
            f"{now.path}: expected photographs that {reference.path} has not, got {len(repeated)} that are in both "
            f"({repeated[0]}). Leave them out of one."
        )
    if now.read_from != reference.read_from:
        raise BadTable(
            f"{now.path}: expected the answer in the same columns as in {reference.path} ({reference.read_from}), got "
            f"{now.read_from}. Give two tables of one system."
        )


def _threshold(reference: Window, now: Window, protocol: Mapping[str, Any] | None) -> float | None:
    if protocol is None:
        return None
    if protocol["score"] != now.read_from:
        raise BadTable(
            f"{now.path}: expected the score that the protocol is about ({protocol['score']}), got {now.read_from}. "
            "Give the table as the system wrote it, or the protocol that belongs to it."
        )
    if protocol["threshold"] is None:
        raise BadRequest(
            f"--protocol: expected one with a threshold, got that of {protocol['date']}, which found none for "
            f"{reference.path}. Commission again with more patients, or leave --protocol out."
        )
    return float(protocol["threshold"])


def _chart(
    way: str, before: Bool[np.ndarray, " patient"], after: Bool[np.ndarray, " later_patient"], now: Window, rules: Rules
) -> dict[str, Any]:
    """Run one CUSUM: of referrals, or of patients who are not referred.

    It keeps its promise at the edge of the exact interval of the reference's rate, so that it keeps it also where that
    rate was drawn too low (Gandy and Kvaloy, Scandinavian Journal of Statistics 40, 2013, 647-668).
    """
    events, later = (before, after) if way == "up" else (~before, ~after)
    hits, total = int(events.sum()), len(events)
    edge = 1.0 if hits == total else float(stats.beta.ppf(rules.confidence, hits + 1, total - hits))
    chart: dict[str, Any] = {"way": way, "rate": hits / total, "rate_allowed": edge, "alarm": None, "cusum": None}
    cusum = _designed(edge, rules) if edge < 1 else None
    if cusum is None:
        return chart
    at = cusum.alarm(later)
    patient = None if at is None else {"number": at + 1, "day": None if now.days is None else now.days[at]}
    return chart | {
        "rate_noticed": _raised(edge, rules.odds),
        "cusum": {"steps": STEPS, "allowance": cusum.allowance, "limit": cusum.limit},
        "false_alarm_after": cusum.run_length,
        "noticed_after": run_length(_raised(edge, rules.odds), cusum.allowance, cusum.limit),
        "rate_noticed_from_seen": _raised(hits / total, rules.odds),
        # A rise from the rate that was seen is smaller than one from the edge, and noticed later.
        "noticed_after_from_seen": run_length(_raised(hits / total, rules.odds), cusum.allowance, cusum.limit)
        if 0 < hits < total
        else None,
        "chance_of_false_alarm": alarm_chance(edge, cusum.allowance, cusum.limit, len(later)),
        "alarm": patient,
    }


def _designed(rate: float, rules: Rules) -> Cusum | None:
    try:
        return design_cusum(rate, _raised(rate, rules.odds), false_alarm_after=rules.chart_after)
    except ValueError:
        # So near to nobody or everybody that no chart keeps the promise; the report says that there is none.
        return None


def _raised(rate: float, odds: float) -> float:
    return odds * rate / (1 - rate + odds * rate)


def _tests(reference: Window, now: Window, comparison: Comparison, rules: Rules, level: float) -> list[dict[str, Any]]:
    """Test gradability, scores and features, corrected for multiple testing."""
    changes = [changed_share("ungradable", reference.ungradable, now.ungradable)]
    further: dict[str, dict[str, Any]] = {}
    scores = [window.scores[np.isfinite(window.scores)] for window in (reference, now)]
    if all(map(len, scores)):
        changes.append(changed_spread("score", scores[0], scores[1]))
    if comparison.features is not None:
        needed = int(np.ceil(ROUGHNESS * (len(changes) + 1) / level))
        discrepancy = compare_features(
            *comparison.features,
            np.random.default_rng(rules.seed),
            permutations=min(MOST_PERMUTATIONS, max(FEWEST_PERMUTATIONS, needed)),
        )
        changes.append(Change("features", 0.0, discrepancy.squared, discrepancy.p_value))
        further["features"] = asdict(discrepancy) | {"patients": [len(vectors) for vectors in comparison.features]}
    corrected = holm([change.p_value for change in changes])
    return [
        {**asdict(change), **further.get(change.name, {}), "corrected": p_value, "alarm": p_value <= level}
        for change, p_value in zip(changes, corrected, strict=True)
    ]


def _counts(window: Window, referred: Bool[np.ndarray, " patient"]) -> dict[str, Any]:
    return {
        "table": window.path.name,
        "photographs": len(window.rows),
        "not_graded": int(np.isnan(window.photographs).sum()),
        "patients": len(window.members),
        "ungradable": int(window.ungradable.sum()),
        "refused_and_referred": int(window.refused_and_referred.sum()),
        "referred": int(referred.sum()),
    }
