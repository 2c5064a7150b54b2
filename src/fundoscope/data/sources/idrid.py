"""IDRiD, disease grading: 516 macula-centred photographs of one Indian clinic, ICDR grades and oedema risk.

Porwal et al., Data 3 (2018) 25, doi 10.3390/data3030025. Two layouts are read: the publisher's own,
whose train and test names clash and which knows no patients, and `labels.csv` with `images/`, which
adds sessions (photographs within ten minutes of one another, the best patient key there is), the
eye inferred from the disc's place, and capture times.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.errors import BadTable
from fundoscope.files import sha256_of
from fundoscope.tables import check_manifest, read_table

SOURCE: Final = "idrid"

NEEDED: Final = ("image", "session", "eye_inferred", "grade", "dme_risk", "split", "taken")
"""Columns of `labels.csv`."""

PUBLISHED: Final = {
    "train": ("a. Training Set", "a. IDRiD_Disease Grading_Training Labels.csv"),
    "test": ("b. Testing Set", "b. IDRiD_Disease Grading_Testing Labels.csv"),
}
"""The publisher's folder of pictures and table of labels, for each split."""

IMAGES: Final = "1. Original Images"
LABELS: Final = "2. Groundtruths"


def read_idrid(folder: Path | str) -> pd.DataFrame:
    """A manifest of IDRiD as it lies in a folder, paths relative to it.

    `sha256` is blank where a picture is missing. `dme` is IDRiD's risk of macular oedema as it is:
    0 none, 1 exudates further than a disc diameter from the centre, 2 nearer.

    Raises:
        BadTable: If neither layout is found, or a table of labels is not as expected.
    """
    root = Path(folder)
    if (root / "labels.csv").is_file():
        frame = _with_sessions(root)
    elif (root / LABELS).is_dir():
        frame = pd.concat([_published(root, split) for split in PUBLISHED], ignore_index=True)
    else:
        raise BadTable(
            f"{root}: expected IDRiD: labels.csv with images/, or the publisher's {IMAGES!r} and {LABELS!r}; "
            "got neither. Name the folder that holds them (unpacked B. Disease Grading)."
        )
    hashes = [sha256_of(root / image) if (root / image).is_file() else None for image in frame["image"]]
    frame.insert(1, "sha256", pd.Series(hashes, dtype=object))
    frame.insert(2, "source", SOURCE)
    return check_manifest(frame, path=root / "labels.csv")


def _with_sessions(root: Path) -> pd.DataFrame:
    path = root / "labels.csv"
    labels = read_table(path)
    _need(labels, NEEDED, path)
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
    _need(labels, ("Image name", "Retinopathy grade", "Risk of macular edema"), path)
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


def _need(labels: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    missing = [name for name in columns if name not in labels]
    if missing:
        raise BadTable(
            f"{path}: expected the columns {', '.join(columns)}, {', '.join(missing)} not found among "
            f"{', '.join(map(str, labels.columns[:12]))}. Unpack the data set again."
        )


def _iso(value: object) -> str | None:
    """EXIF's 2017:08:01 13:07:05 as ISO 8601."""
    if not isinstance(value, str):
        return None
    day, _, time = value.partition(" ")
    return f"{day.replace(':', '-')}T{time}" if time else day.replace(":", "-")
