"""IDRiD, part A: 81 photographs with masks of microaneurysms, haemorrhages, hard and soft exudates and the disc.

Porwal et al., Data 3 (2018) 25, doi 10.3390/data3030025. Two layouts are read: the publisher's (read in
github.com/jusiro/FLAIR, local_data/prepare_partitions.py): `1. Original Images/a. Training Set/IDRiD_01.jpg` and
`2. All Segmentation Groundtruths/a. Training Set/1. Microaneurysms/IDRiD_01_MA.tif`; and `labels.csv` with `images/`,
`masks/` and `extras.csv`, which knows the session and the grade where the same photograph is in the grading part.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, need_columns, picture_names
from fundoscope.errors import BadTable
from fundoscope.tables import read_table

IMAGES: Final = "1. Original Images"
MASKS: Final = "2. All Segmentation Groundtruths"
SETS: Final = {"train": "a. Training Set", "test": "b. Testing Set"}
LESIONS: Final = {
    "MA": "1. Microaneurysms",
    "HE": "2. Haemorrhages",
    "EX": "3. Hard Exudates",
    "SE": "4. Soft Exudates",
    "OD": "5. Optic Disc",
}
"""What a mask's name ends in, and the publisher's folder of it."""


def read_idrid_lesions(root: Path) -> pd.DataFrame:
    """IDRiD's lesion masks as they lie in a folder; a mask that is not there is blank.

    Raises:
        BadTable: If neither layout is found, or `labels.csv` is not as expected.
    """
    if (root / "labels.csv").is_file() and (root / "masks").is_dir():
        return _with_sessions(root)
    for base in ("", "A. Segmentation/"):
        if (root / base / IMAGES).is_dir() and (root / base / MASKS).is_dir():
            return _published(root, base)
    raise BadTable(
        f"{root}: expected IDRiD's lesions: labels.csv with images/ and masks/, or the publisher's {IMAGES!r} and "
        f"{MASKS!r}; got neither. Name the folder that holds them (unpacked A. Segmentation)."
    )


def _with_sessions(root: Path) -> pd.DataFrame:
    path = root / "labels.csv"
    labels = read_table(path)
    need_columns(labels, ("image", "session", "grade", "split"), path)
    frame = pd.DataFrame(
        {
            "image": labels["image"],
            "patient": labels["session"],
            "grade": labels["grade"],
            "split": labels["split"],
        }
    )
    for lesion in LESIONS:
        masks = [f"masks/{Path(str(image)).stem}_{lesion}.png" for image in labels["image"]]
        frame[f"mask_{lesion.lower()}"] = [mask if (root / mask).is_file() else None for mask in masks]
    extras = root / "extras.csv"
    if not extras.is_file():
        return frame
    sessions = read_table(extras)
    need_columns(sessions, ("image", "same_photo_in_grading_set", "dme_risk"), extras)
    joined = frame[["image"]].merge(sessions, on="image", how="left", validate="one_to_one")
    return frame.assign(dme=joined["dme_risk"], grading_photo=joined["same_photo_in_grading_set"])


def _published(root: Path, base: str) -> pd.DataFrame:
    parts = []
    for split, folder in SETS.items():
        pictures = picture_names(root / base / IMAGES / folder)
        part = pd.DataFrame({"image": [f"{base}{IMAGES}/{folder}/{name}" for name in pictures.values()]}, dtype=object)
        for lesion, place in LESIONS.items():
            masks = [f"{base}{MASKS}/{folder}/{place}/{stem}_{lesion}.tif" for stem in pictures]
            part[f"mask_{lesion.lower()}"] = [mask if (root / mask).is_file() else None for mask in masks]
        parts.append(part.assign(split=split))
    frame = pd.concat(parts, ignore_index=True)
    if frame.empty:
        raise BadTable(
            f"{root / base / IMAGES}: expected photographs in {' and '.join(map(repr, SETS.values()))}, found none. "
            "Unpack A. Segmentation again."
        )
    return frame


IDRID_LESIONS: Final = Source(
    name="idrid_lesions",
    title="IDRiD, lesion masks (part A)",
    what="81 photographs with masks of microaneurysms, haemorrhages, hard and soft exudates and the optic disc, "
    "official train (54) and test (27) split",
    modality="fundus",
    licence="CC BY 4.0",
    where="https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
    citation="Porwal et al., Indian Diabetic Retinopathy Image Dataset (IDRiD): A Database for Diabetic "
    "Retinopathy Screening Research, Data 3 (2018) 25, doi 10.3390/data3030025",
    layout="confirmed",
    layout_from=(
        "https://ieee-dataport.org/open-access/indian-diabetic-retinopathy-image-dataset-idrid",
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
    ),
    read=read_idrid_lesions,
    notes=(
        "Its names (IDRiD_01) are not the names of the grading part (IDRiD_001), although most photographs are in "
        "both: IDRiD_01 is the grading part's train IDRiD_102.",
        "The publisher gives no file where a lesion is absent; a blank mask there means none was drawn.",
        "No patient is published; copies with `labels.csv` know sessions, photographs within ten minutes of one "
        "another.",
    ),
)
