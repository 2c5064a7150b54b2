"""A commissioning protocol in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fundoscope.clinic.documents import came, markdown, nameless
from fundoscope.pages import stored_interval_words

Protocol = Mapping[str, Any]


def to_markdown(protocol: Protocol) -> str:
    """Write the protocol in Markdown."""
    basis = [f"{key.replace('_', ' ')}: {value}" for key, value in protocol["data"].items()]
    sealed = f"fundoscope {protocol['fundoscope']}; seal {protocol['seal']}"
    return markdown(f"Commissioning, {protocol['date']}", verdict(protocol), details(protocol), [*basis, sealed])


def verdict(protocol: Protocol) -> str:
    """Return the verdict in one or two sentences."""
    terms, figures = protocol["terms"], protocol["at_threshold"]
    wanted = f"{terms['sensitivity']:.1%}"
    if protocol["guaranteed"]:
        what = (
            f"at the threshold {protocol['threshold']:.6g}"
            if protocol["threshold_chosen_on_these_data"]
            else "at the grade cut (2 or above)"
        )
        kept = "" if figures["specificity"]["hits"] else " But everybody is referred there: nothing is gained by it."
        return (
            f"Guaranteed: {what} at least {wanted} of the referable patients of such a site are referred, with "
            f"{terms['confidence']:.1%} confidence.{kept}"
        )
    return f"A sensitivity of {wanted} cannot be guaranteed with these data: {_why(protocol)}"


def details(protocol: Protocol) -> Iterator[str]:
    """Yield everything else, a line each."""
    counts = protocol["counts"]
    yield (
        f"{came(counts['patients'] - counts['without_reference'], counts)}: {counts['referable']} referable, "
        f"{counts['threatening']} sight-threatening; {counts['ungradable']} with an eye that could not be graded; "
        f"{counts['without_reference']} more left out, without a reference for every eye."
    )
    if counts["without_name"]:
        yield nameless(counts["without_name"])
    if unanswered := protocol["data"].get("only_listed"):
        yield (
            f"{unanswered} photographs of the manifest have no prediction and were left out. If the system could not "
            "grade them they belong in, as rows with the status ungradable: without them the guarantee is too good."
        )
    yield f"Reference: {protocol['reference']}."
    yield f"Rule: {protocol['rule']}. Score: {protocol['score']}."
    yield f"Predictions: {protocol['basis']}."
    yield _terms(protocol)
    if protocol["at_threshold"] is not None:
        yield from _at_threshold(protocol)
    yield _plan(protocol)
    yield (
        "The guarantee is for patients drawn as these were: by the same camera and clinic, one after another, chosen "
        "for nothing that has to do with their disease."
    )


def _why(protocol: Protocol) -> str:
    figures, missing = protocol["at_threshold"], protocol["positives_missing"]
    positives = protocol["counts"]["referable"]
    if figures is None:
        needed = (
            "" if missing is None else f" At least {missing} more are needed before any threshold can be guaranteed."
        )
        return f"{positives} referable patients are too few.{needed}"
    sensitivity = figures["sensitivity"]
    said = (
        f"{sensitivity['hits']} of {positives} referable patients were referred, lower bound "
        f"{sensitivity['lower_bound']:.1%}."
    )
    if missing is None:
        return f"{said} More patients like these would hardly change that."
    return f"{said} If the true sensitivity is the one seen, some {missing} more are needed (80 % power)."


def _terms(protocol: Protocol) -> str:
    terms = protocol["terms"]
    looks = (
        "one look at the data"
        if terms["looks"] == 1
        else f"{terms['looks']} looks at the data in all, Bonferroni: {terms['confidence_each']:.3%} for this one"
    )
    return (
        f"Exact one-sided lower bound (Clopper-Pearson), confidence {terms['confidence']:.1%}; {looks}. "
        "A chosen threshold is an order statistic of the referable patients' scores (Wilks 1941): its choice is "
        "included in the guarantee."
    )


def _at_threshold(protocol: Protocol) -> Iterator[str]:
    figures, otherwise, expected = (protocol[key] for key in ("at_threshold", "ungradable_not_referred", "expected"))
    if protocol["threshold_chosen_on_these_data"] and protocol["threshold"] >= 1:
        by_grade = " or a referable grade" if "grade 2" in protocol["rule"] else ""
        yield (
            f"At a threshold of 1 nobody is referred but for a score of 1 or an eye that cannot be graded{by_grade}."
        )
    yield f"Sensitivity: {_bound(figures['sensitivity'])}."
    yield f"Specificity: {_counted(figures['specificity'])}."
    yield (
        f"Sight-threatening, sensitivity: {_bound(figures['sight_threatening_sensitivity'])} (not part of the "
        "guarantee: the bound is as if the threshold had been fixed beforehand)."
    )
    yield (
        "Were an eye that cannot be graded not referred: sensitivity "
        f"{_bound(otherwise['sensitivity'])} (as if fixed beforehand), "
        f"specificity {_counted(otherwise['specificity'])}."
    )
    if expected is not None:
        yield (
            f"To expect at a prevalence of {expected['prevalence']:.1%} (taken as known): "
            f"referred {_range(expected['referred'])}, PPV {_range(expected['ppv'])}, NPV {_range(expected['npv'])}."
        )


def _plan(protocol: Protocol) -> str:
    sizes = ", ".join(
        f"{'more than are planned for' if size is None else size} if it is {true}"
        for true, size in protocol["positives_for_80_percent_power"].items()
    )
    wanted = f"{protocol['terms']['sensitivity']:.1%}"
    return (
        f"Referable patients needed to show more than {wanted} at a threshold fixed beforehand, 80 % power, by the "
        f"true sensitivity: {sizes or 'not planned for so high a wish'}."
    )


def _bound(bound: Mapping[str, Any]) -> str:
    if not bound["total"]:
        return "nobody to tell it by"
    return (
        f"{bound['hits']} of {bound['total']} ({bound['share']:.1%}), lower bound {bound['lower_bound']:.1%} "
        f"({bound['confidence']:.2%} confidence)"
    )


def _counted(share: Mapping[str, Any]) -> str:
    return f"{share['hits']} of {share['total']}, {_range(share)}" if share["total"] else "nobody to tell it by"


def _range(share: Mapping[str, Any]) -> str:
    return stored_interval_words(share, style=".1%")
