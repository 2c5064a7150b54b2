"""Taking the photographs whose labels an audit doubts into the service, as a review: never as patients' cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pandas as pd

from fundoscope.audit.audit import Listing, listed
from fundoscope.audit.doubts import Doubt, Doubts, read_doubts
from fundoscope.errors import BadRequest, BadTable, UnreadablePhotograph
from fundoscope.files import sha256_of
from fundoscope.parallel import available_cores, in_order
from fundoscope.photo.read import read_photo
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.database import Database
from fundoscope.service.store.files import Incoming, PhotographFiles
from fundoscope.service.store.reviews import ReviewPhotograph, ReviewRow, add_review, check_name
from fundoscope.tables import write_table
from fundoscope.tables.formats import SUFFIXES, read_raw
from fundoscope.tables.patients import texts

CHUNK: Final = 2**20
"""Bytes that are copied at a time."""

TRIED_PX: Final = 64
"""Shortest side at which a photograph is decoded to see whether there is a picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReview:
    """A review that is to be made."""

    name: str
    readers: int
    """Readers that each photograph needs."""
    actor: str
    """Who adds it, for the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedReview:
    """A review that was added."""

    uid: str
    name: str
    photographs: int
    rows: int
    """Rows of the manifests that list these photographs."""
    refused: tuple[str, ...]
    """Photographs whose grade is doubted and that could not be taken, with the reason."""
    others: Mapping[str, int]
    """Photographs of which the audit doubts something else than the grade, by its check: they are not in the review."""


def find_manifests(audit: Path) -> list[Path]:
    """Return the manifests that an audit was of, by their names: in the working folder, or beside the audit's folder.

    Raises:
        BadRequest: If one of them is not there.
        BadTable: As `read_doubts`.
    """
    folder = (audit if audit.is_dir() else audit.parent).resolve().parent
    manifests = []
    for name, _ in read_doubts(audit).manifests:
        places = [place for place in (Path(name), folder / name) if place.is_file()]
        if not places:
            raise BadRequest(f"{name}: expected the manifest that was audited, there is none here. Name its path.")
        manifests.append(places[0])
    return manifests


def add_audit(
    database: Database,
    settings: ServiceSettings,
    audit: Path,
    manifests: Sequence[Path],
    new: NewReview,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> AddedReview:
    """Add a review of all photographs whose grade an audit doubts.

    The bytes of photographs and manifests are copied into the service; the files themselves stay as they are.

    Args:
        database: Of the service.
        settings: Of the service: where photographs lie, and how large they may be.
        audit: Folder of the audit's report, or its `audit.json`.
        manifests: Those that were audited, in the same order.
        new: The review.
        progress: Called with how many photographs were copied, and of how many.

    Raises:
        BadRequest: If no grade is doubted, no photograph can be taken, or the name is taken.
        BadTable: If the audit or a manifest is not as it should be, or they do not belong together.
    """
    with database.reading() as session:
        check_name(session, new.name, new.readers)
    doubts = read_doubts(audit)
    hashes = [sha256_of(path) for path in manifests]
    listing = listed(manifests)
    _check_manifests(doubts, listing)
    if not doubts.grades:
        raise BadRequest(
            f"{audit}: expected photographs whose grade is doubted, got none. Audit with --predictions (out of fold) "
            "to find more."
        )
    intake = _Intake(settings, listing)
    intake.take(doubts.grades, progress)
    if not intake.photographs:
        first = intake.refused[0]
        raise BadRequest(
            f"{audit}: expected photographs that can be taken, got none of {len(intake.refused)}; the first: "
            f"{first['image']}: {first['why']}"
        )
    intake.add_other_rows()
    kept = _keep_manifests(settings, manifests, hashes)
    with database.writing() as session:
        review = add_review(
            session,
            new.name,
            readers=new.readers,
            manifests=kept,
            photographs=list(intake.photographs.values()),
            refused=intake.refused,
            actor=new.actor,
        )
    return AddedReview(
        uid=review.uid,
        name=new.name,
        photographs=len(intake.photographs),
        rows=sum(len(photograph.rows) for photograph in intake.photographs.values()),
        refused=tuple(f"{row['image']}: {row['why']}" for row in intake.refused),
        others=doubts.others,
    )


@dataclass(slots=True)
class _Intake:
    """Photographs that were taken, and those that were not."""

    settings: ServiceSettings
    listing: Listing
    photographs: dict[str, ReviewPhotograph] = field(default_factory=dict)
    """By SHA-256, the most doubtful first."""
    refused: list[dict[str, Any]] = field(default_factory=list)
    _sizes: set[int] = field(default_factory=set)
    _rows: dict[int, ReviewRow] = field(init=False)
    """By the number of the row in the listing."""

    def __post_init__(self) -> None:
        self._rows = dict(enumerate(_rows_of(self.listing.frame)))

    def take(self, doubts: Sequence[Doubt], progress: Callable[[int, int], None] | None) -> None:
        """Copy the photographs whose grade is doubted into the service, and note those that cannot be."""
        numbers = {str(image): at for at, image in enumerate(self.listing.frame["image"])}
        present = [(numbers[doubt.image], doubt) for doubt in doubts if doubt.image in numbers]
        for doubt in doubts:
            if doubt.image not in numbers:
                why = "expected a row of the manifest, there is none of this name. Audit the manifest again."
                self.refused.append({"manifest": None, "row": None, "image": doubt.image, "why": why})
        self.settings.photographs.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=self.settings.folder, prefix="review-") as scratch:
            copies = in_order(lambda pair: self._copy(*pair, Path(scratch)), present, threads=available_cores())
            for done, ((at, doubt), copy) in enumerate(zip(present, copies, strict=True), start=1):
                if isinstance(copy, str):
                    row = self._rows[at]
                    self.refused.append({"manifest": row.manifest, "row": row.row, "image": row.image, "why": copy})
                else:
                    self._add(at, doubt, copy)
                if progress is not None:
                    progress(done, len(present))

    def add_other_rows(self) -> None:
        """Add the rows that list a photograph of the review and are not doubted: their label is of the same picture."""
        doubted = {(row.manifest, row.row) for taken in self.photographs.values() for row in taken.rows}
        for at, row in self._rows.items():
            path = self.listing.paths[at]
            if (row.manifest, row.row) in doubted or row.grade is None or not path.is_file():
                continue
            if path.stat().st_size not in self._sizes:  # no copy of a photograph of the review: it need not be hashed
                continue
            taken = self.photographs.get(sha256_of(path))
            if taken is not None:
                taken.rows.append(row)

    def _copy(self, at: int, doubt: Doubt, scratch: Path) -> str | tuple[str, int]:
        """Copy a photograph into the service; return its hash and size, or why it is not taken."""
        row, path = self._rows[at], self.listing.paths[at]
        if doubt.grade is not None and row.grade != doubt.grade:
            shown = "none" if row.grade is None else row.grade
            return f"expected the grade {doubt.grade} that was audited, the manifest says {shown}. Audit it again."
        limit = self.settings.upload_bytes
        if not path.is_file():
            return "expected a photograph, there is no such file. Check the path in the manifest."
        incoming = Incoming.begin(scratch)
        try:
            _copy_bytes(path, incoming, limit)
            meant = texts(self.listing.frame.iloc[[at]], "sha256")[0]
            if meant is not None and meant != incoming.sha256:
                return (
                    "expected the file that the manifest means by its sha256, got another: its label is of another "
                    "picture. Copy the file again."
                )
            read_photo(incoming.path, target_px=TRIED_PX)
            size = incoming.size
            PhotographFiles(self.settings.photographs).keep(incoming)
        except UnreadablePhotograph as problem:
            return str(problem).removeprefix(f"{incoming.path}: ")
        except OSError as problem:
            return f"expected a photograph that can be read, got: {problem.strerror}. Check its permissions."
        finally:
            incoming.discard()
        return incoming.sha256, size

    def _add(self, at: int, doubt: Doubt, copy: tuple[str, int]) -> None:
        sha256, size = copy
        self._sizes.add(size)
        taken = self.photographs.setdefault(sha256, ReviewPhotograph(sha256=sha256, suspicion=doubt.suspicion))
        taken.reasons = list(dict.fromkeys([*taken.reasons, *doubt.reasons]))
        taken.rows.append(self._rows[at])


def _rows_of(frame: pd.DataFrame) -> Iterable[ReviewRow]:
    """Yield the rows of a listing as a review keeps them."""
    counts: dict[int, int] = {}
    grades = texts(frame, "grade")
    for image, number, grade in zip(frame["image_written"], frame["manifest"], grades, strict=True):
        manifest = int(number)
        at = counts[manifest] = counts.get(manifest, -1) + 1
        yield ReviewRow(manifest=manifest, row=at, image=str(image), grade=None if grade is None else int(grade))


def _copy_bytes(path: Path, incoming: Incoming, limit: int | None = None) -> None:
    with open(path, "rb") as file:
        while data := file.read(CHUNK):
            incoming.write(data)
            if limit is not None and incoming.size > limit:
                raise UnreadablePhotograph(
                    f"{incoming.path}: expected a photograph of at most {limit} bytes, got more. Export it smaller."
                )
    incoming.end()


def _check_manifests(doubts: Doubts, listing: Listing) -> None:
    """Refuse manifests that are not those that were audited."""
    counts = [int((listing.frame["manifest"] == number).sum()) for number in range(len(listing.manifests))]
    given = [(path.name, count) for path, count in zip(listing.manifests, counts, strict=True)]
    if given != list(doubts.manifests):
        shown = [
            ", ".join(f"{name} ({count} photographs)" for name, count in pairs) for pairs in (doubts.manifests, given)
        ]
        raise BadTable(f"manifests: expected those that were audited: {shown[0]}; got {shown[1]}. Audit them again.")


def _keep_manifests(
    settings: ServiceSettings, manifests: Sequence[Path], hashes: Sequence[str]
) -> list[dict[str, str]]:
    """Keep the manifests' values in the service; return what is known of each.

    They are written anew, in a format that is read without a note: notes repeat words of a table, among them patients'
    names, of which the service's log must have none.
    """
    settings.manifests.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = []
    with TemporaryDirectory(dir=settings.folder, prefix="review-") as scratch:
        for path, original in zip(manifests, hashes, strict=True):
            suffix = path.suffix.lower() if path.suffix.lower() in SUFFIXES else ".csv"
            copy = Path(scratch) / f"manifest{suffix}"
            write_table(read_raw(path), copy)
            if sha256_of(path) != original:
                raise BadTable(f"{path}: expected a manifest that stays as it is, it was changed. Audit it again.")
            incoming = Incoming.begin(Path(scratch))
            try:
                _copy_bytes(copy, incoming)
                PhotographFiles(settings.manifests).keep(incoming)
            finally:
                incoming.discard()
            kept.append({"name": path.name, "suffix": suffix, "sha256": incoming.sha256, "original": original})
    return kept
