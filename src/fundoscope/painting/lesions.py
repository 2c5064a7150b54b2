"""Lesions of each ICDR grade: how many of what, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fundoscope.painting.sheet import Places, Plane, Sheet, Stroke, ragged
from fundoscope.painting.vessels import new_vessels

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each lesion a grade shows, lowest and highest."""

    microaneurysms: tuple[int, int] = (0, 0)
    haemorrhages: tuple[int, int] = (0, 0)
    """In each quadrant."""
    exudate_clusters: tuple[int, int] = (0, 0)
    cotton_wool_spots: tuple[int, int] = (0, 0)
    tufts: tuple[int, int] = (0, 0)
    """Of new vessels."""
    preretinal: tuple[int, int] = (0, 0)


COUNTS = (
    Counts(),
    Counts(microaneurysms=(3, 6)),
    Counts(microaneurysms=(8, 14), haemorrhages=(1, 3), exudate_clusters=(2, 4)),
    Counts(microaneurysms=(18, 28), haemorrhages=(21, 26), exudate_clusters=(2, 4), cotton_wool_spots=(3, 5)),
    Counts(
        microaneurysms=(10, 18),
        haemorrhages=(3, 7),
        exudate_clusters=(1, 3),
        cotton_wool_spots=(1, 3),
        tufts=(2, 3),
        preretinal=(1, 1),
    ),
)
"""By ICDR grade 0 to 4; severe is more than twenty haemorrhages in each quadrant."""


@dataclass(frozen=True, slots=True)
class Lesions:
    """Outlines and lines of every lesion of one eye, by the paint they need."""

    red: list[Places]
    yellow: list[Places]
    white: list[Places]
    pool: list[Places]
    """Blood in front of the retina; hides what is behind it."""
    tufts: list[Stroke]


def draw_lesions(rng: np.random.Generator, grade: int, disc: Place, fovea: Place) -> Lesions:
    """Where the lesions of a grade lie, in radii of the field."""
    counts = COUNTS[grade]
    red = [
        ragged(rng, _spot(rng, disc), rng.uniform(0.008, 0.012), raggedness=0.08)
        for _ in range(_draw(rng, counts.microaneurysms))
    ]
    for quadrant in range(4):
        for _ in range(_draw(rng, counts.haemorrhages)):
            size = float(np.clip(rng.lognormal(np.log(0.017), 0.4), 0.011, 0.045))
            red.append(ragged(rng, _spot(rng, disc, quadrant), size, raggedness=0.3, stretch=rng.uniform(1, 1.8)))
    yellow: list[Places] = []
    for _ in range(_draw(rng, counts.exudate_clusters)):
        yellow.extend(_exudates(rng, fovea))
    white = [
        ragged(rng, _spot(rng, disc), rng.uniform(0.03, 0.05), raggedness=0.25, stretch=1.4)
        for _ in range(_draw(rng, counts.cotton_wool_spots))
    ]
    tufts: list[Stroke] = []
    for number in range(_draw(rng, counts.tufts)):
        tufts.extend(new_vessels(rng, disc if number == 0 else _spot(rng, disc)))
    pool = [_boat(rng, fovea) for _ in range(_draw(rng, counts.preretinal))]
    return Lesions(red, yellow, white, pool, tufts)


def lesion_planes(sheet: Sheet, lesions: Lesions) -> dict[str, Plane]:
    """Opacity of each paint: red, yellow, white, pool and tufts."""
    return {
        "red": sheet.blurred(sheet.blots(lesions.red), 0.0025),
        "yellow": sheet.blurred(sheet.blots(lesions.yellow), 0.0015),
        "white": sheet.blurred(sheet.blots(lesions.white), 0.012),
        "pool": sheet.blurred(sheet.blots(lesions.pool), 0.004),
        "tufts": sheet.lines(lesions.tufts),
    }


def _draw(rng: np.random.Generator, bounds: tuple[int, int]) -> int:
    return int(rng.integers(bounds[0], bounds[1] + 1))


def _spot(rng: np.random.Generator, disc: Place, quadrant: int | None = None) -> Place:
    """A place in the field (or one quadrant of it) that is neither on the disc nor at the very rim."""
    while True:
        distance, turn = 0.82 * np.sqrt(rng.uniform(0.03, 1)), rng.uniform(0, np.pi / 2)
        turn += (rng.integers(4) if quadrant is None else quadrant) * np.pi / 2
        place = float(distance * np.cos(turn)), float(distance * np.sin(turn))
        if np.hypot(place[0] - disc[0], place[1] - disc[1]) > 0.22:
            return place


def _exudates(rng: np.random.Generator, fovea: Place) -> list[Places]:
    """A cluster of sharp yellow specks, on part of a ring round a leak near the macula."""
    turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.18, 0.45)
    leak = fovea[0] + away * np.cos(turn), fovea[1] + away * np.sin(turn)
    start, ring = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.10)
    specks = []
    for angle in start + rng.uniform(0, 4.0, int(rng.integers(14, 30))):
        reach = ring * rng.uniform(0.75, 1.25)
        place = float(leak[0] + reach * np.cos(angle)), float(leak[1] + reach * np.sin(angle))
        specks.append(ragged(rng, place, rng.uniform(0.004, 0.010), raggedness=0.3, stretch=rng.uniform(1, 1.6)))
    return specks


def _boat(rng: np.random.Generator, fovea: Place) -> Places:
    """Blood that has sunk in front of the retina: level above, round below."""
    half, depth = rng.uniform(0.14, 0.20), rng.uniform(0.10, 0.15)
    right, down = fovea[0] + rng.uniform(-0.15, 0.1), fovea[1] + rng.uniform(0.28, 0.36)
    turn = np.linspace(0, np.pi, 30)
    keel = np.column_stack([right + half * np.cos(turn), down + depth * np.sin(turn) ** 0.8])
    deck = np.column_stack([np.linspace(right - half, right + half, 12)[1:-1], down + rng.normal(0, 0.003, 10)])
    return np.vstack([keel, deck])
