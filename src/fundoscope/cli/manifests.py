"""What the verbs of `fundoscope data` do last: write a manifest, and say what is in it."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from fundoscope.cli.console import answers, print_json, print_text, troubles
from fundoscope.cli.layout import fitted

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.runtime.destinations import Rules

SHOWN = 5
"""Missing files named one by one."""

DIVIDED = (
    "each photograph counts as its own patient; both eyes of one person can be divided between train and val. Say who "
    "is who in the column patient"
)
"""What follows from patients that are not known."""


def rules_for(out: Path, inputs: Iterable[Path], *, replace: bool) -> Rules:
    """Return what may be written over, after refusing a file that must not be: before hours of reading photographs.

    Raises:
        BadRequest: If a folder, a file that is read or, unless `replace` says so, any file lies there.
        BadTable: If it is no name of a table.
    """
    from fundoscope.runtime.destinations import Inputs, Rules, try_folder
    from fundoscope.tables.formats import check_name

    check_name(out)
    rules = Rules(inputs=Inputs.of(inputs), replace=replace)
    rules.check_file(out, "--out")
    try_folder(out.parent, "--out")
    return rules


def write_and_say(
    frame: pd.DataFrame,
    folder: Path,
    out: Path,
    *,
    rules: Rules | None,
    missing: list[str],
    as_json: bool,
    by: str = "split",
    terms: dict[str, str] | None = None,
) -> None:
    """Write a manifest whose paths are relative to `folder`, and say what is in it.

    Args:
        frame: The manifest.
        folder: Folder that its paths are relative to.
        out: The file.
        rules: What may be written over; its photographs never may. None: the manifest is changed in its place.
        missing: Photographs that were left out because their files are missing.
        as_json: Print the answer as JSON.
        by: Column by which photographs are counted.
        terms: Licence and the like, for the answer in JSON.

    Raises:
        BadRequest: If something that must not be written over lies at `out`.
    """
    from fundoscope.data.manifest import picture_paths, rebased, write_manifest

    if rules is not None:
        from fundoscope.runtime.destinations import Inputs

        pictures = Inputs.of(picture_paths(frame, folder / "any"))
        dataclasses.replace(rules, inputs=rules.inputs | pictures).check_file(out, "--out")
    write_manifest(rebased(frame.reset_index(drop=True), folder, out.parent), out)
    patients, unknown = _patients(frame)
    repeated = int(frame["sha256"].dropna().duplicated().sum()) if "sha256" in frame else 0
    of = "grade" if "grade" in frame and frame["grade"].notna().any() else "label"
    table = _by_class(frame, by, of)
    if as_json:
        answer: dict[str, Any] = {
            "manifest": str(out),
            "photographs": len(frame),
            "patients": patients or None,
            "photographs_without_patient": unknown,
            "missing": missing,
            "repeated": repeated,
            by: table,
            **(terms or {}),
        }
        if "left_out" in frame:
            answer["left_out"] = {str(reason): int(count) for reason, count in frame["left_out"].value_counts().items()}
        print_json(answer)
    else:
        print_text(f"{out}: {_headline(len(frame), patients, unknown)}", style="bold")
        answers.print(fitted(_counts_table(table, by, of)))
        if repeated:
            print_text(f"photographs that repeat another one byte for byte: {repeated}", to=troubles)
        if missing:
            named = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
            print_text(f"missing files, left out: {len(missing)} ({named})", to=troubles)
    if unknown:
        for line in _without_patients(frame, unknown):
            print_text(line, to=troubles)


def _patients(frame: pd.DataFrame) -> tuple[int, int]:
    """Return how many patients are known, and of how many photographs none is."""
    from fundoscope.tables import patient_keys

    keys = patient_keys(frame)
    return len({key for key in keys if key[0] == "patient"}), sum(key[0] != "patient" for key in keys)


def _headline(photographs: int, patients: int, unknown: int) -> str:
    of = f"{photographs} photograph{_s(photographs)}"
    if not patients:
        return f"{of}, patients unknown"
    return f"{of} of {patients} patient{_s(patients)}" + (f" and {unknown} without a patient" if unknown else "")


def _without_patients(frame: pd.DataFrame, unknown: int) -> list[str]:
    """Return sentences about photographs without a patient, and about names that say who is on them."""
    from fundoscope.data.names import suggested
    from fundoscope.tables.patients import texts

    images = [
        str(image) for image, patient in zip(frame["image"], texts(frame, "patient"), strict=True) if patient is None
    ]
    start = "patients unknown" if unknown == len(frame) else f"{unknown} photographs without a patient"
    lines = [f"{start}: {DIVIDED}."]
    found = suggested(images)
    if found is not None:
        pattern = shlex.quote(found.pattern) if os.name == "posix" else f'"{found.pattern}"'
        left, right = found.example
        if found.matched < len(images):
            lines.append(
                f"{found.matched} of {len(images)} names look like those of eyes ({left}, {right}): adapt "
                f"--patient-from {pattern} so that it matches all of them."
            )
        else:
            lines.append(
                f"The names look like pairs of eyes ({left}, {right}): --patient-from {pattern} reads patient and eye "
                "off them."
            )
    return lines


def _by_class(frame: pd.DataFrame, by: str, of: str) -> dict[str, dict[str, int]]:
    """Photographs by side and grade or label; a blank is `unknown`."""
    import pandas as pd

    def column(name: str) -> list[str]:
        if name not in frame:
            return ["unknown"] * len(frame)
        return ["unknown" if pd.isna(value) else str(value) for value in frame[name].astype(object)]

    counts: dict[str, dict[str, int]] = {}
    for side, grade in sorted(zip(column(by), column(of), strict=True)):
        row = counts.setdefault(side, {})
        row[grade] = row.get(grade, 0) + 1
    return counts


def _counts_table(counts: dict[str, dict[str, int]], by: str, of: str) -> Table:
    grades = sorted({grade for row in counts.values() for grade in row})
    table = Table(by, *(f"{of} {grade}" for grade in grades), "all", box=None, pad_edge=False)
    for side, row in counts.items():
        table.add_row(side, *(str(row.get(grade, 0)) for grade in grades), str(sum(row.values())))
    return table


def _s(count: int) -> str:
    return "" if count == 1 else "s"
