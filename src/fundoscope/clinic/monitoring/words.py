"""A monitoring report in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fundoscope.clinic.documents import came, markdown
from fundoscope.clinic.monitoring.reasons import order_of
from fundoscope.clinic.monitoring.watch import MonitoringReport

NAMES = {"ungradable": "patients with an eye that cannot be graded", "score": "median score", "features": "features"}


def to_markdown(report: MonitoringReport) -> str:
    """Write the report in Markdown."""
    lines = [*report["reasons"], *details(report), f"fundoscope {report['fundoscope']}"]
    return markdown(f"Monitoring, {report['date']}", verdict(report), lines)


def verdict(report: MonitoringReport) -> str:
    """Return the verdict in one sentence."""
    patients = report["now"]["patients"]
    if report["protocol"] is None:
        return (
            f"No change was found among {patients} patients; no protocol was given to hold them against."
            if report["holds"]
            else f"Something changed since the reference ({_reasons(report)})."
        )
    return (
        f"The protocol holds as far as {patients} patients can tell: no change was found."
        if report["holds"]
        else f"The protocol no longer holds ({_reasons(report)}): what it says is of patients and photographs as they "
        "were. Find out why, and commission again."
    )


def details(report: MonitoringReport) -> Iterator[str]:
    """Yield everything but the reasons, a line each."""
    for words, counts in (("Reference", report["reference"]), ("Now", report["now"])):
        yield (
            f"{words} ({counts['table']}): {came(counts['patients'], counts)}, {counts['ungradable']} with an eye that "
            f"cannot be graded, {_refused(counts)}"
            f"{counts['referred']} referred ({counts['referred'] / counts['patients']:.1%})."
        )
    days = "" if report["first_day"] is None else f", {report['first_day']} to {report['last_day']}"
    yield f"Patients in time by {order_of(report['order'])}{days}."
    for chart in report["charts"]:
        if chart["cusum"] is not None:
            yield _chart(chart, report["rules"]["confidence"])
    for test in report["tests"]:
        yield _test(test)
    yield (
        f"Level of these {len(report['tests'])} tests together: {report['level']:.3g} (Holm). With the charts: at most "
        f"one false alarm in {report['rules']['false_alarm_after']:,} patients, if every table is looked at once."
    )
    yield from report["notes"]


def _refused(counts: Mapping[str, Any]) -> str:
    """Count the patients referred for a photograph that was not graded; reports of older versions do not."""
    refused = counts.get("refused_and_referred", 0)
    return f"{refused} referred for what could be seen of a photograph that was not graded, " if refused else ""


def _reasons(report: MonitoringReport) -> str:
    count = len(report["reasons"])
    return f"{count} reason{'' if count == 1 else 's'}"


def _chart(chart: Mapping[str, Any], confidence: float) -> str:
    up = chart["way"] == "up"
    allowed, noticed = (value if up else 1 - value for value in (chart["rate_allowed"], chart["rate_noticed"]))
    sounded = "silent" if chart["alarm"] is None else f"alarm at patient {chart['alarm']['number']}"
    return (
        f"Referral rate, {'rise' if up else 'fall'} (CUSUM): {sounded}. At a true rate of {allowed:.1%} (the edge of "
        f"what the reference leaves open, {confidence:.0%} confidence) it sounds once in "
        f"{chart['false_alarm_after']:,.0f} patients, among as many as these with a chance of "
        f"{chart['chance_of_false_alarm']:.2%}; at {noticed:.1%} after {chart['noticed_after']:,.0f} on average."
        f"{_from_seen(chart)}"
    )


def _from_seen(chart: Mapping[str, Any]) -> str:
    """Say how long the same rise takes to be noticed if the reference's rate is what was seen, not the edge."""
    if chart["noticed_after_from_seen"] is None:
        return ""
    up = chart["way"] == "up"
    seen, risen = (rate if up else 1 - rate for rate in (chart["rate"], chart["rate_noticed_from_seen"]))
    return (
        f" If the true rate was the {seen:.1%} that was seen, the same change of the odds leads to {risen:.1%}, and it "
        f"sounds after {chart['noticed_after_from_seen']:,.0f} on average."
    )


def _test(test: Mapping[str, Any]) -> str:
    p = f"p {test['p_value']:.2g}, {test['corrected']:.2g} after Holm's correction"
    if test["name"] == "features":
        return (
            f"Features: squared mean discrepancy {test['squared']:.3g} between {test['patients'][0]} and "
            f"{test['patients'][1]} patients, bandwidth {test['bandwidth']:.3g} (median distance), "
            f"{test['permutations']} permutations; {p}."
        )
    form = ".1%" if test["name"] == "ungradable" else ".3g"
    return f"{NAMES[test['name']].capitalize()}: {test['before']:{form}} before, {test['now']:{form}} now; {p}."
