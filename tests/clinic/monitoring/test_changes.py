"""False alarms come as seldom as stated, and changes are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from fundoscope.clinic.monitoring.changes import (
    STEPS,
    alarm_chance,
    changed_share,
    changed_spread,
    design_cusum,
    run_length,
)


def simulated(rate: float, allowance: int, limit: int, rng: np.random.Generator, *, sites: int = 2000) -> np.ndarray:
    """Patients until the alarm at each of many sites, by walking all of them side by side."""
    total, ended = np.zeros(sites, dtype=np.int64), np.zeros(sites, dtype=np.int64)
    for patient in range(1, 200_000):
        events = rng.uniform(size=sites) < rate
        total = np.maximum(0, total + np.where(events, STEPS, 0) - allowance)
        ended = np.where((ended == 0) & (total >= limit), patient, ended)
        if ended.all():
            return ended
    raise AssertionError("some site never sounded")


@pytest.mark.parametrize(("rate", "shifted"), [(0.3, 0.4), (0.1, 0.2)])
def test_a_false_alarm_comes_as_seldom_as_stated(rate, shifted, rng):
    cusum = design_cusum(rate, shifted, false_alarm_after=500)
    lengths = simulated(rate, cusum.allowance, cusum.limit, rng)

    assert cusum.run_length >= 500 > run_length(rate, cusum.allowance, cusum.limit - 1)
    assert abs(lengths.mean() - cusum.run_length) < 4 * lengths.std() / np.sqrt(len(lengths))
    for patients in (20, 300):
        chance = alarm_chance(rate, cusum.allowance, cusum.limit, patients)
        assert abs((lengths <= patients).mean() - chance) < 4 * np.sqrt(chance * (1 - chance) / len(lengths)) + 1e-12
        assert chance <= patients / cusum.run_length  # what the promise rests on


def test_a_rise_is_noticed_much_sooner_than_a_false_alarm(rng):
    cusum = design_cusum(0.3, 0.5, false_alarm_after=1000)
    assert run_length(0.5, cusum.allowance, cusum.limit) < 60

    first = cusum.alarm(np.concatenate([np.zeros(300, dtype=bool), rng.uniform(size=300) < 0.5]))
    assert first is not None
    assert 300 < first < 500
    assert cusum.alarm(np.zeros(500, dtype=bool)) is None


def test_rates_that_cannot_be_told_apart_are_refused():
    with pytest.raises(ValueError, match=r"shifted must lie above rate, both between 0 and 1, got 0\.3 and 0\.3"):
        design_cusum(0.3, 0.3, false_alarm_after=500)
    with pytest.raises(ValueError, match="rate and shifted must be further apart"):
        design_cusum(0.001, 0.0011, false_alarm_after=500)
    with pytest.raises(ValueError, match="rate must lie between 0 and 1, allowance between 0 and 50"):
        run_length(0.3, 0, 10)


def test_a_change_of_camera_is_seen_in_shares_and_scores_and_no_change_is_not(rng):
    before, now = rng.uniform(size=(2, 300))

    assert changed_spread("score", before, now).p_value > 0.01
    assert changed_spread("score", before, now**2).p_value < 1e-4
    assert changed_share("ungradable", before < 0.05, now < 0.05).p_value > 0.01
    assert changed_share("ungradable", before < 0.05, now < 0.2).p_value < 1e-4
