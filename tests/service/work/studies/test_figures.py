"""Figures of studies, against values worked out by hand and by the functions of scikit-learn's kind."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from fundoscope.decide.kappa import kappa
from fundoscope.evaluation.statistics.interval import proportion_interval
from fundoscope.service.store.studies.study import ALONE, WITH_ANSWER
from fundoscope.service.work.studies.figures import CHANGE, MEAN, RELEASE, Figure, StudyFigures, figures_of
from fundoscope.service.work.studies.observations import MISSING, NO_GRADE, Observations

POSITIVE, NEGATIVE = 12, 15


def observations(
    grades: Mapping[tuple[str, str], list[int]],
    *,
    reference: list[int] | None = None,
    release: list[int] | None = None,
    referred: list[bool] | None = None,
    patients: list[int] | None = None,
    sittings: int = 1,
) -> Observations:
    """Return observations of eyes of which the first twelve are referable."""
    count = len(next(iter(grades.values()))) // sittings
    reference = [2] * POSITIVE + [0] * NEGATIVE if reference is None else reference
    release = reference if release is None else release
    referred = [grade >= 2 for grade in release] if referred is None else referred
    names = list(range(count)) if patients is None else patients
    return Observations(
        eyes=(("case", "left"),) * count,
        sittings=sittings,
        patients=np.tile(np.array(names), sittings),
        reference=np.tile(np.array(reference), sittings),
        release=np.tile(np.array(release), sittings),
        release_referred=np.tile(np.array(referred), sittings),
        grades={key: np.array(values) for key, values in grades.items()},
        readers=tuple(dict.fromkeys(reader for reader, _ in grades)),
        stages=tuple(dict.fromkeys(stage for _, stage in grades)),
    )


def rate(figures: StudyFigures, reader: str, stage: str) -> tuple[Figure, Figure]:
    (line,) = [line for line in figures.rates if (line.reader, line.stage) == (reader, stage)]
    return line.sensitivity, line.specificity


def agreement(figures: StudyFigures, first: str, second: str, stage: str = ALONE) -> Figure:
    (line,) = [line for line in figures.kappas if (line.first, line.second, line.stage) == (first, second, stage)]
    return line.figure


def test_rates_are_shares_of_the_referable_and_of_the_other_eyes():
    ann = [2] * 9 + [1] * 3 + [0] * 12 + [4] * 3
    figures = figures_of("s", observations({("ann", ALONE): ann}))

    sensitivity, specificity = rate(figures, "ann", ALONE)

    assert sensitivity.interval.estimate == pytest.approx(9 / 12)
    assert specificity.interval.estimate == pytest.approx(12 / 15)
    assert (sensitivity.eyes, sensitivity.patients, specificity.eyes) == (12, 12, 15)
    low, high = proportion_interval(9, 12, method="wilson")
    assert sensitivity.interval.low <= low + 1e-9
    assert sensitivity.interval.high >= high - 1e-9


def test_what_a_reader_cannot_grade_counts_as_referred():
    ann = [NO_GRADE] * 12 + [NO_GRADE] * 3 + [0] * 12
    figures = figures_of("s", observations({("ann", ALONE): ann}))

    sensitivity, specificity = rate(figures, "ann", ALONE)

    assert sensitivity.interval.estimate == 1.0
    assert specificity.interval.estimate == pytest.approx(12 / 15)
    assert sensitivity.interval.low < 0.85, "all of twelve is no certainty"


def test_the_release_is_measured_by_its_referral_and_once_whatever_the_number_of_sittings():
    referred = [True] * 6 + [False] * 6 + [False] * NEGATIVE
    grades = {("ann", ALONE): [0] * 2 * (POSITIVE + NEGATIVE)}
    release = [0] * (POSITIVE + NEGATIVE)
    figures = figures_of("s", observations(grades, release=release, referred=referred, sittings=2))

    sensitivity, _ = rate(figures, RELEASE, "")

    assert sensitivity.interval.estimate == 0.5
    assert sensitivity.eyes == 12
    assert rate(figures, "ann", ALONE)[0].eyes == 24


def test_the_difference_is_paired_of_eyes_graded_twice_and_the_mean_of_all_readers():
    alone = [2] * 6 + [0] * 6 + [0] * 15
    final = [2] * 9 + [0] * 2 + [MISSING] + [0] * 12 + [2] * 3
    bob = [2] * 12 + [0] * 15
    grades = {("ann", ALONE): alone, ("ann", WITH_ANSWER): final, ("bob", ALONE): bob, ("bob", WITH_ANSWER): bob}
    figures = figures_of("s", observations(grades))

    change, spared = rate(figures, "ann", CHANGE)

    assert change.interval.estimate == pytest.approx(9 / 11 - 6 / 11)
    assert spared.interval.estimate == pytest.approx(12 / 15 - 1)
    assert change.eyes == 11
    assert change.interval.low < change.interval.estimate < change.interval.high
    assert rate(figures, MEAN, ALONE)[0].interval.estimate == pytest.approx((6 / 12 + 1) / 2)
    assert rate(figures, MEAN, WITH_ANSWER)[0].interval.estimate == pytest.approx((9 / 11 + 1) / 2)
    assert rate(figures, MEAN, CHANGE)[0].interval.estimate == pytest.approx((3 / 11) / 2)
    still = rate(figures, "bob", CHANGE)[0].interval
    assert still.estimate == 0
    assert math.isnan(still.low), "no change in any resample is no proof that there is none"


def test_eyes_of_one_patient_widen_the_interval():
    ann = [2] * 20 + [0] * 20 + [0] * 40
    reference = [2] * 40 + [0] * 40
    alone = figures_of("s", observations({("ann", ALONE): ann}, reference=reference))
    twins = figures_of(
        "s", observations({("ann", ALONE): ann}, reference=reference, patients=[number // 2 for number in range(80)])
    )

    widths = [rate(one, "ann", ALONE)[0].interval for one in (alone, twins)]

    assert widths[1].high - widths[1].low > 1.2 * (widths[0].high - widths[0].low)


def test_of_too_few_patients_there_is_no_figure_but_how_many_there_are():
    reference = [2] * 9 + [0] * 12
    figures = figures_of("s", observations({("ann", ALONE): reference}, reference=reference))

    sensitivity, specificity = rate(figures, "ann", ALONE)

    assert sensitivity.interval is None
    assert sensitivity.words == "too few: 9 of at least 10 patients"
    assert specificity.interval is not None


def test_many_eyes_of_few_patients_are_few():
    reference = [2] * 40 + [0] * 40
    patients = [number // 5 for number in range(80)]
    figures = figures_of("s", observations({("ann", ALONE): reference}, reference=reference, patients=patients))

    assert rate(figures, "ann", ALONE)[0].words == "too few: 8 of at least 10 patients"
    assert agreement(figures, "ann", RELEASE).interval is not None


def test_without_references_there_is_agreement_and_no_rate():
    figures = figures_of(
        "s", observations({("ann", ALONE): [0, 1, 2, 3] * 5}, reference=[MISSING] * 20, release=[0, 1, 2, 2] * 5)
    )

    assert figures.rates == ()
    assert agreement(figures, "ann", RELEASE).interval is not None


def test_of_an_average_there_is_no_figure_where_a_reader_has_too_few():
    full = [2] * 12 + [0] * 15
    few = [2] * 3 + [MISSING] * 9 + [0] * 15
    figures = figures_of("s", observations({("ann", ALONE): full, ("bob", ALONE): few}))

    sensitivity, specificity = rate(figures, MEAN, ALONE)

    assert rate(figures, "ann", ALONE)[0].interval is not None
    assert rate(figures, "bob", ALONE)[0].words == "too few: 3 of at least 10 patients"
    assert sensitivity.words == "too few: 3 of at least 10 patients"
    assert (specificity.interval.estimate, specificity.eyes, specificity.patients) == (1.0, 30, 15)


def test_kappa_is_of_the_eyes_that_both_graded():
    ann = [0, 1, 2, 3, 4] * 5 + [NO_GRADE, 2, MISSING]
    bob = [0, 1, 2, 4, 3] * 5 + [2, NO_GRADE, 2]
    figures = figures_of("s", observations({("ann", ALONE): ann, ("bob", ALONE): bob}, reference=[0] * 28))

    figure = agreement(figures, "ann", "bob")

    assert figure.interval.estimate == pytest.approx(kappa(np.array(ann[:25]), np.array(bob[:25])))
    assert figure.eyes == 25
    assert figure.interval.low < figure.interval.estimate <= figure.interval.high


def test_a_reader_is_compared_with_the_next_sitting():
    first, second, third = [0, 1, 2, 3] * 5, [0, 1, 2, 4] * 5, [0, 0, 2, MISSING] * 5
    ann = {("ann", ALONE): first + second + third}
    figures = figures_of("s", observations(ann, reference=[0] * 20, sittings=3))

    figure = agreement(figures, "ann", "ann, next sitting")

    earlier = first + [grade for grade, later in zip(second, third, strict=True) if later != MISSING]
    later = second + [grade for grade in third if grade != MISSING]
    assert figure.eyes == 35
    assert figure.interval.estimate == pytest.approx(kappa(np.array(earlier), np.array(later)))


def test_the_same_study_has_the_same_intervals():
    grades = observations({("ann", ALONE): [2] * 9 + [1] * 3 + [0] * 15})

    assert figures_of("one", grades) == figures_of("one", grades)


def test_a_kappa_of_one_grade_is_not_defined():
    figures = figures_of("s", observations({("ann", ALONE): [0] * 12}, reference=[0] * 12))

    assert agreement(figures, "ann", RELEASE).words == "not defined: only one grade was given"
