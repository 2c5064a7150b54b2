"""OCTID: 572 foveal OCT B-scans of five classes.

Gholami et al., Computers and Electrical Engineering 81 (2020) 106532, arXiv 1812.07056. The publisher's Dataverse
holds one archive per class; how their folders are called was seen only in public loaders, in several spellings, all
of which are read. RETFound's benchmark copy (train/val/test with ANormal, ARMD, CSR, Diabetic_retinopathy,
Macular_Hole) was read in the card `OCTID.md` of pth1993/Ophthalmology-Data and in
`finetune_visionfm_for_multiclass_classification.py` of ABILab-CUHK/VisionFM.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.generic import TableSpec, read_labelled_folders
from fundoscope.data.source import Source

SPEC: Final = TableSpec(
    name="OCTID",
    task="multi-class",
    modality="oct",
    classes={
        "NORMAL": "NORMAL",
        "ANormal": "NORMAL",
        "AMRD": "AMD",
        "ARMD": "AMD",
        "AMD": "AMD",
        "CSR": "CSR",
        "CSC": "CSR",
        "DR": "DR",
        "Diabetic_retinopathy": "DR",
        "MH": "MH",
        "Macular_Hole": "MH",
    },
)


def read_octid(root: Path) -> pd.DataFrame:
    """OCTID as it lies in a folder, by class, with or without train, val and test above the classes.

    Raises:
        BadTable: If there is no class folder with B-scans, or a folder that is no class.
    """
    return read_labelled_folders(root, SPEC)


OCTID: Final = Source(
    name="octid",
    title="OCTID, Optical Coherence Tomography Image Database",
    what="572 foveal B-scans (Cirrus HD-OCT): normal 206, diabetic retinopathy 107, central serous retinopathy 102, "
    "macular hole 102, age-related macular degeneration 55",
    modality="oct",
    licence="as the Dataverse's page says; free for research",
    where="https://borealisdata.ca/dataverse/OCTID",
    citation="Gholami et al., OCTID: Optical coherence tomography image database, Computers and Electrical "
    "Engineering 81 (2020) 106532",
    layout="unconfirmed",
    layout_from=(
        "https://github.com/pth1993/Ophthalmology-Data/blob/main/OCTID.md",
        "https://github.com/ABILab-CUHK/VisionFM/blob/main/finetune_visionfm_for_multiclass_classification.py",
        "https://github.com/rmaphoh/RETFound_MAE/blob/main/BENCHMARK.md",
    ),
    read=read_octid,
    notes=(
        "RETFound's benchmark folders are confirmed. Of the publisher's archives, one per class, the folders' names "
        "are assumed: NORMAL, AMRD (also ARMD, AMD), CSR (also CSC), DR, MH; capitals do not matter.",
        "No patient or eye is published, so a split cannot keep patients together.",
        "DR here is a class of B-scans, not an ICDR grade.",
    ),
)
