"""A protocol holds while nothing changes, and where something does the report says what."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fundoscope.clinic.monitoring.changes import Cusum
from fundoscope.clinic.monitoring.watch import Comparison, Rules, watch
from fundoscope.clinic.monitoring.window import Window, window_of
from fundoscope.clinic.monitoring.words import to_markdown, verdict
from fundoscope.errors import BadRequest, BadTable
from fundoscope.tables import check_predictions

DAY = date(2026, 11, 21)
PROTOCOL = {"threshold": 0.5, "score": "p_referable", "date": "2026-01-01", "seal": "5ea1", "data": {}}


def site(
    rng: np.random.Generator,
    patients: int = 200,
    *,
    name: str = "now.csv",
    ill: float = 0.3,
    dim: float = 0.03,
    **more: object,
) -> Window:
    """A site whose patients have two eyes and are referred, at 0.5, with the chance `ill`; `dim` cannot be graded."""
    sick, blind = rng.uniform(size=(2, patients)) < np.array([[ill], [dim]])
    worst = np.where(sick, rng.uniform(0.5, 1, patients), rng.uniform(0, 0.5, patients))
    scores = np.stack([worst, worst * rng.uniform(size=patients)], axis=1).round(6)
    graded = np.stack([np.ones(patients, dtype=bool), ~blind], axis=1)
    rows = pd.DataFrame(
        {
            "image": [f"{name}{at}.jpg" for at in range(2 * patients)],
            "patient": np.repeat([f"{name}{at}" for at in range(patients)], 2),
            "eye": ["left", "right"] * patients,
            "taken": np.repeat(pd.date_range("2026-01-01", periods=patients).strftime("%Y-%m-%d"), 2),
            "status": np.where(graded, "graded", "ungradable").ravel(),
            "p_referable": np.where(graded, scores, np.nan).ravel(),
            "decision": np.where(graded, np.where(scores >= 0.5, "refer", "rescreen"), "cannot grade").ravel(),
            **more,
        }
    )
    return window_of(check_predictions(rows, path=name), path=Path(name))


def watched(before: Window, now: Window, *, after: int = 2000, **given: object) -> dict[str, object]:
    report = watch(before, now, Rules(false_alarm_after=after), Comparison(**given), day=DAY)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    return report


def test_a_site_that_is_as_it_was_is_told_so(rng):
    report = watched(site(rng, name="then.csv"), site(rng), protocol=PROTOCOL)

    assert report["holds"]
    assert report["reasons"] == report["notes"] == []
    assert verdict(report) == "The protocol holds as far as 200 patients can tell: no change was found."
    text = to_markdown(report)
    for words in (
        "Patients in time by the column taken, 2026-01-01 to 2026-07-19.",
        "Referral rate, rise (CUSUM): silent.",
        "Referral rate, fall (CUSUM): silent.",
        "Level of these 2 tests together: 0.05 (Holm). With the charts: at most one false alarm in 2,000 patients",
        "not a medical device",
    ):
        assert words in text, words


def test_false_alarms_come_as_seldom_as_stated():
    rng = np.random.default_rng(1)
    sites, patients, after, like = 120, 100, 300, site(np.random.default_rng(2), 100)
    before = site(rng, 600, name="then.csv")

    def another(count: int) -> Window:
        """Later patients of the reference's site: drawn from its own, so that its rates are known."""
        drawn = rng.integers(600, size=count)
        return replace(like, scores=before.scores[drawn], ungradable=before.ungradable[drawn])

    found = [
        watch(before, another(patients), Rules(false_alarm_after=after), Comparison(), day=DAY) for _ in range(sites)
    ]
    stated = sum(chart["chance_of_false_alarm"] for chart in found[0]["charts"]) + found[0]["level"]
    came = np.mean([not each["holds"] for each in found])

    assert stated < patients / after
    assert 0 < came < stated + 2 * np.sqrt(stated * (1 - stated) / sites)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"ill": 0.6}, "More patients are referred than in the reference (3"),
        ({"ill": 0.03, "dim": 0.0}, "Fewer patients are referred than in the reference (3"),
        ({"dim": 0.3}, "Gradability changed: "),
        ({"ill": 0.6}, "The distribution of the scores has changed: median 0."),
    ],
)
def test_a_change_is_found_and_named(changed, words, rng):
    report = watched(site(rng, 300, name="then.csv"), site(rng, 300, **changed), protocol=PROTOCOL)

    assert not report["holds"]
    assert any(words in each for each in report["reasons"]), report["reasons"]
    assert verdict(report).startswith("The protocol no longer holds (")


def test_an_alarm_says_at_which_patient_and_on_which_day(rng):
    before, calm = site(rng, 300, name="then.csv"), site(rng, 100)
    late = site(rng, 100, name="late.csv", ill=0.95)
    rows = pd.concat(
        [calm.rows, late.rows.assign(taken=np.repeat(pd.date_range("2026-06-01", periods=100), 2).strftime("%Y-%m-%d"))]
    )
    report = watched(before, window_of(rows, path=Path("now.csv")), protocol=PROTOCOL)
    alarm = report["charts"][0]["alarm"]

    assert 100 < alarm["number"] < 130
    assert alarm["day"] == str((pd.Timestamp("2026-06-01") + pd.Timedelta(days=alarm["number"] - 101)).date())
    assert f"at patient {alarm['number']} of 200 (by the column taken, {alarm['day']})" in report["reasons"][0]


def test_features_of_another_camera_are_seen_and_features_of_the_same_are_not(rng):
    before, now = site(rng, 60, name="then.csv"), site(rng, 60)
    old, same, other = ([shift + rng.normal(size=(2, 4)) for _ in range(60)] for shift in (0, 0, 1))

    calm = watched(before, now, features=(old, same))
    assert [each["name"] for each in calm["tests"]] == ["ungradable", "score", "features"]
    assert not calm["tests"][2]["alarm"]
    assert "between 60 and 60 patients" in to_markdown(calm)
    assert any(
        "The feature distribution has changed" in each
        for each in watched(before, now, features=(old, other))["reasons"]
    )


def test_photographs_that_were_retouched_otherwise_are_of_another_system(rng):
    before, alike = (site(rng, name="then.csv", dim=0.0, dust_map=seal) for seal in (None, "a" * 64))
    now = site(rng, dim=0.0, dust_map="a" * 64)

    (reason,) = watched(before, now)["reasons"]
    assert reason.startswith(
        f"Photographs were retouched by the dust map {'a' * 12}, those of the reference by no dust"
    )
    assert watched(alike, now)["reasons"] == []


def test_another_release_and_another_threshold_are_named(rng):
    before = site(rng, name="then.csv", dim=0.0, release="ours@1")
    now = site(rng, dim=0.0, release="theirs@2")

    signed = watched(before, now, protocol=PROTOCOL, releases=frozenset({"ours@1", "ours@copy"}))["reasons"]
    assert signed == [
        "Another release answered: the protocol or the reference is of ours@1, ours@copy, "
        "some of now.csv is of theirs@2."
    ]
    assert watched(before, now)["reasons"][0].startswith("Another release answered")
    assert watched(
        before, site(rng, dim=0.0, release="ours@copy"), releases=frozenset({"ours@copy"}), protocol=PROTOCOL
    )["holds"]
    unsigned = watched(before, site(rng, dim=0.0), protocol=PROTOCOL, releases=frozenset({"ours@1"}))["reasons"]
    assert unsigned == ["Some rows of now.csv do not say which release answered: the protocol is of ours@1."]


def test_another_threshold_is_named(rng):
    before, now = site(rng, name="then.csv"), site(rng)
    cut = np.where(
        now.rows["p_referable"].isna(), "cannot grade", np.where(now.rows["p_referable"] >= 0.8, "refer", "rescreen")
    )
    now = window_of(now.rows.assign(decision=cut), path=Path("now.csv"))
    otherwise = int(now.rows["p_referable"].between(0.5, 0.8).sum())

    assert watched(before, now, protocol=PROTOCOL)["reasons"] == [
        f"The threshold was changed: {otherwise} of 400 photographs were decided otherwise than at the protocol's "
        "threshold of 0.5."
    ]
    assert "The threshold was changed: it lay between 0.49" in watched(before, now)["reasons"][0]


def test_a_table_that_was_not_cut_at_one_threshold_has_none_to_compare(rng):
    def decided(window: Window, *thresholds: float) -> Window:
        """Its photographs decided in turn by each of the thresholds."""
        scores = window.rows["p_referable"]
        turns = np.resize(np.array(thresholds), len(scores))
        cut = np.where(scores.isna(), "cannot grade", np.where(scores >= turns, "refer", "rescreen"))
        return window_of(window.rows.assign(decision=cut), path=window.path)

    before, now = site(rng, name="then.csv"), site(rng)

    for old, new, named in (
        (decided(before, 0.5), decided(now, 0.9), True),
        (decided(before, 0.5), decided(now, 0.5, 0.9), False),
        (decided(before, 0.5, 0.9), decided(now, 0.1), False),
    ):
        reasons = watched(old, new)["reasons"]
        assert any("The threshold was changed" in each for each in reasons) == named, reasons


def test_returning_patients_and_rates_that_cannot_be_watched_are_spoken_of(rng):
    before, now = site(rng, 50, name="now.csv", ill=0.0, dim=0.0), site(rng, 50, ill=0.0, dim=0.0)
    report = watched(before, now)

    assert report["notes"][0].startswith("50 patients are named in both tables")
    everybody = watched(site(rng, 50, name="then.csv", ill=1.0), site(rng, 50, ill=1.0))
    assert "A rise of the referral rate is not monitored" in everybody["notes"][0]
    assert len(everybody["notes"]) == 1


def test_tables_that_cannot_be_compared_are_refused(rng):
    hashes = [f"{at:064x}" for at in range(20)]
    before, now = site(rng, 10, name="then.csv", sha256=hashes), site(rng, 10, sha256=hashes)
    with pytest.raises(BadTable, match=r"expected photographs that then\.csv has not, got 20 that are in both"):
        watched(before, now)
    with pytest.raises(BadTable, match=r"expected the score that the protocol is about \(grade\), got p_referable"):
        watched(site(rng, 10, name="then.csv"), site(rng, 10), protocol=PROTOCOL | {"score": "grade"})
    with pytest.raises(BadRequest, match="expected one with a threshold, got that of 2026-01-01, which found none"):
        watched(site(rng, 10, name="then.csv"), site(rng, 10), protocol=PROTOCOL | {"threshold": None})
    with pytest.raises(BadRequest, match="expected a threshold to refer by, got no --protocol and photographs without"):
        watched(site(rng, 10, name="then.csv"), site(rng, 10, decision=None))
    graded = window_of(
        check_predictions(pd.DataFrame({"image": ["a"], "grade": [1]}), path="g.csv"), path=Path("g.csv")
    )
    with pytest.raises(
        BadTable, match=r"expected the answer in the same columns as in g\.csv \(grade\), got p_referable"
    ):
        watched(graded, now)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"false_alarm_after": 0}, "false_alarm_after must be at least 1, got 0"),
        ({"odds": 1.0}, "odds must be above 1, got 1.0"),
        ({"confidence": 1.0}, "confidence must be at least 0.5 and below 1, got 1.0"),
    ],
)
def test_rules_that_promise_nothing_are_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        Rules(**wrong)


def test_the_delay_from_the_rate_that_was_seen_is_longer_than_from_the_edge_of_its_interval(rng):
    """Simulated: sites whose true rate is the one seen, and whose odds then rise as the chart is designed for."""
    report = watched(site(rng, name="then.csv", dim=0.0), site(rng, dim=0.0), protocol=PROTOCOL)
    chart = report["charts"][0]

    assert chart["noticed_after_from_seen"] > 1.5 * chart["noticed_after"]
    cusum = Cusum(chart["cusum"]["allowance"], chart["cusum"]["limit"], 0.0)
    alarms = [cusum.alarm(rng.random(20_000) < chart["rate_noticed_from_seen"]) for _ in range(400)]
    assert np.mean([at + 1 for at in alarms]) == pytest.approx(chart["noticed_after_from_seen"], rel=0.15)
    said = to_markdown(report)
    assert f"If the true rate was the {chart['rate']:.1%} that was seen" in said
    assert f"it sounds after {chart['noticed_after_from_seen']:,.0f} on average" in said


def test_of_a_reference_where_all_or_none_were_referred_no_delay_is_made_up(rng):
    report = watched(site(rng, name="then.csv", ill=0.0, dim=0.0), site(rng, ill=0.0, dim=0.0), protocol=PROTOCOL)

    assert report["charts"][0]["noticed_after_from_seen"] is None
