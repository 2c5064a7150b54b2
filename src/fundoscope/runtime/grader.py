"""From a photograph to its answer with a release, on the CPU: one photograph, or many with every core busy.

A photograph is read, assessed, prepared and put through the network, all by one thread; several threads do so side
by side (Pillow, OpenCV and the network let go of Python's lock while they compute). What the network's output means
is the business of the release's task (`tasks`). No photograph shares a batch
with another and no forward pass is split over cores, so that an answer depends on the photograph and the release
alone: not on its neighbours, the number of threads or their timing. A release of both eyes is given the photograph
of the other eye too, its fellow, read and prepared anew for each; that is the one thing more that its answer depends
on. A fellow that is missing, cannot be read or is not gradable is left out, which the answer's reason then says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float64

from fundoscope.arrays import Canvas, Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.parallel import available_cores, in_order
from fundoscope.photo.artefacts.dust_map import DustMap, spots_on, why_not_mapped
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.runtime.answers import with_notes
from fundoscope.runtime.backends.network import DEFAULT_BACKEND, Pair, open_network
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.listing.inputs import Listed, list_named
from fundoscope.runtime.reading import FELLOW_WORDS, Reading, Readings, known_fields, unread, with_header
from fundoscope.runtime.release import OpenRelease, default_release, open_release
from fundoscope.runtime.tasks.task import Evidence

HASH_SHOWN: Final = 12
"""Digits of a hash that a reason shows."""

__all__ = ["Grader", "Reading", "Readings", "available_cores", "in_order"]


class Grader:
    """A release, opened and ready. Safe to use from several threads.

    Example:
        >>> grader = Grader.open()  # doctest: +SKIP
        >>> grader.grade("photograph.jpg").decision  # doctest: +SKIP
        'refer'
    """

    def __init__(self, opened: OpenRelease, network: Network, *, threads: int, dust: DustMap | None = None) -> None:
        self.opened = opened
        self.threads = threads
        self.dust = dust
        """Map of the site's camera, by which specks of its sensor are retouched; None: nothing is."""
        self.program = network.program
        """Name and version of what computes the release's network."""
        self._network = network

    def __repr__(self) -> str:
        plural = "" if self.threads == 1 else "s"
        dust = "" if self.dust is None else f", dust map {self.dust.seal}"
        return f"<Grader {self.opened.name}, {self.program}, {self.threads} thread{plural}{dust}>"

    @classmethod
    def open(
        cls,
        release: Path | str | None = None,
        *,
        threads: int | None = None,
        backend: str = DEFAULT_BACKEND,
        dust: DustMap | None = None,
    ) -> Grader:
        """Open a release.

        Args:
            release: Folder or `.zip`; None for the one that ships with the package.
            threads: Photographs worked on side by side; None for as many as there are cores.
            backend: What computes the network, one of `network.BACKENDS`; it must first give the release's golden
                outputs (`network.open_network`).
            dust: Map of the site's camera (`photo.artefacts.dust_map`): what lies under its specks is retouched.

        Raises:
            BadRelease: If it is damaged or cannot be run by this version, or not by this backend.
            BadRequest: If there is no such backend.
            MissingExtra: If the backend is not installed.
            ValueError: If `threads` is below 1.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        opened = open_release(default_release() if release is None else release)
        side_by_side = threads or available_cores()
        network = open_network(opened, callers=side_by_side, backend=backend)
        return cls(opened, network, threads=side_by_side, dust=dust)

    def grade(self, photo: Path | str | Photo, fellow: Path | str | Photo | None = None) -> Reading:
        """Read and grade one photograph: a file, or upright 8-bit RGB pixels.

        Never raises because of the photograph: `Reading.status` says what became of it.

        Args:
            photo: What is graded.
            fellow: The same patient's other eye, where there is a photograph of it. Only a release of both eyes
                (`release.eyes` 2) looks at it, and says in `Reading.fellow` what became of it.
        """
        return self.examine(photo, fellow)[0]

    def grade_many(
        self, photographs: Path | str | Iterable[Path | str], fellows: Iterable[Path | str | None] | None = None
    ) -> Readings:
        """Grade many photographs on all threads; one reading for each, in order, computed as they are taken.

        Memory is bounded: files are opened as readings are taken. `Readings.to_frame` gives the predictions table.

        Args:
            photographs: A folder, a manifest or one photograph, as `fundoscope grade` takes them
                (`listing.inputs.list_photographs`): patients and eyes come from the manifest. Or any number of files,
                of which only themselves say whose eye they show.
            fellows: The other eye of each file, None where there is none; None: of none of them. A manifest names
                them itself.

        Raises:
            BadRequest: If a folder or manifest names no photographs.
            BadTable: If a manifest is not as its columns' contract says.
            TypeError: If `photographs` is pixels or a table, or `fellows` comes with a folder or manifest.
        """
        if isinstance(photographs, str | PurePath):
            if fellows is not None:
                raise TypeError("fellows: expected none beside a folder or manifest, which names them itself, got some")
            listing = list_named(photographs)
            readings = self.grade_listed(listing.photographs)
            return Readings(readings, self.frame, notes=listing.notes, troubles=listing.troubles)
        if isinstance(photographs, np.ndarray | pd.DataFrame):
            raise TypeError(
                "photographs: expected a folder, a manifest's file or names of files, got "
                f"{type(photographs).__name__}. Give pixels to grade(), a table's column image, or the table as a file."
            )
        pairs = zip(photographs, repeat(None)) if fellows is None else zip(photographs, fellows, strict=True)
        return Readings(in_order(lambda pair: self.grade(*pair), pairs, threads=self.threads), self.frame)

    def grade_listed(
        self, photographs: Iterable[Listed], *, decoded: Callable[[Reading, Photo], None] | None = None
    ) -> Iterator[Reading]:
        """Grade listed photographs, in order; what their manifest says of them goes into the readings.

        Args:
            photographs: As `listing.inputs.list_photographs` gives them.
            decoded: Called with each reading and its photograph as it was decoded, by the thread that graded it; not of
                what could not be read.
        """

        def grade(listed: Listed) -> Reading:
            answered, pixels = self._grade_meant(listed)
            reading = replace(answered, image=listed.image, **_details(listed))
            if decoded is not None and pixels is not None:
                decoded(reading, pixels)
            return reading

        return in_order(grade, photographs, threads=self.threads)

    def predict_proba(self, photographs: Path | str | Iterable[Path | str]) -> Float64[np.ndarray, "photo label"]:
        """Return the probabilities of the release's labels: of the five grades, in order.

        Args:
            photographs: As of `grade_many`.

        Returns:
            One row for each photograph, in order. NaN in the row of a photograph that cannot be graded: it has no
            grade, and must not pass for one without retinopathy.
        """
        labels = len(self.opened.release.labels)
        rows = [
            reading.probabilities if reading.status == "graded" and reading.probabilities else (np.nan,) * labels
            for reading in self.grade_many(photographs)
        ]
        return np.array(rows, dtype=np.float64).reshape(len(rows), labels)

    def frame(self, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
        """Return rows of readings as a predictions table with all its columns, whatever became of the photographs.

        Args:
            rows: `Reading.row` of all photographs of the table; notes on their patients are added.
        """
        opened = self.opened
        raw = (0.0,) * opened.task.outputs(opened.release.head, opened.release.labels)
        blank = Reading(
            image="", status="", reason="", release="", graded_at="", raw=raw, answer=opened.answerer.unanswered
        )
        frame = pd.DataFrame(with_notes(list(rows), opened.task), columns=list(blank.row()))
        return frame.astype({**opened.answerer.dtypes, "retouched": "Int64", "fold": "Int64"})

    def examine(
        self, photo: Path | str | Photo, fellow: Path | str | Photo | None = None
    ) -> tuple[Reading, Photo | None]:
        """As `grade`, and hand back the photograph's pixels as they were decoded; None where it could not be read."""
        image = "" if isinstance(photo, np.ndarray) else str(photo)
        reading = Reading(
            image=image,
            path=None if isinstance(photo, np.ndarray) else Path(photo),
            status="unreadable",
            reason="",
            answer=self.opened.answerer.unanswered,
            release=self.opened.name,
            graded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            photograph = photo if isinstance(photo, np.ndarray) else self._read(photo)
            # Whatever comes of its pixels: a photograph whose patient is forgotten is missing among the patient's eyes.
            reading = with_header(reading, photograph)
            return self._judge(reading, photograph, fellow)
        except UnreadablePhotograph as problem:
            return replace(reading, **known_fields(problem.header), reason=str(problem)), None
        except Exception as problem:
            # One photograph's fault, whatever it is, must not cost the others; the row says what happened.
            fault = f"{type(problem).__name__}: {problem}".splitlines()[0]
            words = (
                f"{image or 'photograph'}: expected a grade, got a fault in the program ({fault}). Please report it."
            )
            return replace(reading, reason=words), None

    def _grade_meant(self, listed: Listed) -> tuple[Reading, Photo | None]:
        """Examine a photograph if its file, and the other eye's, are those that the manifest means by their hashes."""
        reading, pixels = self.examine(listed.path, listed.fellow)
        if not is_meant(reading.sha256, listed.sha256):
            words = (
                f"{listed.path}: expected the file that the manifest means (SHA-256 "
                f"{str(listed.sha256)[:HASH_SHOWN]}), got another ({str(reading.sha256)[:HASH_SHOWN]}). Copy it again, "
                "or correct the manifest."
            )
            return unread(reading, words, answer=self.opened.answerer.unanswered), None
        if listed.fellow is not None and not is_meant(reading.fellow_sha256, listed.fellow_sha256):
            alone, pixels = self.examine(listed.path)
            words = f"Graded without the other eye: {listed.fellow.name} is not the file that the manifest means."
            reason = alone.reason.replace(FELLOW_WORDS["missing"], words)
            return replace(alone, fellow="unreadable", reason=reason), pixels
        return reading, pixels

    def _read(self, path: Path | str) -> Photograph:
        return read_photo(path, target_px=self.opened.recipe.decode_px)

    def _judge(
        self, reading: Reading, photograph: Photograph | Photo, fellow: Path | str | Photo | None
    ) -> tuple[Reading, Photo]:
        opened = self.opened
        reading, pixels, canvas = assess(
            reading,
            photograph,
            opened.recipe,
            opened.gate,
            requires_field=opened.task.requires_field,
            dust=self.dust,
        )
        if canvas is None:
            return reading, pixels
        reading, canvases = self._join(reading, canvas, fellow)
        outputs = self._network.run(canvases[None])
        evidence = Evidence(
            raw=outputs.raw,
            features=outputs.features[0],
            quality=reading.quality,
            gradable=reading.status == "graded",
        )
        reading = replace(
            reading,
            features=outputs.features[0],
            heatmap=None if outputs.heatmap is None else outputs.heatmap[0],
            raw=tuple(float(value) for value in outputs.raw[0]),
            answer=opened.answerer.answer(evidence),
        )
        return replace(reading, heatmap_shown=opened.shows_heatmap(reading.decision)), pixels

    def _join(
        self, reading: Reading, canvas: Canvas, fellow: Path | str | Photo | None
    ) -> tuple[Reading, Canvas | Pair]:
        """Return the network's input, and the reading with what became of the fellow if the release takes both eyes."""
        if self.opened.release.eyes == 1:
            return reading, canvas
        state, other, sha256 = self._prepare_fellow(fellow)
        name = "it" if fellow is None or isinstance(fellow, np.ndarray) else PurePath(fellow).name
        reason = " ".join(filter(None, (reading.reason, FELLOW_WORDS[state].format(name=name))))
        both = np.stack([canvas, np.zeros_like(canvas) if other is None else other])
        return replace(reading, fellow=state, fellow_sha256=sha256, reason=reason), both

    def _prepare_fellow(self, fellow: Path | str | Photo | None) -> tuple[str, Canvas | None, str | None]:
        """Return what became of the other eye's photograph (a key of `FELLOW_WORDS`), canvas if usable, hash."""
        if fellow is None:
            return "missing", None, None
        try:
            photograph = fellow if isinstance(fellow, np.ndarray) else self._read(fellow)
            pixels = photograph if isinstance(photograph, np.ndarray) else photograph.pixels
            sha256 = None if isinstance(photograph, np.ndarray) else photograph.sha256
            assessment = assess_gradability(pixels, self.opened.gate)
            if assessment.field is None or assessment.verdict is None or not assessment.verdict.gradable:
                return "ungradable", None, sha256
            specks, _ = _specks_on(photograph, self.dust)
            prepared = prepare(pixels, self.opened.recipe, field=assessment.field, specks=specks)
            return "used", prepared.canvas, sha256
        except Exception:
            # Whatever is wrong with it must not cost its fellow the grade; its own row, if any, says what it is.
            return "unreadable", None, None


def is_meant(sha256: str | None, meant: str | None) -> bool:
    """Return whether a file has the hash that is meant; True where either is not known."""
    return sha256 is None or meant is None or sha256 == meant


def _details(listed: Listed) -> dict[str, Any]:
    """Return what the manifest says of a photograph; where it names the patient, the file's name does not count."""
    named = {"patient", "patient_raw"} & set(listed.details)
    # The file's source says whose the file's name is: beside another name it would make two patients of one.
    return {**(dict.fromkeys(("source", "patient", "patient_raw")) if named else {}), **listed.details}


def assess(
    reading: Reading,
    photograph: Photograph | Photo,
    recipe: Recipe,
    gate: Gate,
    *,
    requires_field: bool = True,
    dust: DustMap | None = None,
) -> tuple[Reading, Photo, Canvas | None]:
    """Assess and prepare a photograph.

    Args:
        reading: What is known of it already: its name.
        photograph: A file that was read, or upright 8-bit RGB pixels.
        recipe: How it is prepared.
        gate: What counts as gradable.
        requires_field: Whether a picture without one circular field of view is ungradable (`Task.requires_field`). If
            not, such a picture has no quality and passes.
        dust: Map of the camera: its specks are retouched before the photograph is prepared, not before it is assessed.

    Returns:
        The reading with `status` graded or ungradable, its pixels, and its canvas: None where a field is required and
        there is none or more than one, but not where the photograph is only ungradable.
    """
    notes: tuple[str, ...] = ()
    if isinstance(photograph, np.ndarray):
        pixels = photograph
    else:
        pixels, notes = photograph.pixels, photograph.notes
        reading = with_header(reading, photograph)
    assessment = assess_gradability(pixels, gate, requires_field=requires_field, is_scan=recipe.is_scan)
    verdict = assessment.verdict
    reading = replace(
        reading,
        status="graded",
        reason=" ".join(filter(None, ("" if verdict is None else verdict.reason, *notes))),
        field=assessment.field,
        decoded=(pixels.shape[0], pixels.shape[1]),
    )
    if verdict is not None:
        reading = replace(
            reading,
            status="graded" if verdict.gradable else "ungradable",
            quality=verdict.quality,
            parts=assessment.quality,
            faults=verdict.faults,
        )
        if assessment.field is None and not recipe.is_scan:
            return reading, pixels, None
    specks, why_not = _specks_on(photograph, dust)
    prepared = prepare(pixels, recipe, field=assessment.field, specks=specks)
    reading = replace(
        reading,
        reason=" ".join(filter(None, (reading.reason, why_not))),
        placement=prepared.placement,
        side=len(prepared.canvas),
        dust_map=None if dust is None or why_not else dust.seal,
        retouched=prepared.retouched,
    )
    return reading, pixels, prepared.canvas


def _specks_on(photograph: Photograph | Photo, dust: DustMap | None) -> tuple[tuple[Spot, ...], str]:
    """Return a map's specks on a photograph, and a sentence where the map says nothing of it."""
    if dust is None:
        return (), ""
    if isinstance(photograph, np.ndarray):
        return (), "Dust was not retouched: of pixels alone the camera's frame is not known."
    why_not = why_not_mapped(dust, photograph)
    return ((), why_not) if why_not else (spots_on(dust, photograph), "")
