"""Kermany 2017 (OCT2017): 109,309 OCT B-scans, one of four classes, with the patient's number in the file name.

Kermany et al., Cell 172 (2018) 1122, doi 10.1016/j.cell.2018.02.010; Mendeley Data doi 10.17632/rscbjbr9sj. File
names are (disease)-(patient)-(number).jpeg in folders CNV, DME, DRUSEN and NORMAL, as the publisher's text says;
the folders train, test and, in the Kaggle copy, val were read in `mimeta_pipelines/kermany_oct.py` of
StefanoWoerner/medimeta-dataset-scripts and in other public loaders. The publisher calls the two sets independent
patients; https://tvst.arvojournals.org/article.aspx?articleid=2778252 found some in both, and took them out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.errors import BadTable
from fundoscope.photo.read import PICTURE_SUFFIXES

FOLDERS: Final = ("", "OCT2017", "OCT2017 ", "CellData/OCT", "ZhangLabData/CellData/OCT")
"""Where train and test may lie; the Kaggle copy's folder ends in a blank."""

SPLITS: Final = ("train", "val", "test")
CLASSES: Final = ("CNV", "DME", "DRUSEN", "NORMAL")
NAME: Final = re.compile(r"(?P<label>[A-Z]+)-(?P<patient>\d+)-(?P<number>\d+)$")


def read_kermany(root: Path) -> pd.DataFrame:
    """The B-scans as they lie in a folder; every folder is listed once and no file is opened.

    Raises:
        BadTable: If there is no train or test folder with the four classes in it, or a B-scan lies under another
            class than its name says.
    """
    home = next((name for name in FOLDERS if (root / name / "train").is_dir() or (root / name / "test").is_dir()), None)
    rows = [] if home is None else [row for split in SPLITS for row in _split(root, home, split)]
    if not rows:
        held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else ""
        raise BadTable(
            f"{root}: expected OCT2017 with train and test, each with {', '.join(CLASSES)}, found {held or 'nothing'}. "
            "Name the folder that holds train and test."
        )
    return pd.DataFrame(rows, columns=["image", "patient", "label", "split", "number"], dtype=object)


def _split(root: Path, home: str, split: str) -> list[tuple[str, str | None, str, str, str | None]]:
    rows = []
    for label in CLASSES:
        folder = Path(home) / split / label
        if not (root / folder).is_dir():
            continue
        for name in sorted(entry.name for entry in os.scandir(root / folder)):
            stem, suffix = os.path.splitext(name)
            if name.startswith(".") or suffix.lower() not in PICTURE_SUFFIXES:
                continue
            said = NAME.match(stem)
            if said and said["label"] != label:
                raise BadTable(
                    f"{root / folder / name}: expected a B-scan of {label}, got one named {said['label']}. "
                    "Unpack the data set again."
                )
            key = (said["patient"], said["number"]) if said else (None, None)
            rows.append(((folder / name).as_posix(), key[0], label, split, key[1]))
    return rows


KERMANY: Final = Source(
    name="kermany",
    title="Kermany 2017, OCT2017 (Zhang lab)",
    what="109,309 Spectralis OCT B-scans: choroidal neovascularisation, diabetic macular oedema, drusen or normal; "
    "train (108,309) and test (1,000, 250 per class)",
    modality="oct",
    licence="CC BY 4.0",
    where="https://data.mendeley.com/datasets/rscbjbr9sj/3",
    citation="Kermany et al., Identifying Medical Diagnoses and Treatable Diseases by Image-Based Deep Learning, "
    "Cell 172 (2018) 1122, doi 10.1016/j.cell.2018.02.010",
    layout="confirmed",
    layout_from=(
        "https://data.mendeley.com/datasets/rscbjbr9sj/3",
        "https://github.com/StefanoWoerner/medimeta-dataset-scripts/blob/main/mimeta_pipelines/kermany_oct.py",
        "https://www.kaggle.com/datasets/paultimothymooney/kermany2018",
    ),
    read=read_kermany,
    notes=(
        "Patients of the test set are also in train: take their B-scans out of train, or split again by patient; "
        "results on the official split are too good.",
        "The Kaggle copy has 84,495 B-scans and a folder val besides; the paper counts 108,312 for training, the "
        "archive holds 108,309.",
        "A B-scan's label began as the patient's last diagnosis and was then corrected by graders in several tiers.",
        "B-scans of one patient are nearly alike: never split them apart.",
    ),
)
