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

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Canvas, Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.parallel import available_cores, in_order
from fundoscope.photo.artefacts.dust_map import DustMap, spots_on, why_not_mapped
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.decoding.header import Header
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.runtime.backends.network import DEFAULT_BACKEND, Pair, open_network
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.listing.identifiers import is_filling, is_placeholder
from fundoscope.runtime.reading import FELLOW_WORDS, Reading
from fundoscope.runtime.release import OpenRelease, default_release, open_release
from fundoscope.runtime.tasks.task import Evidence

HEADER_FIELDS: Final = tuple(field.name for field in fields(Header))
"""What is taken over from a photograph's file."""

__all__ = ["Grader", "Reading", "available_cores", "in_order"]


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
        self, paths: Iterable[Path | str], fellows: Iterable[Path | str | None] | None = None
    ) -> Iterator[Reading]:
        """Grade files on all threads; one reading for each, in the order given.

        Memory is bounded: `paths` is drawn from as photographs are finished and the readings are taken.

        Args:
            paths: What is graded.
            fellows: The other eye of each, None where there is none; None: of none of them.
        """
        pairs = zip(paths, repeat(None)) if fellows is None else zip(paths, fellows, strict=True)
        return in_order(lambda pair: self.grade(*pair), pairs, threads=self.threads)

    def examine(
        self, photo: Path | str | Photo, fellow: Path | str | Photo | None = None
    ) -> tuple[Reading, Photo | None]:
        """As `grade`, and hand back the photograph's pixels as they were decoded; None where it could not be read."""
        image = "" if isinstance(photo, np.ndarray) else str(photo)
        reading = Reading(
            image=image,
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
        return reading, pixels

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


def with_header(reading: Reading, photograph: Photograph | Photo) -> Reading:
    """Return the reading with what the photograph's file says of it; of pixels alone nothing is known."""
    if isinstance(photograph, np.ndarray):
        return reading
    return replace(reading, sha256=photograph.sha256, **known_fields(photograph.header()))


def known_fields(header: Mapping[str, str | None]) -> dict[str, Any]:
    """Return what a file's header says as fields of a reading.

    The institution that named the patient is the source. A placeholder in the place of a name is no patient's.
    """
    values: dict[str, Any] = {
        name: value for name, value in header.items() if name in HEADER_FIELDS and value is not None
    }
    if "issuer" in values:
        values["source"] = values.pop("issuer")
    patient = values.get("patient")
    if patient is not None and (is_placeholder(patient) or is_filling(patient)):
        values |= {"patient": None, "patient_raw": values.get("patient_raw", patient)}
    return values


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
    assessment = assess_gradability(pixels, gate, requires_field=requires_field)
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
        )
        if assessment.field is None:
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
