"""DDR: 13,673 photographs of 147 Chinese hospitals, ICDR grade or ungradable, official train, valid and test.

Layout read in github.com/jusiro/FLAIR (local_data/prepare_partitions.py, adequate_28_OIA): `DR_grading/train.txt`,
`valid.txt`, `test.txt` (lines "name grade") beside folders of the same names, and
`lesion_segmentation/<split>/label/<EX|HE|MA|SE>/<name>.tif`. A copy without ungradable photographs and divisions is
read too (kaggle.com/datasets/mariaherrerot/ddrdataset: `DR_grading.csv`, id_code, diagnosis).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded, read_words
from fundoscope.errors import BadTable

SPLITS: Final = {"train": "train", "valid": "val", "test": "test"}
LESIONS: Final = ("MA", "HE", "EX", "SE")

UNGRADABLE: Final = "5"
LABELS: Final[dict[str, int | None]] = {**GRADE_CODES, UNGRADABLE: None}
"""Grade 5 is no grade: poor quality, a sixth class of its publisher."""


def read_ddr(root: Path) -> pd.DataFrame:
    """DDR as it lies in a folder, or in its folder DDR-dataset; label 5 becomes `quality` reject, its grade blank.

    Raises:
        BadTable: If neither layout is found, or a list of labels is not as expected.
    """
    for base in ("", "DDR-dataset/"):
        lists = {name: root / base / "DR_grading" / f"{name}.txt" for name in SPLITS}
        if any(path.is_file() for path in lists.values()):
            parts = [_part(root, f"{base}", name, path) for name, path in lists.items() if path.is_file()]
            return pd.concat(parts, ignore_index=True)
    if (root / "DR_grading.csv").is_file():
        return _copy(root)
    raise BadTable(
        f"{root}: expected DDR with DR_grading/train.txt, valid.txt and test.txt, or the copy with DR_grading.csv; got "
        "neither. Name the folder that holds DR_grading (join and unpack DDR-dataset.zip.001 and so on)."
    )


def _part(root: Path, base: str, name: str, path: Path) -> pd.DataFrame:
    rows = [line.rsplit(maxsplit=1) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if wrong := [at for at, row in enumerate(rows, start=1) if len(row) != 2]:
        raise BadTable(
            f"{path}: row {wrong[0]}: expected a picture's name and its grade, got {' '.join(rows[wrong[0] - 1])!r}. "
            "Unpack the data set again."
        )
    names = [picture for picture, _ in rows]
    frame = _labelled([f"{base}DR_grading/{name}/{picture}" for picture in names], [label for _, label in rows], path)
    frame["split"] = SPLITS[name]
    for lesion in LESIONS:
        masks = [f"{base}lesion_segmentation/{name}/label/{lesion}/{Path(picture).stem}.tif" for picture in names]
        frame[f"mask_{lesion.lower()}"] = [mask if (root / mask).is_file() else None for mask in masks]
    return frame


def _copy(root: Path) -> pd.DataFrame:
    path = root / "DR_grading.csv"
    words = read_words(path, ("id_code", "diagnosis"))
    folder = "DR_grading/DR_grading" if (root / "DR_grading" / "DR_grading").is_dir() else "DR_grading"
    names = [name if Path(name).suffix else f"{name}.jpg" for name in words["id_code"].astype(str)]
    return _labelled([f"{folder}/{name}" for name in names], words["diagnosis"].tolist(), path)


def _labelled(images: list[str], labels: list[str], path: Path) -> pd.DataFrame:
    words = pd.Series(labels, name="grade", dtype=object)
    return pd.DataFrame(
        {
            "image": images,
            "grade": decoded(words, LABELS, path),
            "quality": ["reject" if label == UNGRADABLE else None for label in labels],
        }
    )


DDR: Final = Source(
    name="ddr",
    title="DDR",
    what="13,673 photographs, ICDR grade 0-4 (6266/630/4477/236/913) or ungradable (1,151), official train, valid and "
    "test; 757 with masks of four lesions",
    modality="fundus",
    licence="see the publisher's page (none stated beside the data that we read)",
    where="https://github.com/nkicsl/DDR-dataset",
    citation="Li et al., Diagnostic assessment of deep learning algorithms for diabetic retinopathy screening, "
    "Inf Sci 501 (2019) 511-522",
    layout="confirmed",
    layout_from=(
        "https://github.com/jusiro/FLAIR/blob/d6652d5/local_data/prepare_partitions.py",
        "https://www.kaggle.com/datasets/mariaherrerot/ddrdataset",
    ),
    read=read_ddr,
    notes=(
        "Label 5 is ungradable, not a grade above proliferative: whoever reads it as one trains a sixth class.",
        "The copy on Kaggle (DR_grading.csv) has no ungradable photographs, no divisions and no masks.",
        "No patient is published.",
    ),
)
