"""Any labelled pictures, from a table in its maker's own words or from one folder per class.

What `data.manifest.manifest_from_csv` does for a grade, this does for binary, multi-class and multi-label targets on
fundus photographs and OCT: a `TableSpec` names the columns (or the class folders) and says what their codes mean.
Public sets that need no more than this are `SPECS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from fundoscope.data.manifest import with_hashes
from fundoscope.data.source import Modality, Source, picture_names
from fundoscope.data.words import PRESENT, decoded, first_table, read_words
from fundoscope.errors import BadRequest, BadTable
from fundoscope.photo.folders import is_picture
from fundoscope.tables import MANIFEST_COLUMNS, check_manifest
from fundoscope.tables.columns import SIGN_PREFIX

Task = Literal["binary", "multi-class", "multi-label"]

SPLITS: Final = {"train": "train", "val": "val", "test": "test"}
NAMED: Final = ("patient", "eye", "visit", "label", "split", "grade", "age", "sex", "camera", "site")
"""Columns of ours that a spec may name; `image` always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSpec:
    """How somebody lays out labelled pictures. A column that is None is not there."""

    name: str
    """What it is called in messages."""
    task: Task
    modality: Modality = "fundus"
    table: str = "labels.csv"
    """Path of the table, relative to the folder."""
    pictures: str = ""
    """Folder of the pictures, relative to the folder."""
    suffix: str = ""
    """What the table leaves out of the pictures' names; where it is empty too, any picture of that name is taken."""
    image: str = "image"
    patient: str | None = None
    eye: str | None = None
    visit: str | None = None
    label: str | None = None
    split: str | None = None
    grade: str | None = None
    age: str | None = None
    sex: str | None = None
    camera: str | None = None
    site: str | None = None
    signs: Mapping[str, str] = field(default_factory=dict)
    """Our name of a sign, without `sign_`, to its column of 0 and 1."""
    values: Mapping[str, Mapping[str, str | int]] = field(default_factory=dict)
    """Of a column of ours, from each of their codes to our word: {"label": {"0": "healthy", "1": "glaucoma"}}."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """Class folders (capitals do not matter) to `label`; empty: every folder is a class and is its own label."""
    splits: Mapping[str, str] = field(default_factory=lambda: dict(SPLITS))
    """Folders above the class folders to `split`; where none of them is there, the classes have no split."""
    file_name: str | None = None
    """Regular expression with groups `patient` and `eye` that reads them off a file's name without suffix."""

    def __post_init__(self) -> None:
        """Refuse a spec whose target is not of its task."""
        if self.task == "multi-label" and (not self.signs or self.classes):
            raise BadRequest(
                f"{self.name}: expected the columns of its signs for a multi-label task, got none or class folders. "
                "Name them in signs, or call the task multi-class."
            )
        unknown = sorted(set(self.values) - set(NAMED) - {f"sign_{name}" for name in self.signs})
        if unknown:
            raise BadRequest(
                f"{self.name}: expected values of {', '.join(NAMED)} or a named sign, got {unknown[0]}. "
                "Call the column as the manifest does."
            )


def read_labelled_table(root: Path, spec: TableSpec) -> pd.DataFrame:
    """Read a foreign table, one row per record, in the manifest's terms; hashes and types are not checked yet.

    Columns that the spec does not name are kept; one that is called like a column of the manifest, but was not said
    to be it, becomes `their_NAME`.

    Raises:
        BadTable: If the table or a named column is not there, or a cell holds a code that the spec does not list.
    """
    path = first_table(root, (spec.table,), what=spec.name)
    taken = {name: column for name in NAMED if (column := getattr(spec, name)) is not None}
    words = read_words(path, (spec.image, *taken.values(), *spec.signs.values()))
    folder = f"{spec.pictures}/" if spec.pictures else ""
    there = {} if spec.suffix else picture_names(root / spec.pictures)
    frame = pd.DataFrame({"image": [folder + _file(str(name), spec.suffix, there) for name in words[spec.image]]})
    frame.index = words.index
    for name, column in taken.items():
        codes = spec.values.get(name)
        frame[name] = words[column] if codes is None else decoded(words[column], codes, path)
    for sign, column in spec.signs.items():
        frame[f"sign_{sign}"] = decoded(words[column], spec.values.get(f"sign_{sign}", PRESENT), path)
    used = {spec.image, *taken.values(), *spec.signs.values()}
    rest = words[[name for name in words.columns if name not in used]]
    frame = frame.join(rest.rename(columns=_not_ours)).reset_index(drop=True)
    _need_target(frame, spec, path)
    return _with_names_read(frame, spec)


def read_labelled_folders(root: Path, spec: TableSpec) -> pd.DataFrame:
    """List the pictures of class folders: `image`, `label` and, where there are such folders, `split`.

    Every folder is listed once; a file is opened only where its name is not a picture's. Hidden files are passed over.

    Raises:
        BadTable: If there is no picture in a class folder, or a folder with pictures is not a class of the spec.
    """
    homes: list[tuple[str, str | None]] = [(name, ours) for name, ours in spec.splits.items() if (root / name).is_dir()]
    base = Path(spec.pictures)
    rows = [
        {"image": image, "label": label, "split": split}
        for name, split in homes or [("", None)]
        for label, image in _classes(root, base / name, spec)
    ]
    if not rows:
        held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else ""
        raise BadTable(
            f"{root}: expected {spec.name} with folders of pictures named "
            f"{', '.join(list(spec.classes)[:6]) or 'by class'}, in {', '.join(spec.splits)} or without, found "
            f"{held or 'nothing'}. Name the folder that holds them."
        )
    frame = pd.DataFrame(rows, dtype=object)
    return _with_names_read(frame if homes else frame.drop(columns="split"), spec)


def manifest_from_spec(
    root: Path | str, spec: TableSpec, *, kind: Literal["table", "folders"] = "table"
) -> pd.DataFrame:
    """Make a checked manifest, with hashes and modality, from a spec; a missing picture has no `sha256`.

    Raises:
        BadRequest: If there is no such folder.
        BadTable: If it does not hold what the spec says.
    """
    home = Path(root)
    if not home.is_dir():
        raise BadRequest(f"{home}: expected the folder of {spec.name}, got no folder. Check the path.")
    read = read_labelled_table if kind == "table" else read_labelled_folders
    frame = read(home, spec).assign(modality=spec.modality)
    return check_manifest(with_hashes(frame, home), path=home / spec.table)


def _not_ours(name: str) -> str:
    """Rename a foreign column that has the name of one of the manifest's."""
    return f"their_{name}" if name in MANIFEST_COLUMNS or name.startswith(SIGN_PREFIX) else name


def _file(name: str, suffix: str, there: Mapping[str, str]) -> str:
    if suffix:
        return name if name.lower().endswith(suffix.lower()) else name + suffix
    return there.get(name, name)


def _need_target(frame: pd.DataFrame, spec: TableSpec, path: Path) -> None:
    """Refuse a binary task with more than two classes, and a task without targets."""
    kinds = sorted(set(frame["label"].dropna())) if "label" in frame else []
    if spec.task == "binary" and len(kinds) > 2:
        raise BadTable(
            f"{path}: expected two classes for a binary task, got {len(kinds)}: {', '.join(map(str, kinds[:6]))}. "
            "Call the task multi-class, or say in values which codes belong together."
        )
    if spec.task != "multi-label" and spec.label is None and spec.grade is None:
        raise BadTable(f"{path}: expected a column of labels or grades, got none named. Name it in the spec's label.")


def _classes(root: Path, home: Path, spec: TableSpec) -> Iterator[tuple[str, str]]:
    """Yield label and path of every picture one folder below `home`."""
    labels = {folder.lower(): label for folder, label in spec.classes.items()}
    folders = (
        sorted(entry.name for entry in os.scandir(root / home) if entry.is_dir()) if (root / home).is_dir() else []
    )
    for folder in folders:
        if folder.startswith("."):
            continue
        pictures = [
            name for name in sorted(os.listdir(root / home / folder)) if is_picture(root / home / folder / name)
        ]
        if pictures and labels and folder.lower() not in labels:
            raise BadTable(
                f"{root / home / folder}: expected a class of {spec.name} ({', '.join(spec.classes)}), got a folder "
                f"{folder} with {len(pictures)} pictures. Move it away, or name its class."
            )
        for name in pictures:
            yield labels.get(folder.lower(), folder), (home / folder / name).as_posix()


def _with_names_read(frame: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Read patient and eye from the file names, where the spec says how; names of another form are ignored."""
    if spec.file_name is None:
        return frame
    form = re.compile(spec.file_name)
    said = [form.match(Path(str(image)).stem) for image in frame["image"]]
    eyes = spec.values.get("eye", {})
    for name in form.groupindex:
        words = [None if match is None else match[name] for match in said]
        if name == "eye":
            frame[name] = pd.Series([None if word is None else eyes.get(word, word) for word in words], dtype=object)
        else:
            frame[name] = pd.Series(words, dtype=object)
    return frame


_BENCHMARK: Final = "https://github.com/rmaphoh/RETFound_MAE/blob/main/BENCHMARK.md"
_FOLDERS: Final = (
    _BENCHMARK,
    "https://github.com/ABILab-CUHK/VisionFM/blob/main/finetune_visionfm_for_multiclass_classification.py",
)
_CARDS: Final = "https://github.com/pth1993/Ophthalmology-Data/blob/main"
_LOADER: Final = "https://github.com/jusiro/FLAIR/blob/main/local_data/prepare_partitions.py"

PAPILA: Final = TableSpec(
    name="PAPILA",
    task="multi-class",
    classes={"anormal": "normal", "bsuspectglaucoma": "glaucoma_suspect", "cglaucoma": "glaucoma"},
    file_name=r"RET(?P<patient>\d+)(?P<eye>OD|OS)",
    values={"eye": {"OD": "right", "OS": "left"}},
)
ORIGA: Final = TableSpec(
    name="ORIGA",
    task="binary",
    table="OrigaList.csv",
    pictures="Images",
    image="Filename",
    label="Glaucoma",
    values={"label": {"0": "normal", "1": "glaucoma"}},
)
GLAUCOMA_FUNDUS: Final = TableSpec(
    name="Glaucoma Fundus",
    task="multi-class",
    classes={
        "anormal_control": "normal",
        "bearly_glaucoma": "early_glaucoma",
        "cadvanced_glaucoma": "advanced_glaucoma",
    },
)
AREDS: Final = TableSpec(
    name="AREDS", task="multi-class", table="areds.csv", patient="patient", eye="eye", visit="visit", label="label"
)
JSIEC: Final = TableSpec(name="JSIEC", task="multi-class")
RETINA: Final = TableSpec(
    name="Retina (cataract)",
    task="multi-class",
    classes={
        "anormal": "normal",
        "1_normal": "normal",
        "bcataract": "cataract",
        "2_cataract": "cataract",
        "cglaucoma": "glaucoma",
        "2_glaucoma": "glaucoma",
        "ddretina_disease": "retina_disease",
        "3_retina_disease": "retina_disease",
    },
)

SPECS: Final[dict[str, Source]] = {
    source.name: source
    for source in (
        Source(
            name="papila",
            title="PAPILA, in RETFound's benchmark folders",
            what="488 photographs of both eyes of 244 patients: normal, glaucoma suspect or glaucoma",
            modality="fundus",
            licence="CC BY 4.0",
            where="https://figshare.com/articles/dataset/PAPILA/14798004",
            citation="Kovalyk et al., PAPILA: Dataset with fundus images and clinical data of both eyes of the same "
            "patient for glaucoma assessment, Scientific Data 9 (2022) 291, doi 10.1038/s41597-022-01388-1",
            layout="confirmed",
            layout_from=(*_FOLDERS, _LOADER),
            read=partial(read_labelled_folders, spec=PAPILA),
            notes=(
                "Read are RETFound's folders (train, val, test; anormal, bsuspectglaucoma, cglaucoma), not the "
                "publisher's workbooks. The publisher's file names (RET002OD) say patient and eye; copies that renamed "
                "them say neither.",
                "RETFound divided photographs: where the names are kept, check that no patient is on two sides.",
            ),
        ),
        Source(
            name="origa",
            title="ORIGA-light",
            what="650 photographs, glaucoma or not",
            modality="fundus",
            licence="for research; the publisher's page is gone, copies state their own",
            where="https://www.kaggle.com/datasets/arnavjain1/glaucoma-datasets",
            citation="Zhang et al., ORIGA-light: An online retinal fundus image database for glaucoma analysis and "
            "research, EMBC 2010, doi 10.1109/IEMBS.2010.5626137",
            layout="confirmed",
            layout_from=(_LOADER,),
            read=partial(read_labelled_table, spec=ORIGA),
            notes=("Name the folder that holds OrigaList.csv and Images.", "No patient is read: the copies name none."),
        ),
        Source(
            name="glaucoma_fundus",
            title="Glaucoma Fundus, in RETFound's benchmark folders",
            what="1,544 disc photographs: normal, early or advanced glaucoma",
            modality="fundus",
            licence="as the Dataverse's page says",
            where="https://dataverse.harvard.edu/dataset.xhtml?persistentId=doi:10.7910/DVN/1YRRAC",
            citation="Ahn et al., A deep learning model for the detection of both advanced and early glaucoma using "
            "fundus photography, PLOS ONE 13 (2018) e0207982",
            layout="confirmed",
            layout_from=_FOLDERS,
            read=partial(read_labelled_folders, spec=GLAUCOMA_FUNDUS),
            notes=("No patient is published; the split is RETFound's, by photograph.",),
        ),
        Source(
            name="areds",
            title="AREDS, Age-Related Eye Disease Study",
            what="photographs of both eyes over years, with AMD severity, from a trial",
            modality="fundus",
            licence="dbGaP controlled access",
            where="https://www.ncbi.nlm.nih.gov/projects/gap/cgi-bin/study.cgi?study_id=phs000001.v3.p1",
            citation="Age-Related Eye Disease Study Research Group, Archives of Ophthalmology 119 (2001) 1417",
            layout="unconfirmed",
            layout_from=("https://www.ncbi.nlm.nih.gov/projects/gap/cgi-bin/study.cgi?study_id=phs000001.v3.p1",),
            read=partial(read_labelled_table, spec=AREDS),
            notes=(
                "dbGaP's tables were not seen. What is read is a table of your own making, areds.csv, with the columns "
                "image, patient, eye (left, right), visit and label, in the folder that the images' paths start from.",
            ),
        ),
        Source(
            name="jsiec",
            title="JSIEC, 1,000 fundus images with 39 categories",
            what="1,000 photographs in 39 classes, published in part",
            modality="fundus",
            licence="as the Zenodo page says",
            where="https://zenodo.org/records/3477553",
            citation="Cen et al., Automatic detection of 39 fundus diseases and conditions in retinal photographs "
            "using deep neural networks, Nature Communications 12 (2021) 4828, doi 10.1038/s41467-021-25138-w",
            layout="confirmed",
            layout_from=(*_FOLDERS, f"{_CARDS}/JSIEC.md"),
            read=partial(read_labelled_folders, spec=JSIEC),
            notes=(
                "The class is the folder's name (0.0.Normal, 0.3.DR1, ...), in RETFound's train, val and test or, as "
                "published, in 1000images: name the folder that holds the classes.",
                "DR1, DR2 and DR3 are not ICDR grades; no grade is given.",
                "No patient is published.",
            ),
        ),
        Source(
            name="retina",
            title="Retina (cataract dataset)",
            what="601 photographs: normal, cataract, glaucoma or another disease of the retina",
            modality="fundus",
            licence="none stated",
            where="https://www.kaggle.com/datasets/jr2ngb/cataractdataset",
            citation="https://www.kaggle.com/datasets/jr2ngb/cataractdataset",
            layout="confirmed",
            layout_from=(*_FOLDERS, _LOADER, f"{_CARDS}/Retina.md"),
            read=partial(read_labelled_folders, spec=RETINA),
            notes=(
                "RETFound's folders are read, and the Kaggle copy's (1_normal, 2_cataract, 2_glaucoma, "
                "3_retina_disease).",
                "No patient, grader or licence is published.",
            ),
        ),
    )
}
"""Public sets that a spec alone reads, each a source that can be imported by its name."""
