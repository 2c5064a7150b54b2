"""The page of one evaluation: everything in one file that fetches nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fundoscope.evaluation.evaluate import Evaluation
from fundoscope.evaluation.flow import flow_text
from fundoscope.evaluation.mistakes import Mistake
from fundoscope.evaluation.presets import Paper
from fundoscope.evaluation.report import words
from fundoscope.evaluation.report.checklist import checklists, facts_of
from fundoscope.evaluation.report.page_templates import Drawn, environment
from fundoscope.evaluation.report.words import ROWS, interval_words
from fundoscope.evaluation.statistics.interval import Interval
from fundoscope.evaluation.subgroups import DME_STATISTICS, RULE, STATISTICS, Group, Subgroups
from fundoscope.evaluation.summary import HUMAN, Summary
from fundoscope.files import write_text
from fundoscope.grades import GRADE_NAMES
from fundoscope.pages import data_uri, number_words, write_page
from fundoscope.photo.thumbnail import thumbnail

PAGE: Final = "index.html"

ANSWER: Final = "evaluation.json"

THUMBNAIL_PX: Final = 260
"""Longer side of a photograph on the page."""


def write_evaluation(evaluation: Evaluation, folder: Path | str) -> tuple[Path, ...]:
    """Write the page of an evaluation and the figures behind it; needs matplotlib.

    Args:
        evaluation: With curves; a photograph whose file cannot be read is shown as missing.
        folder: Made where absent.

    Returns:
        The files written: `evaluation.json` and `index.html`.
    """
    # Everything else of this module works without matplotlib, which the clinic's installation lacks.
    from fundoscope.evaluation.report.figures import draw

    answer = Path(folder) / ANSWER
    write_text(answer, to_json(evaluation))
    return answer, write_page_of(evaluation, folder, figures=draw(evaluation))


def to_json(evaluation: Evaluation) -> str:
    """Return the text of `evaluation.json`."""
    return json.dumps(evaluation.to_dict(), indent=2, allow_nan=False) + "\n"


def write_page_of(evaluation: Evaluation, folder: Path | str, *, figures: Mapping[str, Drawn]) -> Path:
    """Write `index.html` and return its path.

    Args:
        evaluation: What the page shows.
        folder: Made where absent.
        figures: Caption and PNG by name.
    """
    summary, data = evaluation.summary, evaluation.pair.data
    photographs = evaluation.pair.photographs
    shown = {
        "title": words.title(evaluation),
        "level": f"{summary.level * 100:g} %",
        "flow": evaluation.flow,
        "mistakes": evaluation.mistakes,
        "checklists": checklists(facts_of(evaluation)),
        "headlines": _headlines(summary),
        "human": words.human_line(HUMAN),
        "flow_text": flow_text(evaluation.flow),
        "numbers": {label: _numbers(summary, name) for name, label in words.rows_of(summary).items()},
        "grades": [_grade(summary, grade) for grade in range(len(GRADE_NAMES))],
        "signs": {
            name: {key.replace("_", " "): interval_words(interval) for key, interval in sign.intervals.items()}
            | {"photographs": str(sign.photographs), "present": str(sign.positives)}
            for name, sign in summary.signs.items()
        },
        "pictures": {
            name: {"title": figure.title, "caption": figure.caption, "data": data_uri(figure.png, "png")}
            for name, figure in figures.items()
        },
        "subgroups": [_subgroups(column) for column in evaluation.subgroups],
        "rule": RULE,
        "gap_note": words.GAP_NOTE,
        "mistake_line": words.mistake_line(evaluation.mistakes),
        "worst": [_worst(mistake, photographs) for mistake in evaluation.mistakes.worst],
        "preset": None if evaluation.paper is None else _paper(evaluation.paper),
        "basis": [
            *words.count_lines(evaluation),
            f"{data['predictions']}: SHA-256 {data['predictions_sha256']}.",
            f"{data['manifest']}: SHA-256 {data['manifest_sha256']}.",
            words.interval_line(summary),
            *words.other_interval_lines(summary),
            *words.decision_lines(summary),
            *words.patient_lines(evaluation.patients),
        ],
    }
    return write_page(Path(folder) / PAGE, environment(".html").get_template("evaluation.html.jinja"), **shown)


def _headlines(summary: Summary) -> list[dict[str, str]]:
    """Label, estimate and bounds of the figures that are shown large, as far as they are defined."""
    labels = {name: ROWS[name] for name in words.HEADLINES if not math.isnan(summary.intervals[name].estimate)}
    return [
        {"words": label, "value": f"{summary.intervals[name].estimate:.3f}", "bounds": _bounds(summary.intervals[name])}
        for name, label in labels.items()
    ]


def _bounds(interval: Interval) -> str:
    return "" if math.isnan(interval.low) else f"{interval.low:.3f} to {interval.high:.3f}"


def _numbers(summary: Summary, name: str) -> str:
    estimate, remark = words.statistic_words(summary, name)
    if math.isnan(summary.intervals[name].low):
        return f"{estimate} - {remark}" if remark else estimate
    return f"{estimate} ({remark})"


def _grade(summary: Summary, grade: int) -> dict[str, str]:
    rates = ("sensitivity", "specificity", "precision", "f1")
    named = {"grade": f"{grade} {GRADE_NAMES[grade]}", "photographs": str(summary.support[grade])}
    return named | {rate: interval_words(summary.intervals[f"grade{grade}_{rate}"]) for rate in rates}


def _subgroups(of: Subgroups) -> dict[str, Any]:
    return {
        "column": of.column,
        "words": of.column.replace("_", " "),
        "unknown": of.unknown,
        "small": [f"{group.value}: {_too_small(group)}" for group in of.groups if group.too_small],
        "groups": [
            {
                "value": group.value,
                "photographs": group.photographs,
                "patients": group.patients,
                "cells": [_cell(group.intervals[name], small=name in group.too_small) for name in of.statistics],
            }
            for group in of.groups
        ],
        "heads": list(of.statistics.values()),
        "gaps": {
            of.statistics[name]: {
                "between": f"{gap.highest} over {gap.lowest}",
                "words": interval_words(gap.interval),
                "among": gap.among,
                "p": number_words(gap.p_chance),
            }
            for name, gap in of.gaps.items()
        },
        "shifts": [
            {
                "value": shift.value,
                "referable": f"{shift.referable_share:.0%}",
                "score": number_words(shift.mean_score),
                "grades": f"{shift.grades_apart:.2f} (p {number_words(shift.grades_p)})",
                "scores": f"{number_words(shift.scores_apart)} (p {number_words(shift.scores_p)})",
            }
            for shift in of.shifts
        ],
    }


def _cell(interval: Interval, *, small: bool) -> dict[str, Any]:
    estimate, _, bounds = interval_words(interval).partition(" (")
    return {"estimate": estimate, "bounds": bounds.rstrip(")"), "small": small}


def _too_small(group: Group) -> str:
    if len(group.too_small) == len(group.intervals):
        return f"{group.patients} patients, too few for anything"
    few = ", ".join((STATISTICS | DME_STATISTICS)[name] for name in group.too_small)
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
    rows = {label: interval_words(interval) for label, interval in paper.values.items()}
    return {"title": paper.preset.title, "note": paper.preset.note, "rows": rows}
