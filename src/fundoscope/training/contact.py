"""A grid of augmented photographs: what the network really sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fundoscope.errors import BadRequest
from fundoscope.training.augment import apply_tweak, draw_tweak, move_mask
from fundoscope.training.config import Experiment
from fundoscope.training.run import training_rows

GRID = 6
"""Photographs down and draws across."""

CELL_PX = 200


def augmentation_grid(experiment: Experiment, path: Path) -> None:
    """Write a PNG: one row for each of six photographs, the first column untouched, lesions outlined.

    Raises:
        BadRequest: If the file cannot be written.
    """
    rows = training_rows(experiment, experiment.data.train, lambda line: None)
    chosen = np.linspace(0, len(rows) - 1, GRID).round().astype(int)
    grid = []
    for index in chosen:
        canvas = rows.stored[index].canvas()
        lesions = rows.lesions[index] if rows.lesions is not None else None
        cells = [_outlined(canvas, lesions)]
        for draw in range(GRID - 1):
            tweak = draw_tweak(np.random.default_rng([experiment.seed, draw, int(index)]), experiment.augment)
            moved = None if lesions is None else move_mask(lesions, tweak)
            cells.append(_outlined(apply_tweak(canvas, tweak), moved))
        grid.append(np.hstack([cv2.resize(cell, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA) for cell in cells]))
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), cv2.cvtColor(np.vstack(grid), cv2.COLOR_RGB2BGR)):
        raise BadRequest(f"{path}: expected a place where a PNG can be written")


def _outlined(canvas: np.ndarray, lesions: np.ndarray | None) -> np.ndarray:
    """The photograph with red lesions outlined in cyan and bright ones in blue."""
    drawn = canvas.copy()
    for kind, colour in enumerate([(0, 255, 255), (40, 40, 255)]) if lesions is not None else []:
        assert lesions is not None
        outlines, _ = cv2.findContours(
            np.ascontiguousarray(lesions[..., kind]), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(drawn, outlines, -1, colour, 2)
    return drawn
