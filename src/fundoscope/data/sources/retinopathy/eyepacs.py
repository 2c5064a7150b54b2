"""EyePACS of Kaggle's 2015 competition: 88,702 photographs of 44,351 patients, both eyes of each, ICDR grade.

Layout read in github.com/mikevoets/jama16-retina-replication (README, preprocess_eyepacs.py) and
github.com/jusiro/FLAIR (local_data/prepare_partitions.py): `trainLabels.csv` (image, level) beside `train/`; the labels
of `test/` came after the competition, as `retinopathy_solution.csv` (image, level, Usage) or `testLabels.csv`. `Usage`
says which part of the leaderboard a test photograph counted for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.known import eyepacs_eye
from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import GRADE_CODES, decoded, first_table, optional, read_words

TRAIN: Final = "trainLabels.csv"
TEST: Final = ("retinopathy_solution.csv", "testLabels.csv")
"""The table of the test photographs, in order of preference: only the first says how they were used."""


def read_eyepacs(root: Path) -> pd.DataFrame:
    """EyePACS as it lies in a folder; patient and eye are read off the name, `usage` is the leaderboard's part.

    Photographs for which there is no table of labels are left out.

    Raises:
        BadTable: If no table of labels is there, or one is not as expected.
    """
    first_table(root, (TRAIN, *TEST), what="EyePACS")
    parts = []
    if (root / TRAIN).is_file():
        parts.append(_part(root, root / TRAIN, "train"))
    if any((root / name).is_file() for name in TEST):
        parts.append(_part(root, first_table(root, TEST, what="EyePACS' test labels"), "test"))
    return pd.concat(parts, ignore_index=True)


def _part(root: Path, path: Path, split: str) -> pd.DataFrame:
    words = read_words(path, ("image", "level"))
    pictures = picture_names(root / split)
    eyes = [eyepacs_eye(str(name)) for name in words["image"]]
    return pd.DataFrame(
        {
            "image": [f"{split}/{pictures.get(str(name), f'{name}.jpeg')}" for name in words["image"]],
            "patient": [patient for patient, _ in eyes],
            "eye": [eye for _, eye in eyes],
            "grade": decoded(words["level"], GRADE_CODES, path),
            "split": split,
            "usage": optional(words, "Usage"),
        }
    )


EYEPACS: Final = Source(
    name="eyepacs",
    title="EyePACS (Kaggle 2015)",
    what="88,702 photographs, left and right eye of each patient, ICDR grade 0-4 by one reader, split train (35,126) "
    "and test (53,576: public and private)",
    modality="fundus",
    licence="Kaggle competition rules (no redistribution)",
    where="https://www.kaggle.com/c/diabetic-retinopathy-detection/data",
    citation="Cuadros and Bresnick, EyePACS: an adaptable telemedicine system for diabetic retinopathy screening, "
    "J Diabetes Sci Technol 3 (2009) 509-516; Kaggle, Diabetic Retinopathy Detection (2015)",
    layout="confirmed",
    layout_from=(
        "https://github.com/mikevoets/jama16-retina-replication/blob/15f2af3/preprocess_eyepacs.py",
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
        "https://github.com/BPYap/SWCL (README and script/1_preprocess_eyepacs.py)",
    ),
    read=read_eyepacs,
    notes=(
        "One reader per photograph, noisy: of the 1,593 photographs that RLDR's experts graded again, 59.8 % kept "
        "their grade (quadratic kappa 0.554).",
        "RLDR and EyeQ are taken from it, name for name; whoever trains on it must not test on them. "
        "GDRBench's EYEPACS lists are its train and test parts.",
        "The competition's download holds no test labels; they were published afterwards.",
    ),
)
