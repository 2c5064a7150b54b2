"""FGADR, Seg-set: 1,842 photographs with ICDR grade and masks of six lesions.

Layout read in github.com/skylynf/retiseg (bench/data/fgadr.py): `Seg-set/Original_Images/NNNN_B.png`, one folder of
masks per lesion with the same names, and `DR_Seg_Grading_Label.csv`, whose lines are a name and a grade without a
header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded, first_table
from fundoscope.errors import BadTable

TABLE: Final = "DR_Seg_Grading_Label.csv"
PICTURES: Final = "Original_Images"
MASKS: Final = {
    "mask_ma": "Microaneurysms_Masks",
    "mask_he": "Hemohedge_Masks",
    "mask_ex": "HardExudate_Masks",
    "mask_se": "SoftExudate_Masks",
    "mask_irma": "IRMA_Masks",
    "mask_nv": "Neovascularization_Masks",
}
"""Our column and FGADR's folder; its haemorrhages are spelled Hemohedge."""


def read_fgadr(root: Path) -> pd.DataFrame:
    """FGADR's Seg-set as it lies in a folder; `batch` is the suffix of the name, which goes with the grade.

    Raises:
        BadTable: If the table of grades is not there, or a line of it is not as expected.
    """
    path = first_table(root, (TABLE, f"Seg-set/{TABLE}"), what="FGADR's Seg-set")
    base = path.parent.relative_to(root).as_posix().removeprefix(".")
    base = f"{base}/" if base else ""
    names, grades = _lines(path)
    frame = pd.DataFrame(
        {
            "image": [f"{base}{PICTURES}/{name}" for name in names],
            "grade": decoded(pd.Series(grades, name="grade", dtype=object), GRADE_CODES, path),
            "batch": [Path(name).stem.rpartition("_")[2] for name in names],
        }
    )
    for column, folder in MASKS.items():
        masks = [f"{base}{folder}/{name}" for name in names]
        frame[column] = [mask if (root / mask).is_file() else None for mask in masks]
    return frame


def _lines(path: Path) -> tuple[list[str], list[str]]:
    """Names and grades; there is no header, so the first line is a photograph."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip(" ,")]
    cells = [[cell.strip() for cell in line.split(",")] for line in lines]
    if not cells or len(cells[0]) < 2 or Path(cells[0][0]).suffix.lower() != ".png":
        raise BadTable(
            f"{path}: row 1: expected a picture's name and its grade (0001_1.png,2), without a header, "
            f"got {lines[0] if lines else 'nothing'!r}. Unpack the data set again."
        )
    return [row[0] for row in cells], [row[1] if len(row) > 1 else "" for row in cells]


FGADR: Final = Source(
    name="fgadr",
    title="FGADR, Seg-set",
    what="1,842 photographs of 1280 x 1280 pixels, ICDR grade 0-4 (101/212/595/647/287), masks of microaneurysms, "
    "haemorrhages, hard and soft exudates, IRMA and new vessels",
    modality="fundus",
    licence="non-commercial research after an agreement, no redistribution",
    where="https://csyizhou.github.io/FGADR/",
    citation="Zhou et al., A Benchmark for Studying Diabetic Retinopathy: Segmentation, Grading, and Transferability, "
    "IEEE Trans Med Imaging 40 (2021) 818-828",
    layout="confirmed",
    layout_from=("https://github.com/skylynf/retiseg/blob/53f8b03/bench/data/fgadr.py",),
    read=read_fgadr,
    notes=(
        "The table of grades has no header: a reader that expects one loses its first photograph.",
        "Three batches (suffix _1, _2, _3): the third holds grades 3 and 4 only, so the batch gives the grade away.",
        "Masks have soft edges: a pixel belongs to a lesion from 128 on. IRMA and new vessels are drawn on few.",
        "Users report odd annotations (https://github.com/xqh180110910537/HACDR-Net/issues/2).",
        "No patient is published in the files.",
    ),
)
