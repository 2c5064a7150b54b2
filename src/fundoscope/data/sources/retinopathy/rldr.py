"""Retinal-Lesions (RLDR): 1,593 EyePACS photographs graded again by a panel, with masks of eight lesions.

Two layouts are read. The release of its authors (retinal-lesions-v20191227: `images_896x896/<id>_<eye>.jpg`,
`lesion_segs_896x896/<id>_<eye>/<lesion>.png`, `dr_grades.csv` with image id, kaggle label, our label), read in
github.com/skylynf/retiseg (bench/data/retlesion.py); and the one of GDRBench (`splits/RLDR_train.txt` and
`RLDR_crossval.txt` beside `images/RLDR/`), read in github.com/chehx/DGDR.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.known import eyepacs_eye
from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded, optional, read_words
from fundoscope.errors import BadTable

TABLE: Final = "dr_grades.csv"
RELEASE: Final = "retinal-lesions-v20191227"
IMAGES: Final = "images_896x896"
MASKS: Final = "lesion_segs_896x896"
LESIONS: Final = {
    "mask_ma": "microaneurysm",
    "mask_he": "retinal_hemorrhage",
    "mask_ex": "hard_exudate",
    "mask_se": "cotton_wool_spots",
}
LISTS: Final = {"train": "splits/RLDR_train.txt", "val": "splits/RLDR_crossval.txt"}


def read_rldr(root: Path) -> pd.DataFrame:
    """RLDR as it lies in a folder; patient and eye are those of EyePACS, by the name.

    The release also tells EyePACS' own grade of the same photograph: `grade_second`.

    Raises:
        BadTable: If neither layout is found, or a table or list is not as expected.
    """
    for base in ("", f"{RELEASE}/"):
        if (root / base / TABLE).is_file():
            return _release(root, base)
    if any((root / name).is_file() for name in LISTS.values()):
        parts = [_listed(root / name, split) for split, name in LISTS.items() if (root / name).is_file()]
        return _with_eyes(pd.concat(parts, ignore_index=True))
    raise BadTable(
        f"{root}: expected Retinal-Lesions with {TABLE} and {IMAGES}/, or GDRBench's {LISTS['train']} and "
        "images/RLDR/; got neither. Name the folder that holds them."
    )


def _release(root: Path, base: str) -> pd.DataFrame:
    path = root / base / TABLE
    words = read_words(path, ("image id", "our label"))
    stems = [Path(str(name).strip()).stem for name in words["image id"]]
    frame = pd.DataFrame(
        {
            "image": [f"{base}{IMAGES}/{stem}.jpg" for stem in stems],
            "grade": decoded(words["our label"], GRADE_CODES, path).tolist(),
            "grade_second": decoded(optional(words, "kaggle label"), GRADE_CODES, path).tolist(),
        }
    )
    for column, lesion in LESIONS.items():
        masks = [f"{base}{MASKS}/{stem}/{lesion}.png" for stem in stems]
        frame[column] = [mask if (root / mask).is_file() else None for mask in masks]
    return _with_eyes(frame)


def _listed(path: Path, split: str) -> pd.DataFrame:
    rows = [line.rpartition(" ") for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if wrong := [row[2] for row in rows if not row[0].startswith("RLDR/")]:
        raise BadTable(
            f"{path}: expected lines like RLDR/nodr/10009_left.jpg 0, got {wrong[0]!r}. Copy GDRBench's splits again."
        )
    return pd.DataFrame(
        {
            "image": [f"images/{name.strip()}" for name, _, _ in rows],
            "grade": decoded(pd.Series([label for _, _, label in rows], name="grade", dtype=object), GRADE_CODES, path),
            "split": split,
        }
    )


def _with_eyes(frame: pd.DataFrame) -> pd.DataFrame:
    eyes = [eyepacs_eye(image) for image in frame["image"]]
    frame["patient"] = [patient for patient, _ in eyes]
    frame["eye"] = [eye for _, eye in eyes]
    return frame


RLDR: Final = Source(
    name="rldr",
    title="Retinal-Lesions (RLDR)",
    what="1,593 EyePACS photographs cropped to 896 x 896 pixels, graded again 0-4 (166/337/929/99/62) by at least "
    "three of 45 ophthalmologists, masks of eight lesions",
    modality="fundus",
    licence="on request to its authors (research)",
    where="https://github.com/WeiQijie/retinal-lesions",
    citation="Wei et al., Learn to Segment Retinal Lesions and Beyond, ICPR 2020, arXiv 1912.11619",
    layout="confirmed",
    layout_from=(
        "https://github.com/WeiQijie/retinal-lesions",
        "https://github.com/skylynf/retiseg/blob/53f8b03/bench/data/retlesion.py",
        "https://github.com/chehx/DGDR/blob/74fe127/GDRBench/splits/RLDR_train.txt",
    ),
    read=read_rldr,
    notes=(
        "Every photograph is EyePACS', under the same name (977 of its train, 616 of its test part): never train on "
        "one and test on the other. The patients are EyePACS' patients.",
        "Of GDRBench's two lists, 29 patients are in both.",
        "In a mask 255 is a lesion and 127 one that does not comply with the grading guideline; a missing mask is a "
        "lesion that was not drawn.",
    ),
)
