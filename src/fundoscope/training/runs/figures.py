"""The figures of a finished run, on photographs that its networks did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fundoscope.evaluation.evaluate import Evaluation, EvaluationOptions, evaluate_tables
from fundoscope.records import without_nan
from fundoscope.run_folder import RunFolder
from fundoscope.training.batches.targets import target_of
from fundoscope.training.experiment.schema import Experiment

FIGURES: Final = (
    "quadratic_kappa",
    "accuracy",
    "mean_absolute_error",
    "any_auroc",
    "referable_auroc",
    "sight_threatening_auroc",
    "decision_sensitivity",
    "decision_specificity",
)
"""Statistics of `evaluation.summary` that are shown of a run."""


@dataclass(frozen=True, slots=True)
class RunFigures:
    """An evaluation of a run's own predictions."""

    evaluation: Evaluation
    predictions: Path
    reference: Path
    """Table with the reference grades of these photographs."""
    out_of_fold: bool
    """Whether they are out of fold; else they are of the validation rows, by the only fit."""
    splits: tuple[str, ...]
    """Splits of the manifest that the photographs are of."""

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        summary = self.evaluation.summary
        shown = {name: summary.intervals[name] for name in FIGURES if name in summary.intervals}
        return {
            "predictions": str(self.predictions),
            "out_of_fold": self.out_of_fold,
            "splits": list(self.splits),
            "photographs": summary.counts["photographs"],
            "patients": summary.counts["patients"],
            "level": summary.level,
            "statistics": {
                name: without_nan({"estimate": interval.estimate, "low": interval.low, "high": interval.high})
                for name, interval in shown.items()
            },
        }


def figures_of(experiment: Experiment, run: Path) -> RunFigures | None:
    """Evaluate the predictions that a run made of photographs it did not learn from.

    Returns:
        None where there are none, where something else than the grade was learnt, and of a protocol over sources,
        which has a table of its own.
    """
    files = RunFolder(run)
    if target_of(experiment.data).kind != "grade" or experiment.domains.protocol != "none":
        return None
    reference = files.held_out_rows if files.held_out_rows.is_file() else files.training_rows
    out_of_fold = files.out_of_fold.is_file()
    predictions = files.out_of_fold if out_of_fold else files.predictions
    if not predictions.is_file() or not reference.is_file():
        return None
    evaluation = evaluate_tables(
        predictions, reference, options=EvaluationOptions(with_subgroups=False, with_curves=False)
    )
    splits = experiment.data.train if out_of_fold else experiment.data.validate
    return RunFigures(evaluation, predictions, reference, out_of_fold, tuple(splits))
