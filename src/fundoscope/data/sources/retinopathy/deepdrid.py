"""DeepDRiD, regular fundus images: 2,000 photographs of 500 patients, two of each eye, grade and quality.

Layout read in the publisher's repository github.com/deepdrdoc/DeepDRiD (README and the CSV files):
`regular_fundus_images/ regular-fundus-training/` and `-validation/` hold a CSV and `Images/<patient>/<image_id>.jpg`;
the labels of `Online-Challenge1&2-Evaluation/` are the spreadsheets Challenge1_labels (image_id, DR_Levels) and
Challenge2_labels (image_id and the columns of quality), which are saved as CSV first, as github.com/jusiro/FLAIR does.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded, optional, read_words
from fundoscope.errors import BadTable

FOLDER: Final = "regular_fundus_images"
LABELLED: Final = {"regular-fundus-training": "train", "regular-fundus-validation": "val"}
EVALUATION: Final = "Online-Challenge1&2-Evaluation"
LEVELS: Final[dict[str, int | None]] = {**GRADE_CODES, "5": None}
"""Level 5, where it is used, means that the photograph cannot be graded."""

QUALITY: Final = {"0": "reject", "1": "good"}
"""Overall quality: 0 not good enough for the diagnosis of retinal diseases, 1 good enough."""

EYES: Final = {"l": "left", "r": "right"}


def read_deepdrid(root: Path) -> pd.DataFrame:
    """DeepDRiD's regular photographs, each with the grade of its eye; `overall_quality` is the publisher's 0 or 1.

    A photograph's eye is what its name says (`1_l2`: patient 1, left eye) where the grade stands in the same
    eye's column; where name and column disagree the eye is blank and the grade the one that is given.

    Raises:
        BadTable: If the regular photographs are not there, or a table is not as expected.
    """
    base = FOLDER if (root / FOLDER).is_dir() else "."
    parts = [_labelled(root, base, name) for name in LABELLED if (root / base / name).is_dir()]
    if not parts:
        raise BadTable(
            f"{root}: expected DeepDRiD with {FOLDER}/regular-fundus-training and -validation, got neither. "
            f"Name the folder that holds {FOLDER}."
        )
    if (root / base / EVALUATION).is_dir():
        parts.append(_evaluation(root, base))
    return pd.concat(parts, ignore_index=True)


def _labelled(root: Path, base: str, name: str) -> pd.DataFrame:
    path = root / base / name / f"{name}.csv"
    words = read_words(path, ("image_id", "left_eye_DR_Level", "right_eye_DR_Level", "Overall quality"))
    left, right = words["left_eye_DR_Level"], words["right_eye_DR_Level"]
    grades = decoded(left.where(left.notna(), right).rename("left_eye_DR_Level or right_eye_DR_Level"), LEVELS, path)
    column_eyes = ["left" if is_left else "right" for is_left in left.notna()]
    frame = _frame(words, grades, path, f"{base}/{name}", LABELLED[name])
    agree = frame["eye"] == pd.Series(column_eyes)
    frame["eye"] = frame["eye"].where(agree, None)
    frame["patient_grade"] = optional(words, "patient_DR_Level").tolist()
    sites = path.parent / f"{name.replace('fundus-', 'fundus-source-')}.csv"
    if sites.is_file():
        source_of_image = read_words(sites, ("image_id", "Source")).set_index("image_id")["Source"]
        frame["site"] = words["image_id"].map(source_of_image).tolist()
    return frame


def _evaluation(root: Path, base: str) -> pd.DataFrame:
    folder = root / base / EVALUATION
    if not (folder / "Challenge1_labels.csv").is_file():
        raise BadTable(
            f"{folder}: expected Challenge1_labels.csv (image_id, DR_Levels), got no such file. "
            "Save Challenge1_labels.xlsx, and Challenge2_labels.xlsx for the quality, as CSV UTF-8 beside it."
        )
    path = folder / "Challenge1_labels.csv"
    words = read_words(path, ("image_id",))
    level = next((name for name in ("DR_Levels", "DR_Level") if name in words), "DR_Levels")
    words = read_words(path, ("image_id", level))
    grades = decoded(words[level], LEVELS, path)
    if (folder / "Challenge2_labels.csv").is_file():
        path = folder / "Challenge2_labels.csv"
        words = words.merge(read_words(path, ("image_id", "Overall quality")), on="image_id", how="left")
    return _frame(words, grades, path, f"{base}/{EVALUATION}", "test")


def _frame(words: pd.DataFrame, grades: pd.Series, path: Path, folder: str, split: str) -> pd.DataFrame:
    names = words["image_id"].astype(str).tolist()
    parsed = [re.fullmatch(r"(\d+)_([lr])\d+", name) for name in names]
    if None in parsed:
        name = names[parsed.index(None)]
        raise BadTable(
            f"{path}: column image_id: expected names like 12_l1 (patient, eye, number), got {name!r}. "
            "Unpack the data set again."
        )
    patients = [match[1] for match in parsed if match]
    quality = optional(words, "Overall quality")
    return pd.DataFrame(
        {
            "image": [
                f"{folder}/Images/{who}/{name}.jpg".removeprefix("./")
                for who, name in zip(patients, names, strict=True)
            ],
            "patient": patients,
            "eye": [EYES[match[2]] for match in parsed if match],
            "grade": grades.tolist(),
            "quality": decoded(quality, QUALITY, path).tolist(),
            "split": split,
            "overall_quality": quality.tolist(),
            **{
                column.lower().replace(" ", "_"): optional(words, column).tolist()
                for column in ("Clarity", "Field definition", "Artifact")
            },
        }
    )


DEEPDRID: Final = Source(
    name="deepdrid",
    title="DeepDRiD, regular fundus images",
    what="2,000 photographs of 500 patients, two fields of each eye; ICDR grade per eye, overall quality, clarity, "
    "field and artefacts; official training (1,200), validation (400) and evaluation (400)",
    modality="fundus",
    licence="see the publisher's page (none stated beside the data)",
    where="https://github.com/deepdrdoc/DeepDRiD",
    citation="Liu et al., DeepDRiD: Diabetic Retinopathy-Grading and Image Quality Estimation Challenge, "
    "Patterns 3 (2022) 100512, doi 10.1016/j.patter.2022.100512",
    layout="confirmed",
    layout_from=(
        "https://github.com/deepdrdoc/DeepDRiD",
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
    ),
    read=read_deepdrid,
    notes=(
        "The paths in its tables (\\regular-fundus-training\\1\\1_l1.jpg) lack Images/ and are not where the pictures "
        "lie.",
        "The grade is the eye's, given to both of its photographs. A few names disagree with the column that holds the "
        "grade (56_r3 is graded as a left eye): their `eye` is blank.",
        "Overall quality has two levels only: 1 is read as good, 0 as reject although it carries a grade. "
        "The evaluation's labels are .xlsx, which are not read: save them as CSV UTF-8.",
    ),
)
