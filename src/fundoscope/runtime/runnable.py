"""What a release says of how to compute, as objects of this version; whatever it cannot compute is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fundoscope.arrays import Grades, Probabilities
from fundoscope.decide.calibrators import Calibrator, calibrator_from_dict
from fundoscope.decide.conformal import Conformal, grades_text
from fundoscope.decide.heads import HEADS
from fundoscope.decide.referral import OperatingPoint
from fundoscope.errors import BadRelease
from fundoscope.grades import GRADES
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import Recipe
from fundoscope.records import is_number
from fundoscope.runtime.certificate import Certificate
from fundoscope.runtime.description import Release

HEATMAPS: Final = (
    "grad-cam",
    "grad-cam++",
    "hires-cam",
    "layer-cam",
    "rollout",
    "grad-rollout",
    "last-attention",
    "none",
)
"""Ways a release may explain a grade; `none` where no map is exported."""

GROUPED_BY: Final = ("", "quality")
"""What a release's sets may be told apart by: what is known of a photograph when it is graded. Blank: nothing."""

_FAULTS: Final = (ValueError, TypeError, KeyError, AttributeError)
"""What reading a description of something unknown may raise."""

Refusal = Callable[[str, str, object], BadRelease]
"""Called as `refuse(key, expected, got)`."""


@dataclass(frozen=True, slots=True)
class GradeSets:
    """Which grades cannot be excluded, and where the sets begin."""

    thresholds: Conformal
    from_answer: bool
    """Sets begin with the grade that is answered, which is in each; otherwise with the likeliest."""

    def text(self, given: Probabilities, answers: Grades, *, quality: str | None) -> str:
        """What `grades_set` holds for one photograph, whose arrays have one row."""
        groups = [quality or ""] if self.thresholds.by else []
        sets = self.thresholds.sets(given, groups=groups, answers=answers if self.from_answer else None)
        return grades_text(sets)[0]

    def to_dict(self) -> dict[str, Any]:
        """As `release.json` holds it."""
        return self.thresholds.to_dict() | {"from_answer": self.from_answer}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GradeSets:
        """Back from `to_dict`.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        stored = dict(values)
        from_answer = stored.pop("from_answer", None)
        counts = [stored.get("patients"), *stored.get("too_small", {}).values()]
        if any(isinstance(each, bool) or not isinstance(each, int) or each < 0 for each in counts):
            raise ValueError(f"patients must be whole numbers, got {counts}")
        flags = from_answer, stored.get("out_of_fold")
        if not all(isinstance(each, bool) for each in flags):
            raise ValueError(f"from_answer and out_of_fold must be true or false, got {flags}")
        found = Conformal.from_dict(stored)
        if found.by not in GROUPED_BY:
            raise ValueError(
                f"by must be blank or {GROUPED_BY[1]}, which is known when a photograph is graded, got {found.by!r}"
            )
        return cls(found, from_answer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """The parts of a release that compute, beside its network."""

    recipe: Recipe
    gate: Gate
    operating_point: OperatingPoint
    calibrator: Calibrator | None
    """What puts the head's probabilities right; None: its temperature alone."""
    grade_sets: GradeSets | None
    certificate: Certificate | None = None


def runnable(release: Release, path: Path) -> Runnable:
    """The parts of a release that compute.

    Raises:
        BadRelease: If one of them is not known to this version, or cannot be run.
    """

    def refuse(key: str, expected: str, got: object) -> BadRelease:
        advice = "A newer version of fundoscope may know it; otherwise export the release again."
        return BadRelease(f"{path}: {key} must be {expected}, got {got!r}. {advice}")

    _check_choices(release, refuse)
    calibrator = _calibrator(release.calibration, refuse)
    part = "recipe"
    try:
        recipe = Recipe.from_dict(release.recipe)
        part = "gate"
        gate = Gate.from_dict(release.gate)
        part = "operating_point"
        point = OperatingPoint.from_dict(release.operating_point)
        part = "conformal"
        sets = GradeSets.from_dict(release.conformal) if release.conformal else None
        part = "certificate"
        certificate = Certificate.from_dict(release.certificate) if release.certificate else None
    except _FAULTS as problem:
        raise refuse(part, "one that this version can run", str(problem)) from None
    if point.cut != "referable":
        raise refuse("operating_point.cut", "referable", point.cut)
    return Runnable(
        recipe=recipe,
        gate=gate,
        operating_point=point,
        calibrator=calibrator,
        grade_sets=sets,
        certificate=certificate,
    )


def _check_choices(release: Release, refuse: Refusal) -> None:
    choices = (("task", ("dr-grade",)), ("head", tuple(HEADS)), ("heatmap", HEATMAPS))
    for key, allowed in choices:
        if getattr(release, key) not in allowed:
            raise refuse(key, f"one of {', '.join(allowed)}", getattr(release, key))
    if len(release.labels) != GRADES:
        raise refuse("labels", f"the names of {GRADES} grades", release.labels)
    if len(release.descriptions) not in (0, GRADES):
        raise refuse("descriptions", f"texts of {GRADES} grades, or none", release.descriptions)
    if release.eyes not in (1, 2):
        raise refuse("eyes", "1 or 2", release.eyes)


def _calibrator(calibration: dict[str, Any], refuse: Refusal) -> Calibrator | None:
    if set(calibration) - {"calibrator"} != {"temperature", "grade_cuts"}:
        raise refuse("calibration", "temperature and grade_cuts (and a calibrator)", sorted(calibration))
    temperature, cuts = calibration["temperature"], calibration["grade_cuts"]
    if not (is_number(temperature) and 0 < temperature < float("inf")):
        raise refuse("calibration.temperature", "a number above 0", temperature)
    numbers = isinstance(cuts, list | tuple) and len(cuts) == GRADES - 1 and all(is_number(cut) for cut in cuts)
    if not numbers or sorted(cuts) != list(cuts):
        raise refuse("calibration.grade_cuts", f"{GRADES - 1} rising numbers", cuts)
    if "calibrator" not in calibration:
        return None
    try:
        return calibrator_from_dict(calibration["calibrator"])
    except _FAULTS as problem:
        raise refuse("calibration.calibrator", "one that this version can run", str(problem)) from None
