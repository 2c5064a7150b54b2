"""Describe in sentences why a protocol no longer holds, and what else a reader has to know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import numpy as np

from fundoscope.clinic.documents import nameless
from fundoscope.clinic.monitoring.window import STORED, TABLE_ORDER, Window
from fundoscope.tables.patients import texts


def system_changed(
    reference: Window, now: Window, *, protocol: Mapping[str, Any] | None, releases: frozenset[str]
) -> Iterator[str]:
    """Yield a sentence for each sign that the system is not the one that the protocol is about."""
    signed = set(texts(now.rows, "release")) - {None}
    expected = releases or set(texts(reference.rows, "release")) - {None}
    # Out of fold, the column names the run; and a table that nobody signed says nothing.
    if expected and (releases or not _folded(reference)) and (others := signed - expected):
        yield (
            f"Another release answered: the protocol or the reference is of {_named(expected)}, "
            f"some of {now.path.name} is of {_named(others)}."
        )
    if releases and None in texts(now.rows, "release"):
        yield f"Some rows of {now.path.name} do not say which release answered: the protocol is of {_named(expected)}."
    before, after = (set(texts(window.rows, "dust_map")) - {None} for window in (reference, now))
    if before != after:
        yield (
            f"Photographs were retouched by {_maps(after)}, those of the reference by {_maps(before)}: scores with and "
            "without, or of other maps, are of different systems. Grade both alike (grade --site)."
        )
    if now.fixed is not None:
        return
    if protocol is not None:
        threshold = float(protocol["threshold"])
        if otherwise := now.decided_otherwise(threshold):
            yield (
                f"The threshold was changed: {otherwise} of {len(now.rows)} photographs were decided otherwise than at "
                f"the protocol's threshold of {threshold:.6g}."
            )
        return
    (low, high), (then_low, then_high) = now.decided_between(), reference.decided_between()
    # Where a table was not cut at one threshold (of several networks, out of fold) there is none to compare.
    if low > high + STORED or then_low > then_high + STORED:
        return
    if low > then_high + STORED or then_low > high + STORED:
        yield f"The threshold was changed: it lay {_between(then_low, then_high)} and lies {_between(low, high)} now."


def _maps(seals: AbstractSet[str | None]) -> str:
    return f"the dust map {', '.join(sorted(str(seal)[:12] for seal in seals))}" if seals else "no dust map"


def _folded(window: Window) -> bool:
    return "fold" in window.rows and bool(window.rows["fold"].notna().any())


def _between(low: float, high: float) -> str:
    if np.isinf(low) or np.isinf(high):
        return f"at or below {high:.6g}" if np.isinf(low) else f"above {low:.6g}"
    return f"between {low:.6g} and {high:.6g}"


def _named(names: AbstractSet[str | None]) -> str:
    return ", ".join(sorted(str(name) for name in names))


def rate_changed(chart: Mapping[str, Any], now: Window) -> str:
    """Describe the alarm of a chart."""
    more, share = ("More", chart["rate"]) if chart["way"] == "up" else ("Fewer", 1 - chart["rate"])
    day = "" if chart["alarm"]["day"] is None else f", {chart['alarm']['day']}"
    return (
        f"{more} patients are referred than in the reference ({share:.1%}): the alarm came at patient "
        f"{chart['alarm']['number']} of {len(now.members)} (by {order_of(now.ordered_by)}{day}); by chance "
        f"this chart sounds once in {chart['false_alarm_after']:,.0f} patients."
    )


def window_changed(test: Mapping[str, Any]) -> str:
    """Describe the change that a test found."""
    how = f"p {test['corrected']:.2g} after Holm's correction"
    if test["name"] == "ungradable":
        return (
            f"Gradability changed: {test['now']:.1%} of the patients have an eye that cannot be graded, "
            f"{test['before']:.1%} had in the reference ({how}; Fisher's exact test)."
        )
    if test["name"] == "score":
        return (
            f"The distribution of the scores has changed: median {test['now']:.3g}, in the reference "
            f"{test['before']:.3g} ({how}; Kolmogorov-Smirnov test)."
        )
    return (
        "The feature distribution has changed (another camera, other settings, other patients): squared maximum mean "
        f"discrepancy {test['squared']:.3g}, about 0 where nothing changed ({how}; kernel two-sample test, "
        f"{test['permutations']} permutations of patients)."
    )


def order_of(name: str) -> str:
    """Describe what ordered the patients."""
    return f"the {name}" if name == TABLE_ORDER else f"the column {name}"


def notes(reference: Window, now: Window, charts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield what a reader has to know besides the reasons, a sentence each."""
    patients = [set(texts(window.rows, "patient")) - {None} for window in (reference, now)]
    if both := len(patients[0] & patients[1]):
        yield f"{both} patients are named in both tables; they were compared as if they were different patients."
    for chart in charts:
        if chart["cusum"] is None:
            what = "rise" if chart["way"] == "up" else "fall"
            yield (
                f"A {what} of the referral rate is not monitored: at the reference's rate no chart keeps to this rate "
                "of false alarms."
            )
    if unnamed := sum(name is None for name in texts(now.rows, "patient")):
        yield nameless(unnamed)
