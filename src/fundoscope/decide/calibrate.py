"""Fit the few numbers that stand between a trained network and its answers.

All of it on *held-out* raw outputs: of photographs whose patients the network was not trained on.
Fitted on its own training photographs a network looks far surer than it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import minimize_scalar

from fundoscope.arrays import Grades, Probabilities, RawOutput, Scores
from fundoscope.decide.heads import REGRESSION_CUTS, expected_grade, probabilities
from fundoscope.decide.kappa import kappa_of
from fundoscope.grades import GRADES, REFERABLE

TEMPERATURES: Final = (0.05, 20.0)
"""Temperatures looked at. An optimum on the edge means outputs that separate the grades perfectly, or not at all."""

LIKELIHOOD_FLOOR: Final = 1e-12
"""Probabilities below it count as it, so that one impossible photograph does not decide alone."""

PLATEAU: Final = 0.002
"""Kappa that may be given up to put a cut in the middle of the range where it hardly matters."""

Cuts = tuple[float, ...]
"""Four of the expected grade, rising; none where the median is answered."""


def fit_temperature(head: str, raw: RawOutput, grades: Grades) -> float:
    """Fit the temperature of maximum likelihood (least mean negative log-likelihood).

    Args:
        head: A name in `decide.heads.HEADS`.
        raw: *Held-out* raw outputs, never those the model was trained on.
        grades: Reference grade of each photograph, 0 to 4.

    Returns:
        The temperature, within `TEMPERATURES`; for regression the standard deviation in grades.

    Raises:
        ValueError: If there are no photographs, numbers differ, a value is not finite or a grade
            is not 0 to 4.
    """
    _check(raw, grades)
    rows = np.arange(len(grades))

    def loss(temperature: float) -> float:
        likelihood = probabilities(head, raw, temperature=temperature)[rows, grades]
        return -float(np.log(np.maximum(likelihood, LIKELIHOOD_FLOOR)).mean())

    return best_temperature(loss)


def best_temperature(loss: Callable[[float], float]) -> float:
    """Find the temperature within `TEMPERATURES` with the least loss."""

    def of_logarithm(log_temperature: float) -> float:
        return loss(float(np.exp(log_temperature)))

    # The loss need not have one valley for every head: a grid finds the deepest, a bounded search its floor.
    grid = np.linspace(np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1]), 41)
    best = int(np.argmin([of_logarithm(float(point)) for point in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    optimum = minimize_scalar(of_logarithm, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(optimum.x))


def fit_cuts(expected: Scores, grades: Grades) -> Cuts:
    """Fit four cuts of the expected grade for a large quadratic kappa with the reference.

    Starts from 0.5, 1.5, 2.5, 3.5 and moves one cut at a time to the best gap between two
    neighbouring values until none moves. Then every cut goes to the middle of the range around it
    that loses less than `PLATEAU`: the very best gap of a few hundred photographs is mostly luck.
    Uses no chance; the order of the photographs does not matter.

    Args:
        expected: Expected grade of *held-out* photographs, never those the model was trained on.
        grades: Reference grade of each photograph, 0 to 4.

    Returns:
        The cuts, rising. Untouched where all photographs have one grade: kappa is undefined there.

    Raises:
        ValueError: As `fit_temperature`.
    """
    _check(expected[:, None], grades)
    if len(np.unique(grades)) < 2:
        return _cuts(REGRESSION_CUTS)
    values, owner = np.unique(expected, return_inverse=True)
    below = _counts_below(owner, grades)
    gaps = _gap_values(values)
    places = np.searchsorted(values, REGRESSION_CUTS)
    for _ in range(100):
        before = places.copy()
        for cut in range(GRADES - 1):
            candidates, kappas = _kappas(below, places, cut)
            if np.nanmax(kappas) > kappas[places[cut] - candidates[0]] + 1e-12:
                places[cut] = candidates[np.nanargmax(kappas)]
        if (places == before).all():
            break
    cuts = [_middle_of_plateau(below, places, cut, gaps) for cut in range(GRADES - 1)]
    return _cuts(np.maximum.accumulate(cuts))


def rounded_cuts(expected: Scores, grades: Grades) -> Cuts:
    """Return the cuts of plain rounding; nothing is fitted, so that few photographs cannot mislead it.

    Args and errors: as `fit_cuts`.
    """
    _check(expected[:, None], grades)
    return _cuts(REGRESSION_CUTS)


def no_cuts(expected: Scores, grades: Grades) -> Cuts:
    """Return no cuts: the median of the grades is answered.

    Args and errors: as `fit_cuts`.
    """
    _check(expected[:, None], grades)
    return ()


CUTTERS: Final[dict[str, Callable[[Scores, Grades], Cuts]]] = {
    "kappa": fit_cuts,
    "rounded": rounded_cuts,
    "median": no_cuts,
}
"""Ways to set the cuts of the expected grade, by the name that experiment files use."""


def cuts_words(cuts: Cuts, style: str) -> str:
    """Return cuts in words."""
    return ", ".join(f"{cut:{style}}" for cut in cuts) or "none, the median is answered"


def grade_from_cuts(expected: Scores, cuts: tuple[float, ...]) -> Grades:
    """Grade of each photograph: how many of the four rising cuts its expected grade reaches."""
    if list(cuts) != sorted(cuts) or len(cuts) != GRADES - 1:
        raise ValueError(f"cuts must be {GRADES - 1} rising numbers, got {cuts}")
    return np.asarray(np.searchsorted(np.asarray(cuts), expected, side="right"))


CREDIBLE: Final = 0.5
"""A grade is answered only if it is at least so many times as probable as the likeliest on its side."""


def answered_grades(by_grade: Probabilities, cuts: tuple[float, ...]) -> Grades:
    """Grade photographs: the median of the grades, or the expected grade cut into five, where that is credible.

    The grade lies on the likelier side of the referable cut, so that it never speaks against the probability of
    referable disease. A grade between two likely ones that nobody would believe (of 0.45, 0, 0.05, 0.5, 0 the expected
    grade is 1.6) gives way to the nearest credible one of that side, of two equally near ones to the worse.

    Args:
        by_grade: Probabilities (photo, 5).
        cuts: Rising, of the expected grade; empty: the median is answered, the highest grade k with P(grade >= k) of
            one half at least. It is CORAL's own answer (Cao, Mirjalili & Raschka 2020).

    Example:
        >>> answered_grades(np.array([[0.45, 0.0, 0.05, 0.5, 0.0]]), ())
        array([3])
    """
    reached = np.cumsum(by_grade[:, ::-1], axis=1)[:, ::-1]  # P(grade >= k), (photo, 5)
    if cuts:
        centre = expected_grade(by_grade)
        grades = grade_from_cuts(centre, cuts)
    else:
        grades = np.asarray((reached[:, 1:] >= 0.5).sum(axis=1))
        centre = grades.astype(np.float64)
    on_side = (np.arange(GRADES) >= REFERABLE) == (reached[:, REFERABLE, None] >= 0.5)  # (photo, 5)
    likeliest = np.where(on_side, by_grade, 0.0).max(axis=1, keepdims=True)
    credible = on_side & (by_grade >= CREDIBLE * likeliest)
    # Distances to the centre; what is not credible is out of reach. Reversed: of equals the worse is first.
    apart = np.where(credible, np.abs(np.arange(GRADES) - centre[:, None]), np.inf)[:, ::-1]
    nearest = GRADES - 1 - np.argmin(apart.round(12), axis=1)
    return np.where(credible[np.arange(len(grades)), grades], grades, nearest)


def _check(raw: RawOutput, grades: Grades) -> None:
    if len(raw) == 0:
        raise ValueError("held-out photographs are needed, got none")
    if len(raw) != len(grades):
        raise ValueError(f"every photograph needs one grade, got {len(raw)} photographs and {len(grades)} grades")
    if not np.isfinite(raw).all():
        raise ValueError(f"held-out outputs must be finite, got {int((~np.isfinite(raw)).sum())} that are not")
    if grades.min() < 0 or grades.max() >= GRADES:
        raise ValueError(f"grades must be 0 to {GRADES - 1}, got {int(grades.min())} to {int(grades.max())}")


def _counts_below(owner: Int[np.ndarray, " photo"], grades: Grades) -> Int[np.ndarray, "5 place"]:
    """Count photographs of each grade among the first `place` distinct values; places run from 0 to all."""
    counts = np.zeros((GRADES, int(owner.max()) + 2), dtype=np.int64)
    np.add.at(counts, (grades, owner + 1), 1)
    return np.asarray(counts.cumsum(axis=1))


def _kappas(
    below: Int[np.ndarray, "5 place"], places: Int[np.ndarray, " cut"], cut: int
) -> tuple[Int[np.ndarray, " candidate"], Float[np.ndarray, " candidate"]]:
    """Compute kappa for every place that one cut may take between its neighbours."""
    fences = np.concatenate([[0], places, [below.shape[1] - 1]])
    candidates = np.arange(fences[cut], fences[cut + 2] + 1)
    edges = np.tile(fences, (len(candidates), 1))
    edges[:, cut + 1] = candidates
    confusions = np.diff(below[:, edges], axis=2).transpose(1, 0, 2)
    return candidates, kappa_of(confusions)


def _middle_of_plateau(
    below: Int[np.ndarray, "5 place"], places: Int[np.ndarray, " cut"], cut: int, gaps: Float[np.ndarray, " place"]
) -> float:
    candidates, kappas = _kappas(below, places, cut)
    here = int(places[cut] - candidates[0])
    good = ~(kappas < kappas[here] - PLATEAU)
    low = here
    while low > 0 and good[low - 1]:
        low -= 1
    high = here
    while high < len(good) - 1 and good[high + 1]:
        high += 1
    return float(gaps[candidates[low]] + gaps[candidates[high]]) / 2


def _gap_values(values: Float[np.ndarray, " distinct"]) -> Float[np.ndarray, " place"]:
    """Return a number inside each gap between neighbouring values, and one below and above them all."""
    inner = (values[:-1] + values[1:]) / 2
    return np.concatenate([[values[0] - 0.5], inner, [values[-1] + 0.5]])


def _cuts(values: object) -> Cuts:
    first, second, third, fourth = (float(value) for value in np.asarray(values))
    return first, second, third, fourth
