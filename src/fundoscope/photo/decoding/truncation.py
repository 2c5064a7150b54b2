"""Pillow refuses truncated files while a photograph is decoded, whatever another library has told it.

`ImageFile.LOAD_TRUNCATED_IMAGES` is one switch for a whole process. Libraries (WeasyPrint) and much research code set
it when they are imported; a photograph of which half is missing would then be decoded as half grey, and graded.
"""

from __future__ import annotations

import threading
from types import TracebackType

from PIL import ImageFile


class TruncationRefused:
    """A context in which Pillow refuses truncated files; several threads may be in it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._earlier = False

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._earlier = ImageFile.LOAD_TRUNCATED_IMAGES
            self._inside += 1
            ImageFile.LOAD_TRUNCATED_IMAGES = False

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                # The switch is put back: it is somebody else's.
                ImageFile.LOAD_TRUNCATED_IMAGES = self._earlier


TRUNCATION_REFUSED = TruncationRefused()
"""The one of this process."""
