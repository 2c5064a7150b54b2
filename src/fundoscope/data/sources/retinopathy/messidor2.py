"""Messidor-2: 1,748 photographs, both eyes of 874 examinations, with the adjudicated grades of Krause et al. 2018.

Pictures and pairs come from ADCIS (`IMAGES/`, `messidor-2.csv`: left;right), the grades from Kaggle
(google-brain/messidor2-dr-grades, `messidor_data.csv`: image_id, adjudicated_dr_grade, adjudicated_dme,
adjudicated_gradable). Layout read in github.com/rajpurkarlab/BenchMD (Messidor2) and github.com/jusiro/FLAIR
(local_data/prepare_partitions.py). Kaggle writes .jpg where ADCIS writes .JPG: names are matched without their case.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source, picture_names
from fundoscope.data.words import GRADE_CODES, decoded, first_table, read_words

GRADES_TABLE: Final = "messidor_data.csv"
PAIRS_TABLES: Final = ("messidor-2.csv", "messidor_pairs.csv")
GRADE_COLUMNS: Final = ("image_id", "adjudicated_dr_grade", "adjudicated_dme", "adjudicated_gradable")


def read_messidor2(root: Path) -> pd.DataFrame:
    """Messidor-2 as it lies in a folder; patient and eye where the table of pairs is there, else blank.

    `dme` is 2 where referable oedema was adjudicated, else 0. A photograph that is not gradable has `quality`
    reject; a gradable one has no quality, for nobody graded it.

    Raises:
        BadTable: If the adjudicated grades are not there, or a table is not as expected.
    """
    path = first_table(root, (GRADES_TABLE,), what="Messidor-2's adjudicated grades")
    words = read_words(path, GRADE_COLUMNS)
    stems = [Path(str(name)).stem for name in words["image_id"]]
    pictures = {stem.lower(): f"IMAGES/{name}" for stem, name in picture_names(root / "IMAGES").items()}
    pairs = _pairs(root)
    people = [pairs.get(stem.lower(), (None, None)) for stem in stems]
    return pd.DataFrame(
        {
            "image": [
                pictures.get(stem.lower(), f"IMAGES/{name}")
                for stem, name in zip(stems, words["image_id"], strict=True)
            ],
            "patient": [patient for patient, _ in people],
            "eye": [eye for _, eye in people],
            "grade": decoded(words["adjudicated_dr_grade"], GRADE_CODES, path),
            "dme": decoded(words["adjudicated_dme"], {"0": 0, "1": 2}, path),
            "quality": decoded(words["adjudicated_gradable"], {"0": "reject", "1": None}, path),
        }
    ).reset_index(drop=True)


def _pairs(root: Path) -> dict[str, tuple[str, str]]:
    """Lower-case name without suffix, to examination and eye; empty if there is no table of pairs."""
    path = next((root / name for name in PAIRS_TABLES if (root / name).is_file()), None)
    if path is None:
        return {}
    words = read_words(path, ("left", "right"))
    return {
        Path(str(row[eye]).strip()).stem.lower(): (f"exam{number:04d}", eye)
        for number, row in enumerate(words.to_dict("records"), start=1)
        for eye in ("left", "right")
        if isinstance(row[eye], str)
    }


MESSIDOR2: Final = Source(
    name="messidor2",
    title="Messidor-2, adjudicated grades",
    what="1,748 photographs of 874 examinations, both eyes; ICDR grade, referable oedema and gradability adjudicated "
    "by three retina specialists (1,744 graded: 1017/270/347/75/35)",
    modality="fundus",
    licence="Messidor-2: research and education only, no redistribution",
    where="https://www.adcis.net/en/third-party/messidor2/ and "
    "https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades",
    citation="Abramoff et al., JAMA Ophthalmol 131 (2013) 351-357; Decenciere et al., Image Anal Stereol 33 (2014) "
    "231-234; Krause et al., Grader variability and the importance of reference standards, Ophthalmology 125 (2018) "
    "1264-1272",
    layout="confirmed",
    layout_from=(
        "https://www.kaggle.com/datasets/google-brain/messidor2-dr-grades",
        "https://github.com/rajpurkarlab/BenchMD/blob/4b93374/src/datasets/fundus/messidor2.py",
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
    ),
    read=read_messidor2,
    notes=(
        "ADCIS publishes pictures and pairs only; the grades are a second download, put beside IMAGES/.",
        "Without messidor-2.csv no patient is known and the eyes of one person fall on both sides of a split.",
        "1,058 of its photographs are Messidor's, re-encoded as PNG, with Messidor's other grades.",
        "An examination stands for a patient: whether somebody came twice is not published.",
    ),
)
