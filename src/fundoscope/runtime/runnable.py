"""What a release says of how to compute, as objects of this version; whatever it cannot compute is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fundoscope.decide.neighbours import Neighbours
from fundoscope.errors import BadRelease
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.certificate import Certificate
from fundoscope.runtime.description import Release
from fundoscope.runtime.tasks import TASKS
from fundoscope.runtime.tasks.grade_calibration import FAULTS
from fundoscope.runtime.tasks.task import Answerer, Task

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
"""Ways a release may explain an answer; `none` where no map is exported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Runnable:
    """The parts of a release that compute, beside its network."""

    recipe: Recipe
    gate: Gate
    task: Task
    answerer: Answerer
    """The task with the release's calibration and operating points."""
    certificate: Certificate | None = None


def runnable(release: Release, path: Path, *, neighbours: Neighbours | None = None) -> Runnable:
    """Return the parts of a release that compute.

    Args:
        release: What its `release.json` says.
        path: Where it is from; messages name it.
        neighbours: The photographs that vote, where it grades so.

    Raises:
        BadRelease: If one of them is not known to this version, or cannot be run.
    """

    def refuse(key: str, expected: str, got: object) -> BadRelease:
        advice = "A newer version of fundoscope may know it; otherwise export the release again."
        return BadRelease(f"{path}: {key} must be {expected}, got {got!r}. {advice}")

    for key, value, allowed in (("task", release.task, tuple(TASKS)), ("heatmap", release.heatmap, HEATMAPS)):
        if value not in allowed:
            raise refuse(key, f"one of {', '.join(allowed)}", value)
    if release.eyes not in (1, 2):
        raise refuse("eyes", "1 or 2", release.eyes)
    task = TASKS[release.task]
    task.check(release, refuse)
    answerer = task.answerer(release, refuse, neighbours=neighbours)
    part = "recipe"
    try:
        recipe = Recipe.from_dict(release.recipe)
        part = "gate"
        gate = Gate.from_dict(release.gate)
        part = "certificate"
        certificate = Certificate.from_dict(release.certificate) if release.certificate else None
    except FAULTS as problem:
        raise refuse(part, "one that this version can run", str(problem)) from None
    return Runnable(recipe=recipe, gate=gate, task=task, answerer=answerer, certificate=certificate)
