"""Makes the example photographs from IDRiD's files: python examples/make.py IDRID_FOLDER [FOLDER].

Needs a folder that holds `images/IDRiD_test_NNN.jpg`, 1024 px on the longer side.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import cv2

COPIED = ("038", "039", "085", "093", "010", "011", "021", "022", "003", "040", "054")
"""The first session of each grade that has a photograph of both eyes, and the right eye of one session more."""

DEFOCUSED = "055"
"""The left eye of that session: it is the one that cannot be graded."""

BLUR_PX = 16.0
"""Standard deviation of the Gaussian blur that stands for a camera out of focus."""


def main(source: Path, folder: Path) -> None:
    """Copy the photographs into a folder, and blur the last one."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in COPIED:
        shutil.copyfile(source / "images" / f"IDRiD_test_{number}.jpg", folder / f"idrid_test_{number}.jpg")
    pixels = cv2.imread(str(source / "images" / f"IDRiD_test_{DEFOCUSED}.jpg"))
    blurred = cv2.GaussianBlur(pixels, (0, 0), BLUR_PX)
    cv2.imwrite(str(folder / f"idrid_test_{DEFOCUSED}_out_of_focus.jpg"), blurred, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent)
