"""Grading diabetic retinopathy on the five ICDR grades, and deciding who is referred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Shaped

from fundoscope.arrays import Grades, Probabilities, RawOutput, Scores
from fundoscope.decide.calibrate import Cuts, answered_grades, cuts_words
from fundoscope.decide.calibrators import Calibrator
from fundoscope.decide.conformal import GradeSets
from fundoscope.decide.heads import HEADS, exceedance, outputs_of, probabilities
from fundoscope.decide.neighbours import Neighbours, Voting, neighbour_probabilities
from fundoscope.decide.readout import Readout
from fundoscope.decide.referral import (
    OperatingPoint,
    decide_eye,
    decide_patient,
    decide_photo,
)
from fundoscope.decide.rescale import calibrated
from fundoscope.grades import (
    CANNOT_GRADE,
    CANNOT_GRADE_REFER,
    DECISIONS,
    GRADE_NAMES,
    GRADES,
    NOT_A_DEVICE,
    REFER,
    REFERABLE,
    RESCREEN,
    SHORT_GRADE_NAMES,
    SIGHT_THREATENING,
)
from fundoscope.runtime.description import Release
from fundoscope.runtime.language.texts import IN_ENGLISH, Texts
from fundoscope.runtime.tasks.follow_up import NOW, NextStep, referral, rescreening
from fundoscope.runtime.tasks.grade_calibration import FAULTS, read_calibrator, read_readout
from fundoscope.runtime.tasks.task import (
    Answerer,
    Bar,
    Cell,
    DecisionWords,
    Evidence,
    Finding,
    Presentation,
    Refusal,
    Row,
    Table,
    Task,
    TaskWords,
    Tone,
    is_blank,
    percent,
    percent_apart,
)

REFERABLE_GRADES: Final = f"grade {REFERABLE} or above"
"""The grades that are referred, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeAnswer:
    """The grade of one photograph, and whether it is referred."""

    decision: str = CANNOT_GRADE
    probabilities: tuple[float, ...] | None = None
    """Of the five grades, in order; they sum to 1."""
    p_referable: float | None = None
    grade: int | None = None
    """None where the photograph is not gradable."""
    grades_set: str | None = None
    """Grades that cannot be excluded, in order, with blanks between; None where there is no grade, or the release has
    no sets. What they promise stands in `decide.conformal`."""

    @property
    def grade_name(self) -> str | None:
        """The grade in words."""
        return None if self.grade is None else GRADE_NAMES[self.grade]

    def columns(self) -> dict[str, Cell]:
        """Return p0 to p4, p_referable, grade, decision and grades_set."""
        by_grade = self.probabilities or (None,) * GRADES
        return {
            **{f"p{grade}": probability for grade, probability in enumerate(by_grade)},
            "p_referable": self.p_referable,
            "grade": self.grade,
            "decision": self.decision,
            "grades_set": self.grades_set,
        }

    def words(self) -> str:
        """Return grade, probability of referable disease, and decision."""
        name = "" if self.grade is None else f"grade {self.grade} {self.grade_name}"
        referable = "" if self.p_referable is None else f", P(referable) {self.p_referable:.2f}"
        return f"{name}{referable}: {self.decision}" if self.decision else name + referable

    def brief(self) -> str:
        """Return the grade."""
        return "" if self.grade is None else f"grade {self.grade}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeAnswerer(Answerer):
    """How a release grades: head or votes, calibration, cuts of the expected grade, referral threshold."""

    release: Release
    readout: Readout
    """How raw outputs become probabilities."""
    cuts: Cuts
    """Expected grades at which the reported grade steps up; none where the median grade is reported."""
    operating_point: OperatingPoint
    calibrator: Calibrator | None
    """What corrects the probabilities that are read out; None: nothing."""
    grade_sets: GradeSets | None
    neighbours: Neighbours | None
    """Graded photographs that vote on the grade, where the release grades so."""

    @property
    def unanswered(self) -> GradeAnswer:
        """No grade."""
        return GradeAnswer()

    def head_probabilities(self, raw: RawOutput) -> Probabilities:
        """Return probabilities of the head, as they are read out and corrected by the calibrator."""
        return calibrated(self.readout.probabilities(raw), self.calibrator)

    def answer(self, evidence: Evidence) -> GradeAnswer:
        """Grade one photograph (`calibrate.answered_grades`); a referable grade is referred, whatever the threshold."""
        by_grade = self._probabilities(evidence)
        p_referable = float(referable_probability(by_grade)[0])
        grades = answered_grades(by_grade, self.cuts)
        grades_set = None
        if evidence.gradable and self.grade_sets is not None:
            grades_set = self.grade_sets.text(by_grade, grades, quality=evidence.quality)
        return GradeAnswer(
            decision=decide_photo(p_referable, evidence.gradable, self.operating_point.threshold, int(grades[0])),
            probabilities=tuple(float(probability) for probability in by_grade[0]),
            p_referable=p_referable,
            grade=int(grades[0]) if evidence.gradable else None,
            grades_set=grades_set,
        )

    def _probabilities(self, evidence: Evidence) -> Probabilities:
        """Return calibrated probabilities of the grades: the head's, or the votes of the nearest graded photographs."""
        if self.neighbours is None:
            return self.head_probabilities(evidence.raw)
        voting = Voting.from_dict(self.release.neighbours)
        return calibrated(neighbour_probabilities(evidence.features[None], self.neighbours, voting), self.calibrator)

    def present(self, row: Row, texts: Texts = IN_ENGLISH) -> Presentation:
        """Return the grade with its probabilities, and the mark from which a photograph is referred."""
        grade, graded = row["grade"], row["grade"] is not None
        sentences = []
        if row["grades_set"] and self.grade_sets is not None:
            sentences.append(_set_words(row["grades_set"], self.grade_sets.thresholds.alpha, texts))
        if description := self._description(row):
            sentences.append(texts("dr-grade.description", description=description))
        if not graded:
            is_referred = row["decision"] == CANNOT_GRADE_REFER
            return Presentation(
                heading=texts("dr-grade.heading.none"),
                brief=texts("dr-grade.brief.none"),
                caution=texts("dr-grade.caution.refer" if is_referred else "dr-grade.caution"),
            )
        return Presentation(
            heading=texts("dr-grade.heading", grade=grade, name=texts(f"grade.{grade}")),
            brief=texts("dr-grade.brief", grade=grade),
            sentences=tuple(sentences),
            bars=self._bars(row, texts),
            note=self._note(row, texts),
        )

    def _bars(self, row: Row, texts: Texts) -> tuple[Bar, ...]:
        bars = [
            Bar(
                label=f"{grade}\u2002{texts(f'grade.{grade}')}",
                probability=row[f"p{grade}"],
                chosen=grade == row["grade"],
                alert=grade >= REFERABLE,
            )
            for grade in range(GRADES)
        ]
        label, threshold = texts("dr-grade.referable", grade=REFERABLE), self.operating_point.threshold
        return (*bars, Bar(label=label, probability=row["p_referable"], alert=True, threshold=threshold, total=True))

    def _note(self, row: Row, texts: Texts) -> str:
        sentences = []
        if self.release.neighbours:
            sentences.append(texts("dr-grade.votes", count=self.release.neighbours["k"]))
        if self.cuts:
            mean = sum(grade * row[f"p{grade}"] for grade in range(GRADES))
            sentences.append(texts("dr-grade.by_cuts", mean=f"{mean:.1f}"))
        else:
            sentences.append(texts("dr-grade.by_median"))
        threshold = percent_apart(self.operating_point.threshold, row["p_referable"])
        sentences.append(texts("dr-grade.threshold", threshold=threshold, grade=REFERABLE))
        return " ".join(sentences)

    def _description(self, row: Row) -> str | None:
        """Return the description of the best matching prototype, where the head has prototypes; else the grade's."""
        descriptions = self.release.descriptions
        if not descriptions or row["grade"] is None:
            return None
        if self.release.head != "prototype":
            return descriptions[int(row["grade"])]
        return descriptions[max(range(len(descriptions)), key=lambda grade: float(row[f"raw{grade}"]))]

    def console(self, row: Row) -> dict[str, str]:
        """Grade and probability of referable disease; that of a refused photograph only where it is referred for it."""
        grade, referable = row["grade"], row["p_referable"]
        shown = referable is not None and (grade is not None or row["decision"] == CANNOT_GRADE_REFER)
        return {
            "grade": "" if grade is None else f"{grade} {SHORT_GRADE_NAMES[grade]}",
            "P(referable)": f"{referable:.2f}" if shown else "",
        }

    def facts(self) -> dict[str, str]:
        """Return readout, cuts, threshold, votes, calibrator and sets."""
        release, sets = self.release, self.grade_sets
        return {
            "head": f"{release.head}, temperature {self.readout.temperature:.3f}",
            "referable by": "votes" if release.neighbours else self.readout.words,
            "grade cuts": cuts_words(self.cuts, ".2f"),
            "referred": f"from a probability of {self.operating_point.threshold:.3f} that the grade is {REFERABLE} or "
            f"higher ({self.operating_point.name}), and with such a grade",
            "grades by": f"the {release.neighbours['k']} nearest photographs" if release.neighbours else "its head",
            "calibrated by": str(release.calibration.get("calibrator", {}).get("kind", "temperature")),
            "sets of grades": f"with {1 - sets.thresholds.alpha:.0%} coverage" if sets else "none",
        }

    def promises(self, texts: Texts = IN_ENGLISH) -> tuple[tuple[str, str], ...]:
        """Return what the sets of grades promise."""
        if self.grade_sets is None:
            return ()
        sets = self.grade_sets.thresholds
        text = texts(f"dr-grade.sets.{sets.unit}", coverage=percent(1 - sets.alpha), patients=sets.patients)
        if sets.by and sets.groups:
            text += " " + texts("dr-grade.sets.groups", column=sets.by, names=", ".join(sets.groups))
        elif sets.by:
            text += " " + texts("dr-grade.sets.no_groups", column=sets.by)
        return ((texts("dr-grade.sets"), " ".join((text, *sets.warnings()))),)

    @property
    def dtypes(self) -> dict[str, str]:
        """Whole grades, also where some are blank."""
        return {"grade": "Int64"}


TONES: Final[dict[str, Tone]] = {
    REFER: "alert",
    CANNOT_GRADE_REFER: "alert",
    CANNOT_GRADE: "unknown",
    RESCREEN: "clear",
}


class DrGrade(Task):
    """The five ICDR grades, and the decision to refer."""

    name = "dr-grade"
    kind = "grade"
    heads = tuple(HEADS)
    labels = GRADE_NAMES
    words = TaskWords(
        decisions={name: DecisionWords(tone=TONES[name]) for name in DECISIONS},
        intended_use=(
            "Research on grading diabetic retinopathy in colour fundus photographs centred on macula or disc. "
            + NOT_A_DEVICE
        ),
        limits=(
            "It grades diabetic retinopathy only: no oedema, no other disease of the eye is looked for.",
            "The referral threshold keeps its sensitivity only on patients like those it was set on.",
        ),
        explained=(REFER,),
    )

    def outputs(self, head: str, labels: Sequence[str]) -> int:
        """As `decide.heads` has it."""
        return outputs_of(head)

    def answerer(self, release: Release, refuse: Refusal, *, neighbours: Neighbours | None = None) -> GradeAnswerer:
        """Read readout, cuts, calibrator, threshold and sets."""
        calibrator = read_calibrator(release.calibration, refuse)
        part = "operating_point"
        try:
            point = OperatingPoint.from_dict(release.operating_point)
            part = "conformal"
            sets = GradeSets.from_dict(release.conformal) if release.conformal else None
        except FAULTS as problem:
            raise refuse(part, "one that this version can run", str(problem)) from None
        if point.cut != "referable":
            raise refuse("operating_point.cut", "referable", point.cut)
        return GradeAnswerer(
            release=release,
            readout=read_readout(release, refuse),
            cuts=tuple(float(cut) for cut in release.calibration["grade_cuts"]),
            operating_point=point,
            calibrator=calibrator,
            grade_sets=sets,
            neighbours=neighbours,
        )

    def decisions(self, head: str, raw: RawOutput) -> Shaped[np.ndarray, "photo ..."]:
        """Return the likeliest grade."""
        return np.asarray(probabilities(head, raw).argmax(axis=1))

    def table(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> Table:
        """Return probabilities of the head at temperature 1, and the likeliest grade."""
        return grade_columns(probabilities(head, raw))

    def likeliest(self, head: str, raw: RawOutput, labels: Sequence[str], *, column: str = "") -> GradeAnswer:
        """Return the likeliest grade, without a decision: its threshold is not known."""
        by_grade = probabilities(head, raw)
        return GradeAnswer(
            decision="",
            probabilities=tuple(by_grade[0].tolist()),
            p_referable=float(referable_probability(by_grade)[0]),
            grade=int(by_grade[0].argmax()),
        )

    def of_photograph(self, row: Row) -> Finding:
        """Return the row's decision."""
        return Finding(decision=str(row["decision"]))

    def severity(self, row: Row) -> int:
        """Return the grade, 0 where there is none."""
        return 0 if is_blank(row["grade"]) else int(row["grade"])

    def is_urgent(self, row: Row) -> bool:
        """Return whether a grade threatens sight."""
        return self.severity(row) >= SIGHT_THREATENING

    def next_step(self, decision: str, eyes: Sequence[Finding], rows: Sequence[Row]) -> NextStep:
        """Return a referral by the worst grade, new photographs, or the next screening."""
        if decision in (REFER, CANNOT_GRADE_REFER):
            # Beside an eye that is referred without a grade, the other's grade does not say how severe the disease is.
            without_grade = any(eye.decision == CANNOT_GRADE_REFER for eye in eyes)
            return referral(None if without_grade else _worst_grade(rows))
        return rescreening() if decision == RESCREEN else NextStep(action="photograph", months=NOW)

    def patient_columns(self, rows: Sequence[Row]) -> dict[str, Cell]:
        """Return the worst grade; None where there is none."""
        return {"grade": _worst_grade(rows)}

    def of_eye(self, photographs: Sequence[Finding]) -> Finding:
        """Return refer if any refers; else rescreen if any could be graded."""
        return Finding(decision=decide_eye([photograph.decision for photograph in photographs]))

    def of_patient(self, eyes: Sequence[Finding]) -> Finding:
        """Return the worst eye's decision."""
        return Finding(decision=decide_patient([eye.decision for eye in eyes]))


def referable(grades: Grades) -> Bool[np.ndarray, " photo"]:
    """Return which grades are referred."""
    return np.asarray(grades >= REFERABLE)


def referable_probability(by_grade: Probabilities) -> Scores:
    """Return the probability that the grade is one that is referred."""
    return exceedance(by_grade, REFERABLE)


def grade_columns(by_grade: Probabilities) -> Table:
    """Return columns of uncalibrated probabilities: p0 to p4, p_referable and the likeliest grade."""
    return {
        **{f"p{grade}": by_grade[:, grade] for grade in range(by_grade.shape[1])},
        "p_referable": referable_probability(by_grade),
        "grade": by_grade.argmax(axis=1),
    }


def _worst_grade(rows: Sequence[Row]) -> int | None:
    return max((int(row["grade"]) for row in rows if not is_blank(row.get("grade"))), default=None)


def _set_words(grades: str, alpha: float, texts: Texts) -> str:
    """Return a set of grades in words."""
    members = grades.split()
    listed = f"{{{', '.join(members)}}}" if len(members) < GRADES else texts("dr-grade.set.all")
    return texts("dr-grade.set", coverage=percent(1 - alpha), grades=listed)
