"""GDRBench: the lists by which retinopathy graders are compared across eight public sets.

Layout read in github.com/chehx/DGDR (GDRBench/README.md, GDRBench/splits, dataset/GDRBench.py):
`splits/<DOMAIN>_train.txt` and `<DOMAIN>_crossval.txt`, lines "DOMAIN/class/name grade", of photographs under
`images/`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.data.known import eyepacs_eye
from fundoscope.data.source import Source
from fundoscope.data.words import GRADE_CODES, decoded
from fundoscope.errors import BadTable

DOMAINS: Final = ("APTOS", "DEEPDR", "FGADR", "IDRID", "MESSIDOR", "RLDR", "DDR", "EYEPACS")
"""The six of the leave-one-out protocol, then the two that are only tested on."""

SPLITS: Final = {"train": "train", "crossval": "val"}
OF_EYEPACS: Final = ("RLDR", "EYEPACS")


def read_gdrbench(root: Path) -> pd.DataFrame:
    """All lists that are there, as published; `domain` is the list's set.

    Patients are known where names carry them: RLDR's and EyePACS' are the same people, DeepDRiD's are others.
    Photographs that are listed for both RLDR and EYEPACS share a `duplicate_group`.

    Raises:
        BadTable: If no list is there, or a line is not as expected.
    """
    folder = next((name for name in ("splits", "GDRBench/splits") if (root / name).is_dir()), "splits")
    parts = [
        _listed(root / folder / f"{domain}_{name}.txt", domain, split)
        for domain in DOMAINS
        for name, split in SPLITS.items()
        if (root / folder / f"{domain}_{name}.txt").is_file()
    ]
    if not parts:
        raise BadTable(
            f"{root}: expected GDRBench with splits/APTOS_train.txt and so on, got no list of {', '.join(DOMAINS)}. "
            "Copy GDRBench/splits of github.com/chehx/DGDR beside images/."
        )
    frame = pd.concat(parts, ignore_index=True)
    names = [Path(image).stem for image in frame["image"]]
    both = set.intersection(*({n for n, d in zip(names, frame["domain"], strict=True) if d == of} for of in OF_EYEPACS))
    frame["duplicate_group"] = [
        f"eyepacs_{name}" if name in both and domain in OF_EYEPACS else None
        for name, domain in zip(names, frame["domain"], strict=True)
    ]
    return frame


def _listed(path: Path, domain: str, split: str) -> pd.DataFrame:
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    rows = [line.rpartition(" ") for line in lines]
    wrong = [at for at, row in enumerate(rows) if not row[0].startswith(f"{domain}/")]
    if wrong or not rows:
        got = repr(lines[wrong[0]]) if wrong else "an empty file"
        raise BadTable(
            f"{path}: row {wrong[0] + 1 if wrong else 1}: expected a line like {domain}/nodr/name.png 0, got {got}. "
            "Copy GDRBench/splits of github.com/chehx/DGDR again."
        )
    people = [_person(domain, name) for name, _, _ in rows]
    return pd.DataFrame(
        {
            "image": [f"images/{name}" for name, _, _ in rows],
            "patient": [patient for patient, _ in people],
            "eye": [eye for _, eye in people],
            "grade": decoded(pd.Series([label for _, _, label in rows], name="grade", dtype=object), GRADE_CODES, path),
            "split": split,
            "domain": domain,
        }
    )


def _person(domain: str, name: str) -> tuple[str | None, str | None]:
    if domain in OF_EYEPACS:
        patient, eye = eyepacs_eye(name)
        return (None if patient is None else f"eyepacs_{patient}"), eye
    match = re.match(r"(\d+)_[lr]\d+$", Path(name).stem) if domain == "DEEPDR" else None
    return (f"deepdrid_{match[1]}" if match else None), None


GDRBENCH: Final = Source(
    name="gdrbench",
    title="GDRBench lists",
    what="the published train and crossval lists of APTOS (3,662), DeepDRiD (2,000), FGADR (1,842), IDRiD (516), "
    "Messidor-2 (1,744), RLDR (1,593), DDR (12,521) and EyePACS (88,697), ICDR grade 0-4",
    modality="fundus",
    licence="none stated; each set under its own terms",
    where="https://github.com/chehx/DGDR",
    citation="Che et al., Towards Generalizable Diabetic Retinopathy Grading in Unseen Domains, MICCAI 2023, "
    "arXiv 2307.04378",
    layout="confirmed",
    layout_from=(
        "https://github.com/chehx/DGDR/blob/74fe127/GDRBench/README.md",
        "https://github.com/chehx/DGDR/blob/12283c1/dataset/GDRBench.py",
    ),
    read=read_gdrbench,
    notes=(
        "All 1,593 RLDR photographs are still listed for EYEPACS, although the README orders their removal.",
        "29 patients of RLDR are in its train and its crossval list; EYEPACS' lists are Kaggle's train and test, whose "
        "patients are apart.",
        "81 base names of IDRID are in both of its lists, for other photographs; only where class and name clash does "
        "the train photograph carry _train.",
        "In its protocol the test set of a domain is both of its lists, train and crossval; `split` says which list.",
        "A name is one photograph's only within its domain's folder, and DEEPDR's patient 1 is not EYEPACS' patient 1.",
        "EYEPACS is listed under EYEPACS/Images/, not under the class folders that the README describes.",
    ),
)
