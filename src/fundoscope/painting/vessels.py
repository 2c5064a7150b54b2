"""Vessels that leave the disc in four arcades, branch, thin out, and go round the macula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fundoscope.painting.sheet import Stroke

STEP = 0.014
"""Length of a segment, in radii of the field."""

THINNEST = 0.0042
"""A vessel ends where it is thinner, in radii of the field."""

MACULA = 0.16
"""Radius round the fovea that vessels keep out of."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """A vessel as it leaves the disc; angles in degrees, 0 to the right, 90 up."""

    heading: float
    final: float
    """Heading that it bends to over its first 1.5 radii."""
    width: float


TRUNKS = (
    Trunk(98.0, 196.0, 0.024),  # superior temporal
    Trunk(-98.0, -196.0, 0.024),  # inferior temporal
    Trunk(62.0, 22.0, 0.018),  # superior nasal
    Trunk(-62.0, -22.0, 0.018),  # inferior nasal
)
"""Each is painted as a vein and, beside it, an artery three quarters as wide."""


@dataclass(frozen=True, slots=True)
class _Bud:
    """Where a vessel starts."""

    place: tuple[float, float]
    heading: float
    final: float
    width: float
    order: int


def grow_vessels(
    rng: np.random.Generator, disc: tuple[float, float], fovea: tuple[float, float]
) -> tuple[list[Stroke], list[Stroke]]:
    """Veins and arteries of one eye, each a list of lines with their widths, in radii of the field."""
    veins: list[Stroke] = []
    arteries: list[Stroke] = []
    for trunk in TRUNKS:
        for strokes, share, aside in ((veins, 1.0, -7.0), (arteries, 0.75, 7.0)):
            sign = np.sign(trunk.heading)
            heading = trunk.heading + sign * aside + rng.normal(0, 6)
            final = trunk.final + sign * 1.5 * aside + rng.normal(0, 6)
            bud = _Bud(disc, heading, final, trunk.width * share * rng.uniform(0.9, 1.1), 0)
            strokes.extend(_grow(rng, bud, fovea))
    return veins, arteries


def _grow(rng: np.random.Generator, bud: _Bud, fovea: tuple[float, float]) -> list[Stroke]:
    """One vessel and everything that branches off it."""
    place, width = np.array(bud.place), bud.width
    wander, swerve = 0.0, 0.0
    places, widths, branches = [place.copy()], [width], []
    for step in range(160):
        # Both return to nothing: a vessel winds about its course and does not curl up.
        wander = 0.88 * wander + rng.normal(0, 4.5)
        course = bud.heading + (bud.final - bud.heading) * min(1.0, step * STEP / 1.5)
        swerve = 0.97 * swerve + _away_from(fovea, place, course + swerve)
        heading = course + swerve + wander
        angle = np.deg2rad(heading)
        place = place + STEP * np.array([np.cos(angle), -np.sin(angle)])
        width *= 0.992
        places.append(place.copy())
        widths.append(width)
        if width < THINNEST or np.hypot(*place) > 1.05 or np.hypot(*(place - fovea)) < MACULA / 2:
            break
        if step > 4 and bud.order < 3 and rng.random() < 0.055:
            width, branch = _fork(rng, place, heading, width, bud.order)
            branches.append(branch)
    strokes = [(np.array(places), np.array(widths))]
    for branch in branches:
        strokes.extend(_grow(rng, branch, fovea))
    return strokes


def _fork(
    rng: np.random.Generator, place: Float[np.ndarray, " 2"], heading: float, width: float, order: int
) -> tuple[float, _Bud]:
    """The width of what goes on, and the branch; cubes of the widths add up, as Murray's law says."""
    share = rng.uniform(0.2, 0.45)
    side = rng.choice([-1, 1])
    off = heading + side * rng.uniform(30, 62)
    bud = _Bud((float(place[0]), float(place[1])), off, off - side * 30.0, width * share ** (1 / 3), order + 1)
    return width * (1 - share) ** (1 / 3), bud


def _away_from(fovea: tuple[float, float], place: Float[np.ndarray, " 2"], heading: float) -> float:
    """Degrees to turn so as to pass the macula by."""
    to_fovea = np.array(fovea) - place
    distance = float(np.hypot(*to_fovea))
    if distance > 2 * MACULA:
        return 0.0
    bearing = np.rad2deg(np.arctan2(-to_fovea[1], to_fovea[0]))
    off = (heading - bearing + 180) % 360 - 180
    return float(np.sign(off) * 7 * max(0.0, 1 - abs(off) / 100))


def new_vessels(rng: np.random.Generator, place: tuple[float, float]) -> list[Stroke]:
    """A tuft of fine, winding vessels, as proliferative retinopathy grows."""
    strokes = []
    for _ in range(int(rng.integers(14, 20))):
        heading = rng.uniform(0, 360)
        at = np.array(place) + rng.normal(0, 0.015, 2)
        places = [at]
        for _ in range(int(rng.integers(14, 26))):
            heading += rng.normal(0, 34)
            angle = np.deg2rad(heading)
            at = at + 0.011 * np.array([np.cos(angle), -np.sin(angle)])
            places.append(at)
        strokes.append((np.array(places), np.full(len(places), 0.0055)))
    return strokes
