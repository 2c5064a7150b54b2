"""What happens next with a patient, and within which time.

Intervals by ICDR grade are those of the International Council of Ophthalmology's Guidelines for Diabetic Eye Care 2017,
table of screening schedules and referral, for settings with high resources: Wong et al., Ophthalmology 125 (2018)
1608-1622, doi 10.1016/j.ophtha.2018.04.007. The article itself was not at hand: the values were taken from the copy of
that table in Retina International's Diabetic Eye Disease toolkit ("How often should diabetes-related eye screening be
performed?", ded.retinaint.org). For settings with low or intermediate resources the same table allows 12 to 24 months
for grade 1 and 6 to 12 months for grade 2.

The table also has rows for macular oedema, which nothing here looks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal

from fundoscope.grades import ANY_RETINOPATHY, REFERABLE
from fundoscope.runtime.language.texts import IN_ENGLISH

Action = Literal["refer", "photograph", "rescreen"]
"""To an eye specialist; photographs of the eyes that lack an answer; back at the next screening."""

Months = tuple[int, int]
"""First and last month of an interval; from 0 on it is "within", and (0, 0) is now."""

NOW: Final[Months] = (0, 0)

MONTHS_BY_GRADE: Final[Mapping[int, Months]] = MappingProxyType(
    {0: (12, 24), 1: (6, 12), 2: (3, 6), 3: (0, 3), 4: (0, 1)}
)
"""When an eye of each grade is examined next."""

WORST_GRADE: Final = max(MONTHS_BY_GRADE)


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep:
    """What happens next with a patient."""

    action: Action
    months: Months
    eyes: tuple[str | None, ...] = ()
    """Eyes to be photographed now, whatever the action: those that lack an answer. None: eyes that are not known."""

    @property
    def interval(self) -> str:
        """The months in English, for tables."""
        return IN_ENGLISH.interval(*self.months)


def with_eyes(step: NextStep, eyes: tuple[str | None, ...]) -> NextStep:
    """Return a next step that photographs the eyes which lack an answer; nobody waits for a screening until then."""
    if eyes and step.action == "rescreen":
        return NextStep(action="photograph", months=NOW, eyes=eyes)
    return replace(step, eyes=eyes)


def referral(grade: int | None) -> NextStep:
    """Return the referral of a patient.

    Args:
        grade: The worst grade answered; None: no photograph that is referred has one. How severe the disease is is not
            known then, so the interval is that of the worst grade. A grade below the referable ones was referred for
            its probability, so the interval is that of the lowest referable grade.
    """
    return NextStep(action="refer", months=MONTHS_BY_GRADE[WORST_GRADE if grade is None else max(grade, REFERABLE)])


def rescreening() -> NextStep:
    """Return the next screening of a patient without referable retinopathy.

    The interval is that of mild retinopathy whether it was found or not: the few microaneurysms that make grade 1 are
    what a network on a photograph misses most easily, and the longer interval of grade 0 is not safe for them.
    """
    return NextStep(action="rescreen", months=MONTHS_BY_GRADE[ANY_RETINOPATHY])
