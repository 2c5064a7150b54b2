"""The dust map of a camera, made from its photographs without any label; or one sentence that says why none is made."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from fundoscope.errors import BadRequest, UnreadablePhotograph
from fundoscope.parallel import in_order
from fundoscope.photo.artefacts.dust_map import DustMap, MappedSpeck
from fundoscope.photo.artefacts.find import MeasuredSpeck, Photographs, count_by_chance, find_specks, share_seen
from fundoscope.photo.artefacts.frame import Frame
from fundoscope.photo.artefacts.planes import SEEN, WORKING_PX, ContrastPlane, Stack, contrast_plane
from fundoscope.photo.artefacts.retouch import Spot, spot_mask
from fundoscope.photo.fov import find_field
from fundoscope.photo.read import Photograph, read_photo

FEWEST: Final = 20
"""Photographs of different eyes that a map is made from at least (docs/results/dust.md)."""

MOST: Final = 200
"""Photographs that a map is made from at most: more find only what is too faint to matter."""

MOST_COVERED: Final = 0.02
"""Largest share of the field that may be retouched."""

MOST_BY_CHANCE: Final = 0.25
"""Largest share of the specks that the control may find as well."""

OF_ONE_FRAME: Final = 0.5
"""Least share of the photographs that has the commonest frame; below it they are taken for cropped."""

PER_WINDOW: Final = 10
"""Photographs of a time window at least."""

MOST_WINDOWS: Final = 4

STEADY: Final = 0.05
"""Largest standard deviation of the field's centre, as a share of the longer side, where no speck is found."""


class TooMuchDust(BadRequest):
    """A sensor so dirty that too much of each photograph would be retouched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """A photograph that a map may be made from, and what is known of it beside its file."""

    path: Path
    patient: str | None = None
    eye: str | None = None
    taken: str | None = None
    camera: str | None = None
    """The table's name for the camera."""


@dataclass(frozen=True, slots=True)
class FrameView:
    """What a map needs of a photograph."""

    shot: Shot
    """With what the file says where the shot does not."""
    camera: str | None
    """Make and model that the file names; None where it names none."""
    sha256: str
    frame: Frame
    centre: tuple[float, float]
    """Of the field of view, (row, column) as shares of the upright photograph's longer side."""
    plane: ContrastPlane


def make_dust_map(
    shots: Sequence[Shot],
    *,
    threads: int = 1,
    most: int = MOST,
    progress: Callable[[int, int], object] | None = None,
) -> DustMap:
    """Map the dust of a camera.

    Photographs of other frames or cameras than the commonest are left out, as are those without one field of view
    and all but one of each eye of a patient; the map's notes say how many.

    Args:
        shots: Photographs of one camera. Where no patient is known, each counts as of an eye of its own.
        threads: Photographs that are read side by side.
        most: Photographs that are looked at; of more, as many at even distances in time.
        progress: Called with how many were looked at, and of how many.

    Raises:
        BadRequest: If there are too few, they are not in a camera's own frame or of cameras that cannot be told apart,
            or what is found is no better than chance.
        TooMuchDust: If the sensor is so dirty that too much would be retouched.
    """
    return dust_map_of(*gather(shots, threads=threads, most=most, progress=progress))


def gather(
    shots: Sequence[Shot],
    *,
    threads: int = 1,
    most: int = MOST,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[FrameView], Counter[str]]:
    """Read photographs of one camera; return what a map needs of them, and how many were left out for what.

    Arguments as of `make_dust_map`.

    Raises:
        BadRequest: If most have another frame than the commonest, or are of cameras that cannot be told apart.
    """
    chosen, repeated = _one_of_each_eye(shots)
    chosen = _spread(chosen, most)
    views, left_out = [], repeated
    for done, item in enumerate(in_order(look_at, chosen, threads=threads), start=1):
        if progress is not None:
            progress(done, len(chosen))
        if isinstance(item, FrameView):
            views.append(item)
        else:
            left_out[item] += 1
    usable, later = _of_one_camera(views)
    return usable, left_out + later


def look_at(shot: Shot) -> FrameView | str:
    """Read a photograph; return what a map needs of it, or why it has nothing to say."""
    try:
        photograph = read_photo(shot.path, target_px=WORKING_PX)
    except UnreadablePhotograph:
        return "could not be read"
    return see(photograph, shot) or "show no field of view"


def see(photograph: Photograph, shot: Shot) -> FrameView | None:
    """Return what a map needs of a photograph that was read; None where it has no field of view."""
    field = find_field(photograph.pixels)
    if field is None or field.light_surround:
        return None
    frame = Frame.of(photograph)
    fitted = frame.fitted(min(WORKING_PX, max(photograph.pixels.shape[:2])))
    plane = contrast_plane(photograph.pixels, field, photograph.orientation, (fitted.height, fitted.width))
    longer = max(photograph.pixels.shape[:2])
    completed = replace(
        shot,
        patient=shot.patient or photograph.patient,
        eye=shot.eye or photograph.eye,
        taken=shot.taken or photograph.taken,
    )
    centre = field.row / longer, field.column / longer
    return FrameView(completed, photograph.camera, photograph.sha256, frame, centre, plane)


def dust_map_of(views: Sequence[FrameView], left_out: Counter[str] | None = None) -> DustMap:
    """Map the dust of photographs of one camera; arguments and refusals as of `make_dust_map`."""
    ordered, counts, timed = in_time(views, left_out or Counter())
    stack: Stack = np.stack([item.plane for item in ordered])
    windows = windows_of(len(ordered))
    measured = find_specks(stack, windows)
    if not measured:
        _check_steady(ordered)
    by_chance = count_by_chance(stack, windows)
    _check_chance(measured, by_chance)
    specks = tuple(_mapped(speck, stack.shape[1:]) for speck in measured)
    covered = _covered(specks, stack)
    _check_covered(specks, covered)
    frame = ordered[0].frame
    hashes = "\n".join(sorted(item.sha256 for item in ordered))
    return DustMap(
        width=frame.width,
        height=frame.height,
        camera=ordered[0].camera,
        photographs=len(ordered),
        windows=len(windows),
        first=ordered[0].shot.taken if timed else None,
        last=ordered[-1].shot.taken if timed else None,
        covered=round(covered, 6),
        control=by_chance,
        made_from=hashlib.sha256(hashes.encode()).hexdigest(),
        notes=tuple(_notes(counts, timed=timed)),
        specks=specks,
    )


def in_time(views: Sequence[FrameView], left_out: Counter[str]) -> tuple[list[FrameView], Counter[str], bool]:
    """Return one photograph of each eye in the order of time, what was left out, and whether all times are known.

    Raises:
        BadRequest: If there are too few.
    """
    distinct, repeated = _distinct(views)
    counts = left_out + repeated
    _check_number(distinct, counts)
    timed = all(item.shot.taken for item in distinct)
    if timed:
        distinct.sort(key=lambda item: item.shot.taken or "")
    return distinct, counts, timed


def windows_of(photographs: int) -> list[Photographs]:
    """Divide photographs, in order of time, into two to four windows."""
    count = max(2, min(MOST_WINDOWS, photographs // PER_WINDOW))
    return [np.asarray(part) for part in np.array_split(np.arange(photographs), count)]


def _one_of_each_eye(shots: Sequence[Shot]) -> tuple[list[Shot], Counter[str]]:
    """Return shots without further ones of the same eye: what is fixed in one eye is no speck of the sensor."""
    eyes: set[Hashable] = set()
    chosen = []
    for shot in shots:
        eye = (shot.patient, shot.eye)
        if shot.patient is None or eye not in eyes:
            chosen.append(shot)
            eyes.add(eye)
    return chosen, Counter({FURTHER: len(shots) - len(chosen)})


FURTHER: Final = "are further ones of the same eye"


def _distinct(views: Sequence[FrameView]) -> tuple[list[FrameView], Counter[str]]:
    """Leave out repeated files and further photographs of an eye that only their files name."""
    hashes: set[str] = set()
    eyes: set[Hashable] = set()
    kept = []
    for item in views:
        eye = (item.shot.patient, item.shot.eye)
        if item.sha256 in hashes or (item.shot.patient is not None and eye in eyes):
            continue
        hashes.add(item.sha256)
        eyes.add(eye)
        kept.append(item)
    return kept, Counter({FURTHER: len(views) - len(kept)})


def _spread(shots: Sequence[Shot], most: int) -> list[Shot]:
    """Return at most `most` shots, at even distances in time where all times are known."""
    if len(shots) <= most:
        return list(shots)
    ordered = sorted(shots, key=lambda shot: shot.taken or "") if all(shot.taken for shot in shots) else list(shots)
    return [ordered[int(at)] for at in np.linspace(0, len(ordered) - 1, most)]


def _of_one_camera(views: Sequence[FrameView]) -> tuple[list[FrameView], Counter[str]]:
    """Return the photographs of the commonest frame and camera.

    Raises:
        BadRequest: If most have another frame than the commonest, or the table names several cameras that the files
            do not tell apart: when photographs are graded, only their files say which camera took them.
    """
    if not views:
        return [], Counter()
    frames = Counter(item.frame for item in views)
    frame, of_frame = frames.most_common(1)[0]
    if of_frame < OF_ONE_FRAME * len(views):
        listed = ", ".join(f"{size} px: {count}" for size, count in frames.most_common(3))
        raise BadRequest(
            f"dust map: expected photographs as one camera writes them, got {len(frames)} frame sizes among "
            f"{len(views)} ({listed}). Cropped exports have lost their place on the sensor: give the originals, of one "
            "camera at a time."
        )
    cameras = Counter(item.camera for item in views if item.frame == frame)
    camera = cameras.most_common(1)[0][0]
    kept = [item for item in views if item.frame == frame and item.camera == camera]
    names = sorted({item.shot.camera for item in kept if item.shot.camera is not None})
    if len(names) > 1:
        raise BadRequest(
            f"dust map: expected photographs of one camera, got {len(names)} cameras that the files do not tell apart "
            f"({', '.join(names[:3])}). Give one camera's photographs at a time, and each a site's folder of its own."
        )
    strangers = Counter({f"are not {frame} px": len(views) - of_frame, "are of another camera": of_frame - len(kept)})
    return kept, strangers


def _check_number(views: Sequence[FrameView], left_out: Counter[str]) -> None:
    if len(views) < FEWEST:
        listed = "".join(f"; {count} {why}" for why, count in left_out.items() if count)
        raise BadRequest(
            f"dust map: expected at least {FEWEST} photographs of different eyes by one camera, got {len(views)}"
            f"{listed}. Add photographs; they need no grades."
        )


def _check_steady(views: Sequence[FrameView]) -> None:
    moves = np.std([item.centre for item in views], axis=0).max()
    if moves > STEADY:
        raise BadRequest(
            "dust map: expected the field of view at one place of the frame, as a camera writes it, got one that moves "
            f"(by {moves:.1%} of the frame's longer side) and no speck that does not. Give the originals, not cropped "
            "exports."
        )


def _check_chance(measured: Sequence[MeasuredSpeck], by_chance: int) -> None:
    if by_chance > max(1, MOST_BY_CHANCE * len(measured)):
        raise BadRequest(
            f"dust map: expected specks that are found at one place only, got {len(measured)} and {by_chance} by "
            "chance, when each photograph is moved first. Add photographs of other patients."
        )


def _check_covered(specks: Sequence[MappedSpeck], covered: float) -> None:
    if covered > MOST_COVERED:
        raise TooMuchDust(
            f"dust map: expected at most {MOST_COVERED:.0%} of the retina to be retouched, got {covered:.1%} under "
            f"{len(specks)} specks. Clean the sensor and the lens, and take new photographs."
        )


def _mapped(speck: MeasuredSpeck, size: tuple[int, ...]) -> MappedSpeck:
    height, width = size
    return MappedSpeck(
        row=round(speck.row / height, 6),
        column=round(speck.column / width, 6),
        radius=round(speck.radius / max(height, width), 6),
        depth=round(speck.depth, 4),
        stability=round(speck.stability, 4),
    )


def _covered(specks: Sequence[MappedSpeck], stack: Stack) -> float:
    height, width = stack.shape[1:]
    field = share_seen(stack) >= SEEN
    longer = max(height, width)
    spots = [Spot(speck.row * height, speck.column * width, speck.retouched * longer) for speck in specks]
    return float((spot_mask(spots, height, width) & field).sum() / max(1, field.sum()))


def _notes(left_out: Counter[str], *, timed: bool) -> Iterator[str]:
    for why, count in left_out.items():
        if count:
            yield f"Left out: {count} photographs {why}."
    if not timed:
        yield "When photographs were taken is not known of all: time windows follow their order in the list."
