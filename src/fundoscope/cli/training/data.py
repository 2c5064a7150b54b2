"""`fundoscope data`: manifests from public data sets, folders and tables, and splits by patient."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import print_json, print_text, troubles
from fundoscope.cli.help import Verb
from fundoscope.cli.manifests import rules_for, write_and_say
from fundoscope.errors import BadRequest, BadTable

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.data.source import Source

app = typer.Typer(help="Make manifests and split them by patient.", no_args_is_help=True, add_completion=False)

Out = Annotated[Path, typer.Option("--out", "-o", help="Manifest to write: .csv, .parquet or .jsonl.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Replace = Annotated[
    bool, typer.Option("--replace", help="Write over a file that exists. One that is read is never written over.")
]
PatientFrom = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Read the patient off the pictures' names. An expression with one group, or with groups named "
        "patient and eye, such as '(?P<patient>.+)_(?P<eye>left|right)'.",
    ),
]


@app.command("sources", cls=Verb)
def sources(as_json: AsJson = False) -> None:
    """List the public data sets that `data import` reads: content, licence, where to get them."""
    from fundoscope.data.imports import SOURCES

    if as_json:
        keys = ("title", "what", "modality", "licence", "where", "citation", "layout", "layout_from", "notes")
        print_json({name: {key: getattr(source, key) for key in keys} for name, source in SOURCES.items()})
        return
    for name, source in SOURCES.items():
        print_text(f"{name}: {source.title}", style="bold")
        read_in = "; ".join(source.layout_from)
        about = (
            source.what,
            f"Layout: {source.layout} ({read_in})",
            *_terms(source),
            *(f"Note: {note}" for note in source.notes),
        )
        for line in about:
            print_text(f"  {line}")


@app.command("import", cls=Verb)
def import_(
    source: Annotated[str, typer.Argument(help="Name of the data set; see `fundoscope data sources`.")],
    folder: Annotated[Path, typer.Argument(help="Folder that it was unpacked to.")],
    out: Out,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write the manifest of a public data set. Photographs that are not there are named and left out."""
    from fundoscope.data.imports import SOURCES, import_source, is_imported

    rules = rules_for(out, [] if is_imported(out) else [folder], replace=replace)
    frame = import_source(source, folder)
    about = SOURCES[source]
    missing = frame.loc[frame["sha256"].isna(), "image"].tolist()
    if len(missing) == len(frame):
        raise BadTable(
            f"{folder}: expected {len(frame)} photographs, none is there, the first would be {missing[0]}. "
            f"Unpack the pictures beside the labels. {' '.join(_terms(about))}"
        )
    terms = {"licence": about.licence, "where": about.where, "citation": about.citation, "layout": about.layout}
    write_and_say(
        frame[frame["sha256"].notna()], folder, out, rules=rules, missing=missing, as_json=as_json, terms=terms
    )
    if not as_json:
        for line in _terms(about):
            print_text(line)


@app.command("from", cls=Verb)
def from_(
    path: Annotated[Path, typer.Argument(metavar="FOLDER_OR_TABLE", help="Folder of pictures, or a table of labels.")],
    out: Out,
    image_column: Annotated[str, typer.Option(help="The table's column of picture names.")] = "image",
    grade_column: Annotated[str | None, typer.Option(help="The table's column of grades 0-4.")] = None,
    patient_column: Annotated[str | None, typer.Option(help="The table's column of patients.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OURS=THEIRS",
            help="Column of the manifest, and the table's. Such as eye=laterality. Repeatable.",
        ),
    ] = None,
    sign: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=THEIRS",
            help="Name of a sign, and the table's column. Multi-label target: 0 absent, 1 present, such as "
            "ma=Microaneurysms. Repeatable.",
        ),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CODE=VALUE",
            help="Value of the manifest for a code of the table. As COLUMN:CODE=VALUE, such as "
            "grade:Moderate=2 or sign_ma:yes=1. Repeatable.",
        ),
    ] = None,
    grade_map: Annotated[
        str | None,
        typer.Option(
            metavar="WORD=GRADE",
            help="Grades of the table's words and numbers. 0-4, ungradable or unknown, such as "
            "'R1=1,-1=ungradable'. The scale's own names (no DR, mild, PDR ...) are known.",
        ),
    ] = None,
    patient_from: PatientFrom = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder of the pictures. Default: the table's.")] = None,
    class_folders: Annotated[
        bool,
        typer.Option(
            "--class-folders",
            help="Each folder of pictures is a class. Column label; folders train, val and test above them are splits.",
        ),
    ] = False,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write a manifest of your own photographs: a folder of pictures, or a table of labels in its own words."""
    from fundoscope.data.grade_words import grade_map as read_grade_map
    from fundoscope.data.manifest import manifest_from_csv, manifest_from_folder

    named = {"image": image_column, "grade": grade_column, "patient": patient_column}
    columns = {ours: theirs for ours, theirs in named.items() if theirs is not None} | _pairs("--column", column)
    codes = _codes(code)
    rules = rules_for(out, [] if path.is_dir() else [path], replace=replace)
    eyes = {} if patient_from is None or "eye" in columns else codes.pop("eye", {})
    if path.is_dir():
        if columns != {"image": "image"} or sign or codes or grade_map or pictures:
            raise BadRequest(f"{path}: the column options and --pictures need a table, got a folder. Name the table.")
        if class_folders:
            from fundoscope.data.generic import TableSpec, manifest_from_spec

            frame = manifest_from_spec(path, TableSpec(name=path.name, task="multi-class"), kind="folders")
        else:
            frame = manifest_from_folder(path)
        root = path
    elif class_folders:
        raise BadRequest(f"{path}: --class-folders needs a folder, got a table. Name the folder of the class folders.")
    else:
        frame = manifest_from_csv(
            path,
            columns=columns,
            signs=_pairs("--sign", sign),
            codes=codes,
            grades=None if grade_map is None else read_grade_map(grade_map),
            folder=pictures,
        )
        root = pictures or path.parent
    if patient_from is not None:
        frame = _with_patients(frame, patient_from, eyes)
    write_and_say(frame, root, out, rules=rules, missing=[], as_json=as_json)


def _codes(options: list[str] | None) -> dict[str, dict[str, str]]:
    """Read OURS:CODE=VALUE: of each column of the manifest its codes and their values."""
    codes: dict[str, dict[str, str]] = {}
    for name, value in _pairs("--code", options).items():
        ours, _, theirs = name.partition(":")
        codes.setdefault(ours, {})[theirs] = value
    return codes


def _with_patients(frame: pd.DataFrame, pattern: str, eyes: dict[str, str]) -> pd.DataFrame:
    """Read patients off names, and say how the first name was read."""
    from fundoscope.data.names import patients_from_names

    named = patients_from_names(frame, pattern, eyes=eyes)
    first = named.iloc[0]
    eye = f", {first['eye']} eye" if "(?P<eye>" in pattern else ""
    print_text(f"Patients are read off the names: {first['image']} is of patient {first['patient']}{eye}.", to=troubles)
    return named


def _pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """Read NAME=VALUE, each name once."""
    pairs: dict[str, str] = {}
    for text in texts or []:
        name, separator, value = (part.strip() for part in text.partition("="))
        wanted = "OURS:CODE=VALUE" if option == "--code" else "NAME=COLUMN"
        if not separator or not name or not value or (option == "--code" and not all(name.partition(":"))):
            raise BadRequest(f"{option}: expected {wanted}, got {text!r}. Correct it.")
        if name in pairs:
            raise BadRequest(f"{option}: expected {name} once, got it twice. Leave one out.")
        pairs[name] = value
    return pairs


@app.command("split", cls=Verb)
def split(
    manifest: Annotated[Path, typer.Argument(help="Manifest to split. A protocol needs several sources in it.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Manifest to write. Default: change the given one in place.")
    ] = None,
    shares: Annotated[
        str, typer.Option(help="Shares of train, val and test. Protocols use the ratio of the first two.")
    ] = "0.7,0.15,0.15",
    folds: Annotated[
        int | None, typer.Option(min=2, help="Make so many cross-validation folds instead. Column fold.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="How to split: hash-based or stratified. hash-based: a patient's split never changes when "
            "rows are added or removed. stratified: exact shares of every source and grade. Default: "
            "hash-based; stratified for folds."
        ),
    ] = None,
    leave_out: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Test on this source, train on all others. GDRBench's DG.")
    ] = None,
    train_only: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Train on this source, test on all others. GDRBench's ESDG.")
    ] = None,
    never_train: Annotated[
        list[str] | None,
        typer.Option(metavar="SOURCE", help="Further source that is not trained on. With --leave-out. Repeatable."),
    ] = None,
    by: Annotated[str, typer.Option(help="Column that names the sources. Domain in GDRBench's lists.")] = "source",
    drop_from: Annotated[
        str, typer.Option(help="Split that patients of both leave (train, test). In a protocol.")
    ] = "train",
    salt: Annotated[str, typer.Option(help="Any text; each gives another split.")] = "",
    patient_from: PatientFrom = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite an existing split, and an existing file --out.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Split a manifest so that no patient, file or group of duplicates is in two splits."""
    from fundoscope.data.manifest import read_manifest

    _one_of("--method", method, (None, "hash-based", "stratified"))
    _one_of("--drop-from", drop_from, ("train", "test"))
    rules = None if out is None else rules_for(out, [manifest], replace=replace)
    frame = read_manifest(manifest)
    if patient_from is not None:
        frame = _with_patients(frame, patient_from, {})
    chosen = [name for name, value in (("folds", folds), ("leave-out", leave_out), ("train-only", train_only)) if value]
    if len(chosen) > 1:
        raise BadRequest(f"{manifest}: expected one division, got --{' and --'.join(chosen)}. Say only one of them.")
    if never_train and not leave_out:
        raise BadRequest(f"{manifest}: --never-train needs --leave-out SOURCE, got none. Add it, or leave both out.")
    try:
        if leave_out or train_only:
            options = {"by": by, "drop_from": drop_from, "val_share": _val_share(shares), "salt": salt}
            divided = _by_protocol(frame, manifest, out, (leave_out, train_only, never_train or []), options)
        else:
            _check_empty(frame, "fold" if folds else "split", manifest, replace)
            divided = _by_method(frame, folds, shares, method, salt)
    except ValueError as error:
        raise BadRequest(f"{manifest}: {error}. Correct the option.") from error
    write_and_say(
        divided,
        manifest.parent,
        out or manifest,
        rules=rules,
        missing=[],
        as_json=as_json,
        by="fold" if folds else "split",
    )


@app.command("correct", cls=Verb)
def correct(
    manifest: Annotated[Path, typer.Argument(help="Manifest whose labels were reviewed.")],
    review: Annotated[Path, typer.Argument(help="Table of suspects (`fundoscope audit --review`), filled in.")],
    out: Out,
    replace: Replace = False,
    as_json: AsJson = False,
) -> None:
    """Write a manifest with the grades of a review; the old ones stay in grade_original."""
    from fundoscope.audit.labels import read_review
    from fundoscope.data.manifest import read_manifest, rebased, write_manifest

    rules_for(out, [manifest, review], replace=replace)
    corrected = read_review(review, read_manifest(manifest))
    write_manifest(rebased(corrected, manifest.parent, out.parent), out)
    changed = int((corrected["grade"] != corrected["grade_original"]).fillna(False).sum())
    read = int(corrected["grade_by"].notna().sum())
    if as_json:
        print_json({"manifest": str(out), "reviewed": read, "changed": changed})
    else:
        print_text(f"{out}: {read} labels read again, {changed} of them changed")


def _one_of(option: str, value: str | None, allowed: tuple[str | None, ...]) -> None:
    if value not in allowed:
        raise BadRequest(f"{option}: expected {' or '.join(filter(None, allowed))}, got {value!r}. Correct it.")


def _check_empty(frame: pd.DataFrame, column: str, manifest: Path, replace: bool) -> None:
    if column in frame and frame[column].notna().any() and not replace:
        raise BadRequest(
            f"{manifest}: expected no column {column}, got one that is filled. Say --replace to overwrite it, which "
            "makes results incomparable with those on the old one."
        )


def _by_method(frame: pd.DataFrame, folds: int | None, shares: str, method: str | None, salt: str) -> pd.DataFrame:
    """Split by shares or into folds, and name the splits that got nothing."""
    from fundoscope.data.split import fold_by_patient, split_by_patient

    options: Any = {"salt": salt, **({"method": method} if method else {})}
    wanted = _shares(shares)
    if folds is None:
        divided = split_by_patient(frame, shares=wanted, **options)
        empty = {side for side, share in wanted.items() if share > 0} - set(divided["split"])
    else:
        divided = fold_by_patient(frame, folds=folds, **options)
        empty = {f"fold {fold}" for fold in set(range(folds)) - set(divided["fold"])}
    if empty:
        print_text(
            f"nothing fell on: {', '.join(sorted(empty))}. So few patients are better split with --method stratified",
            to=troubles,
        )
    return divided


def _by_protocol(
    frame: pd.DataFrame,
    manifest: Path,
    out: Path | None,
    sources: tuple[str | None, str | None, list[str]],
    options: dict[str, Any],
) -> pd.DataFrame:
    """Divide by sources, and say what was left out and why."""
    from fundoscope.data.protocols import leave_one_out
    from fundoscope.data.protocols import train_only as train_on_one

    if out is None or out.resolve() == manifest.resolve():
        raise BadRequest(
            f"{manifest}: expected another manifest to write to, got none: a protocol goes by the sources' own split, "
            "which has to stay. Say --out FILE."
        )
    target, source, never = sources
    divided = (
        leave_one_out(frame, target, never_train=never, **options)
        if target
        else train_on_one(frame, str(source), **options)
    )
    for reason, count in divided["left_out"].value_counts().items():
        print_text(f"left out, {reason}: {count}", to=troubles)
    return divided


def _val_share(text: str) -> float:
    """The share of validation in what is not tested on."""
    shares = _shares(text)
    usable = shares["train"] + shares["val"]
    if min(shares.values()) < 0 or usable <= 0:
        raise BadRequest(f"--shares: expected shares from 0 to 1 with some to train on, got {text!r}. Correct it.")
    return shares["val"] / usable


def _shares(text: str) -> dict[str, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise BadRequest(f"--shares: expected three numbers such as 0.7,0.15,0.15, got {text!r}.") from error
    return {"train": train, "val": val, "test": test}


def _terms(source: Source) -> tuple[str, ...]:
    """Under which licence, from where, and how to cite."""
    return f"Licence: {source.licence}", f"From: {source.where}", f"Cite: {source.citation}"
