"""Small pictures of photographs, kept on disk while they are graded, so that a report need not read them again.

Each lies in a file of its own, so that memory does not grow with the photographs. A picture is found again only for the
row of the very grading that it was made in. One that cannot be kept, or is damaged, is not found: the report then reads
that photograph again.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from fundoscope.arrays import Photo
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.illustration import Illustration, illustrate
from fundoscope.runtime.reading import Reading
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row

OWN: Final = re.compile(r"[0-9a-f]{64}\.json")
"""Names of the files."""

SAME: Final = ("image", "sha256", "graded_at", "release", "dust_map")
"""Columns by which a picture belongs to a row."""


def illustrate_answered(opened: OpenRelease, reading: Reading, pixels: Photo, decision: str) -> Illustration:
    """Draw a photograph, with its heatmap if one may be shown beside the decision.

    Args:
        opened: The release that answered.
        reading: What became of the photograph.
        pixels: The photograph as it was decoded for the reading.
        decision: About this photograph.
    """
    return illustrate(pixels, reading, overlaid=opened.shows_heatmap(decision))


@dataclass(frozen=True, slots=True)
class Pictures:
    """A folder of pictures; safe to use from several threads."""

    folder: Path
    """Made with the first picture."""
    opened: OpenRelease
    """The release that grades."""

    def keep(self, reading: Reading, pixels: Photo) -> None:
        """Draw a photograph that was graded and keep the picture, where there is room for it."""
        row = reading.row()
        path = self._path(reading.image)
        try:
            illustration = illustrate_answered(
                self.opened, reading, pixels, self.opened.task.of_photograph(row).decision
            )
            record = {"of": {name: row[name] for name in SAME}, "illustration": asdict(illustration)}
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(record), encoding="utf-8")
        except Exception:
            # A picture that cannot be drawn or kept must not cost the grades of this photograph and the others.
            with suppress(OSError):
                path.unlink()

    def find(self, row: Row) -> Illustration | None:
        """Return the picture that was made when a row was graded; None where there is none."""
        try:
            record = json.loads(self._path(row["image"]).read_text(encoding="utf-8"))
            if record["of"] != {name: row[name] for name in SAME}:
                return None
            values = record["illustration"]
            return Illustration(**{**values, "retouched": tuple(Spot(**spot) for spot in values["retouched"])})
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self) -> None:
        """Remove the pictures, and the folder if nothing else is in it."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if OWN.fullmatch(path.name):
                    path.unlink()
            self.folder.rmdir()

    def _path(self, image: str) -> Path:
        return self.folder / f"{hashlib.sha256(image.encode(errors='surrogatepass')).hexdigest()}.json"
