"""Sets of grades that cannot be excluded, as a release stores and uses them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from fundoscope.arrays import Grades, Probabilities
from fundoscope.decide.conformal import Conformal, grades_text
from fundoscope.records import is_whole_number

GROUPED_BY: Final = ("", "quality")
"""What a release's sets of grades may be grouped by: what is known when a photograph is graded. Blank: nothing."""


@dataclass(frozen=True, slots=True)
class GradeSets:
    """Which grades cannot be excluded, and where the sets begin."""

    thresholds: Conformal
    from_answer: bool
    """Sets begin with the grade that is answered, which is in each; otherwise with the likeliest."""

    def text(self, given: Probabilities, answers: Grades, *, quality: str | None) -> str:
        """Return what `grades_set` holds for one photograph, whose arrays have one row."""
        groups = [quality or ""] if self.thresholds.by else []
        sets = self.thresholds.sets(given, groups=groups, answers=answers if self.from_answer else None)
        return grades_text(sets)[0]

    def to_dict(self) -> dict[str, Any]:
        """As `release.json` holds it."""
        return self.thresholds.to_dict() | {"from_answer": self.from_answer}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GradeSets:
        """Read what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        stored = dict(values)
        from_answer = stored.pop("from_answer", None)
        counts = [stored.get("patients"), *stored.get("too_small", {}).values()]
        if not all(is_whole_number(count) and count >= 0 for count in counts):
            raise ValueError(f"patients must be whole numbers, got {counts}")
        flags = from_answer, stored.get("out_of_fold")
        if not all(isinstance(flag, bool) for flag in flags):
            raise ValueError(f"from_answer and out_of_fold must be true or false, got {flags}")
        thresholds = Conformal.from_dict(stored)
        if thresholds.by not in GROUPED_BY:
            raise ValueError(
                f"by must be blank or {GROUPED_BY[1]}, which is known when a photograph is graded, "
                f"got {thresholds.by!r}"
            )
        return cls(thresholds, from_answer)
