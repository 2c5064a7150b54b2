"""`fundoscope data`: manifests from public data sets, folders and tables, and their division by patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers, troubles
from fundoscope.errors import BadRequest, BadTable

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(help="Manifests: make them, and divide them by patient.", no_args_is_help=True, add_completion=False)

SHOWN = 5
"""Missing files named one by one."""

Out = Annotated[Path, typer.Option("--out", "-o", help="Manifest to write: .csv, .parquet or .jsonl.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@app.command("sources")
def sources(as_json: AsJson = False) -> None:
    """List the data sets that `data import` knows: what they are, their licence, where to get them."""
    from fundoscope.data.imports import SOURCES

    if as_json:
        keys = ("title", "what", "modality", "licence", "where", "citation", "layout", "layout_from", "notes")
        print(json.dumps({name: {key: getattr(each, key) for key in keys} for name, each in SOURCES.items()}, indent=2))
        return
    for name, each in SOURCES.items():
        answers.print(f"{name}: {each.title}", markup=False, style="bold")
        for line in (each.what, f"Licence: {each.licence}", f"From: {each.where}", f"Cite: {each.citation}"):
            answers.print(f"  {line}", markup=False, soft_wrap=True)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="Name of the data set; see `fundoscope data sources`.")],
    folder: Annotated[Path, typer.Argument(help="Folder it was unpacked to.")],
    out: Out,
    as_json: AsJson = False,
) -> None:
    """Write the manifest of a public data set. Photographs that are not there are named and left out."""
    from fundoscope.data.imports import import_source

    frame = import_source(source, folder)
    missing = frame.loc[frame["sha256"].isna(), "image"].tolist()
    if len(missing) == len(frame):
        raise BadTable(
            f"{folder}: expected {len(frame)} photographs, none is there, the first would be {missing[0]}. "
            "Unpack the pictures beside the labels."
        )
    _write(frame[frame["sha256"].notna()], folder, out, missing=missing, as_json=as_json)


@app.command("from")
def from_(
    path: Annotated[Path, typer.Argument(metavar="FOLDER_OR_TABLE", help="Folder of pictures, or a table of labels.")],
    out: Out,
    image_column: Annotated[str, typer.Option(help="The table's column of picture names.")] = "image",
    grade_column: Annotated[str | None, typer.Option(help="The table's column of grades 0-4.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="The table's column of patients.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder of the pictures. Default: the table's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a manifest of one's own photographs."""
    from fundoscope.data.manifest import manifest_from_csv, manifest_from_folder

    if path.is_dir():
        if grade_column or patient_column or pictures or image_column != "image":
            raise BadRequest(f"{path}: the column options and --pictures need a table, got a folder. Name the table.")
        _write(manifest_from_folder(path), path, out, missing=[], as_json=as_json)
        return
    frame = manifest_from_csv(path, image=image_column, grade=grade_column, patient=patient_column, folder=pictures)
    _write(frame, pictures or path.parent, out, missing=[], as_json=as_json)


@app.command("split")
def split(
    manifest: Annotated[Path, typer.Argument(help="Manifest to divide.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Manifest to write. Default: the one given, changed in place.")
    ] = None,
    shares: Annotated[str, typer.Option(help="Shares of train, val and test.")] = "0.7,0.15,0.15",
    folds: Annotated[int | None, typer.Option(min=2, help="Number folds instead, in the column fold.")] = None,
    salt: Annotated[str, typer.Option(help="Any text; each gives a division of its own.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite a division that is already there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Divide a manifest so that no patient is on two sides and every side has its share of every grade."""
    from fundoscope.data.manifest import read_manifest
    from fundoscope.data.split import fold_by_patient, split_by_patient

    frame = read_manifest(manifest)
    column = "split" if folds is None else "fold"
    if column in frame and frame[column].notna().any() and not replace:
        raise BadRequest(
            f"{manifest}: expected no column {column}, got one that is filled. Say --replace to overwrite it, which "
            "makes results incomparable with those on the old one."
        )
    try:
        divided = (
            split_by_patient(frame, shares=_shares(shares), salt=salt)
            if folds is None
            else fold_by_patient(frame, folds=folds, salt=salt)
        )
    except ValueError as error:
        raise BadRequest(f"{manifest}: {error}. Correct the option.") from error
    _write(divided, manifest.parent, out or manifest, missing=[], as_json=as_json, by=column)


def _shares(text: str) -> dict[str, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadRequest(f"--shares: expected three numbers such as 0.7,0.15,0.15, got {text!r}.") from error
    return {"train": train, "val": val, "test": test}


def _write(
    frame: pd.DataFrame, folder: Path, out: Path, *, missing: list[str], as_json: bool, by: str = "split"
) -> None:
    """Write a manifest whose paths are relative to `folder`, and say what is in it."""
    from fundoscope.data.manifest import rebased, write_manifest
    from fundoscope.tables import patient_keys

    write_manifest(rebased(frame.reset_index(drop=True), folder, out.parent), out)
    patients = len(set(patient_keys(frame)))
    repeated = int(frame["sha256"].dropna().duplicated().sum()) if "sha256" in frame else 0
    table = _by_grade(frame, by)
    if as_json:
        answer: dict[str, Any] = {
            "manifest": str(out),
            "photographs": len(frame),
            "patients": patients,
            "missing": missing,
            "repeated": repeated,
            by: table,
        }
        print(json.dumps(answer, indent=2))
        return
    answers.print(f"{out}: {len(frame)} photographs of {patients} patients", markup=False, style="bold", soft_wrap=True)
    answers.print(_counts_table(table, by))
    if repeated:
        troubles.print(f"photographs that repeat another one byte for byte: {repeated}", markup=False)
    if missing:
        named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        troubles.print(f"missing files, left out: {len(missing)} ({named})", markup=False, soft_wrap=True)


def _by_grade(frame: pd.DataFrame, by: str) -> dict[str, dict[str, int]]:
    """Photographs by side and grade; a blank is `unknown`."""
    import pandas as pd

    def column(name: str) -> list[str]:
        if name not in frame:
            return ["unknown"] * len(frame)
        return ["unknown" if pd.isna(value) else str(value) for value in frame[name].astype(object)]

    counts: dict[str, dict[str, int]] = {}
    for side, grade in sorted(zip(column(by), column("grade"), strict=True)):
        row = counts.setdefault(side, {})
        row[grade] = row.get(grade, 0) + 1
    return counts


def _counts_table(counts: dict[str, dict[str, int]], by: str) -> Table:
    grades = sorted({grade for row in counts.values() for grade in row})
    table = Table(by, *(f"grade {grade}" for grade in grades), "all", box=None, pad_edge=False)
    for side, row in counts.items():
        table.add_row(side, *(str(row.get(grade, 0)) for grade in grades), str(sum(row.values())))
    return table
