"""How well single signs (microaneurysms, haemorrhages, ...) are told: each its own yes-or-no question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from fundoscope.arrays import Scores
from fundoscope.decide.kappa import kappa_of
from fundoscope.evaluation.statistics.agreement import Values
from fundoscope.evaluation.statistics.detection import Answers, average_precisions, of_auroc, of_curves, of_hits
from fundoscope.evaluation.statistics.interval import Interval, patient_intervals
from fundoscope.evaluation.statistics.rates import Rate, widened
from fundoscope.evaluation.statistics.sums import Sums, Together, Totals, by_cell, ratio
from fundoscope.tables import patient_keys
from fundoscope.tables.columns import SIGN_PREFIX
from fundoscope.tables.joining import PREDICTED
from fundoscope.tables.pair import sign_score

SURE: Final = 0.5
"""From this score on a sign is called present, where the table does not say itself."""


@dataclass(frozen=True, slots=True)
class Sign:
    """What came out for one sign."""

    photographs: int
    """Those where both the reference and the prediction say something."""
    positives: int
    intervals: dict[str, Interval]
    """auroc, average_precision, sensitivity, specificity, accuracy and unweighted kappa."""


def evaluate_signs(
    rows: pd.DataFrame, *, seed: int = 0, resamples: int = 2000, level: float = 0.95, method: str = "auto"
) -> dict[str, Sign]:
    """Every sign that the manifest has a target of and the predictions answer, by its name.

    The score is `p_NAME`, else `predicted_sign_NAME`; it is called present where `predicted_sign_NAME`, else
    `p_NAME`, is at least `SURE`. Signs are measured wherever both sides say something, graded or not.

    Args:
        rows: As `tables.join` gives them, of predictions as `check_signs` gives them.
        seed: Seed of the resamples.
        resamples: Bootstrap resamples of patients.
        level: Confidence level of the intervals.
        method: A name in `interval.INTERVALS`.
    """
    patients = pd.factorize(pd.Series(patient_keys(rows), dtype=object))[0]
    signs = {}
    for name in (str(name) for name in rows.columns if str(name).startswith(SIGN_PREFIX)):
        columns = [each for each in (sign_score(name), PREDICTED + name) if each in rows]
        if not columns:
            continue
        score, said = _numbers(rows[columns[0]]), _numbers(rows[columns[-1]])
        target = _numbers(rows[name])
        known = ~np.isnan(target) & ~np.isnan(score) & ~np.isnan(said)
        positive = target[known] == 1
        called = said[known] >= SURE
        intervals = patient_intervals(
            _statistics(positive, score[known], called),
            patients[known],
            rng=np.random.default_rng(seed),
            level=level,
            resamples=resamples,
            method=method,
        )
        rates = {
            "accuracy": Rate(called == positive, np.ones(len(positive), dtype=bool)),
            "sensitivity": Rate(called, positive),
            "specificity": Rate(~called, ~positive),
        }
        intervals = widened(intervals, rates, patients[known])
        signs[name.removeprefix(SIGN_PREFIX)] = Sign(int(known.sum()), int(positive.sum()), intervals)
    return signs


def _statistics(positive: Answers, score: Scores, said: Answers) -> Together:
    def agreement(totals: Totals) -> Mapping[str, Values]:
        counts = np.ascontiguousarray(totals.T).reshape(-1, 2, 2)
        right = np.einsum("dgg->d", counts)
        return {
            "accuracy": ratio(right, counts.sum(axis=(1, 2))),
            "kappa": kappa_of(counts, weights="unweighted"),
        }

    return Together(
        (
            of_auroc(positive, score),
            of_curves(positive, score, lambda of: {"average_precision": average_precisions(of)}),
            of_hits(positive, said),
            Sums((by_cell(positive * 2 + said, 4),), agreement),
        )
    )


def _numbers(column: pd.Series) -> Scores:
    return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
