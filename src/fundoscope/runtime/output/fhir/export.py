"""FHIR bundles of a run: one file for each examination.

    FOLDER/BUNDLE_ID.json

The identifier is computed from release and examination, so that grading again gives the same file and nobody's name is
in it. An examination is a patient's photographs of one study, or of one day where no study is known; a photograph of a
patient who is not known is one of its own.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fundoscope.files import write_text
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.destinations import Rules, try_folder
from fundoscope.runtime.output.fhir.resources import UNDATED, Bundle, Examination, Resource
from fundoscope.runtime.output.names import Pseudonyms, without_files
from fundoscope.runtime.release import OpenRelease
from fundoscope.runtime.tasks.task import Row, Task, is_blank

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader

OPTION: Final = "--fhir-out"


@dataclass(kw_only=True)
class FhirBundles:
    """Where bundles are written, and which were written."""

    folder: Path
    paths: Sequence[Path]
    """The photographs of the run, in the order of its rows."""
    de_identify: bool = False
    """Whether patient, dates and identifiers are replaced or left out."""
    written: list[Path] = field(default_factory=list)
    """Files, filled by `write`."""

    def try_out(self, opened: OpenRelease) -> None:
        """Refuse what could not be written after grading.

        Raises:
            BadRelease: If the release does not grade retinopathy: there are no codes for what it answers.
            BadRequest: If nothing can be written into the folder.
        """
        _ = opened.grading
        try_folder(self.folder, OPTION)

    def check(self, rules: Rules) -> None:
        """Refuse to write over bundles, unless that was asked for. Raises as `destinations.Rules.check_file`.

        Which bundles a run will write is known only when it has graded, so that any bundle in the folder counts.
        """
        for file in sorted(self.folder.glob("*.json")):
            rules.check_file(file, OPTION)

    def write(
        self, grader: Grader, rows: Sequence[Row], *, writing: Callable[[Sequence[Path]], None] | None = None
    ) -> None:
        """Write the bundles.

        Args:
            grader: Whose release answered.
            rows: Rows of the predictions table.
            writing: Called with the files before the first is written.
        """
        unnamed = [
            {**row, "reason": without_files(row["reason"], self.paths)} if row["reason"] else row for row in rows
        ]
        bundles = bundles_of(unnamed, grader.opened, de_identify=self.de_identify)
        files = [self.folder / f"{bundle['id']}.json" for bundle in bundles]
        if writing is not None:
            writing(files)
        for path, bundle in zip(files, bundles, strict=True):
            write_text(path, json.dumps(bundle, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
            self.written.append(path)


def bundles_of(rows: Sequence[Row], opened: OpenRelease, *, de_identify: bool = False) -> list[Resource]:
    """Return the bundle of each examination, in the order in which their first photographs stand.

    Args:
        rows: Rows of the predictions table, None for blank.
        opened: The release that answered.
        de_identify: Whether patient, dates and identifiers are replaced or left out. The bundles' own identifiers are
            random then, as a computed one would show which patient it is of to whoever can compute it too.
    """
    examined = examinations(rows, opened.task)
    if de_identify:
        pseudonyms = Pseudonyms()
        examined = [
            _examination(secrets.token_hex(16), [pseudonyms.row(row) for row in examination.rows], opened.task)
            for examination in examined
        ]
    return [Bundle(examination, opened).build() for examination in examined]


def examinations(rows: Sequence[Row], task: Task) -> list[Examination]:
    """Divide rows into examinations and answer each."""
    groups: dict[str, list[Row]] = {}
    copies: Counter[str] = Counter()
    for row in rows:
        key = _key(row)
        if row["patient"] is None:
            # The same photograph twice is two examinations; which rows stand between them does not matter.
            copies[key] += 1
            key = json.dumps([key, copies[key]])
        groups.setdefault(key, []).append(row)
    return [_examination(key, group, task) for key, group in groups.items()]


def _examination(key: str, rows: Sequence[Row], task: Task) -> Examination:
    (answer,) = answer_patients(rows, task)
    return Examination(key=key, rows=rows, answer=answer)


def _key(row: Row) -> str:
    if row["patient"] is None:
        return json.dumps(["photograph", row["sha256"] or row["image"]])
    day = UNDATED if is_blank(row["taken"]) else str(row["taken"])[:10]
    return json.dumps(["patient", row["source"], str(row["patient"]), row["study_uid"] or day])
