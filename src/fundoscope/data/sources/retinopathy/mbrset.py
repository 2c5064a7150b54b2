"""mBRSET: 5,164 photographs of 1,291 Brazilian patients with diabetes, by a handheld camera.

Wu et al., Scientific Data 12 (2025) 323, doi 10.1038/s41597-025-04627-3; PhysioNet, doi 10.13026/qxpd-1y65.
The columns and how each is coded were read in the authors' repository (`Profile/Report mBRSET.html` of
luisnakayama/mBRSET); the names `labels_mbrset.csv` and `images/` in a script run on the PhysioNet download
(`mbrset/inspect_dataset.py` of kapoorkanav/drSOP) and in other public loaders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import decoded, first_table, optional, read_words

TABLES: Final = ("labels_mbrset.csv", "labels.csv")
PICTURES: Final = "images"
NEEDED: Final = ("patient", "age", "sex", "file", "laterality", "final_quality", "final_icdr", "final_edema")

SEX: Final = {"0": "female", "1": "male"}
EYE: Final = {"left": "left", "right": "right"}
YES: Final = {"no": 0, "yes": 1, "0": 0, "1": 1, "False": 0, "True": 1}

KEPT: Final = (
    "dm_time",
    "insulin",
    "insulin_time",
    "oraltreatment_dm",
    "systemic_hypertension",
    "insurance",
    "educational_level",
    "alcohol_consumption",
    "smoking",
    "obesity",
    "vascular_disease",
    "acute_myocardial_infarction",
    "nephropathy",
    "neuropathy",
    "diabetic_foot",
    "final_artifacts",
    "final_quality",
)
"""What the publisher says besides, in its own words: 0 no, 1 yes, dm_time and insulin_time in years."""


def read_mbrset(root: Path) -> pd.DataFrame:
    """mBRSET as it lies in a folder. `dme` is final_edema: 0 none, 1 present.

    `quality` is reject where final_quality is no, usable where it is yes but artefacts were marked, else good.

    Raises:
        BadTable: If the table is not found, or holds a code that is not the publisher's.
    """
    path = first_table(root, TABLES, what="mBRSET")
    words = read_words(path, NEEDED)
    accepted = decoded(words["final_quality"], YES, path)
    marked = decoded(optional(words, "final_artifacts"), YES, path)
    frame = pd.DataFrame(
        {
            "image": [f"{PICTURES}/{name}" for name in words["file"]],
            "patient": words["patient"],
            "eye": decoded(words["laterality"], EYE, path),
            "grade": words["final_icdr"],
            "dme": decoded(words["final_edema"], YES, path),
            "quality": [_quality(*marks) for marks in zip(accepted, marked, strict=True)],
            "camera": "Phelcom Eyer",
            "site": "Itabuna",
            "sex": decoded(words["sex"], SEX, path),
            "age": words["age"],
        },
        index=words.index,
    )
    for name in KEPT:
        frame[name] = optional(words, name)
    return frame.reset_index(drop=True)


def _quality(accepted: object, marked: object) -> str | None:
    if accepted is None:
        return None
    if accepted == 0:
        return "reject"
    return {0: "good", 1: "usable"}.get(marked) if isinstance(marked, int) else "usable"


MBRSET: Final = Source(
    name="mbrset",
    title="mBRSET, mobile Brazilian retinal dataset",
    what="5,164 photographs of 1,291 patients with diabetes (Phelcom Eyer, handheld), ICDR grade, oedema, quality and "
    "artefact marks, age, sex, treatment and comorbidities; no official split",
    modality="fundus",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    where="https://physionet.org/content/mbrset/ (credentialed access)",
    citation="Wu et al., A portable retina fundus photos dataset for clinical, demographic, and diabetic retinopathy "
    "prediction, Scientific Data 12 (2025) 323, doi 10.1038/s41597-025-04627-3",
    layout="confirmed",
    layout_from=(
        "https://github.com/luisnakayama/mBRSET/blob/main/Profile/Report%20mBRSET.html",
        "https://github.com/kapoorkanav/drSOP/blob/main/mbrset/inspect_dataset.py",
    ),
    read=read_mbrset,
    notes=(
        "sex is 0 female, 1 male here; in BRSET it is 1 male, 2 female.",
        "280 of the 5,164 photographs have no grade and 265 no oedema label: mostly those of rejected quality.",
        "985.1.jpg stands in the table but is missing from release 1.0: its sha256 stays blank.",
        "Two photographs are taken of each eye, so eyes are not independent; split by patient.",
        "The publisher's page hides its list of files until the agreement is signed; labels_mbrset.csv and images/ are "
        "what public loaders of the download read.",
    ),
)
