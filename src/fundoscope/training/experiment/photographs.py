"""Sections of an experiment file about photographs: which, how they are divided, and how often each is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.bounds import NOT_NEGATIVE, SHARE, at_least, check_bounds, check_path
from fundoscope.training.experiment.sections import Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Which photographs, and how they are divided."""

    manifest: str = ""
    """Path of the manifest (CSV or Parquet). Relative paths start at the working directory."""
    target: str = "grade"
    """Column that is learned: `grade`; another one, whose values are `labels`; or `signs`, whose columns are."""
    labels: tuple[str, ...] = ()
    """Of another target than `grade`: its classes, in order. Of `signs`: columns of 0 and 1, each learned by itself."""
    train: tuple[str, ...] = ("train",)
    """Values of `split` that are trained on."""
    validate: tuple[str, ...] = ("val",)
    """Values of `split` that are validated on; empty: no validation. Not used with folds."""
    folds: int = 0
    """Cross-validate on this many folds by patient, with out-of-fold predictions; 0: do not."""
    fold_salt: str = ""
    """Changes which patients fall into which fold."""
    only_folds: tuple[int, ...] = ()
    """Run only these folds; empty: all."""
    keep_ungradable: bool = False
    """Also use photographs that the release's quality gate refuses (no retina found, blurred ...). False: they are left
    out of training and validation, and counted."""
    cache: str = "runs/cache"
    """Folder for prepared photographs, keyed by file hash and recipe."""

    def __post_init__(self) -> None:
        least = {"grade": 0, "signs": 1}.get(self.target, 2)
        if len(self.labels) < least or (self.target == "grade" and self.labels):
            raise BadExperiment(
                f"data.labels: expected {'none for the grade' if not least else f'at least {least}'} "
                f"with data.target {self.target!r}, got {', '.join(self.labels) or 'none'}"
            )
        if len(set(self.labels)) < len(self.labels):
            raise BadExperiment(f"data.labels: expected each only once, got {', '.join(self.labels)}")
        if self.folds == 1 or self.folds < 0:
            raise BadExperiment(f"data.folds: expected 0 or at least 2, got {self.folds}. Change data.folds")
        check_bounds(self, "data", {"folds": at_least(0, 10_000)})
        check_path(self.manifest, "data.manifest")
        check_path(self.cache, "data.cache")
        if not self.cache:
            raise BadExperiment("data.cache: expected the path of a folder, got an empty one. Change data.cache")
        both = sorted({*self.train} & {*self.validate})
        if both:
            raise BadExperiment(
                f"data.validate: expected other splits than data.train, got {', '.join(both)} in both: what is "
                "validated, and calibrated, on photographs that were learnt from promises too much. Change either"
            )
        if len(set(self.only_folds)) < len(self.only_folds):
            raise BadExperiment(
                f"data.only_folds: expected each fold once, got {self.only_folds}. Change data.only_folds"
            )
        if any(not 0 <= fold < self.folds for fold in self.only_folds):
            raise BadExperiment(f"data.only_folds: expected numbers from 0 to {self.folds - 1}, got {self.only_folds}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Domains:
    """Training on some sources and testing on others, one run for each division (GDRBench)."""

    protocol: Literal["none", "leave_one_out", "single_source"] = "none"
    """leave_one_out: test on each source in turn, train on all others. single_source: train on each, test on others."""
    by: str = "source"
    """Column of the manifest that names the sources; `domain` for GDRBench's own lists. It stands for `source` in
    sampling, weights and predictions."""
    targets: tuple[str, ...] = ()
    """Sources left out (or, single_source, trained on) in turn; empty: every one but `never_train`."""
    never_train: tuple[str, ...] = ()
    """Sources that are never trained on (GDRBench: DDR and EyePACS)."""

    def __post_init__(self) -> None:
        both = sorted({*self.targets} & {*self.never_train})
        if self.protocol == "single_source" and both:
            raise BadExperiment(
                "domains.targets: expected, for single_source, sources that may be trained on, got "
                f"{', '.join(both)}, which domains.never_train names too. Take them out of one of the two"
            )

    def check(self, data: Data, fit: Fit) -> None:
        """Refuse what contradicts the protocol.

        Raises:
            BadExperiment: If folds are asked for too, targets would be trained on, or a release has nothing to be
                calibrated on.
        """
        if self.protocol == "none":
            return
        if data.folds:
            raise BadExperiment(
                f"data.folds: expected 0 with domains.protocol = {self.protocol!r}, which divides the photographs by "
                f"source, got {data.folds}. Choose one of the two"
            )
        if "test" in (*data.train, *data.validate):
            raise BadExperiment(
                "data.train, data.validate: expected train and val with a domains.protocol, for test is what the "
                f"target is called in it, got {data.train} and {data.validate}. Leave test out"
            )
        if self.protocol == "single_source" and (fit.final or fit.export):
            raise BadExperiment(
                "fit.final, fit.export: expected false with domains.protocol = 'single_source', where a photograph is "
                "graded by several networks and none is chosen, got true. Use leave_one_out for a release"
            )


PerGrade = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Which photographs an epoch shows. All but `none` draw with replacement, as many as there are rows."""

    strategy: Literal[
        "none", "inverse", "inverse_sqrt", "weights", "balanced", "decaying", "source", "grade_source"
    ] = "none"
    """none: each once. inverse, inverse_sqrt: by 1 / frequency of the grade, or its root. weights: by `weights`.
    balanced: equally many of each grade in every batch. decaying: by `start`, over the epochs by `end` (EyePACS,
    2nd place). source: each source equally often. grade_source: GDRNet's product of grade and source weights."""
    weights: PerGrade = (0.1, 1.0, 0.5, 3.0, 4.0)
    """Weight of a photograph of each grade (the DenseNet study's, which make EyePACS' grades about equal)."""
    start: PerGrade = (1.36, 14.4, 6.64, 40.2, 49.6)
    """decaying: weights of the first epoch (inverse frequencies in EyePACS)."""
    end: PerGrade = (1.0, 2.0, 2.0, 2.0, 2.0)
    """decaying: weights that are approached."""
    decay: float = 0.975
    """decaying: factor per epoch on the share of `start`."""
    power: float = 0.5
    """grade_source: exponent that flattens the frequencies before they are inverted; 0 is none, 1 the inverse."""

    def __post_init__(self) -> None:
        for name in ("weights", "start", "end"):
            values = getattr(self, name)
            if min(values) < 0 or max(values) == 0:
                raise BadExperiment(
                    f"sampling.{name}: expected five numbers of at least 0, not all 0, got {values}. "
                    f"Change sampling.{name}"
                )
        weights = dict.fromkeys(("weights", "start", "end"), NOT_NEGATIVE)
        check_bounds(self, "sampling", weights | {"decay": SHARE, "power": SHARE})
