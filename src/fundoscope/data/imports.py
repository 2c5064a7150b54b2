"""The data sets that can be imported, by name, and the one way in which each becomes a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.generic import SPECS
from fundoscope.data.manifest import with_hashes
from fundoscope.data.source import Source
from fundoscope.data.sources.diseases.odir import ODIR
from fundoscope.data.sources.diseases.rfmid import RFMID
from fundoscope.data.sources.oct.kermany import KERMANY
from fundoscope.data.sources.oct.octdl import OCTDL
from fundoscope.data.sources.oct.octid import OCTID
from fundoscope.data.sources.oct.retouch import RETOUCH
from fundoscope.data.sources.retinopathy.aptos import APTOS
from fundoscope.data.sources.retinopathy.brset import BRSET
from fundoscope.data.sources.retinopathy.ddr import DDR
from fundoscope.data.sources.retinopathy.deepdrid import DEEPDRID
from fundoscope.data.sources.retinopathy.eyepacs import EYEPACS
from fundoscope.data.sources.retinopathy.eyeq import EYEQ
from fundoscope.data.sources.retinopathy.fgadr import FGADR
from fundoscope.data.sources.retinopathy.gdrbench import GDRBENCH
from fundoscope.data.sources.retinopathy.idrid import IDRID
from fundoscope.data.sources.retinopathy.idrid_lesions import IDRID_LESIONS
from fundoscope.data.sources.retinopathy.mbrset import MBRSET
from fundoscope.data.sources.retinopathy.messidor import MESSIDOR
from fundoscope.data.sources.retinopathy.messidor2 import MESSIDOR2
from fundoscope.data.sources.retinopathy.rldr import RLDR
from fundoscope.data.sources.retinopathy.sustech import SUSTECH
from fundoscope.errors import BadRequest, FundoscopeError
from fundoscope.tables import SUFFIXES, check_manifest, read_table

SOURCES: Final[dict[str, Source]] = {
    source.name: source
    for source in (
        EYEPACS,
        APTOS,
        MESSIDOR,
        MESSIDOR2,
        IDRID,
        IDRID_LESIONS,
        DDR,
        DEEPDRID,
        FGADR,
        RLDR,
        SUSTECH,
        EYEQ,
        GDRBENCH,
        BRSET,
        MBRSET,
        ODIR,
        RFMID,
        KERMANY,
        OCTDL,
        OCTID,
        RETOUCH,
        *SPECS.values(),
    )
}
"""Every source by its name: graded fundus photographs, those with other labels, OCT, then what comes in by a table."""


def is_imported(path: Path) -> bool:
    """Return whether a file is a manifest that an import wrote, not a table of a data set."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        frame = read_table(path)
    except FundoscopeError:
        return False
    return {"image", "sha256", "source", "modality"} <= set(frame.columns) and set(frame["source"]) <= set(SOURCES)


def import_source(name: str, folder: Path | str) -> pd.DataFrame:
    """Make the checked manifest of a public data set; `sha256` is blank where a picture is missing.

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
