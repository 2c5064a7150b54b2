"""ODIR-5K: both eyes of 5,000 patients, eight classes per PATIENT, diagnostic keywords per eye.

Li et al., Bench 2020, doi 10.1007/978-3-030-71058-3_11; https://odir2019.grand-challenge.org. The columns were
read in the card `ODIR5k.md` of pth1993/Ophthalmology-Data and in FLAIR's loader (`local_data/prepare_partitions.py`
of jusiro/FLAIR): `full_df.csv`, the Kaggle copy's with one row per photograph, and the publisher's workbook with one
row per patient. The columns N D G C A
H M O of both tables are the patient's, not the eye's: by the count of one public loader's author, in 401 of the
2,123 photographs whose patient has D = 1 that eye has no DR keyword. So they are `patient_*` and never `sign_*`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import PRESENT, decoded, first_table, read_words

TABLES: Final = ("full_df.csv", "ODIR-5K_Training_Annotations(Updated)_V2.csv", "ODIR-5K/ODIR-5K/data.csv", "data.csv")
"""The Kaggle copy's table, and the publisher's workbook (there data.xlsx) saved as CSV."""

FOLDERS: Final = (
    "ODIR-5K/ODIR-5K/Training Images",
    "ODIR-5K/Training Images",
    "Training Images",
    "preprocessed_images",
)
CLASSES: Final = {
    "N": "normal",
    "D": "diabetes",
    "G": "glaucoma",
    "C": "cataract",
    "A": "amd",
    "H": "hypertension",
    "M": "myopia",
    "O": "other",
}
EYES: Final = {"left": "Left", "right": "Right"}
NEEDED: Final = (
    "ID",
    "Patient Age",
    "Patient Sex",
    *(f"{eye}-{what}" for eye in EYES.values() for what in ("Fundus", "Diagnostic Keywords")),
    *CLASSES,
)

SEX: Final = {"Female": "female", "Male": "male"}

GRADES: Final = {
    "normal fundus": 0,
    "mild nonproliferative retinopathy": 1,
    "moderate non proliferative retinopathy": 2,
    "severe nonproliferative retinopathy": 3,
    "proliferative diabetic retinopathy": 4,
    "severe proliferative diabetic retinopathy": 4,
}
"""Keywords that say an ICDR grade outright."""

UNGRADED: Final = ("diabetic retinopathy", "suspected diabetic retinopathy", "suspicious diabetic retinopathy")
"""Keywords that say there is retinopathy, or may be, without its grade."""

OTHER_EYE: Final = "no fundus image"
"""The keyword of an eye that was not photographed: its picture is something else, often the fellow eye again."""


def read_odir(root: Path) -> pd.DataFrame:
    """ODIR-5K's annotated part as it lies in a folder, one row per photograph, `keywords` as published.

    `grade` comes from keywords that say it outright (`GRADES`), else it is blank. `label` is the eye's own class of
    the Kaggle copy's column `labels`, blank for the publisher's table, which has none.

    Raises:
        BadTable: If the table is not found, or a patient has a code that is not the publisher's.
    """
    path = first_table(root, TABLES, what="ODIR-5K")
    words = read_words(path, NEEDED)
    folder = next((name for name in FOLDERS if (root / name).is_dir()), FOLDERS[-1])
    patients = words.drop_duplicates("ID")
    frame = pd.concat([_eye(patients, eye, folder, path) for eye in EYES], ignore_index=True)
    if "filename" in words:
        own = dict(zip(words["filename"], words["labels"], strict=True)) if "labels" in words else {}
        names = [str(image).rpartition("/")[2] for image in frame["image"]]
        frame["label"] = [_class(own.get(name)) for name in names]
        frame = frame[pd.Series(names).isin(set(words["filename"]))]
    return frame.sort_values("image", kind="stable", ignore_index=True)


def _eye(patients: pd.DataFrame, eye: str, folder: str, path: Path) -> pd.DataFrame:
    """One row per patient, of one eye."""
    keywords = [_keywords(text) for text in patients[f"{EYES[eye]}-Diagnostic Keywords"]]
    frame = pd.DataFrame(
        {
            "image": [f"{folder}/{name}" for name in patients[f"{EYES[eye]}-Fundus"]],
            "patient": patients["ID"],
            "eye": [None if OTHER_EYE in said else eye for said in keywords],
            "grade": [grade_of(said) for said in keywords],
            "sex": decoded(patients["Patient Sex"], SEX, path),
            "age": patients["Patient Age"],
            "keywords": ["; ".join(said) or None for said in keywords],
        },
        index=patients.index,
    )
    for column, name in CLASSES.items():
        frame[f"patient_{name}"] = decoded(patients[column], PRESENT, path)
    return frame[patients[f"{EYES[eye]}-Fundus"].notna()]


def grade_of(keywords: list[str]) -> int | None:
    """The ICDR grade that an eye's keywords say outright, the worst if several; None if they do not say it.

    A normal fundus is grade 0 only if no other keyword speaks of retinopathy without a grade.
    """
    if OTHER_EYE in keywords:
        return None
    said = [GRADES[word] for word in keywords if word in GRADES]
    worst = max(said, default=None)
    return None if worst == 0 and set(UNGRADED) & set(keywords) else worst


def _keywords(text: object) -> list[str]:
    """Keywords are parted by commas, ASCII or full-width; both occur."""
    return [word.strip() for word in re.split("[,\uff0c]", text) if word.strip()] if isinstance(text, str) else []


def _class(labels: object) -> str | None:
    """Of "['D']": diabetes; several classes are joined by +."""
    letters = re.findall(r"'([NDGCAHMO])'", str(labels))
    return "+".join(CLASSES[letter] for letter in letters) or None


ODIR: Final = Source(
    name="odir",
    title="ODIR-5K, Ocular Disease Intelligent Recognition",
    what="both eyes of 5,000 patients, of which 3,500 are published with labels: keywords per eye, eight classes per "
    "patient, age, sex; several cameras",
    modality="fundus",
    licence="as the challenge's rules say; the Kaggle copy states none of its own",
    where="https://odir2019.grand-challenge.org/dataset/ or "
    "https://www.kaggle.com/datasets/andrewmvd/ocular-disease-recognition-odir5k",
    citation="Li et al., A Benchmark of Ocular Disease Intelligent Recognition: One Shot for Multi-disease Detection, "
    "Bench 2020, doi 10.1007/978-3-030-71058-3_11",
    layout="confirmed",
    layout_from=(
        "https://github.com/pth1993/Ophthalmology-Data/blob/main/ODIR5k.md",
        "https://github.com/jusiro/FLAIR/blob/main/local_data/prepare_partitions.py",
        "https://github.com/ayushma77/opthalmology_project/blob/main/Scripts/prepare_datasets.py",
    ),
    read=read_odir,
    notes=(
        "N, D, G, C, A, H, M, O are labels of the patient, kept as patient_normal, patient_diabetes and so on: said of "
        "an eye they are wrong for about one in five photographs of patients with diabetic retinopathy.",
        "grade is read off keywords that state it; eyes said to have another disease, or retinopathy without a grade, "
        "have none. It was never an ICDR reading of its own: good for screening data, not for reference.",
        "An eye whose keyword is 'no fundus image' was not photographed; its picture may be the fellow eye again, so "
        "its eye is blank.",
        "The publisher's table is an Excel workbook; save its sheet as CSV UTF-8 under the same name.",
        "full_df.csv keeps 6,392 of the 7,000 photographs; its column filepath is wrong and not read.",
        "The test photographs of the challenge were published without labels and are not read.",
    ),
)
