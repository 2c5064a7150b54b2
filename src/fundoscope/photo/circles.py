"""Circles through the outline of a bright part: robust to what does not lie on one."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float

from fundoscope.arrays import Mask

TOLERANCE = 0.02
"""How far from the circle, as a share of its radius, a boundary point still belongs to it."""

Points = Float[np.ndarray, "point 2"]

Circle = tuple[float, float, float]
"""Row and column of the centre, and radius."""


def boundary(bright: Mask, *, holes: bool = False) -> Points:
    """Return (row, column) of the bright part's outline, without what lies on the frame's edge.

    Args:
        bright: What is outlined.
        holes: Whether the outlines of dark parts within it count too.
    """
    contours, _ = cv2.findContours(
        bright.astype(np.uint8), cv2.RETR_LIST if holes else cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    outline = np.concatenate([contour[:, 0, ::-1] for contour in contours]) if contours else np.empty((0, 2))
    height, width = bright.shape
    rows, columns = outline[:, 0], outline[:, 1]
    free = (rows > 1) & (rows < height - 2) & (columns > 1) & (columns < width - 2)
    return np.asarray(outline[free] + 0.5, np.float64)


def robust_circle(points: Points) -> Circle | None:
    """Return the circle through most points: the best of many through three points, then refitted to its own points."""
    thin = points[:: max(1, len(points) // 240)]
    # A fixed seed of its own: the same photograph always gives the same field.
    chosen = np.random.default_rng(0).integers(len(thin), size=(200, 3))
    circles = circles_through(thin[chosen[:, 0]], thin[chosen[:, 1]], thin[chosen[:, 2]])
    if not len(circles):
        return None
    distance = np.hypot(thin[None, :, 0] - circles[:, :1], thin[None, :, 1] - circles[:, 1:2])
    near = np.abs(distance - circles[:, 2:]) <= TOLERANCE * circles[:, 2:]
    best = circles[int(near.sum(axis=1).argmax())]
    circle = (float(best[0]), float(best[1]), float(best[2]))
    for _ in range(4):
        explained_points = points[explained(points, circle)]
        if len(explained_points) < 8:
            return None
        circle = least_squares_circle(explained_points)
    return circle


def circles_through(first: Points, second: Points, third: Points) -> Float[np.ndarray, "circle 3"]:
    """Return (row, column, radius) of the circles through three points each, without those that are nearly lines."""
    to_second, to_third = second - first, third - first
    area = 2 * (to_second[:, 0] * to_third[:, 1] - to_second[:, 1] * to_third[:, 0])
    sound = np.abs(area) > 50
    to_second, to_third, area, first = to_second[sound], to_third[sound], area[sound], first[sound]
    squares = (to_second**2).sum(axis=1), (to_third**2).sum(axis=1)
    row = (to_third[:, 1] * squares[0] - to_second[:, 1] * squares[1]) / area
    column = (to_second[:, 0] * squares[1] - to_third[:, 0] * squares[0]) / area
    return np.column_stack([first[:, 0] + row, first[:, 1] + column, np.hypot(row, column)])


def least_squares_circle(points: Points) -> Circle:
    """Fit a circle by Kasa's method: x^2 + y^2 = 2ax + 2by + c is linear in a, b and c."""
    middle = points.mean(axis=0)
    centred = points - middle
    system = np.column_stack([2 * centred, np.ones(len(centred))])
    row, column, rest = np.linalg.lstsq(system, (centred**2).sum(axis=1), rcond=None)[0]
    radius = float(np.sqrt(max(0.0, rest + row * row + column * column)))
    return float(middle[0] + row), float(middle[1] + column), radius


def explained(points: Points, circle: Circle) -> Bool[np.ndarray, " point"]:
    """Return which points lie on a circle, within the tolerance."""
    row, column, radius = circle
    distance = np.hypot(points[:, 0] - row, points[:, 1] - column)
    return np.asarray(np.abs(distance - radius) <= max(1.0, TOLERANCE * radius))


def seen_turn(points: Points, circle: Circle) -> float:
    """Return the share of a full turn on which the circle's edge is seen."""
    explained_points = points[explained(points, circle)]
    angles = np.arctan2(explained_points[:, 0] - circle[0], explained_points[:, 1] - circle[1])
    return len(np.unique(np.floor(angles * (36 / np.pi)))) / 72
