"""IDRiD, disease grading: 516 macula-centred photographs, ICDR grades and oedema risk.

Porwal et al., Data 3 (2018) 25, doi 10.3390/data3030025. Two layouts are read: the publisher's own,
whose train and test names clash and which knows no patients, and `labels.csv` with `images/`, which
adds sessions (photographs within ten minutes of one another, the best patient key there is), the
eye inferred from the disc's place, and capture times. The publisher's was read in two public loaders: FLAIR's has
the training folder, its table and the three columns (the oedema's name ends in a blank), the other one both folders
and both tables. `labels.csv` was read in an archive whose `SOURCE.md` says how the sessions were found.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, need_columns
from fundoscope.errors import BadTable
from fundoscope.tables import read_table

NEEDED: Final = ("image", "session", "eye_inferred", "grade", "dme_risk", "split", "taken")
"""Columns of `labels.csv`."""

PUBLISHED: Final = {
    "train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}
"""The publisher's folder of pictures and table of labels, for each split."""

IMAGES: Final = "1. Original Images"
LABELS: Final = "2. Groundtruths"


def read_idrid(root: Path) -> pd.DataFrame:
    """IDRiD as it lies in a folder, paths relative to it. `dme` is IDRiD's risk of macular oedema as it is:
    0 none, 1 exudates further than a disc diameter from the centre, 2 nearer.

    Raises:
        BadTable: If neither layout is found, or a table of labels is not as expected.
    """
    if (root / "labels.csv").is_file():
        return _with_sessions(root)
    if (root / LABELS).is_dir():
        return pd.concat([_published(root, split) for split in PUBLISHED], ignore_index=True)
    raise BadTable(
        f"{root}: expected IDRiD: labels.csv with images/, or the publisher's {IMAGES!r} and {LABELS!r}; "
        "got neither. Name the folder that holds them (unpacked B. Disease Grading)."
    )


def _with_sessions(root: Path) -> pd.DataFrame:
    path = root / "labels.csv"
    labels = read_table(path)
    need_columns(labels, NEEDED, path)
    frame = pd.DataFrame(
        {
            "image": labels["image"],
            "patient": labels["session"],
            "eye": labels["eye_inferred"],
            "taken": [_iso(value) for value in labels["taken"]],
            "grade": labels["grade"],
            "dme": labels["dme_risk"],
            "split": labels["split"],
            "eye_inferred": labels["eye_inferred"],
        }
    )
    if (root / "boxes.csv").is_file():
        frame["boxes"] = "boxes.csv"
    if "idrid_name" in labels:
        frame["idrid_name"] = labels["idrid_name"]
    return frame


def _published(root: Path, split: str) -> pd.DataFrame:
    pictures, table = PUBLISHED[split]
    path = root / LABELS / table
    labels = read_table(path)
    need_columns(labels, ("Image name", "Retinopathy grade", "Risk of macular edema"), path)
    labels = labels[labels["Image name"].notna()].reset_index(drop=True)
    return pd.DataFrame(
        {
            "image": [f"{IMAGES}/{pictures}/{name}.jpg" for name in labels["Image name"]],
            "grade": labels["Retinopathy grade"],
            "dme": labels["Risk of macular edema"],
            "split": split,
            "idrid_name": labels["Image name"],
        }
    )


def _iso(value: object) -> str | None:
    """EXIF's 2017:08:01 13:07:05 as ISO 8601."""
    if not isinstance(value, str):
        return None
    day, _, time = value.partition(" ")
    return f"{day.replace(':', '-')}T{time}" if time else day.replace(":", "-")


IDRID: Final = Source(
    name="idrid",
    title="IDRiD, disease grading",
    what="516 macula-centred photographs, ICDR grade 0-4, risk of macular oedema, official train (413) and test (103) "
    "split",
    modality="fundus",
    licence="CC BY 4.0",
    where="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
    citation="Porwal et al., Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic "
    "Retinopathy Screening Research, Data 3 (2018) 25, doi 10.3390/data3030025",
    layout="confirmed",
    layout_from=(
        "https://github.com/jusiro/FLAIR/blob/710bf72/local_data/prepare_partitions.py",
        "https://github.com/imsaksham-c/EyeDisease_IDRiD/blob/72999a9/utils/dataset_reorganiser.py",
    ),
    read=read_idrid,
    annotations={"boxes": "CC BY-SA 4.0"},
    notes=(
        "Train and test both start at IDRiD_001: names alone confuse them (81 base names are shared).",
        "No patient is published. Copies with `labels.csv` know sessions, photographs within ten minutes of one "
        "another; a patient seen on two days is two sessions.",
    ),
)
