"""The model card that a release is written with, and the figures of an evaluation that travel with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fundoscope.runtime.description import Release
from fundoscope.runtime.runnable import runnable
from fundoscope.training.export.metadata import front_matter

HEADLINES: Final = (
    "quadratic_kappa",
    "accuracy",
    "mean_absolute_error",
    "any_auroc",
    "referable_auroc",
    "sight_threatening_auroc",
    "decision_sensitivity",
    "decision_specificity",
    "set_coverage",
    "calibration_error",
)
"""Statistics of an evaluation that travel with a release."""


def headlines(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Return the few figures of an `evaluation.json` that a release carries, each with its interval.

    Raises:
        KeyError: If it is not one that `fundoscope evaluate` wrote.
    """
    level, statistics = evaluation["level"], evaluation["statistics"]
    chosen: dict[str, Any] = {"photographs": evaluation["counts"]["photographs"]}
    for name in HEADLINES:
        entry = statistics.get(name, {})
        if entry.get("estimate") is not None:
            # One without an interval travels without: a calibration error, or where nothing varied.
            bounds = {key: None if entry[key] is None else round(entry[key], 4) for key in ("estimate", "low", "high")}
            chosen[name] = bounds | {"level": level}
    return chosen


def write_card(release: Release) -> str:
    """Return a model card in Markdown, from the release's own facts, with `front_matter` at its head."""
    experiment, networks = release.training["experiment"], release.training["networks"]
    facts = runnable(release, Path(release.id)).answerer.facts()
    several = f" (mean of {len(networks)} networks)" if len(networks) > 1 else ""
    seeds = ", ".join(str(network["seed"]) for network in networks)
    lines = [
        front_matter(release),
        f"# {release.id} {release.version}",
        "",
        release.intended_use,
        "",
        f"- Network: {release.training['backbone']}, {release.head} head, {experiment['recipe']['side']} px{several}.",
        f"- Trained on {len(release.training['training_sha256'])} photographs, seed {seeds}, "
        f"{experiment['fit']['epochs']} epochs.",
        *[f"- {name.capitalize()}: {fact}." for name, fact in facts.items()],
        "",
        "## Training data",
        "",
        *_data_lines(release.training),
        "",
        f"Licence: {release.licence}.",
        "",
        "## Limits",
        "",
        *[f"- {limit}" for limit in release.limits],
    ]
    return "\n".join(lines) + "\n"


def _data_lines(training: Mapping[str, Any]) -> list[str]:
    """Return a Markdown table of the sources that a release learnt from, and what else it was made from."""
    lines = ["| source | photographs | patients | photographs of each label | licence |", "|---|---|---|---|---|"]
    for source in training["data"]:
        patients = "unknown" if source["patients"] is None else source["patients"]
        labels = ", ".join(f"{label}: {count}" for label, count in source["labels"].items())
        licences = ", ".join(licence or "unknown" for licence in source["licences"])
        lines.append(f"| {source['name']} | {source['photographs']} | {patients} | {labels} | {licences} |")
    cited = [f"- {source['name']}: {source['citation']}" for source in training["data"] if source["citation"]]
    named = {source["name"] for source in training["data"]}
    others = [
        f"- {origin['what']}: {origin['licence'] or 'licence unknown'}"
        for origin in training["licences"]
        if origin["what"] not in named
    ]
    return [*lines, "", *cited, *others] if cited or others else lines
