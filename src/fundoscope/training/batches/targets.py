"""What is learnt from a manifest: the grade, the classes of another column, or several signs at once.

What the answers mean, to a release as to a training run, is the task's business (`runtime.tasks`); here are only the
columns of the manifest that they are learnt from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from fundoscope.errors import BadTable
from fundoscope.runtime.tasks import CLASSES, DR_GRADE, SIGNS
from fundoscope.runtime.tasks.signs import sign_name
from fundoscope.runtime.tasks.task import Task
from fundoscope.training.experiment.photographs import Data

Values = Int[np.ndarray, " photo"] | Float[np.ndarray, "photo sign"]
"""Grades or numbers of classes; or 0 and 1 for each sign, NaN where it is unknown."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is learnt."""

    kind: Literal["grade", "classes", "signs"] = "grade"
    column: str = "grade"
    """Of the manifest; of signs, whose columns are `labels`, only a name."""
    labels: tuple[str, ...] = ()
    """Classes in the order of their numbers, or columns of signs; of the grade: none."""

    @property
    def task(self) -> Task:
        """What a network that has learnt this answers."""
        return _TASKS[self.kind]

    @property
    def names(self) -> tuple[str, ...]:
        """What probabilities are of, as a release names it: grades, classes, or signs without their columns' prefix."""
        if self.kind == "signs":
            return tuple(map(sign_name, self.labels))
        return self.task.labels or self.labels

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the manifest that are learnt."""
        return self.labels if self.kind == "signs" else (self.column,)

    @property
    def outputs(self) -> int:
        """How many values a plain head gives."""
        return len(self.names)

    def values(self, frame: pd.DataFrame) -> Values:
        """Return what each row of a checked manifest is to be learnt as.

        Raises:
            BadTable: If the manifest lacks the column, or a row that is to be learnt has no value or an unknown one.
        """
        if self.kind == "signs":
            self._expect(frame, self.columns)
            present = frame[list(self.labels)].apply(pd.to_numeric, errors="coerce")
            return np.asarray(present.to_numpy(dtype=np.float32, na_value=np.nan))
        self._expect(frame, self.columns)
        if self.kind == "grade":
            return np.asarray(frame["grade"], dtype=np.int64)
        number = {label: at for at, label in enumerate(self.labels)}
        texts = [_text(value) for value in frame[self.column]]
        strange = sorted({text for text in texts if text not in number})
        if strange:
            raise BadTable(
                f"{self.column}: expected one of {', '.join(self.labels)} (data.labels), got {', '.join(strange)}. "
                "Add it to data.labels, or take those rows out of the splits that are trained on"
            )
        return np.array([number[text] for text in texts], dtype=np.int64)

    def _expect(self, frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
        """Check that every column is there, and that where a row must have a value it has one."""
        missing = [name for name in columns if name not in frame]
        if missing:
            raise BadTable(
                f"{', '.join(missing)}: expected in the manifest (data.target, data.labels), which has "
                f"{', '.join(map(str, frame.columns))}. Change data.target or data.labels"
            )
        if self.kind == "signs":
            return
        blank = frame[self.column].isna()
        if blank.any():
            raise BadTable(
                f"{blank.sum()} rows to be trained on have no {self.column}, the first is "
                f"{frame.loc[blank, 'image'].iloc[0]}. Fill it, or take them out of the splits that are trained on"
            )


_TASKS: Final[dict[str, Task]] = {task.kind: task for task in (DR_GRADE, CLASSES, SIGNS)}

GRADE: Final = Target()


def target_of(data: Data) -> Target:
    """Return what an experiment learns."""
    if data.target == "grade":
        return GRADE
    return Target("signs" if data.target == "signs" else "classes", data.target, data.labels)


def _text(value: object) -> str:
    """Return a cell as labels are written: whole numbers without a decimal point."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
