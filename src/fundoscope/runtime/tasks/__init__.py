"""The tasks that a release may have, by the name that `release.json` uses."""

from __future__ import annotations

from typing import Final

from fundoscope.runtime.tasks.classes import Classes
from fundoscope.runtime.tasks.dr_grade import DrGrade
from fundoscope.runtime.tasks.signs import Signs
from fundoscope.runtime.tasks.task import Task

DR_GRADE: Final = DrGrade()
SIGNS: Final = Signs()
CLASSES: Final = Classes()

TASKS: Final[dict[str, Task]] = {task.name: task for task in (DR_GRADE, SIGNS, CLASSES)}
"""Name -> task."""
