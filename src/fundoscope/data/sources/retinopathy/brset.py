"""BRSET: 16,266 macula-centred photographs of 8,524 Brazilian patients, two DR scales, 13 labels, clinical data.

Nakayama et al., PLOS Digital Health 3 (2024) e0000454, doi 10.1371/journal.pdig.0000454; PhysioNet,
doi 10.13026/xcxw-8198. The header and its codes were read in the authors' repository (`data/labels.csv` and
`Profile/Report BRSET.html` of luisnakayama/BRSET), the folder of pictures in FLAIR's loader
(`local_data/prepare_partitions.py` of jusiro/FLAIR). The table's name and the spelling of four columns changed
from release to release; every spelling that was seen is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import PRESENT, decoded, first_table, optional, read_words

TABLES: Final = ("labels_brset.csv", "labels.csv")
PICTURES: Final = "fundus_photos"
NEEDED: Final = ("image_id", "patient_id", "camera", "patient_age", "patient_sex", "exam_eye", "DR_ICDR", "DR_SDRG")

SEX: Final = {"1": "male", "2": "female"}
EYE: Final = {"1": "right", "2": "left"}
QUALITY: Final = {"Adequate": "good", "Inadequate": "usable"}
"""An inadequate picture was graded all the same, so it is not `reject`."""


SIGNS: Final[dict[str, tuple[str, ...]]] = {
    "diabetic_retinopathy": ("diabetic_retinopathy",),
    "macular_edema": ("macular_edema",),
    "scar": ("scar",),
    "nevus": ("nevus",),
    "amd": ("amd",),
    "vascular_occlusion": ("vascular_occlusion",),
    "hypertensive_retinopathy": ("hypertensive_retinopathy",),
    "drusen": ("drusen", "drusens"),
    "hemorrhage": ("hemorrhage",),
    "retinal_detachment": ("retinal_detachment",),
    "myopic_fundus": ("myopic_fundus",),
    "increased_cup_disc": ("increased_cup_disc",),
    "other": ("other",),
}
"""Our name of a sign, and its column's spellings, newest first."""

KEPT: Final[dict[str, tuple[str, ...]]] = {
    "nationality": ("nationality",),
    "comorbidities": ("comorbidities",),
    "diabetes": ("diabetes",),
    "diabetes_years": ("diabetes_time", "diabetes_time_y"),
    "insulin": ("insulin", "insuline", "insulin_use"),
    "optic_disc": ("optic_disc",),
    "vessels": ("vessels",),
    "macula": ("macula",),
    "focus": ("focus",),
    "illumination": ("illumination", "Illuminaton", "iluminaton"),
    "image_field": ("image_field",),
    "artifacts": ("artifacts",),
    "brset_quality": ("quality",),
}
"""Columns kept in the publisher's words: 1 is normal or adequate, 2 abnormal or inadequate."""


def read_brset(root: Path) -> pd.DataFrame:
    """BRSET as it lies in a folder. `dme` is macular_edema (0 none, 1 present), `grade_sdrg` the Scottish grade.

    Raises:
        BadTable: If the table is not found, or holds a code that no release used.
    """
    path = first_table(root, TABLES, what="BRSET")
    words = read_words(path, NEEDED)
    there = picture_names(root / PICTURES)
    quality = optional(words, "quality")
    frame = pd.DataFrame(
        {
            "image": [f"{PICTURES}/{_file(str(name), there)}" for name in words["image_id"]],
            "patient": words["patient_id"],
            "eye": decoded(words["exam_eye"], EYE, path),
            "grade": words["DR_ICDR"],
            "grade_sdrg": words["DR_SDRG"],
            "dme": decoded(optional(words, "macular_edema"), PRESENT, path),
            "quality": decoded(quality, QUALITY, path),
            "camera": words["camera"],
            "sex": decoded(words["patient_sex"], SEX, path),
            "age": words["patient_age"],
        }
    )
    for name, spellings in SIGNS.items():
        frame[f"sign_{name}"] = decoded(optional(words, *spellings), PRESENT, path)
    for name, spellings in KEPT.items():
        frame[name] = optional(words, *spellings)
    return frame.reset_index(drop=True)


def _file(name: str, there: dict[str, str]) -> str:
    """A picture's file; the table leaves the suffix out, and every loader adds .jpg."""
    if name.lower().endswith((".jpg", ".jpeg")):
        return name
    return there.get(name, f"{name}.jpg")


BRSET: Final = Source(
    name="brset",
    title="BRSET, Brazilian Multilabel Ophthalmological Dataset",
    what="16,266 macula-centred photographs of 8,524 patients (Nikon NF505, Canon CR-2), ICDR and Scottish grades, "
    "13 labels, four quality marks, age, sex, diabetes; no official split",
    modality="fundus",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    where="https://physionet.org/content/brazilian-ophthalmological/ (credentialed access)",
    citation="Nakayama et al., BRSET: A Brazilian Multilabel Ophthalmological Dataset of Retina Fundus Photos, "
    "PLOS Digital Health 3 (2024) e0000454, doi 10.1371/journal.pdig.0000454",
    layout="confirmed",
    layout_from=(
        "https://github.com/luisnakayama/BRSET/blob/main/data/labels.csv",
        "https://github.com/luisnakayama/BRSET/blob/main/Profile/Report%20BRSET.html",
        "https://github.com/jusiro/FLAIR/blob/main/local_data/prepare_partitions.py",
    ),
    read=read_brset,
    notes=(
        "Use release 1.0.2 or later: it remapped exam_eye (1 right, 2 left); in earlier ones the eye may be wrong. "
        "1.0.1 reviewed the DR and AMD labels.",
        "The spelling changed between releases (iluminaton, Illuminaton, illumination; drusens, drusen; insuline, "
        "insulin), and labels.csv is also called labels_brset.csv; all are read.",
        "macular_edema says present or absent, so dme is 0 or 1; the paper defines it within one disc diameter of "
        "the fovea, which elsewhere would be dme 2.",
        "quality: Adequate is good, Inadequate is usable, because those pictures carry a grade too; the word itself "
        "is in brset_quality.",
        "Grade 4 includes the state after laser.",
        "diabetes_years is kept as it is written: some cells have decimal commas, some are words.",
    ),
)
