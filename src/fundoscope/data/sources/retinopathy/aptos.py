"""APTOS 2019 Blindness Detection: 3,662 labelled photographs of Aravind Eye Hospital, ICDR grade, no patients.

Two layouts are read. Kaggle's: `train.csv` (id_code, diagnosis) beside `train_images/`, `test.csv` (id_code only)
beside `test_images/`; read in github.com/jusiro/FLAIR (local_data/prepare_partitions.py). And the copy that splits the
labelled ones again (kaggle.com/datasets/mariaherrerot/aptos2019): `train_1.csv`, `valid.csv`, `test.csv`, all with
`diagnosis`, beside folders that hold a folder of the same name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import GRADE_CODES, decoded, first_table, optional, read_words

OFFICIAL: Final = {"train": ("train.csv", ("train_images",)), "test": ("test.csv", ("test_images",))}
RESPLIT: Final = {
    "train": ("train_1.csv", ("train_images/train_images", "train_images")),
    "val": ("valid.csv", ("val_images/val_images", "val_images")),
    "test": ("test.csv", ("test_images/test_images", "test_images")),
}
"""The table of each split, and the folders its pictures may lie in."""


def read_aptos(root: Path) -> pd.DataFrame:
    """APTOS 2019 as it lies in a folder; Kaggle's own test photographs have no grade.

    Raises:
        BadTable: If neither layout is found, or a table of labels is not as expected.
    """
    path = first_table(root, (RESPLIT["train"][0], OFFICIAL["train"][0]), what="APTOS 2019")
    layout = RESPLIT if path.name == RESPLIT["train"][0] else OFFICIAL
    parts = [
        _part(root, root / table, split, folders)
        for split, (table, folders) in layout.items()
        if split == "train" or (root / table).is_file()
    ]
    return pd.concat(parts, ignore_index=True)


def _part(root: Path, path: Path, split: str, folders: tuple[str, ...]) -> pd.DataFrame:
    labelled = split != "test" or path.parent.joinpath(RESPLIT["train"][0]).is_file()
    words = read_words(path, ("id_code", "diagnosis") if labelled else ("id_code",))
    pictures: dict[str, str] = {}
    for folder in reversed(folders):
        pictures |= {stem: f"{folder}/{name}" for stem, name in picture_names(root / folder).items()}
    return pd.DataFrame(
        {
            "image": [pictures.get(str(code), f"{folders[0]}/{code}.png") for code in words["id_code"]],
            "grade": decoded(optional(words, "diagnosis"), GRADE_CODES, path),
            "split": split,
        }
    )


APTOS: Final = Source(
    name="aptos",
    title="APTOS 2019 Blindness Detection",
    what="3,662 labelled photographs, ICDR grade 0-4 (1805/370/999/193/295), and 1,928 test photographs without labels",
    modality="fundus",
    licence="Kaggle competition rules (no redistribution)",
    where="https://www.kaggle.com/c/aptos2019-blindness-detection/data",
    citation="Karthik, Maggie and Dane, APTOS 2019 Blindness Detection, Kaggle (2019)",
    layout="confirmed",
    layout_from=(
        "https://www.kaggle.com/c/aptos2019-blindness-detection/data",
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
        "https://www.kaggle.com/datasets/mariaherrerot/aptos2019",
    ),
    read=read_aptos,
    notes=(
        "No patient and no eye is published: the two eyes of one person can lie on both sides of any split.",
        "Photographs repeat, some with another grade: look at `fundoscope audit` before splitting.",
        "`test.csv` means two things: in Kaggle's download the unlabelled test set, in the copy with train_1.csv and "
        "valid.csv (2,930 / 366 / 366) a part of the labelled ones.",
    ),
)
