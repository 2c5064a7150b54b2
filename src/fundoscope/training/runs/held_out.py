"""Whether held-out photographs can set what a run sets by them: found out before training, not after."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from fundoscope.arrays import Grades
from fundoscope.errors import BadExperiment
from fundoscope.runtime.tasks.dr_grade import REFERABLE_GRADES, referable
from fundoscope.training.batches.targets import Target, Values, target_of
from fundoscope.training.experiment.schema import Experiment


def check_folds(experiment: Experiment, targets: Values, folds: Int[np.ndarray, " row"]) -> None:
    """Make sure that for each fold the others show what its referral threshold is fitted on.

    Args:
        experiment: Says what is learnt and which folds are run.
        targets: What each row is to be learnt as.
        folds: The fold that holds each row out.

    Raises:
        BadExperiment: If the folds other than one show no referable photograph, or, where a release is asked for, all
            folds together not all that it is calibrated on. The message names the fold.
    """
    run = sorted(set(experiment.data.only_folds or range(experiment.data.folds)))
    if target_of(experiment.data).kind == "grade" and len(run) > 1:
        for fold in run:
            others = np.isin(folds, [number for number in run if number != fold])
            if not referable(targets[others]).any():
                names = ", ".join(str(number + 1) for number in run if number != fold)
                raise BadExperiment(
                    f"data.folds: expected photographs of {REFERABLE_GRADES} outside fold {fold + 1} of "
                    f"{experiment.data.folds}, for they set its referral threshold, got none in fold {names}. Add "
                    "patients with such photographs, lower data.folds, or change data.fold_salt"
                )
    if experiment.fit.export:
        check_held_out(experiment, targets[np.isin(folds, run)])


def check_sources(tested: Mapping[str, Grades]) -> None:
    """Make sure that for each source that is left out the others show what its referral threshold is fitted on.

    Args:
        tested: Grades of the photographs that each fit is tested on, by the source that it leaves out.

    Raises:
        BadExperiment: If the others show no referable photograph. The message names the source.
    """
    for name in tested if len(tested) > 1 else ():
        if not any(referable(grades).any() for other, grades in tested.items() if other != name):
            raise BadExperiment(
                f"domains.targets: expected photographs of {REFERABLE_GRADES} outside {name}, for they set its "
                "referral threshold, got none. Add a source with such photographs, or leave this one out "
                "(domains.targets)"
            )


def check_held_out(experiment: Experiment, targets: Values) -> None:
    """Make sure that the photographs that a release is calibrated on show what sets its thresholds.

    Args:
        experiment: Says what is learnt.
        targets: What each held-out row is to be learnt as.

    Raises:
        BadExperiment: If they show only one side of what a threshold is to separate.
    """
    target = target_of(experiment.data)
    if target.kind == "grade" and not referable(targets).any():
        raise BadExperiment(
            f"fit.export: expected held-out photographs of {REFERABLE_GRADES}, which set the referral threshold of the "
            f"release, got none among {len(targets)}. Add such photographs to the split that is validated on, "
            "cross-validate with data.folds, or set fit.export=false"
        )
    for label in _one_sided(target, targets) if target.kind == "signs" else ():
        raise BadExperiment(
            f"fit.export: expected held-out photographs with and without {label}, which set its threshold, got only "
            "one of the two. Add such photographs, leave the sign out of data.labels, or set fit.export=false"
        )


def _one_sided(target: Target, targets: Values) -> list[str]:
    """Return the signs that are present, or absent, in every photograph that they are known of."""
    columns = zip(target.names, targets.T, strict=True)
    return [name for name, values in columns if len(np.unique(values[~np.isnan(values)])) < 2]
