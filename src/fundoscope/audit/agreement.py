"""Labels of one picture beside one another: contradictions, and how well two readers agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from fundoscope.audit.findings import Finding
from fundoscope.data.split import units_of
from fundoscope.evaluation.statistics.agreement import agreement_statistics, confusions
from fundoscope.evaluation.statistics.interval import INTERVALS, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.tables.patients import PatientKey, texts, unit_keys

LISTED: Final = 200
"""Pictures written out in one finding's evidence; `images` names all."""

LABELS: Final = ("grade", "dme", "label", "eye")
"""Columns of which one picture can have one value only."""

STATISTICS: Final = ("quadratic_kappa", "linear_kappa", "unweighted_kappa", "accuracy", "within_one")
"""What is said of two labels; accuracy is the share of photographs on which they agree exactly."""

RESAMPLES: Final = 1000
SEED: Final = 0


def contradictions(frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Find pictures that have several values of a column of `LABELS`: one file, or one group of duplicates."""
    return tuple(finding for name in LABELS if name in frame for finding in _contradictions(frame, name))


def agreement(
    first: Sequence[int], second: Sequence[int], patients: Sequence[object], *, resamples: int = RESAMPLES
) -> dict[str, dict[str, float | None]]:
    """Measure the agreement of two labels of the same photographs: `STATISTICS` with 95 % intervals by patient.

    Args:
        first: ICDR grades 0 to 4.
        second: Of the same photographs, in the same order.
        patients: Whose photographs they are; photographs of one patient are drawn together.
        resamples: Draws of patients.

    Returns:
        By name: estimate, low and high; None where undefined, as kappas of a single patient.
    """
    grades, others = (np.asarray(grades_of, dtype=np.int64) for grades_of in (first, second))
    number = {patient: at for at, patient in enumerate(dict.fromkeys(patients))}
    owner = np.array([number[patient] for patient in patients], dtype=np.int64)
    intervals = patient_intervals(
        lambda weights: agreement_statistics(confusions(weights, grades, others)),
        owner,
        rng=np.random.default_rng(SEED),
        resamples=resamples,
    )
    apart, everyone = np.abs(grades - others), np.ones(len(grades), dtype=bool)
    rates = {"accuracy": Rate(apart == 0, everyone), "within_one": Rate(apart <= 1, everyone)}
    return {name: interval.ends() for name, interval in widened(intervals, rates, owner).items() if name in STATISTICS}


def two_labels(frame: pd.DataFrame, *, resamples: int = RESAMPLES) -> tuple[Finding, ...]:
    """Compare `grade` with `grade_second` in every source, and two sources on the pictures that both have."""
    findings = []
    sources = texts(frame, "source")
    if "grade_second" in frame and "grade" in frame:
        for source in sorted({source or "" for source in sources}):
            rows = frame[[(named or "") == source for named in sources]]
            rows = rows[rows["grade"].notna() & rows["grade_second"].notna()]
            if len(rows):
                findings.append(
                    _agreement_finding(
                        rows, "grade_second", f"{source or 'manifest'}: grade and grade_second", resamples
                    )
                )
    for (one, other), (places, grades) in _across_sources(frame).items():
        pair = frame.iloc[places].assign(other_source=pd.array(grades, dtype="Int64"))
        findings.append(
            _agreement_finding(pair, "other_source", f"{one} and {other}, on pictures that both hold", resamples)
        )
    return tuple(findings)


def model_agreement(rows: pd.DataFrame, *, resamples: int = RESAMPLES) -> tuple[Finding, ...]:
    """Measure the agreement of the reference grade with a model's: `Joined.rows` with `grade` and `predicted_grade`."""
    if "grade" not in rows or "predicted_grade" not in rows:
        return ()
    graded = rows[rows["grade"].notna() & rows["predicted_grade"].notna()]
    if graded.empty:
        return ()
    return (_agreement_finding(graded, "predicted_grade", "labels and predictions", resamples),)


def _contradictions(frame: pd.DataFrame, name: str) -> Iterator[Finding]:
    pictures = unit_keys(frame[[column for column in ("image", "sha256", "duplicate_group") if column in frame]])
    values, images, sources = texts(frame, name), frame["image"].astype(str).tolist(), texts(frame, "source")
    members: dict[PatientKey, list[int]] = defaultdict(list)
    for at, picture in enumerate(pictures):
        if values[at] is not None:
            members[picture].append(at)
    apart = [rows for rows in members.values() if len({values[at] for at in rows}) > 1]
    if not apart:
        return
    spreads = [_spread([str(values[at]) for at in rows]) for rows in apart]
    order = sorted(range(len(apart)), key=lambda at: (-spreads[at], images[apart[at][0]]))
    far = sum(spread > 1 for spread in spreads)
    yield Finding(
        f"contradicting-{name}",
        "warns",
        f"Pictures that are listed several times with different values of {name}: {len(apart)}"
        + (f", more than one grade apart: {far}" if name == "grade" else "")
        + ". At most one value is right: have them read again, or leave them out.",
        tuple(images[row] for at in order for row in apart[at]),
        {
            "pictures": len(apart),
            "more_than_one_apart": far,
            "groups": [
                [{"image": images[row], "source": sources[row], name: values[row]} for row in apart[at]]
                for at in order[:LISTED]
            ],
        },
    )


def _spread(values: Sequence[str]) -> int:
    """Return the difference of the highest and the lowest number; 1 for words that differ."""
    if not all(value.isdigit() for value in values):
        return 1
    numbers = [int(value) for value in values]
    return max(numbers) - min(numbers)


def _agreement_finding(rows: pd.DataFrame, second: str, what: str, resamples: int) -> Finding:
    first, other = rows["grade"].astype(int).tolist(), rows[second].astype(int).tolist()
    statistics = agreement(first, other, units_of(rows), resamples=resamples)
    kappa = statistics["quadratic_kappa"]
    said = "undefined" if kappa["estimate"] is None else f"{kappa['estimate']:.3f}"
    if kappa["low"] is not None and kappa["high"] is not None:
        said += f" (95% CI {kappa['low']:.3f} to {kappa['high']:.3f})"
    apart = [abs(one - two) for one, two in zip(first, other, strict=True)]
    images = rows["image"].astype(str).tolist()
    far = sorted((at for at, distance in enumerate(apart) if distance > 1), key=lambda at: (-apart[at], images[at]))
    return Finding(
        "two-labels",
        "notes",
        f"{what}: {len(rows)} photographs have both labels, {statistics['accuracy']['estimate']:.1%} the same, "
        f"{statistics['within_one']['estimate']:.1%} within one grade, quadratic kappa {said}. Those more than one "
        "grade apart are named.",
        tuple(images[at] for at in far),
        {
            "labels": what,
            "photographs": len(rows),
            "statistics": statistics,
            "interval": f"{INTERVALS['auto']}; of shares the wider of it and Wilson's; 95 %, {resamples} resamples",
            "confusion": confusions(np.ones((1, len(rows))), np.array(first), np.array(other))[0].astype(int).tolist(),
        },
    )


def _across_sources(frame: pd.DataFrame) -> dict[tuple[str, str], tuple[list[int], list[int]]]:
    """Return, for each two sources, rows of the first whose picture the second has, and the second's grades."""
    if not {"grade", "source"} <= set(frame.columns):
        return {}
    pictures = unit_keys(frame[[column for column in ("image", "sha256", "duplicate_group") if column in frame]])
    sources, grades = texts(frame, "source"), texts(frame, "grade")
    firsts: dict[PatientKey, dict[str, int]] = defaultdict(dict)
    for at in np.argsort(frame["image"].astype(str).to_numpy(dtype=object), kind="stable").tolist():
        source = sources[at]
        if source is not None and grades[at] is not None:
            firsts[pictures[at]].setdefault(source, at)
    pairs: dict[tuple[str, str], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for mine in firsts.values():
        for one, other in combinations(sorted(mine), 2):
            pairs[one, other][0].append(mine[one])
            pairs[one, other][1].append(int(str(grades[mine[other]])))
    return dict(sorted(pairs.items()))
