"""The data sets that can be imported, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.sources.idrid import read_idrid


@dataclass(frozen=True, slots=True)
class Source:
    """A public data set: how it is read, and what a person must know before using it."""

    title: str
    what: str
    licence: str
    where: str
    """Where to get it."""
    citation: str
    read: Callable[[Path | str], pd.DataFrame]
    """From the folder it was unpacked to, to a manifest with paths relative to that folder."""


SOURCES: Final[dict[str, Source]] = {
    "idrid": Source(
        title="IDRiD, disease grading",
        what="516 macula-centred photographs of one Indian clinic, ICDR grade 0-4, risk of macular oedema, "
        "official train (413) and test (103) split",
        licence="CC BY 4.0",
        where="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
        citation="Porwal et al., Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic "
        "Retinopathy Screening Research, Data 3 (2018) 25, doi 10.3390/data3030025",
        read=read_idrid,
    ),
}
