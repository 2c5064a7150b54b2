"""Evaluate a table of predictions against a manifest: figures, groups, mistakes, flow, curves, a paper's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fundoscope.decide.abstention import Abstention, abstention_curve, certainty_of
from fundoscope.evaluation.cases import Cases, cases_of
from fundoscope.evaluation.curves import CurveSet, compute_curves
from fundoscope.evaluation.flow import Step, flow, to_dict
from fundoscope.evaluation.mistakes import Mistakes, mistakes
from fundoscope.evaluation.patients.figures import PatientFigures, patient_figures
from fundoscope.evaluation.patients.outcomes import with_unanswered
from fundoscope.evaluation.presets import Paper, preset_table
from fundoscope.evaluation.subgroups import RULE, Subgroups, subgroups
from fundoscope.evaluation.summary import Summary, summarise
from fundoscope.records import without_nan
from fundoscope.tables.pair import Pair, read_pair
from fundoscope.version import __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationOptions:
    """What is computed, and how its intervals are."""

    include_ungradable: bool = False
    """Count photographs refused for their quality, where they have probabilities."""
    resamples: int = 2000
    """Bootstrap resamples of patients."""
    seed: int = 0
    """Seed of the resamples; the same seed gives the same intervals."""
    level: float = 0.95
    """Confidence level of the intervals."""
    method: str = "auto"
    """Method of the intervals, a name in `interval.INTERVALS`."""
    prevalence: float | None = None
    """Prevalence of referable disease at which to compute PPV and NPV; None: they are not computed."""
    with_subgroups: bool = True
    """Whether to compute subgroups, which take the most time."""
    by: tuple[str, ...] = ()
    """Further columns to form subgroups by."""
    with_curves: bool = True
    """Whether to compute curves and abstention, which take time, too."""
    review: Path | None = None
    """Table of doubtful labels, as `fundoscope audit --review` writes it."""
    preset: str | None = None
    """Paper whose table to compute, a name in `presets.PRESETS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything computed from one table of predictions, with the same resamples of patients."""

    pair: Pair
    """The tables."""
    cases: Cases
    """Their photographs as arrays."""
    summary: Summary
    subgroups: tuple[Subgroups, ...]
    """Empty where they were not asked for."""
    mistakes: Mistakes
    flow: tuple[Step, ...]
    curves: CurveSet | None
    """None where they were not asked for."""
    abstention: tuple[Abstention, ...]
    """Empty without probabilities, or where no curves were asked for."""
    patients: PatientFigures | None
    """By patient, the worst eye of each; None where no photograph names its patient."""
    paper: Paper | None
    """The table of the preset, where one was asked for."""
    version: str = __version__
    """Version of fundoscope."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to what JSON can represent: no NaN; `curves`, `abstention` and `preset` only where asked for."""
        record: dict[str, Any] = {
            "data": self.pair.data,
            "version": self.version,
            "split": self.pair.reference.split,
            "unseen_patients": self.pair.reference.unseen_patients,
            **self.summary.to_dict(),
            "subgroups": [column.to_dict() for column in self.subgroups],
            "subgroups_rule": RULE,
            "errors": self.mistakes.to_dict(),
            "flow": to_dict(self.flow),
            "patient_level": None if self.patients is None else without_nan(self.patients.to_dict()),
        }
        if self.curves is not None:
            record["curves"] = self.curves.to_dict()
            record["abstention"] = [without_nan(point.to_dict()) for point in self.abstention]
        if self.paper is not None:
            record["preset"] = self.paper.to_dict()
        return record


def evaluate_tables(
    predictions: Path,
    manifest: Path,
    *,
    split: str | None = None,
    unseen_patients: bool = False,
    options: EvaluationOptions | None = None,
) -> Evaluation:
    """Read both tables and evaluate the photographs that have a prediction and a reference grade.

    Args:
        predictions: Table of predictions of any system.
        manifest: Table with the reference grades.
        split: Split of the manifest to evaluate; None: all rows.
        unseen_patients: Leave out patients, files, duplicates and eyes that another split has, too.
        options: What is computed; by default all of it but a paper's table.

    Raises:
        BadRequest: If `unseen_patients` is given without a split, or a column of `options.by` cannot be used.
        BadTable: If a table is not usable, or no photograph of the split has both a prediction and a reference grade.
        ValueError: If `level` or `prevalence` is not a proportion, or `method` or `preset` is not known.
    """
    pair = read_pair(predictions, manifest, split=split, unseen_patients=unseen_patients)
    return evaluate_pair(pair, options or EvaluationOptions())


def evaluate_pair(pair: Pair, options: EvaluationOptions) -> Evaluation:
    """Evaluate tables that have been read; see `evaluate_tables`."""
    cases = cases_of(pair.rows)
    counted = cases.counted(include_ungradable=options.include_ungradable)
    resampling: dict[str, Any] = {"resamples": options.resamples, "seed": options.seed, "level": options.level}
    selection = {"include_ungradable": options.include_ungradable}
    summary = summarise(cases, method=options.method, prevalence=options.prevalence, **selection, **resampling)
    return Evaluation(
        pair=pair,
        cases=cases,
        summary=summary,
        subgroups=subgroups(cases, options.by, method=options.method, **selection, **resampling)
        if options.with_subgroups or options.by
        else (),
        mistakes=mistakes(cases, review=options.review, **selection),
        flow=flow(pair.chosen, cases, **selection),
        curves=compute_curves(cases, counted, **resampling) if options.with_curves else None,
        abstention=tuple(_abstention(cases, counted)) if options.with_curves else (),
        patients=patient_figures(with_unanswered(cases.matched, pair.chosen), method=options.method, **resampling),
        paper=None if options.preset is None else preset_table(options.preset, summary, cases),
    )


def _abstention(cases: Cases, counted: np.ndarray) -> Sequence[Abstention]:
    sure = counted & ~np.isnan(cases.probabilities[:, 0]) & (cases.answered >= 0)
    if not sure.any():
        return ()
    decision = np.array(cases.decision, dtype=object)[sure]
    return abstention_curve(
        cases.reference[sure],
        cases.answered[sure],
        certainty_of(cases.probabilities[sure]),
        referred=(decision != "rescreen") & (decision != "") if decision.any() else None,
    )
