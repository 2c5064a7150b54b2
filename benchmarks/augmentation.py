"""What augmentation costs: each disturbance of [augment] alone, and all together, against the default augmentation.

    python benchmarks/augmentation.py [--side 384] [--draws 60] [--rounds 5] [--experiment FILE.toml]

Painted retinas of the side that is trained at, one thread, processor time of drawing and applying to the canvas and
its lesion map. Rounds are interleaved; the median ratio to the default augmentation is the figure, with its range.
`--experiment` adds the [augment] section of a TOML file.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.recipe import Recipe, prepare
from fundoscope.training.augmentation.parameters import apply_params, draw_params, move_mask
from fundoscope.training.experiment.ranges import Augment

ALWAYS: dict[str, Any] = {
    "zoom": (0.7, 1.3), "tight": 1.0, "cut": 1.0, "crescent": 1.0, "vignette": 1.0, "motion": 1.0, "specks": 1.0,
    "dust": 1.0, "noise": 1.0, "gain": 0.3, "gamma": 0.5, "jpeg": 1.0, "sharpness": 1.0, "halo": 1.0, "hole": 1.0,
    "spot": 1.0, "blur": 1.0,
}  # fmt: skip
"""Each disturbance, so that it happens every time."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=384)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--experiment", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    canvas = painted_canvas(options.side)
    cases = {name: dataclasses.replace(Augment(), **{name: value}) for name, value in ALWAYS.items()}
    cases["all of these"] = dataclasses.replace(Augment(), **ALWAYS)
    if options.experiment is not None:
        cases[options.experiment.name] = read_augment(options.experiment)
    ratios: dict[str, list[float]] = {name: [] for name in cases}
    milliseconds: dict[str, list[float]] = {name: [] for name in cases}
    plain = []
    for _ in range(options.rounds):
        for name, augment in cases.items():
            base = time_of(canvas, Augment(), options.draws)
            spent = time_of(canvas, augment, options.draws)
            plain.append(base)
            ratios[name].append(spent / base)
            milliseconds[name].append(spent)
    print(f"default augmentation: {statistics.median(plain):.2f} ms a canvas of {options.side} px with its lesion map")
    for name, values in ratios.items():
        print(
            f"{name:14} {statistics.median(milliseconds[name]):6.2f} ms  {statistics.median(values):5.2f} x "
            f"({min(values):.2f} to {max(values):.2f})"
        )


def painted_canvas(side: int) -> np.ndarray:
    """Paint a retina and prepare it."""
    painted = paint_retina(RetinaSpec(side_px=2 * side, grade=3), rng=np.random.default_rng(1))
    return prepare(painted.photo, Recipe(side=side)).canvas


def read_augment(path: Path) -> Augment:
    """Read the [augment] section of a TOML file."""
    values = tomllib.loads(path.read_text(encoding="utf-8"))["augment"]
    return Augment(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def time_of(canvas: np.ndarray, augment: Augment, draws: int) -> float:
    """Return the milliseconds of processor time that a canvas and its lesion map take, the mean over draws."""
    mask = np.zeros((*canvas.shape[:2], 2), np.uint8)
    start = time.process_time()
    for seed in range(draws):
        params = draw_params(np.random.default_rng(seed), augment)
        apply_params(canvas, params)
        move_mask(mask, params)
    return 1000 * (time.process_time() - start) / draws


if __name__ == "__main__":
    main()
