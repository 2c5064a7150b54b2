"""Paints the retinas of this folder again, the same every time: python tests/painted/paint.py [FOLDER]."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina

SIDE_PX = 900

EXAMPLES = {
    # The two eyes of one made-up patient ...
    "painted_grade0_right.jpg": (11, RetinaSpec(side_px=SIDE_PX, grade=0, eye="right", framing="cropped")),
    "painted_grade2_left.jpg": (12, RetinaSpec(side_px=SIDE_PX, grade=2, eye="left", framing="cropped")),
    # ... and other eyes.
    "painted_grade1_left.jpg": (13, RetinaSpec(side_px=SIDE_PX, grade=1, eye="left")),
    "painted_grade3_right.jpg": (14, RetinaSpec(side_px=SIDE_PX, grade=3, eye="right", framing="off-centre")),
    "painted_grade4_left.jpg": (15, RetinaSpec(side_px=SIDE_PX, grade=4, eye="left", framing="cropped")),
    "painted_ungradable_right.jpg": (
        16,
        RetinaSpec(side_px=SIDE_PX, grade=2, eye="right", brightness=0.18, blur_px=11.0),
    ),
}
"""File name: seed and what is painted."""


def main(folder: Path) -> None:
    """Paint every example into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (seed, spec) in EXAMPLES.items():
        painted = paint_retina(spec, rng=np.random.default_rng(seed))
        Image.fromarray(painted.photo).save(folder / name, quality=88, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
