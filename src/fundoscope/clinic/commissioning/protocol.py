"""What a commissioning writes down, sealed, and the copy of a release that carries it.

The seal shows that a word was changed by accident or by hand; it is no signature, for whoever changes a protocol
can seal it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from fundoscope.clinic.commissioning.cohort import Answers, Flow
from fundoscope.clinic.commissioning.commission import Bound, CommissioningResult, Expected, Figures
from fundoscope.clinic.commissioning.words import to_markdown, verdict
from fundoscope.clinic.documents import card_of_copy, earlier_figures
from fundoscope.decide.referral import OperatingPoint
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.files import write_text
from fundoscope.photo.artefacts.dust_map import DUST_MAP, DustMap
from fundoscope.records import null_if_nan, parse_record, seal_of
from fundoscope.runtime.copies import check_unused, copy_release
from fundoscope.runtime.description import CARD
from fundoscope.runtime.release import OpenRelease
from fundoscope.version import __version__

PROTOCOL: Final = "protocol.json"
READABLE: Final = "protocol.md"
SCHEMA: Final = 1

REFERENCE: Final = "patient, worst eye: ICDR grade 2 or above in any photograph"
WITH_OEDEMA: Final = ", or referable macular oedema (dme 2)"
RULE: Final = (
    "patient, worst eye: referred if the largest score of the photographs that could be graded is at least the "
    "threshold, or if no photograph of an eye could be graded"
)
GRADE_REFERS: Final = ", or if any was given grade 2 or above"


def protocol_of(
    result: CommissioningResult,
    flow: Flow,
    *,
    data: Mapping[str, str | int],
    answers: Answers,
    basis: str,
    oedema: bool,
    day: date,
) -> dict[str, Any]:
    """Return the record of `protocol.json`: terms, data and results, sealed.

    Args:
        result: The result.
        flow: How many came.
        data: Names and SHA-256 of the tables, how much of them found no match (`only_predicted`, `only_listed`), and
            the release's name where there is one.
        answers: What the system answered, and how that refers.
        basis: What the predictions are to the release: a sentence of `provenance`.
        oedema: Whether macular oedema counted.
        day: Of the commissioning.
    """
    written = {
        "schema": SCHEMA,
        "kind": "commissioning protocol",
        "date": day.isoformat(),
        "fundoscope": __version__,
        "data": dict(data),
        "basis": basis,
        "reference": REFERENCE + (WITH_OEDEMA if oedema else ""),
        "rule": RULE + (GRADE_REFERS if answers.grade_refers else ""),
        "score": answers.read_from,
        "terms": {**asdict(result.terms), "confidence_each": result.terms.confidence_each},
        "counts": asdict(flow),
        "guaranteed": result.guaranteed,
        "threshold": result.threshold,
        "threshold_chosen_on_these_data": result.chosen,
        "rank": result.rank,
        "at_threshold": _figures(result.figures),
        "ungradable_not_referred": _figures(result.otherwise),
        "expected": _expected(result.expected),
        "positives_missing": result.positives_missing,
        "positives_for_80_percent_power": dict(result.plan),
    }
    return written | {"seal": seal_of(written)}


def to_json(protocol: Mapping[str, Any]) -> str:
    """Return the text of `protocol.json`."""
    return json.dumps(protocol, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_protocol(path: Path | str) -> dict[str, Any]:
    """Read `protocol.json`, from a release or beside it, and refuse one that does not agree with its seal.

    Raises:
        BadRelease: If it is absent, no JSON, of another schema, or changed since it was written.
    """
    file = Path(path)
    try:
        content = file.read_bytes()
    except OSError as problem:
        raise BadRelease(f"{file}: expected a protocol in JSON, got {problem}. Commission again.") from None
    return parse_protocol(content, file)


def parse_protocol(content: bytes, where: Path) -> dict[str, Any]:
    """Parse the content of `protocol.json`, and refuse one that does not agree with its seal.

    Args:
        content: As it was written.
        where: Where it is from; named in messages.

    Raises:
        BadRelease: If it is no JSON, of another schema, or changed since it was written.
    """
    try:
        stored = parse_record(content)
    except ValueError as problem:
        raise BadRelease(f"{where}: expected a protocol in JSON, got {problem}. Commission again.") from None
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        raise BadRelease(
            f"{where}: expected a protocol of schema {SCHEMA}, got another. Use its version of fundoscope."
        )
    if stored.get("seal") != seal_of(stored):
        raise BadRelease(f"{where}: expected the protocol as it was sealed, got a changed one. Fetch it again.")
    return stored


def write_protocol(folder: Path, protocol: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write it twice: for programs and for people."""
    written = folder / PROTOCOL, folder / READABLE
    write_text(written[0], to_json(protocol))
    write_text(written[1], to_markdown(protocol))
    return written


def commission_release(
    opened: OpenRelease, target: Path, protocol: Mapping[str, Any], *, dust: DustMap | None = None
) -> OpenRelease:
    """Copy a release with the commissioned operating point and the protocol in it; the original stays as it is.

    Args:
        opened: What was commissioned.
        target: Folder for the copy, new or empty.
        protocol: Of `protocol_of`; guaranteed, with a threshold that was chosen.
        dust: The site's map, by which the photographs were retouched that the protocol is of; None: by none.

    Returns:
        The copy, opened again.

    Raises:
        BadRequest: If the folder is in use or the protocol gives no threshold.
    """
    check_unused(target)
    if not (protocol["guaranteed"] and protocol["threshold_chosen_on_these_data"]):
        raise BadRequest(f"{target}: expected a guaranteed threshold to write into a copy, got none. Add patients.")
    original = opened.release
    readable = to_markdown(protocol)
    earlier = opened.operating_point.threshold
    card = card_of_copy(
        opened.card,
        f"commissioned on {protocol['date']}",
        protocol["threshold"],
        earlier,
        readable.replace("# ", "## ", 1),
    )
    changed = {CARD: card.encode(), PROTOCOL: to_json(protocol).encode(), READABLE: readable.encode()}
    if dust is not None:
        changed[DUST_MAP] = dust.to_json().encode()
    terms = protocol["terms"]
    point = OperatingPoint(
        name=f"commissioned {protocol['date']}: sensitivity {terms['sensitivity']:.1%} guaranteed with "
        f"{terms['confidence']:.1%} confidence",
        threshold=protocol["threshold"],
        sensitivity=terms["sensitivity"],
    )
    at_threshold = protocol["at_threshold"]
    figures = {
        "verdict": verdict(protocol),
        "basis": protocol["basis"],
        "sensitivity_lower_bound": at_threshold["sensitivity"]["lower_bound"],
        "specificity": at_threshold["specificity"],
        "protocol": f"{PROTOCOL}, seal {protocol['seal']}",
    }
    measured = {key: value for key, value in original.evaluation.items() if key != "commissioning"}
    copy = replace(
        original,
        operating_point=point.to_dict(),
        # First, as what belongs to the threshold in force.
        evaluation={"commissioning": figures} | earlier_figures(measured, earlier, all_of_them=False),
    )
    # A map of an earlier commissioning must not retouch where the new protocol is of photographs as they are.
    return copy_release(opened, target, copy, changed, without=(DUST_MAP,))


def _figures(figures: Figures | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        "sensitivity": _bound(figures.sensitivity),
        "specificity": {"hits": figures.spared, "total": figures.healthy, **_interval(figures.specificity)},
        "sight_threatening_sensitivity": _bound(figures.threatening),
        "referred": figures.referred,
    }


def _expected(expected: Expected | None) -> dict[str, Any] | None:
    if expected is None:
        return None
    shares = {name: _interval(getattr(expected, name)) for name in ("referred", "ppv", "npv")}
    return {"prevalence": expected.prevalence, **shares}


def _bound(bound: Bound) -> dict[str, Any]:
    return {
        "hits": bound.hits,
        "total": bound.total,
        "share": null_if_nan(bound.estimate),
        "lower_bound": null_if_nan(bound.low),
        "confidence": bound.confidence,
    }


def _interval(interval: Interval) -> dict[str, Any]:
    return {**interval.ends(), "level": interval.level}
