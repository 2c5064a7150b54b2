"""RFMiD: 3,200 photographs, 45 conditions each present or absent, official training, validation and test sets.

Pachade et al., Data 6 (2021) 14, doi 10.3390/data6020014. Two layouts are read: IEEE DataPort's (`1. Original
Images/a. Training Set`, `2. Groundtruths/a. RFMiD_Training_Labels.csv`), seen in `mimeta_pipelines/rfmid.py` of
StefanoWoerner/medimeta-dataset-scripts and in FLAIR's loader (`local_data/prepare_partitions.py` of jusiro/FLAIR),
and the Kaggle copy's (`Training_Set/Training_Set/RFMiD_Training_Labels.csv` beside `Training/`, or without doubling the
folder), seen in public loaders. The 45 abbreviations are spelled out in the card `RFMiD.md` of
pth1993/Ophthalmology-Data.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import PRESENT, decoded, first_table, read_words
from fundoscope.errors import BadTable

SPLITS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    split: (
        (f"{folder}/{folder}/RFMiD_{table}_Labels.csv", f"{folder}/{folder}/{pictures}"),
        (f"{folder}/RFMiD_{table}_Labels.csv", f"{folder}/{pictures}"),
        (f"2. Groundtruths/{letter}. RFMiD_{table}_Labels.csv", f"1. Original Images/{letter}. {table} Set"),
    )
    for split, folder, table, pictures, letter in (
        ("train", "Training_Set", "Training", "Training", "a"),
        ("val", "Evaluation_Set", "Validation", "Validation", "b"),
        ("test", "Test_Set", "Testing", "Test", "c"),
    )
}
"""Of each split: where its table and its pictures lie, in the Kaggle copy, in that copy with its doubled folders
undone, and in IEEE DataPort's archive."""


SIGNS: Final = {
    "DR": "diabetic_retinopathy",
    "ARMD": "age_related_macular_degeneration",
    "MH": "media_haze",
    "DN": "drusen",
    "MYA": "myopia",
    "BRVO": "branch_retinal_vein_occlusion",
    "TSLN": "tessellation",
    "ERM": "epiretinal_membrane",
    "LS": "laser_scar",
    "MS": "macular_scar",
    "CSR": "central_serous_retinopathy",
    "ODC": "optic_disc_cupping",
    "CRVO": "central_retinal_vein_occlusion",
    "TV": "tortuous_vessels",
    "AH": "asteroid_hyalosis",
    "ODP": "optic_disc_pallor",
    "ODE": "optic_disc_edema",
    "ST": "shunt",
    "AION": "anterior_ischemic_optic_neuropathy",
    "PT": "parafoveal_telangiectasia",
    "RT": "retinal_traction",
    "RS": "retinitis",
    "CRS": "chorioretinitis",
    "EDN": "exudation",
    "RPEC": "retinal_pigment_epithelium_changes",
    "MHL": "macular_hole",
    "RP": "retinitis_pigmentosa",
    "CWS": "cotton_wool_spots",
    "CB": "coloboma",
    "ODPM": "optic_disc_pit_maculopathy",
    "PRH": "preretinal_hemorrhage",
    "MNF": "myelinated_nerve_fibers",
    "HR": "hemorrhagic_retinopathy",
    "CRAO": "central_retinal_artery_occlusion",
    "TD": "tilted_disc",
    "CME": "cystoid_macular_edema",
    "PTCR": "post_traumatic_choroidal_rupture",
    "CF": "choroidal_folds",
    "VH": "vitreous_hemorrhage",
    "MCA": "macroaneurysm",
    "VS": "vasculitis",
    "BRAO": "branch_retinal_artery_occlusion",
    "PLQ": "plaque",
    "HPED": "hemorrhagic_pigment_epithelial_detachment",
    "CL": "collaterals",
}
"""The publisher's abbreviations, in words. MH is media haze; the macular hole is MHL."""


def read_rfmid(root: Path) -> pd.DataFrame:
    """RFMiD as it lies in a folder; splits that were not downloaded are left out. `label` is normal or disease.

    Raises:
        BadTable: If no split is found, or a column is no known condition.
    """
    held = {
        split: next((place for place in places if (root / place[0]).is_file()), None)
        for split, places in SPLITS.items()
    }
    if not any(held.values()):
        first_table(root, [place[0] for place in SPLITS["train"]], what="RFMiD")
    parts = [_split(root, split, *place) for split, place in held.items() if place is not None]
    return pd.concat(parts, ignore_index=True)


def _split(root: Path, split: str, table: str, pictures: str) -> pd.DataFrame:
    path = root / table
    words = read_words(path, ("ID", "Disease_Risk", "DR"))
    conditions = [name for name in words.columns if name not in ("ID", "Disease_Risk")]
    if unknown := [name for name in conditions if name not in SIGNS]:
        raise BadTable(
            f"{path}: expected columns ID, Disease_Risk and the {len(SIGNS)} conditions of RFMiD, got {unknown[0]}. "
            "Name the folder of RFMiD 1.0; RFMiD 2.0 is another set."
        )
    frame = pd.DataFrame(
        {
            "image": [f"{pictures}/{name}.png" for name in words["ID"]],
            "label": decoded(words["Disease_Risk"], {"0": "normal", "1": "disease"}, path),
            "split": split,
        },
        index=words.index,
    )
    for name in conditions:
        frame[f"sign_{SIGNS[name]}"] = decoded(words[name], PRESENT, path)
    return frame


RFMID: Final = Source(
    name="rfmid",
    title="RFMiD, Retinal Fundus Multi-disease Image Dataset",
    what="3,200 photographs by three cameras, 45 conditions present or absent by two specialists, official training "
    "(1,920), validation (640) and test (640) sets",
    modality="fundus",
    licence="CC BY 4.0",
    where="https://ieee-dataport.org/open-access/retinal-fundus-multi-disease-image-dataset-rfmid",
    citation="Pachade et al., Retinal Fundus Multi-Disease Image Dataset (RFMiD): A Dataset for Multi-Disease "
    "Detection Research, Data 6 (2021) 14, doi 10.3390/data6020014",
    layout="confirmed",
    layout_from=(
        "https://github.com/jusiro/FLAIR/blob/main/local_data/prepare_partitions.py",
        "https://github.com/StefanoWoerner/medimeta-dataset-scripts/blob/main/mimeta_pipelines/rfmid.py",
        "https://github.com/pth1993/Ophthalmology-Data/blob/main/RFMiD.md",
        "https://www.kaggle.com/datasets/andrewmvd/retinal-disease-classification",
    ),
    read=read_rfmid,
    notes=(
        "Every split starts at ID 1: names alone confuse training, validation and test photographs.",
        "MH is media haze, not the macular hole (MHL). Signs carry the words instead of the abbreviations.",
        "No patient, eye, age or camera of a photograph is published; DR is present or absent, without a grade.",
        "MuReD takes photographs from here.",
    ),
)
