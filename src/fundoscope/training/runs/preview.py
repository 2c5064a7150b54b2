"""A grid of augmented photographs: what the network really sees, and what each augmentation has to do with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fundoscope.errors import BadRequest
from fundoscope.training.batches.items import Item, Shown, SupervisedViews
from fundoscope.training.batches.rows import Rows, training_rows
from fundoscope.training.experiment.ranges import COMPANIONS, PROBABILITIES, Augment
from fundoscope.training.experiment.schema import Experiment

DRAWS = 5
"""Draws of each row, beside the untouched photograph."""

TOGETHER = 3
"""Rows with everything together, as it is trained with."""

CELL_PX = 200
LABEL_PX = 260


def augmentation_grid(experiment: Experiment, path: Path) -> None:
    """Write a PNG: a row for each augmentation that is on, then three for all together; lesions outlined.

    The first column is the untouched photograph. In a row of its own an augmentation that is rare happens
    every time; its label says how often it does while training.

    Raises:
        BadRequest: If the file cannot be written.
    """
    rows = training_rows(experiment, experiment.data.train, lambda line: None)
    worst = int(np.argmax(rows.grades))
    lines = [
        _row(f"{name} {_value(experiment.augment, name)}", rows, worst, _certain(alone, name), experiment.seed)
        for name, alone in experiment.augment.enabled().items()
    ]
    for index in np.linspace(0, len(rows) - 1, TOGETHER).round().astype(int):
        lines.append(_row("all together", rows, int(index), experiment.augment, experiment.seed))
    _, png = cv2.imencode(".png", cv2.cvtColor(np.vstack(lines), cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png.tobytes())
    except OSError as error:
        raise BadRequest(f"{path}: expected a place where a PNG can be written: {error}. Give another path") from error


def _row(label: str, rows: Rows, index: int, augment: Augment, seed: int) -> np.ndarray:
    """A label, the untouched photograph, and draws."""
    views, plain = SupervisedViews(augment, seed), SupervisedViews(Augment.plain(), seed)
    others = [other for other in range(len(rows)) if other != index] or [index]
    partners = [others[int(place)] for place in np.linspace(0, len(others) - 1, DRAWS).round()]
    items = [plain.item(rows, Shown(0, index))]
    items += [views.item(rows, Shown(draw, index, partner=partner)) for draw, partner in enumerate(partners)]
    cells = [
        cv2.resize(picture, (CELL_PX, CELL_PX), interpolation=cv2.INTER_AREA)
        for item in items
        for picture in _outlined(item)
    ]
    strip = np.full((CELL_PX, LABEL_PX, 3), 255, np.uint8)
    for line, text in enumerate(label.split(" ", maxsplit=1)):
        place = (8, CELL_PX // 2 + 24 * line)
        cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return np.hstack([strip, *cells])


def _certain(alone: Augment, name: str) -> Augment:
    """The augmentation with its probability raised to 1."""
    ways = [key for key in (name, *COMPANIONS[name]) if key in PROBABILITIES and key != "rand_probability"]
    values: dict[str, Any] = dict.fromkeys(ways, 1.0)
    return dataclasses.replace(alone, **values)


def _value(augment: Augment, name: str) -> str:
    """What the experiment says of an augmentation, with the probability where it has one of its own."""
    value = getattr(augment, name)
    numbers = value if isinstance(value, tuple) else (value,)
    text = " to ".join(str(number) if isinstance(number, bool) else f"{number:g}" for number in numbers)
    if name in PROBABILITIES:
        return f"in {value:.0%}"
    ways = [getattr(augment, key) for key in COMPANIONS[name] if key in PROBABILITIES]
    return text + (f" in {ways[0]:.0%}" if ways and ways[0] < 1 else "")


def _outlined(item: Item) -> list[np.ndarray]:
    """The photograph with red lesions outlined in cyan and bright ones in blue; of both eyes, then its fellow."""
    canvases = item["canvas"] if item["canvas"].ndim == 4 else item["canvas"][None]
    drawn = canvases[0].copy()
    for kind, colour in enumerate([(0, 255, 255), (40, 40, 255)]) if "lesions" in item else []:
        outlines, _ = cv2.findContours(
            np.ascontiguousarray(item["lesions"][..., kind]), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(drawn, outlines, -1, colour, 2)
    return [drawn, *canvases[1:]]
