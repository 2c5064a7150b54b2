"""Everything that speaks against a label: other labels, other visits, and out-of-fold predictions; and its review."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from fundoscope.audit.agreement import contradictions, two_labels
from fundoscope.audit.findings import Finding
from fundoscope.audit.visits import between_visits
from fundoscope.decide.held_out import refuse_in_sample
from fundoscope.errors import BadTable, MissingExtra
from fundoscope.grades import GRADE_NAMES, GRADES
from fundoscope.tables import PROBABILITIES, read_table, write_table
from fundoscope.tables.columns import row_number
from fundoscope.tables.patients import texts

REVIEW: Final = ("image", "given", "suggested", "why", "reader", "reviewed_grade", "comment")
"""Columns of a review; the last three are the reader's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A label to be read again."""

    image: str
    given: int
    """The label's ICDR grade."""
    suggested: int
    """The likeliest grade of the held-out prediction."""
    probabilities: tuple[float, ...]
    """Of the five grades."""
    quality: float
    """Cleanlab's label quality: the probability of the given grade, 0 to 1; the lower, the more doubtful."""
    distance: float
    """Between the given grade and the expected one, in grades."""
    issue: bool
    """Confident learning counts it among the wrong labels; the others are only unlikely."""
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self) | {"probabilities": list(self.probabilities)}


def label_findings(frame: pd.DataFrame) -> tuple[Finding, ...]:
    """Find contradictions among a manifest's labels.

    Args:
        frame: A checked manifest, several sources in one; `duplicate_group` as an audit fills it.
    """
    return (*contradictions(frame), *two_labels(frame), *between_visits(frame))


def suspects(rows: pd.DataFrame, *, trained_on: Collection[str] = (), held_out: bool = False) -> tuple[Suspect, ...]:
    """Find the labels that out-of-fold predictions contradict, most doubtful first.

    Confident learning (Northcutt et al., JAIR 70 (2021) 1373-1411, arXiv 1911.00068, cleanlab) says which labels are
    probably wrong, and how likely each is; among labels it finds equally likely, to the hundredth, the one further from
    the expected grade comes first. Rows without grade or probabilities are passed over; so are labels that are the
    likeliest grade, of which nothing else could be suggested.

    Args:
        rows: Predictions beside a manifest's rows, as `tables.join` gives them: `image`, `grade`, p0 to p4, and the
            predictions' `fold` (or `predicted_fold`, if the manifest has one of its own).
        trained_on: Hashes of the photographs that the release was trained on: rows of others need no fold.
        held_out: The predictions are known to be of photographs that their model never saw.

    Raises:
        BadTable: If no row can be judged, or a row may be a prediction on a photograph that was trained on: such
            a network has learned the wrong label, too, and doubts it no more.
        MissingExtra: If cleanlab is not installed.
    """
    graded = _judged(rows)
    if not held_out:
        refuse_in_sample(graded, trained_on)
    labels = graded["grade"].to_numpy(dtype=np.int64)
    by_grade = graded[list(PROBABILITIES)].to_numpy(dtype=np.float64)
    by_grade = by_grade / by_grade.sum(axis=1, keepdims=True)
    quality, issues = _confident_learning(labels, by_grade)
    distance = np.abs(labels - by_grade @ np.arange(GRADES))
    likeliest = by_grade.argmax(axis=1)
    images = graded["image"].astype(str).tolist()
    order = sorted(
        np.flatnonzero(likeliest != labels).tolist(),
        key=lambda at: (not issues[at], round(float(quality[at]), 2), -float(distance[at]), images[at]),
    )
    return tuple(
        Suspect(
            image=images[at],
            given=int(labels[at]),
            suggested=int(likeliest[at]),
            probabilities=tuple(float(probability) for probability in by_grade[at]),
            quality=float(quality[at]),
            distance=float(distance[at]),
            issue=bool(issues[at]),
            why=_why(int(labels[at]), by_grade[at]),
        )
        for at in order
    )


def write_review(suspects: Sequence[Suspect], path: Path | str) -> None:
    """Write suspects as a table for a reader, who fills in `reader`, `reviewed_grade` and, if he likes, `comment`.

    Raises:
        BadTable: If the suffix is none of `tables.SUFFIXES`.
    """
    rows = [(suspect.image, suspect.given, suspect.suggested, suspect.why, None, None, None) for suspect in suspects]
    write_table(pd.DataFrame(rows, columns=list(REVIEW), dtype=object), path)


def read_review(path: Path | str, manifest: pd.DataFrame) -> pd.DataFrame:
    """Return a copy of a manifest with the grades of a review, and where they are from.

    Rows without a reviewed grade change nothing. In the others `grade_original` is the label before the first review,
    `grade_by` the reader, and `grade_why` his comment, else the reason for which he was asked.

    Args:
        path: What `write_review` wrote, filled in.
        manifest: The checked manifest that the suspects are from.

    Raises:
        BadTable: If a column is missing, a photograph is not in the manifest or is there twice, a grade is not 0 to 4,
            a grade has no reader, or the label was another when the suspects were listed.
    """
    table = Path(path)
    review = _reviewed(table)
    place = {image: at for at, image in enumerate(manifest["image"].astype(str))}
    grades, origin, by, why = (texts(manifest, name) for name in ("grade", "grade_original", "grade_by", "grade_why"))
    done: set[str] = set()
    for at, row in enumerate(review.to_dict("records")):
        where = f"{table}: row {row_number(table, at)}"
        image = str(row["image"])
        if image not in place or image in done:
            came = "a second time" if image in done else "which it does not hold"
            raise BadTable(
                f"{where}, column image: expected each photograph of the manifest once at most, got {image!r}, {came}. "
                "Read the review back into the manifest that it was made from."
            )
        done.add(image)
        mine = place[image]
        grade, reader, comment = _answer(row, where)
        if grade is None:
            continue
        if grades[mine] != str(row["given"]):
            raise BadTable(
                f"{where}: expected {image} to have grade {row['given']} as when it was listed, the manifest says "
                f"{grades[mine] or 'nothing'}. Make the review anew, or read it into the manifest it was made from."
            )
        origin[mine] = origin[mine] or grades[mine]
        grades[mine], by[mine], why[mine] = str(grade), reader, comment
    return manifest.assign(
        grade=_whole(grades, manifest),
        grade_original=_whole(origin, manifest),
        grade_by=pd.Series(by, index=manifest.index, dtype=object),
        grade_why=pd.Series(why, index=manifest.index, dtype=object),
    )


def _reviewed(path: Path) -> pd.DataFrame:
    review = read_table(path)
    missing = [name for name in REVIEW if name not in review and name != "comment"]
    if missing:
        raise BadTable(
            f"{path}: expected the columns {', '.join(REVIEW)}, got none called {', '.join(missing)}. Fill in the "
            "table of suspects without changing its header."
        )
    return review


def _answer(row: dict[Any, Any], where: str) -> tuple[int | None, str | None, str | None]:
    """Grade, reader and comment of a row; grade None where the reader gave none."""
    said, reader, comment = (
        "" if pd.isna(row.get(name)) else str(row[name]).strip() for name in ("reviewed_grade", "reader", "comment")
    )
    if not said:
        return None, None, None
    grade = said.removesuffix(".0")
    if grade not in {str(allowed) for allowed in range(GRADES)}:
        raise BadTable(
            f"{where}, column reviewed_grade: expected a grade from 0 to {GRADES - 1}, got {said!r}. Correct it, or "
            "leave it blank."
        )
    if not reader:
        raise BadTable(
            f"{where}, column reader: expected who gave grade {grade}, got a blank. Fill in a name or initials."
        )
    return int(grade), reader, comment or str(row["why"])


def _whole(values: Sequence[str | None], frame: pd.DataFrame) -> pd.Series[Any]:
    numbers = [None if value is None else int(float(value)) for value in values]
    return pd.Series(pd.array(numbers, dtype="Int64"), index=frame.index)


def _judged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that have a grade and probabilities."""
    missing = [name for name in ("image", "grade", *PROBABILITIES) if name not in rows]
    if missing:
        raise BadTable(
            f"predictions: expected a grade from the manifest and p0 to p4 beside it, got no {', '.join(missing)}. "
            "Give a manifest with grades, and predictions with probabilities."
        )
    graded = rows[rows["grade"].notna() & rows[list(PROBABILITIES)].notna().all(axis=1)]
    if graded.empty:
        raise BadTable(
            f"predictions: expected photographs with a grade and with p0 to p4, got none among {len(rows)}. Check that "
            "the predictions are of this manifest."
        )
    return graded


def _confident_learning(
    labels: Int[np.ndarray, " photo"], probabilities: Float[np.ndarray, "photo 5"]
) -> tuple[Float[np.ndarray, " photo"], Bool[np.ndarray, " photo"]]:
    """Estimate the quality of each label, and whether it is probably wrong."""
    try:
        from cleanlab.filter import find_label_issues
        from cleanlab.rank import get_label_quality_scores
    except ImportError as error:
        raise MissingExtra("looking for doubtful labels", "research") from error
    # Cleanlab wants the grades that occur, numbered from 0; the others' probability is shared out among them.
    present, numbered = np.unique(labels, return_inverse=True)
    shares = probabilities[:, present]
    total = shares.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / len(present))
    quality = get_label_quality_scores(numbered, probabilities[:, present], method="self_confidence")
    if len(present) < 2:
        return np.asarray(quality, dtype=np.float64), np.zeros(len(labels), dtype=bool)
    issues = find_label_issues(numbered, shares, filter_by="prune_by_noise_rate", n_jobs=1)
    return np.asarray(quality, dtype=np.float64), np.asarray(issues, dtype=bool)


def _why(grade: int, probabilities: Float[np.ndarray, " grade"]) -> str:
    likeliest, expected = int(probabilities.argmax()), float(probabilities @ np.arange(GRADES))
    return (
        f"labelled {grade} ({GRADE_NAMES[grade]}), which a network that has not seen this patient gives "
        f"{probabilities[grade]:.0%}; it gives {likeliest} ({GRADE_NAMES[likeliest]}) {probabilities[likeliest]:.0%} "
        f"and expects grade {expected:.1f}"
    )
