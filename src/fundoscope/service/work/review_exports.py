"""Results of a label review as tables: corrected manifests, every judgement, and each reader's own grades.

Nothing of a manifest is lost: each row comes back in its place with the values that it had, and only labels that were
corrected are others. The file that was audited is never written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd
from sqlalchemy.orm import Session

from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.files import PhotographFiles
from fundoscope.service.store.review_models import LabelPhotograph, LabelReview
from fundoscope.service.store.reviews import (
    CORRECTED,
    KEPT,
    Judgement,
    Outcome,
    judgements_of,
    outcome_of,
    photographs_of_review,
)
from fundoscope.tables import write_table
from fundoscope.tables.cells import is_text
from fundoscope.tables.formats import read_raw

NOT_DOUBTED: Final = "not doubted"
NOT_TAKEN: Final = "not taken"

REVIEW: Final = "review"
"""Column of a corrected manifest: what became of the row."""

REVIEWED_GRADE: Final = "reviewed_grade"
"""Column of a corrected manifest: the grade that the readers agree on; blank where they gave none."""

JUDGEMENTS: Final = "judgements.csv"
READERS: Final = "readers.csv"

FACTS: Final = ("image", "sha256", "source", "patient", "eye", "visit", "taken")
"""Columns of a manifest that the tables of judgements repeat."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of an export."""

    name: str
    """Name of its file."""
    frame: pd.DataFrame


def export_review(session: Session, review: LabelReview, settings: ServiceSettings) -> list[Table]:
    """Return all tables of a review: first its manifests, corrected, in their order.

    - `NAME_reviewed.csv`: a manifest; `grade` is the corrected label, `grade_original` the one before, `reviewed_grade`
      what readers agree on and `review` what became of the row.
    - `judgements.csv`: one row for each row of a manifest and reader.
    - `readers.csv`: the grades of the first two readers as `grade` and `grade_second`, for `audit`.
    - `reader_NAME.csv`: one reader's grades, given without the label, for `evaluate`.
    """
    photographs = photographs_of_review(session, review)
    judgements = judgements_of(session, review)
    raw = [_manifest(settings, manifest) for manifest in review.manifests]
    by_row = {(row["manifest"], row["row"]): photograph for photograph in photographs for row in photograph.rows}
    tables = [
        Table(name, _corrected(number, frame, review, by_row, judgements))
        for number, (name, frame) in enumerate(zip(_names(review), raw, strict=True))
    ]
    facts = _facts(review, raw)
    records = [
        facts[row["manifest"], row["row"]] | record
        for photograph in photographs
        for judgement in judgements.get(photograph.id, [])
        for row, record in _records(photograph, judgement)
    ]
    tables.append(Table(JUDGEMENTS, pd.DataFrame(records, columns=[*FACTS, *JUDGEMENT], dtype=object)))
    tables += _readers(photographs, judgements, facts)
    return tables


def table_names(session: Session, review: LabelReview) -> list[str]:
    """Return the names of the tables that `export_review` makes, without making them."""
    readers = {judgement.reader for mine in judgements_of(session, review).values() for judgement in mine}
    return [*_names(review), JUDGEMENTS, READERS, *map(_reader_table, sorted(readers))]


def table_bytes(table: Table, scratch: Path) -> bytes:
    """Return a table as it is written to a file.

    Args:
        table: The table; the suffix of its name says which format.
        scratch: Folder in which the file may be made.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="table-") as folder:
        path = Path(folder) / f"table{Path(table.name).suffix}"
        write_table(table.frame, path)
        return path.read_bytes()


def _reader_table(reader: str) -> str:
    return f"reader_{reader}.csv"


def _names(review: LabelReview) -> list[str]:
    """Return the file name of each corrected manifest; manifests of one name are numbered."""
    names: list[str] = []
    for manifest in review.manifests:
        stem, suffix = PurePosixPath(manifest["name"]).stem, manifest["suffix"]
        name, number = f"{stem}_reviewed{suffix}", 2
        while name in names:
            name, number = f"{stem}_reviewed_{number}{suffix}", number + 1
        names.append(name)
    return names


def _manifest(settings: ServiceSettings, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Read a manifest that was kept, without types: its values stay as they were written."""
    kept = PhotographFiles(settings.manifests).path(manifest["sha256"])
    with TemporaryDirectory(dir=settings.folder, prefix="review-") as scratch:
        # The suffix says which format a table has, and what is kept has none.
        path = Path(scratch) / f"manifest{manifest['suffix']}"
        path.write_bytes(kept.read_bytes())
        frame = read_raw(path)
        return frame.astype(object) if is_text(path) else frame


def _corrected(
    number: int,
    frame: pd.DataFrame,
    review: LabelReview,
    by_row: Mapping[tuple[int, int], LabelPhotograph],
    judgements: Mapping[int, Sequence[Judgement]],
) -> pd.DataFrame:
    """Return a manifest with what became of each row; all other values stay."""
    columns = {name: _cells(frame, name) for name in ("grade", "grade_original", "grade_by", "grade_why")}
    reviewed: list[int | None] = [None] * len(frame)
    words = [NOT_DOUBTED] * len(frame)
    for row in review.refused:
        if row["manifest"] == number:
            words[row["row"]] = NOT_TAKEN
    for (manifest, at), photograph in by_row.items():
        if manifest != number:
            continue
        mine = judgements.get(photograph.id, [])
        outcome = outcome_of(mine, review.readers)
        label = next(row["grade"] for row in photograph.rows if (row["manifest"], row["row"]) == (number, at))
        words[at] = outcome.words(label)
        if words[at] in (KEPT, CORRECTED):
            reviewed[at] = outcome.grade
            if _is_blank(columns["grade_original"][at]):
                columns["grade_original"][at] = columns["grade"][at]
            columns["grade_by"][at] = ", ".join(_agreeing(mine, outcome))
            columns["grade_why"][at] = _why(photograph, mine)
        if words[at] == CORRECTED:
            columns["grade"][at] = str(outcome.grade) if frame["grade"].dtype == object else outcome.grade
    changed = frame.copy()
    for name, cells in columns.items():
        if name in frame or not all(map(_is_blank, cells)):
            changed[name] = pd.Series(cells, index=frame.index, dtype=frame[name].dtype if name in frame else object)
    changed[_free(REVIEWED_GRADE, frame)] = pd.Series(pd.array(reviewed, dtype="Int64"), index=frame.index)
    changed[_free(REVIEW, frame)] = pd.Series(words, index=frame.index, dtype=object)
    return changed


def _cells(frame: pd.DataFrame, name: str) -> list[Any]:
    return frame[name].tolist() if name in frame else [None] * len(frame)


def _is_blank(cell: Any) -> bool:
    return cell is None or (pd.api.types.is_scalar(cell) and bool(pd.isna(cell)))


def _free(name: str, frame: pd.DataFrame) -> str:
    """Return a name that no column has: a manifest that was reviewed before keeps what that review said."""
    number, free = 2, name
    while free in frame:
        free, number = f"{name}_{number}", number + 1
    return free


def _agreeing(judgements: Sequence[Judgement], outcome: Outcome) -> Iterator[str]:
    """Yield the readers on whose verdicts the outcome rests."""
    for judgement in judgements:
        if judgement.verdict is not None and judgement.verdict.grade == outcome.grade:
            yield judgement.reader


def _why(photograph: LabelPhotograph, judgements: Sequence[Judgement]) -> str:
    """Return the readers' notes, or why the label was doubted where they wrote none."""
    notes = [judgement.verdict.note for judgement in judgements if judgement.verdict and judgement.verdict.note]
    return " ".join(dict.fromkeys(notes)) or "; ".join(photograph.reasons)


JUDGEMENT: Final = (
    "label",
    "suspicion",
    "why",
    "reader",
    "grade",
    "status",
    "graded_at",
    "verdict",
    "final_grade",
    "note",
    "judged_at",
)
"""Columns of a judgement; `grade` was given without the label."""


def _records(photograph: LabelPhotograph, judgement: Judgement) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each row that lists a photograph, and what a reader says of it."""
    reading, verdict = judgement.reading, judgement.verdict
    for row in photograph.rows:
        yield (
            row,
            {
                "label": row["grade"],
                "suspicion": photograph.suspicion,
                "why": "; ".join(photograph.reasons),
                "reader": judgement.reader,
                "grade": reading.grade,
                "status": _status(judgement),
                "graded_at": reading.created,
                "verdict": None if verdict is None else verdict.verdict,
                "final_grade": None if verdict is None else verdict.grade,
                "note": None if verdict is None else verdict.note,
                "judged_at": None if verdict is None else verdict.created,
            },
        )


def _status(judgement: Judgement) -> str:
    return "ungradable" if judgement.reading.grade is None else "graded"


def _facts(review: LabelReview, manifests: Sequence[pd.DataFrame]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return what the manifests say of each row; several manifests may name their photographs alike."""
    facts = {}
    for number, frame in enumerate(manifests):
        columns = {name: _cells(frame, name) for name in FACTS}
        for at in range(len(frame)):
            facts[number, at] = {name: None if _is_blank(cells[at]) else cells[at] for name, cells in columns.items()}
            if len(manifests) > 1 and facts[number, at]["source"] is None:
                facts[number, at]["source"] = PurePosixPath(review.manifests[number]["name"]).stem
    return facts


def _readers(
    photographs: Sequence[LabelPhotograph],
    judgements: Mapping[int, Sequence[Judgement]],
    facts: Mapping[tuple[int, int], dict[str, Any]],
) -> Iterator[Table]:
    """Yield the grades of the first two readers side by side, and those of each reader."""
    pairs: list[dict[str, Any]] = []
    images: set[str] = set()
    by_reader: dict[str, list[dict[str, Any]]] = {}
    for photograph in photographs:
        mine = judgements.get(photograph.id, [])
        if not mine:
            continue
        # A photograph that several rows list was read once.
        first = photograph.rows[0]
        known = facts[first["manifest"], first["row"]] | {"sha256": photograph.sha256}
        if known["image"] in images:  # in another manifest: a table lists each name once
            known["image"] = f"{known['image']} ({photograph.sha256[:8]})"
        images.add(known["image"])
        second = mine[1] if len(mine) > 1 else None
        pairs.append(
            known
            | {
                "grade": mine[0].reading.grade,
                "grade_second": None if second is None else second.reading.grade,
                "reader": mine[0].reader,
                "reader_second": None if second is None else second.reader,
            }
        )
        for judgement in mine:
            row = known | {"grade": judgement.reading.grade, "status": _status(judgement)}
            by_reader.setdefault(judgement.reader, []).append(row)
    columns = [*FACTS, "grade", "grade_second", "reader", "reader_second"]
    yield Table(READERS, _table(pairs, columns))
    for reader in sorted(by_reader):
        yield Table(_reader_table(reader), _table(by_reader[reader], [*FACTS, "grade", "status"]))


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Return rows as a table whose grades are whole numbers."""
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    return frame.assign(
        **{name: pd.array(frame[name].tolist(), dtype="Int64") for name in columns if name.startswith("grade")}
    )
