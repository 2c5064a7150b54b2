"""RETOUCH: 112 OCT volumes of three makers, 70 of them with fluid masks.

Bogunovic et al., IEEE TMI 38 (2019) 1858, doi 10.1109/TMI.2019.2901398; https://retouch.grand-challenge.org. The
folders were read in openmedlab/Awesome-Medical-Dataset (`resources/RETOUCH.md`) and in torch-em's loader
(`torch_em/data/datasets/medical/retouch.py` of constantinpape/torch-em).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.source import Source
from fundoscope.errors import BadTable

CAMERAS: Final = {"Cirrus": "Zeiss Cirrus", "Spectralis": "Heidelberg Spectralis", "Topcon": "Topcon"}
SPLITS: Final = {"train": "RETOUCH-TrainingSet", "test": "RETOUCH-TestSet"}
HEADER: Final = "oct.mhd"
VOXELS: Final = "oct.raw"
REFERENCE: Final = "reference.mhd"


def read_retouch(root: Path) -> pd.DataFrame:
    """One row per volume. `image` is its file of voxels, `header` and `reference` the names of the files beside it.

    `image` names `oct.raw` and not its header `oct.mhd`, because headers of one maker's volumes can be the same to
    the byte and would look like repeated pictures. Neither can be opened as a photograph. `width`, `height` and
    `slices` are the header's DimSize, in voxels.

    Raises:
        BadTable: If no volume is found, or a header does not say its size.
    """
    rows = [
        row
        for split, prefix in SPLITS.items()
        for maker in CAMERAS
        for row in _volumes(root, root / f"{prefix}-{maker}", split, maker)
    ]
    if not rows:
        held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else ""
        raise BadTable(
            f"{root}: expected RETOUCH with {SPLITS['train']}-Cirrus, -Spectralis or -Topcon and {HEADER} in their "
            f"folders, found {held or 'nothing'}. Name the folder that holds them."
        )
    references = pd.Series([row["reference"] for row in rows], dtype=object)
    return pd.DataFrame(rows).assign(reference=references)


def _volumes(root: Path, folder: Path, split: str, maker: str) -> list[dict[str, object]]:
    headers = sorted(folder.glob(f"*/{HEADER}")) if folder.is_dir() else []
    return [
        {
            "image": (header.parent / VOXELS).relative_to(root).as_posix(),
            "split": split,
            "camera": CAMERAS[maker],
            "volume": header.parent.name,
            "header": HEADER,
            "reference": REFERENCE if (header.parent / REFERENCE).is_file() else None,
            **dict(zip(("width", "height", "slices"), _size(header), strict=True)),
        }
        for header in headers
    ]


def _size(header: Path) -> tuple[int, ...]:
    """Columns, rows and B-scans of a volume, as its MetaImage header says."""
    text = header.read_bytes().decode("ascii", errors="replace")
    said = re.search(r"^DimSize\s*=\s*(\d+)\s+(\d+)\s+(\d+)\s*$", text, re.MULTILINE)
    if said is None:
        raise BadTable(
            f"{header}: expected a MetaImage header with a line DimSize = columns rows slices, got "
            f"{text[:40]!r}. Unpack the data set again."
        )
    return tuple(int(number) for number in said.groups())


RETOUCH: Final = Source(
    name="retouch",
    title="RETOUCH, retinal OCT fluid challenge",
    what="112 macular OCT volumes (Cirrus, Spectralis, Topcon) of AMD or vein occlusion; 70 for training with masks "
    "of intraretinal fluid, subretinal fluid and pigment epithelial detachment, 42 for testing without",
    modality="oct",
    licence="by agreement with the organisers, for the challenge and research",
    where="https://retouch.grand-challenge.org",
    citation="Bogunovic et al., RETOUCH: The Retinal OCT Fluid Detection and Segmentation Benchmark and Challenge, "
    "IEEE TMI 38 (2019) 1858, doi 10.1109/TMI.2019.2901398",
    layout="confirmed",
    layout_from=(
        "https://github.com/openmedlab/Awesome-Medical-Dataset/blob/main/resources/RETOUCH.md",
        "https://github.com/constantinpape/torch-em/blob/main/torch_em/data/datasets/medical/retouch.py",
    ),
    read=read_retouch,
    notes=(
        "Volumes, not pictures: image is oct.raw, whose voxels oct.mhd beside it describes. They cannot be graded or "
        "looked at here; cut B-scans out first (SimpleITK) and import those.",
        "reference.mhd, beside image where reference says so, marks 0 background, 1 intraretinal fluid, 2 subretinal "
        "fluid, 3 pigment epithelial detachment.",
        "No patient is published; B-scans of one volume belong to one eye and must not be split apart.",
    ),
)
