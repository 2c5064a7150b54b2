"""OCTDL: 2,064 macular OCT B-scans of seven classes, with the patient's number.

Kulyabin et al., Scientific Data 11 (2024) 365, doi 10.1038/s41597-024-03182-7; data doi 10.17632/sncdhf53xc. The
publisher's `OCTDL_labels.csv` and class folders were read in the authors' own `preprocessing.py`
(MikhailKulyabin/OCTDL: file_name, without suffix, disease, patient_id) and, all columns with their codes, in the
card `OCTDL.md` of pth1993/Ophthalmology-Data. A copy with `labels.csv` and `images/` is read too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, need_columns
from fundoscope.data.words import decoded, first_table, optional, read_words
from fundoscope.tables import read_table

CLASSES: Final = ("AMD", "DME", "ERM", "NO", "RAO", "RVO", "VID")
PUBLISHED: Final = ("OCTDL_labels.csv", "OCTDL/OCTDL_labels.csv")
COPIED: Final = ("image", "label", "patient", "split")
UNKNOWN: Final = "0"
"""What the publisher writes for an eye, a sex or a year that is not known."""

EYE: Final = {"OD": "right", "OS": "left", UNKNOWN: None}
SEX: Final = {"F": "female", "M": "male", UNKNOWN: None}
KEPT: Final = {
    "subcategory": ("subcategory",),
    "condition": ("condition",),
    "year": ("year",),
    "image_width": ("image_width",),
    "image_height": ("image_height", "image_hight"),
}
"""What the publisher says besides, and its spellings."""


def read_octdl(root: Path) -> pd.DataFrame:
    """OCTDL as it lies in a folder: the publisher's layout, or a copy with `labels.csv`, which has a split.

    Raises:
        BadTable: If neither table is found, or a class or code is not the publisher's.
    """
    path = first_table(root, ("labels.csv", *PUBLISHED), what="OCTDL")
    if path.name == "labels.csv":
        copied = read_table(path)
        need_columns(copied, COPIED, path)
        return copied.assign(label=decoded(copied["label"], dict(zip(CLASSES, CLASSES, strict=True)), path))
    return _published(root, path)


def _published(root: Path, path: Path) -> pd.DataFrame:
    words = read_words(path, ("file_name", "disease", "patient_id"))
    labels = decoded(words["disease"], dict(zip(CLASSES, CLASSES, strict=True)), path)
    home = next((name for name in ("OCTDL/", "") if any((root / name / label).is_dir() for label in CLASSES)), "OCTDL/")
    frame = pd.DataFrame(
        {
            "image": [
                f"{home}{label}/{_file(str(name))}" for label, name in zip(labels, words["file_name"], strict=True)
            ],
            "patient": words["patient_id"],
            "eye": decoded(optional(words, "eye"), EYE, path),
            "label": labels,
            "sex": decoded(optional(words, "sex"), SEX, path),
        },
        index=words.index,
    )
    for name, spellings in KEPT.items():
        kept = optional(words, *spellings)
        frame[name] = kept.where(kept != UNKNOWN, None)
    return frame.reset_index(drop=True)


def _file(name: str) -> str:
    return name if name.lower().endswith((".jpg", ".jpeg", ".png")) else f"{name}.jpg"


OCTDL: Final = Source(
    name="octdl",
    title="OCTDL, OCT dataset for image-based deep learning",
    what="2,064 macular B-scans (Optovue Avanti RTVue XR): AMD 1,231, normal 332, epiretinal membrane 155, diabetic "
    "macular oedema 147, vein occlusion 101, vitreomacular interface disease 76, artery occlusion 22; patients",
    modality="oct",
    licence="CC BY 4.0",
    where="https://data.mendeley.com/datasets/sncdhf53xc",
    citation="Kulyabin et al., OCTDL: Optical Coherence Tomography Dataset for Image-Based Deep Learning Methods, "
    "Scientific Data 11 (2024) 365, doi 10.1038/s41597-024-03182-7",
    layout="confirmed",
    layout_from=(
        "https://github.com/MikhailKulyabin/OCTDL/blob/main/preprocessing.py",
        "https://github.com/pth1993/Ophthalmology-Data/blob/main/OCTDL.md",
    ),
    read=read_octdl,
    notes=(
        "Eye, sex and year are unknown for most scans; the publisher writes 0 for it, which is read as blank.",
        "The publisher has no split; copies with labels.csv do. It deals patients out class by class, as the authors' "
        "code does, so patient 4986761, the one with two classes (AMD and DME), is in train and in val; the other 819 "
        "are on one side.",
        "A patient has 2.5 B-scans on average and up to 10: split by patient.",
        "Numbers do not keep patients apart: 55 pairs of scans are one file, 47 of them under two patients' numbers; "
        "69 groups of one scan are on two sides or more of the copies' split, 25 of them one file "
        "(docs/results/audit.md). Run `fundoscope audit --write-groups`, then divide anew.",
    ),
)
