"""The data sets that can be imported, by name, and the one way in which each becomes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.manifest import with_hashes
from fundoscope.data.source import Source
from fundoscope.data.sources.idrid import IDRID
from fundoscope.errors import BadRequest
from fundoscope.tables import check_manifest

SOURCES: Final[dict[str, Source]] = {source.name: source for source in (IDRID,)}
"""Every source by its name, fundus photographs first, then OCT."""


def import_source(name: str, folder: Path | str) -> pd.DataFrame:
    """A checked manifest of a public data set, paths relative to its folder; `sha256` blank where a picture is missing.

    Raises:
        BadRequest: If there is no such source, or no such folder.
        BadTable: If the folder does not hold it as its publisher lays it out.
    """
    if name not in SOURCES:
        raise BadRequest(f"{name}: expected one of {', '.join(SOURCES)}. See: fundoscope data sources")
    root = Path(folder)
    if not root.is_dir():
        raise BadRequest(f"{root}: expected the folder of {name}, got no folder. Check the path.")
    source = SOURCES[name]
    frame = source.read(root).assign(source=name, modality=source.modality)
    return check_manifest(with_hashes(frame, root), path=root / f"{name}.csv")
