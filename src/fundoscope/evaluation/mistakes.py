"""How far off the answered grades are, which photographs are most confidently wrong, and which labels are doubted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fundoscope.errors import BadTable
from fundoscope.evaluation.cases import Cases
from fundoscope.evaluation.measures import Mask
from fundoscope.grades import GRADES
from fundoscope.records import without_nan
from fundoscope.tables import read_table
from fundoscope.tables.patients import texts

SHOWN: Final = 12
"""Most confidently wrong photographs that are listed."""

GIVEN: Final = ("image", "given")
"""Columns of an audit's review that are needed."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A photograph whose answered grade is not the reference's."""

    image: str
    """As the manifest writes it."""
    patient: str
    """Blank where it is not known."""
    reference: int
    answered: int
    confidence: float
    """Probability of the answered grade; NaN where the table holds none."""
    of_reference: float
    """Probability of the reference grade."""
    suspect: bool | None
    """Whether the audit doubts this label; None: nobody asked it."""

    @property
    def distance(self) -> int:
        """In grades, at least 1."""
        return abs(self.answered - self.reference)


@dataclass(frozen=True, slots=True)
class Mistakes:
    """Those of all photographs whose grade is compared."""

    photographs: int
    """Compared."""
    too_low: tuple[int, ...]
    """Photographs answered 1, 2, 3, 4 grades too low."""
    too_high: tuple[int, ...]
    """The same, too high."""
    suspects: tuple[int, ...] | None
    """Of those 1, 2, 3, 4 grades off, how many labels the audit doubts; None: no review was given."""
    doubted: int | None
    """Photographs whose label the audit doubts among all compared."""
    worst: tuple[Mistake, ...]
    """At most `SHOWN`: furthest off first, then most confident."""

    @property
    def off_by(self) -> tuple[int, ...]:
        """Photographs 1, 2, 3, 4 grades off."""
        return tuple(low + high for low, high in zip(self.too_low, self.too_high, strict=True))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it: no NaN."""
        return {
            "photographs": self.photographs,
            "wrong": sum(self.off_by),
            "off_by": list(self.off_by),
            "too_low": list(self.too_low),
            "too_high": list(self.too_high),
            "label_suspects": None if self.suspects is None else list(self.suspects),
            "label_suspects_of_all": self.doubted,
            "worst": [without_nan(asdict(mistake) | {"distance": mistake.distance}) for mistake in self.worst],
        }


def mistakes(
    cases: Cases, *, include_ungradable: bool = False, review: Path | None = None, shown: int = SHOWN
) -> Mistakes:
    """Find what was answered wrongly.

    Args:
        cases: Photographs with predictions and reference grades.
        include_ungradable: As `summary.summarise`.
        review: Table of doubtful labels, as `fundoscope audit --review` writes it; filled in or not.
        shown: Worst ones to list.

    Raises:
        BadTable: If the review has no such columns, or names no photograph of these.
    """
    graded = cases.counted(include_ungradable=include_ungradable) & (cases.answered >= 0)
    images = [str(image) for image in cases.rows["image"]]
    patients = texts(cases.rows, "patient")
    doubted = None if review is None else _doubted(review, images, cases)
    apart = cases.answered - cases.reference
    return Mistakes(
        photographs=int(graded.sum()),
        too_low=_counts(-apart, graded),
        too_high=_counts(apart, graded),
        suspects=None if doubted is None else _counts(np.abs(apart), graded & doubted),
        doubted=None if doubted is None else int((graded & doubted).sum()),
        worst=tuple(
            Mistake(
                images[at],
                patients[at] or "",
                int(cases.reference[at]),
                int(cases.answered[at]),
                float(cases.probabilities[at, cases.answered[at]]),
                float(cases.probabilities[at, cases.reference[at]]),
                None if doubted is None else bool(doubted[at]),
            )
            for at in _worst(cases, graded, images)[:shown]
        ),
    )


def _counts(apart: np.ndarray, mask: Mask) -> tuple[int, ...]:
    return tuple(int((apart[mask] == distance).sum()) for distance in range(1, GRADES))


def _worst(cases: Cases, graded: Mask, images: list[str]) -> list[int]:
    wrong = np.flatnonzero(graded & (cases.answered != cases.reference))
    distance = np.abs(cases.answered - cases.reference)
    sure = np.nan_to_num(cases.probabilities[np.arange(len(images)), cases.answered], nan=-1.0)
    return sorted(wrong.tolist(), key=lambda at: (-int(distance[at]), -float(sure[at]), images[at]))


def _doubted(path: Path, images: list[str], cases: Cases) -> Mask:
    """Whether each label is in the review, with the grade that it still has."""
    review = read_table(path)
    missing = [name for name in GIVEN if name not in review]
    if missing:
        raise BadTable(
            f"{path}: expected the columns {', '.join(GIVEN)} of an audit's review, got none called "
            f"{', '.join(missing)}. Give the table that `fundoscope audit --review` wrote."
        )
    listed = set(zip(texts(review, "image"), texts(review, "given"), strict=True))
    named = {image for image, _ in listed}
    if listed and not named & set(images):
        raise BadTable(
            f"{path}: expected photographs of the manifest, got none among {len(listed)} rows. "
            "Give the review of an audit of the same manifest."
        )
    return np.array(
        [(image, str(grade)) in listed for image, grade in zip(images, cases.reference, strict=True)], dtype=bool
    )
