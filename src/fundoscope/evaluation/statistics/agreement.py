"""How well answered grades agree with the reference: all of it from confusion matrices, many at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float
from scipy import sparse

from fundoscope.arrays import Grades
from fundoscope.decide.kappa import POWERS, kappa_of
from fundoscope.evaluation.statistics.interval import Weights
from fundoscope.evaluation.statistics.sums import Sums, Totals, by_cell, ratio
from fundoscope.grades import CUTS, GRADES

Confusions = Float[np.ndarray, "draw grade grade"]
"""Counts: rows the reference grade, columns the answered one."""

Values = Float[np.ndarray, " draw"]
"""A statistic of each draw; NaN where it is undefined."""


def confusions(weights: Weights, grades: Grades, answered: Grades) -> Confusions:
    """The confusion matrix of each draw."""
    return _matrices(np.asarray(_cells(grades, answered) @ np.ascontiguousarray(weights.T)))


def of_confusions(grades: Grades, answered: Grades, read: Callable[[Confusions], Mapping[str, Values]]) -> Sums:
    """Statistics that are read off the confusion matrix of each draw."""
    return Sums((_cells(grades, answered),), lambda totals: read(_matrices(totals)))


def accuracy(grades: Grades, answered: Grades) -> float:
    """Share of photographs with exactly the reference grade; NaN for none."""
    return float(np.mean(grades == answered)) if len(grades) else float("nan")


def agreement_statistics(counts: Confusions) -> dict[str, Values]:
    """Kappas, accuracy, mean absolute error in grades, share exactly one grade off and share at most one off."""
    index = np.arange(GRADES)
    apart = np.abs(index[:, None] - index)
    total = counts.sum(axis=(1, 2))
    values = {f"{name}_kappa": kappa_of(counts, weights=name) for name in POWERS}
    return {
        **values,
        "accuracy": ratio((counts * (apart == 0)).sum(axis=(1, 2)), total),
        "mean_absolute_error": ratio((counts * apart).sum(axis=(1, 2)), total),
        "off_by_one": ratio((counts * (apart == 1)).sum(axis=(1, 2)), total),
        "within_one": ratio((counts * (apart <= 1)).sum(axis=(1, 2)), total),
    }


def class_statistics(counts: Confusions) -> dict[str, Values]:
    """Mean squared error in grades, balanced accuracy, and F1 averaged over the grades.

    Balanced accuracy is the mean sensitivity of the grades that occur in the reference. Macro F1 averages
    evenly over the grades that occur on either side, weighted F1 by how often each is the reference.
    """
    index = np.arange(GRADES)
    total = counts.sum(axis=(1, 2))
    hit, is_it, said_it = np.einsum("dgg->dg", counts), counts.sum(axis=2), counts.sum(axis=1)
    f1 = np.nan_to_num(ratio(2 * hit, is_it + said_it))
    return {
        "mean_squared_error": ratio((counts * (index[:, None] - index) ** 2).sum(axis=(1, 2)), total),
        "balanced_accuracy": ratio(np.nan_to_num(ratio(hit, is_it)).sum(axis=1), (is_it > 0).sum(axis=1)),
        "macro_f1": ratio(f1.sum(axis=1), (is_it + said_it > 0).sum(axis=1)),
        "weighted_f1": ratio((f1 * is_it).sum(axis=1), total),
    }


def row_shares(counts: Confusions) -> Confusions:
    """Of the photographs of each reference grade, the share that each grade was answered to; NaN for no photograph."""
    return ratio(counts, counts.sum(axis=2, keepdims=True))


def grade_statistics(counts: Confusions, grade: int) -> dict[str, Values]:
    """Sensitivity, specificity, precision and F1 of one grade against all others."""
    hit = counts[:, grade, grade]
    is_it, said_it = counts[:, grade].sum(axis=1), counts[:, :, grade].sum(axis=1)
    others = counts.sum(axis=(1, 2)) - is_it
    return {
        "sensitivity": ratio(hit, is_it),
        "specificity": ratio(others - (said_it - hit), others),
        "precision": ratio(hit, said_it),
        "f1": ratio(2 * hit, is_it + said_it),
    }


def cut_statistics(counts: Confusions) -> dict[str, Values]:
    """Sensitivity, specificity and F1 of the grade at each of `grades.CUTS`: answer >= cut for reference >= cut."""
    values = {}
    for name, cut in CUTS.items():
        positive, negative = counts[:, cut:].sum(axis=(1, 2)), counts[:, :cut].sum(axis=(1, 2))
        hit, called = counts[:, cut:, cut:].sum(axis=(1, 2)), counts[:, :, cut:].sum(axis=(1, 2))
        values[f"{name}_sensitivity"] = ratio(hit, positive)
        values[f"{name}_f1"] = ratio(2 * hit, positive + called)
        values[f"{name}_specificity"] = ratio(counts[:, :cut, :cut].sum(axis=(1, 2)), negative)
    return values


def _cells(grades: Grades, answered: Grades) -> sparse.csr_array:
    return by_cell(grades * GRADES + answered, GRADES * GRADES)


def _matrices(totals: Totals) -> Confusions:
    return np.ascontiguousarray(totals.T).reshape(-1, GRADES, GRADES)
