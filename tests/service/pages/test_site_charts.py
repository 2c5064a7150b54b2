"""Charts of shares by week."""

from __future__ import annotations

import pytest

from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.service.pages.site_charts import BOTTOM, HEIGHT, LABELS, LEFT, TOP, WIDTH, chart_of


def share(estimate: float, low: float, high: float) -> Interval:
    return Interval(estimate, low, high, 0.95, 0)


def test_points_lie_between_the_ends_of_their_intervals_and_within_the_picture():
    weeks = [(f"2026-W{week:02}", share(0.1 * week, 0.05 * week, 0.2 * week)) for week in range(1, 6)]

    chart = chart_of("Referred", weeks)

    for point in chart.points:
        assert TOP <= point.high <= point.y <= point.low <= HEIGHT - BOTTOM
        assert LEFT < point.x < WIDTH
    heights = [point.y for point in chart.points]
    assert heights == sorted(heights, reverse=True), "a larger share lies higher"


@pytest.mark.parametrize(("high", "top"), [(0.08, "10%"), (0.5, "60%"), (1.0, "100%")])
def test_the_scale_ends_at_the_next_round_share(high, top):
    assert chart_of("Referred", [("2026-W01", share(0.05, 0.0, high))]).lines[-1][1] == top


def test_a_share_of_the_commissioning_above_all_weeks_is_still_in_the_picture():
    chart = chart_of("Referred", [("2026-W01", share(0.02, 0.0, 0.05))], reference=0.7)

    assert chart.reference is not None
    assert TOP <= chart.reference <= HEIGHT - BOTTOM


@pytest.mark.parametrize("count", [1, 4, 5, 26])
def test_no_more_weeks_are_named_than_have_room(count):
    weeks = [(f"2026-W{week:02}", share(0.1, 0.0, 0.2)) for week in range(1, count + 1)]

    labels = chart_of("Referred", weeks).labels

    assert 1 <= len(labels) <= LABELS
    assert labels[0][1] == "W01"
