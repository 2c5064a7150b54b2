"""The page of one evaluation: everything in one file that fetches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fundoscope.evaluation.flow import Step, flow_text
from fundoscope.evaluation.mistakes import Mistake, Mistakes
from fundoscope.evaluation.report.checklist import Item
from fundoscope.evaluation.report.page_templates import environment
from fundoscope.evaluation.report.presets import Paper
from fundoscope.evaluation.report.words import METHOD_WORDS, ROWS, human_line, interval_words
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.subgroups import RULE, STATISTICS, Group, Subgroups
from fundoscope.evaluation.summary import HUMAN, Summary
from fundoscope.grades import GRADE_NAMES
from fundoscope.pages import data_uri, number_words, write_page
from fundoscope.photo.thumbnail import thumbnail

PAGE: Final = "index.html"

THUMBNAIL_PX: Final = 260
"""Longer side of a photograph on the page."""

HEADLINES: Final = ("quadratic_kappa", "referable_auroc", "decision_sensitivity", "decision_specificity")
"""Shown large, as far as they are known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """All that the page tells."""

    title: str
    """Which table, against which."""
    summary: Summary
    subgroups: tuple[Subgroups, ...]
    mistakes: Mistakes
    flow: tuple[Step, ...]
    checklists: Mapping[str, tuple[Item, ...]]
    figures: Mapping[str, tuple[str, bytes]]
    """Caption and PNG by name."""
    paper: Paper | None
    """A paper's table, where it was asked for."""
    data: tuple[str, ...]
    """Sentences on which tables were read."""


def write_evaluation(told: Told, folder: Path | str, *, photographs: Mapping[str, Path]) -> Path:
    """Write `index.html` and return its path.

    Args:
        told: What it says.
        folder: Made where absent.
        photographs: File of each image of the manifest; one that cannot be read is said to be so.
    """
    shown = {
        "told": told,
        "headlines": _headlines(told.summary),
        "human": human_line(HUMAN),
        "flow_text": flow_text(told.flow),
        "numbers": {
            words: _words(told.summary, name) for name, words in ROWS.items() if name in told.summary.intervals
        },
        "grades": [_grade(told.summary, grade) for grade in range(len(GRADE_NAMES))],
        "signs": {
            name: {key.replace("_", " "): interval_words(each) for key, each in sign.intervals.items()}
            | {"photographs": str(sign.photographs), "present": str(sign.positives)}
            for name, sign in told.summary.signs.items()
        },
        "pictures": {
            name: {"caption": caption, "data": data_uri(data, "png")} for name, (caption, data) in told.figures.items()
        },
        "subgroups": [_subgroups(each) for each in told.subgroups],
        "rule": RULE,
        "worst": [_worst(each, photographs) for each in told.mistakes.worst],
        "preset": None if told.paper is None else _paper(told.paper),
        "basis": [*told.data, *_basis(told.summary)],
    }
    return write_page(Path(folder) / PAGE, environment(".html").get_template("evaluation.html.jinja"), **shown)


def _headlines(summary: Summary) -> list[dict[str, str]]:
    found = []
    for name in HEADLINES:
        interval = summary.intervals[name]
        if not math.isnan(interval.estimate):
            bounds = "" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"
            found.append({"words": ROWS[name], "value": f"{interval.estimate:.3f}", "bounds": bounds})
    return found


def _words(summary: Summary, name: str) -> str:
    interval = summary.intervals[name]
    if math.isnan(interval.estimate) or math.isnan(interval.low):
        value = number_words(interval.estimate)
        return f"{value} - {summary.missing[name]}" if name in summary.missing else value
    words = interval_words(interval)
    if interval.undefined:
        words += f", undefined on {interval.undefined} of {summary.resamples} draws"
    return words


def _grade(summary: Summary, grade: int) -> dict[str, str]:
    rates = ("sensitivity", "specificity", "precision", "f1")
    named = {"grade": f"{grade} {GRADE_NAMES[grade]}", "photographs": str(summary.support[grade])}
    return named | {rate: interval_words(summary.intervals[f"grade{grade}_{rate}"]) for rate in rates}


def _subgroups(of: Subgroups) -> dict[str, Any]:
    return {
        "column": of.column,
        "words": of.column.replace("_", " "),
        "unknown": of.unknown,
        "small": [f"{each.value}: {_too_small(each)}" for each in of.groups if each.too_small],
        "groups": [
            {
                "value": each.value,
                "photographs": each.photographs,
                "patients": each.patients,
                "cells": [_cell(each.intervals[name], small=name in each.too_small) for name in STATISTICS],
            }
            for each in of.groups
        ],
        "heads": list(STATISTICS.values()),
        "gaps": {
            STATISTICS[name]: {
                "between": f"{gap.highest} over {gap.lowest}",
                "words": interval_words(gap.interval),
                "among": gap.among,
                "p": number_words(gap.p_chance),
            }
            for name, gap in of.gaps.items()
        },
        "shifts": [
            {
                "value": each.value,
                "referable": f"{each.referable_share:.0%}",
                "score": number_words(each.mean_score),
                "grades": f"{each.grades_apart:.2f} (p {number_words(each.grades_p)})",
                "scores": f"{number_words(each.scores_apart)} (p {number_words(each.scores_p)})",
            }
            for each in of.shifts
        ],
    }


def _cell(interval: Interval, *, small: bool) -> dict[str, Any]:
    estimate, _, bounds = interval_words(interval).partition(" (")
    return {"estimate": estimate, "bounds": bounds.rstrip(")"), "small": small}


def _too_small(group: Group) -> str:
    if len(group.too_small) == len(STATISTICS):
        return f"{group.patients} patients, too few for anything"
    few = ", ".join(STATISTICS[name] for name in group.too_small)
    return (
        f"{group.referable_patients} patients with referable disease, {group.other_patients} without: too few for {few}"
    )


def _worst(mistake: Mistake, photographs: Mapping[str, Path]) -> dict[str, Any]:
    path = photographs.get(mistake.image)
    return {
        "name": Path(mistake.image).name,
        "picture": None if path is None else thumbnail(path, longer_px=THUMBNAIL_PX),
        "reference": mistake.reference,
        "answered": mistake.answered,
        "confidence": "" if math.isnan(mistake.confidence) else f"{mistake.confidence:.0%}",
        "patient": mistake.patient,
        "suspect": bool(mistake.suspect),
    }


def _paper(paper: Paper) -> dict[str, Any]:
    rows = {words: interval_words(each) for words, each in paper.values.items()}
    return {"title": paper.preset.title, "note": paper.preset.note, "rows": rows}


def _basis(summary: Summary) -> Sequence[str]:
    lines = [
        f"Intervals: {summary.level:.0%}, {METHOD_WORDS[summary.method]} bootstrap of {summary.resamples} draws of "
        f"patients, seed {summary.seed}; of curves always percentiles.",
        *(
            f"{kind} interval of {ROWS[name]}: {low:.3f} to {high:.3f}{words}."
            for kind, bounds, words in (
                ("DeLong", summary.delong, f" ({summary.delong_method})"),
                ("Clopper-Pearson", summary.exact, ", as if photographs were independent"),
                ("Wilson", summary.wilson, ", as if photographs were independent"),
            )
            for name, (low, high) in bounds.items()
            if not math.isnan(low)
        ),
    ]
    if alone := summary.counts["without_patient"]:
        lines.append(
            f"{alone} photographs have no patient and count as one each: intervals are too narrow "
            "where they are of the same person."
        )
    return lines
