"""EyeQ: the quality of 28,792 EyePACS photographs, good, usable or reject.

Layout read in github.com/HzFu/EyeQ (README, data/Label_EyeQ_train.csv and Label_EyeQ_test.csv: a running number without
a name, image, quality, DR_grade). It publishes labels only: the photographs are EyePACS', in `train/` and `test/`
beside the labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.known import eyepacs_eye
from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import GRADE_CODES, decoded, first_table, read_words

TABLES: Final = {"train": "Label_EyeQ_train.csv", "test": "Label_EyeQ_test.csv"}
QUALITY: Final = {"0": "good", "1": "usable", "2": "reject"}


def read_eyeq(root: Path) -> pd.DataFrame:
    """EyeQ's labels joined by name to the EyePACS photographs in `train/` and `test/`; the grade is EyePACS'.

    Raises:
        BadTable: If a table of labels is not there, or not as expected.
    """
    return pd.concat([_part(root, split) for split in TABLES], ignore_index=True)


def _part(root: Path, split: str) -> pd.DataFrame:
    path = first_table(root, (TABLES[split], f"data/{TABLES[split]}"), what="EyeQ")
    words = read_words(path, ("image", "quality", "DR_grade"))
    pictures = picture_names(root / split)
    names = words["image"].astype(str).tolist()
    eyes = [eyepacs_eye(name) for name in names]
    return pd.DataFrame(
        {
            "image": [f"{split}/{pictures.get(Path(name).stem, name)}" for name in names],
            "patient": [patient for patient, _ in eyes],
            "eye": [eye for _, eye in eyes],
            "grade": decoded(words["DR_grade"], GRADE_CODES, path).tolist(),
            "quality": decoded(words["quality"], QUALITY, path).tolist(),
            "split": split,
        }
    )


EYEQ: Final = Source(
    name="eyeq",
    title="EyeQ",
    what="28,792 EyePACS photographs with quality good (16,818), usable (6,434) or reject (5,540), EyePACS' grade, "
    "train (12,543) and test (16,249)",
    modality="fundus",
    licence="CC BY-NC-SA 4.0 for the labels; photographs under EyePACS' terms",
    where="https://github.com/HzFu/EyeQ",
    citation="Fu et al., Evaluation of Retinal Image Quality Assessment Networks in Different Color-spaces, MICCAI "
    "2019",
    layout="confirmed",
    layout_from=("https://github.com/HzFu/EyeQ/blob/48daee6/data/Label_EyeQ_train.csv",),
    read=read_eyeq,
    notes=(
        "Labels only: put them beside EyePACS' train/ and test/. Its train part is from EyePACS' train, its test from "
        "EyePACS' test; no patient is in both.",
        "The counts are those of its tables; the README's table says 16,817 good and 6,435 usable, of these 1,896 "
        "in the training part, which holds 1,876.",
        "520 of its photographs are also in RLDR, graded again there.",
    ),
)
