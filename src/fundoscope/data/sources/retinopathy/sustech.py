"""SUSTech-SYSU: 1,219 photographs with three gradings, eye, and boxes of exudates, disc and fovea.

Layout read in the README of its authors' repository (github.com/llmir, named as the paper), the names of the columns in
two public loaders that read it: `originalImages/NNNN.jpg` with `drLabels.csv` and `c5_DR_reclassified.csv` in the same
folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded, first_table, optional, read_words

FOLDER: Final = "originalImages"
PICTURE: Final = "Fundus_images"
EYE: Final = "left_versus_right_eye(left_0_right_1)"
ICDR: Final = "DR_grade(International_Clinical_DR_Severity_Scale)"
OTHERS: Final = {
    "grade_aao": "DR_grade(American_Academy_of_Ophthalmology)",
    "grade_scottish": "DR_grade(Scottish_DR_grading_protocol)",
}
AGAIN: Final = "c5_DR_reclassified.csv"

TREATED: Final = "5"
"""Not a grade: retinopathy with laser spots or scars."""


def read_sustech(root: Path) -> pd.DataFrame:
    """SUSTech-SYSU as it lies in a folder; `grade` is ICDR's, `treated` 1 where laser spots or scars were seen.

    Treated eyes take the grade of the second table, where it is there; else theirs is blank.

    Raises:
        BadTable: If the table of labels is not there, or not as expected.
    """
    path = first_table(root, (f"{FOLDER}/drLabels.csv", "drLabels.csv"), what="SUSTech-SYSU")
    words = read_words(path, (PICTURE, EYE, ICDR))
    names = words[PICTURE].astype(str).str.strip()
    treated = [str(level).strip().removesuffix(".0") == TREATED for level in words[ICDR]]
    again = _graded_again(path.parent / AGAIN)
    grades = decoded(words[ICDR], {**GRADE_CODES, TREATED: None}, path).tolist()
    return pd.DataFrame(
        {
            "image": [f"{FOLDER}/{name}" for name in names],
            "eye": decoded(words[EYE], {"0": "left", "1": "right"}, path).tolist(),
            "grade": pd.Series(
                [
                    again.get(name) if laser else grade
                    for name, grade, laser in zip(names, grades, treated, strict=True)
                ],
                dtype="Int64",
            ),
            "treated": [int(laser) for laser in treated],
            **{ours: optional(words, theirs).tolist() for ours, theirs in OTHERS.items()},
        }
    )


def _graded_again(path: Path) -> dict[str, object]:
    if not path.is_file():
        return {}
    words = read_words(path, (PICTURE, ICDR))
    return dict(zip(words[PICTURE].astype(str).str.strip(), decoded(words[ICDR], GRADE_CODES, path), strict=True))


SUSTECH: Final = Source(
    name="sustech",
    title="SUSTech-SYSU",
    what="1,219 photographs of 2880 x 2136 pixels; retinopathy by ICDR, AAO and the Scottish protocol, left or right "
    "eye, boxes of exudates, disc and fovea",
    modality="fundus",
    licence="CC BY 4.0",
    where="https://doi.org/10.6084/m9.figshare.12570770",
    citation="Lin et al., The SUSTech-SYSU dataset for automated exudate detection and diabetic retinopathy grading, "
    "Sci Data 7 (2020) 409",
    layout="confirmed",
    layout_from=(
        "https://github.com/llmir/The-SUSTech-SYSU-dataset-for-automated-exudate-detection-and-diabetic-retinopathy-grading",
        "https://doi.org/10.6084/m9.figshare.12570770",
    ),
    read=read_sustech,
    notes=(
        "Its sixth class, 5, is no grade above proliferative but treated retinopathy (laser spots or scars); a second "
        "table grades those 69 photographs again.",
        "The boxes (Pascal VOC, one file per photograph) are not imported. No patient is published.",
    ),
)
