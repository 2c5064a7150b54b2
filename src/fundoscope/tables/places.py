"""Where the files are that a table names, though it was written on another computer."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path


class Places:
    """Finds the files that a table names in or below one folder; each folder is listed once at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, name: str) -> Path:
        r"""Return the file that a name means; the name itself in the folder where there is none.

        The name as it is goes first. Else `a\b.jpg` is `a/b.jpg`, and `a/b.JPG` is `a/b.jpg` where one file alone is
        called so but for capitals.
        """
        for spelling in dict.fromkeys((name, name.replace("\\", "/"))):
            path = self.folder / spelling
            if os.path.lexists(path):
                return path
            other = self._listed(path.parent).get(path.name.casefold())
            if other is not None:
                return path.with_name(other)
        return self.folder / name

    def _listed(self, folder: Path) -> dict[str, str]:
        """Return the names in a folder by their small letters, those that differ in capitals alone left out."""
        if folder not in self._names:
            try:
                names = os.listdir(folder)
            except (OSError, ValueError):
                names = []
            counts = Counter(map(str.casefold, names))
            self._names[folder] = {name.casefold(): name for name in names if counts[name.casefold()] == 1}
        return self._names[folder]
