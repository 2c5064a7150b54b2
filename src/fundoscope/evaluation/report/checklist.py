"""TRIPOD+AI and CLAIM, filled in where the program knows; the rest is "not stated" and the authors' to write."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pandas as pd

from fundoscope.evaluation.evaluate import Evaluation
from fundoscope.evaluation.report import words
from fundoscope.evaluation.summary import Summary
from fundoscope.grades import REFERABLE
from fundoscope.tables.patients import texts

NOT_STATED: Final = "not stated"

TRIPOD: Final = (
    ("1", "Title", ""),
    ("2", "Abstract", ""),
    ("3a", "Healthcare context, and existing models", ""),
    ("3b", "Target population and intended users", ""),
    ("3c", "Known health inequalities", ""),
    ("4", "Objectives", ""),
    ("5a", "Sources of data", "data"),
    ("5b", "Dates of the data", "dates"),
    ("6a", "Setting and centres", "sites"),
    ("6b", "Who could take part", "eligible"),
    ("6c", "Treatments received", ""),
    ("7", "Data preparation and quality control", "quality"),
    ("8a", "Outcome, how and when assessed", "reference"),
    ("8b", "Who assessed the outcome", "readers"),
    ("8c", "Blinding of the assessors", ""),
    ("9a", "Choice of predictors", ""),
    ("9b", "Predictors, how and when measured", "camera"),
    ("9c", "Who assessed predictors, where it takes judgement", ""),
    ("10", "Sample size", "size"),
    ("11", "Missing data", "missing"),
    ("12a", "How the data were used, and divided", "partition"),
    ("12b", "How predictors were handled", ""),
    ("12c", "Type of model, and how it was built", "model"),
    ("12d", "Heterogeneity between clusters, such as centres", "clusters"),
    ("12e", "Measures of performance", "measures"),
    ("12f", "Updating of the model", ""),
    ("12g", "How predictions were calculated", "model"),
    ("13", "Class imbalance, and what was done about it", ""),
    ("14", "Fairness, and what was done for it", ""),
    ("15", "Output of the model, and thresholds", "output"),
    ("16", "Differences from the development data", ""),
    ("17", "Ethical approval", ""),
    ("18a", "Funding", ""),
    ("18b", "Conflicts of interest", ""),
    ("18c", "Protocol", ""),
    ("18d", "Registration", ""),
    ("18e", "Data sharing", ""),
    ("18f", "Code sharing", ""),
    ("19", "Patient and public involvement", ""),
    ("20a", "Flow of participants", "flow"),
    ("20b", "Characteristics of the participants", "people"),
    ("20c", "Comparison with the development data", ""),
    ("21", "Participants and events in each analysis", "events"),
    ("22", "The full model", ""),
    ("23a", "Performance with intervals, also of key groups", "performed"),
    ("23b", "Heterogeneity of the performance between clusters", "clusters"),
    ("24", "Results of updating", ""),
    ("25", "Interpretation", ""),
    ("26", "Limitations", "limits"),
    ("27a", "How poor or missing input is handled", "quality"),
    ("27b", "What users must do", ""),
    ("27c", "Next steps", ""),
)
"""Collins et al., BMJ 385 (2024) e078378, 27 items in 52 parts: number, what it asks in our words, and who answers;
blank: nobody here."""

CLAIM: Final = (
    ("1", "Title names the technology", ""),
    ("2", "Structured abstract", ""),
    ("3", "Background and clinical role", ""),
    ("4", "Objectives and hypotheses", ""),
    ("5", "Prospective or retrospective", ""),
    ("6", "Goal of the study", ""),
    ("7", "Data sources", "data"),
    ("8", "Who could take part, where and when", "eligible"),
    ("9", "Preprocessing", ""),
    ("10", "Selection of subsets", "partition"),
    ("11", "Definitions of data elements", "reference"),
    ("12", "De-identification", ""),
    ("13", "Missing data", "missing"),
    ("14", "Reference standard, to be repeated", "reference"),
    ("15", "Why this reference standard", ""),
    ("16", "Source of the annotations, and readers", "readers"),
    ("17", "Annotation tools", ""),
    ("18", "Variability between and within readers", "variability"),
    ("19", "Intended sample size", ""),
    ("20", "How data were assigned to partitions", "partition"),
    ("21", "Level at which partitions are apart", "level"),
    ("22", "The model", "model"),
    ("23", "Software", "software"),
    ("24", "Initial weights", ""),
    ("25", "Training", ""),
    ("26", "How the final model was chosen", ""),
    ("27", "Ensembling", ""),
    ("28", "Metrics", "measures"),
    ("29", "Significance and uncertainty", "intervals"),
    ("30", "Robustness, sensitivity analysis", ""),
    ("31", "Explainability", ""),
    ("32", "Validation on external data", ""),
    ("33", "Flow of participants", "flow"),
    ("34", "Characteristics of each partition", "people"),
    ("35", "Performance of the model on each partition", "performance"),
    ("36", "Diagnostic accuracy and its precision", "performance"),
    ("37", "Failure analysis", "errors"),
    ("38", "Limitations", "limits"),
    ("39", "Implications for practice", ""),
    ("40", "Registration", ""),
    ("41", "Where the protocol is", ""),
    ("42", "Funding", ""),
)
"""Mongan, Moy & Kahn, Radiology: Artificial Intelligence 2 (2020) e200029: the same of its 42 items. The update of 2024
(Tejani et al., ibid. 6, e240300) has 44 and other numbers."""

CLUSTERS: Final = ("source", "site", "camera")
"""Columns whose groups are clusters of patients, not kinds of people."""


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a checklist."""

    number: str
    asks: str
    """In our words; the guideline's are binding."""
    answer: str
    """`NOT_STATED` where the program does not know."""


def checklists(facts: Mapping[str, str]) -> dict[str, tuple[Item, ...]]:
    """Both checklists, by name.

    Args:
        facts: What the program knows, as `facts_of` gives it.
    """
    return {
        name: tuple(Item(number, asks, facts.get(key) or NOT_STATED) for number, asks, key in items)
        for name, items in {"TRIPOD+AI": TRIPOD, "CLAIM": CLAIM}.items()
    }


def facts_of(evaluation: Evaluation) -> dict[str, str]:
    """Collect what an evaluation knows, in sentences, by the keys of the checklists; blank or absent: not known."""
    data, summary, rows = evaluation.pair.data, evaluation.summary, evaluation.pair.rows
    counts, reference = summary.counts, evaluation.pair.reference
    steps = {step.name: step for step in evaluation.flow}
    split = f"Split {reference.split} of the manifest" if reference.split else ""
    unseen = ", only patients, files and eyes that no other split has" if reference.unseen_patients else ""
    columns = [column.column for column in evaluation.subgroups]
    return {
        "data": _join(
            f"{data['manifest']} (SHA-256 {str(data['manifest_sha256'])[:16]}...)", _listed(rows, "source", "sources")
        ),
        "dates": _dates(rows),
        "sites": _listed(rows, "site", "sites"),
        "camera": _listed(rows, "camera", "cameras"),
        "eligible": f"Every photograph of {data['manifest']}{', ' + split[0].lower() + split[1:] if split else ''}.",
        "quality": f"Photographs: {words.quality_words(summary)}.",
        "reference": f"ICDR grade 0 to 4 (Wilkinson et al. 2003) as the manifest gives it; referable is {REFERABLE} or "
        + " ".join(["above.", *words.dme_lines(summary)]),
        "readers": _listed(rows, "grade_by", "readers who corrected a grade"),
        "variability": f"{int(rows['grade_second'].notna().sum())} photographs have a second reader's grade."
        if "grade_second" in rows and rows["grade_second"].notna().any()
        else "",
        "size": f"{counts['photographs']} photographs of {counts['patients']} patients, "
        f"{sum(summary.support[REFERABLE:])} referable; how the number was decided is not stated.",
        "missing": f"{steps['not_answered'].photographs} photographs without a prediction and "
        f"{steps['without_reference'].photographs} without a reference grade are left out; nothing is imputed.",
        "partition": _join(f"{split}{unseen}" if split else "", _folds(rows)),
        "level": "Patients, files, duplicates and eyes of other splits are left out." if unseen else "",
        "model": _join(
            _listed(rows, "release", "release"),
            f"predictions {data['predictions']} (SHA-256 {str(data['predictions_sha256'])[:16]}...)",
        ),
        "output": _output(rows),
        "measures": "Quadratic, linear and unweighted kappa, accuracy, AUROC, sensitivity, specificity, calibration "
        "error, Brier score, net benefit.",
        "intervals": f"{words.interval_line(summary)} AUROC also by {summary.delong_method}; rates of the decision "
        "also by Clopper-Pearson and Wilson.",
        "clusters": _measured_by([column for column in columns if column in CLUSTERS]),
        "software": f"evaluated with fundoscope {evaluation.version}",
        "flow": "; ".join(f"{step.words} {step.photographs}" for step in evaluation.flow) + " (photographs).",
        "people": _people(rows),
        "events": "Photographs of grades 0 to 4: " + ", ".join(map(str, summary.support)) + ".",
        "performance": _performance(summary),
        "performed": _join(_performance(summary), _measured_by(columns)),
        "errors": words.mistake_line(evaluation.mistakes),
        "limits": " ".join(words.without_patient_lines(summary)),
    }


def _measured_by(columns: Sequence[str]) -> str:
    named = ", ".join(column.replace("_", " ") for column in columns)
    return f"measured by {named}, with intervals and the largest gap" if named else ""


def _performance(summary: Summary) -> str:
    """The headline figures that have an interval."""
    figures = {name: summary.intervals[name] for name in words.HEADLINES}
    return "; ".join(
        f"{words.ROWS[name]} {words.interval_words(interval)}"
        for name, interval in figures.items()
        if not math.isnan(interval.low)
    )


def _output(rows: pd.DataFrame) -> str:
    """Answers that the table of predictions has."""
    answers = {
        "p0": "five probabilities",
        "p_referable": "a probability of referable disease",
        "predicted_grade": "a grade",
        "decision": "a decision",
    }
    present = [label for name, label in answers.items() if name in rows and rows[name].notna().any()]
    return f"Of a photograph: {', '.join(present)}." if present else ""


def _folds(rows: pd.DataFrame) -> str:
    """Folds of the predictions, where each has one."""
    folds = texts(rows, "fold")
    return f"each prediction by a fit that had not seen its fold, {len(set(folds))} folds" if all(folds) else ""


def _people(rows: pd.DataFrame) -> str:
    """Sex and age by photograph, as far as there are columns of them: one patient may have several visits."""
    parts = []
    sexes = [sex for sex in texts(rows, "sex") if sex]
    if sexes:
        parts.append(f"{sexes.count('female')} photographs of women, {sexes.count('male')} of men")
    ages = [float(age) for age in texts(rows, "age") if age]
    if ages:
        quartiles = pd.Series(ages).quantile([0.25, 0.5, 0.75]).tolist()
        parts.append(f"median age {quartiles[1]:g} years (quartiles {quartiles[0]:g} and {quartiles[2]:g})")
    return "; ".join(parts)


def _dates(rows: pd.DataFrame) -> str:
    taken = sorted(text[:10] for text in texts(rows, "taken") if text)
    return f"{len(taken)} of {len(rows)} photographs dated, from {taken[0]} to {taken[-1]}" if taken else ""


def _listed(rows: pd.DataFrame, name: str, label: str) -> str:
    values = sorted({text for text in texts(rows, name) if text})
    more = f" and {len(values) - 8} more" if len(values) > 8 else ""
    return f"{label}: {', '.join(values[:8])}{more}" if values else ""


def _join(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
