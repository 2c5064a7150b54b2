"""`fundoscope monitor`: whether a commissioning still holds for the patients who came since, and why not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import say, troubles
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.clinic.monitoring.watch import Given
    from fundoscope.clinic.monitoring.window import Window
    from fundoscope.runtime.release import OpenRelease

ALARM = 1
"""Exit status where something changed."""


def monitor(
    predictions: Annotated[Path, typer.Argument(help="Table of predictions of the patients who came since.")],
    reference: Annotated[Path, typer.Option(help="Table of predictions of the patients of the commissioning.")],
    protocol: Annotated[
        Path | None,
        typer.Option(help="protocol.json, or the commissioned release (folder or .zip) that holds it."),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Features of the table. Default: NAME.features.npz beside it.")
    ] = None,
    features_reference: Annotated[
        Path | None, typer.Option(help="Features of the reference. Default: NAME.features.npz beside it.")
    ] = None,
    false_alarms: Annotated[
        str, typer.Option(help="How often a false alarm may come: 'one in N patients', or N.")
    ] = "one in 2000 patients",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder to write monitor.json and monitor.md into.")] = None,
) -> None:
    """Say whether gradability, scores, features and referral rate are still as they were at the commissioning.

    Exit status: 0 no change found, 1 alarm, 2 a table or the protocol is not usable.
    """
    import json
    from datetime import UTC, datetime

    from fundoscope.clinic.monitoring.watch import Rules, watch
    from fundoscope.clinic.monitoring.words import to_markdown
    from fundoscope.files import write_text

    rules = Rules(false_alarm_after=_patients(false_alarms))
    held, opened = (None, None) if protocol is None else _protocol(protocol)
    _check_twice(predictions, reference)
    before, now = _window(reference, held, opened), _window(predictions, held, opened)
    given = _given(before, now, (features_reference, features), held, opened, seed=rules.seed)
    found = watch(before, now, rules, given, day=datetime.now(UTC).date())
    text = json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if report is not None:
        for name, content in (("monitor.json", text), ("monitor.md", to_markdown(found))):
            write_text(report / name, content)
            troubles.print(f"written: {report / name}", markup=False, soft_wrap=True)
    if as_json:
        print(text, end="")
    else:
        _print(found)
    if not found["holds"]:
        raise typer.Exit(ALARM)


def _patients(wish: str) -> int:
    """The N of "one in N patients"."""
    read = re.fullmatch(r"\s*(?:(?:one|1) in )?(\d[\d,]*)(?: patients)?\s*", wish, re.IGNORECASE)
    patients = 0 if read is None else int(read[1].replace(",", ""))
    if not patients:
        raise BadRequest(
            f"--false-alarms: expected 'one in N patients' or a number of patients, got {wish!r}. "
            "Write 'one in 2000 patients'."
        )
    return patients


def _protocol(path: Path) -> tuple[dict[str, Any], OpenRelease | None]:
    """The protocol, and the release that it lies in."""
    import tempfile

    from fundoscope.clinic.commissioning.protocol import PROTOCOL, read_protocol
    from fundoscope.runtime.archive import reader
    from fundoscope.runtime.description import DESCRIPTION
    from fundoscope.runtime.release import open_release

    if path.suffix == ".json" and not path.is_dir():
        inside = path.name == PROTOCOL and (path.parent / DESCRIPTION).is_file()
        return read_protocol(path), open_release(path.parent) if inside else None
    opened = open_release(path)
    if PROTOCOL not in opened.release.files:
        raise BadRequest(
            f"{path}: expected a commissioned release, got one without {PROTOCOL}. Make one with fundoscope "
            "commission --release RELEASE --out COPY, or give the protocol itself."
        )
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / PROTOCOL
        copy.write_bytes(reader(opened.path)(PROTOCOL))
        return read_protocol(copy), opened


def _window(path: Path, protocol: dict[str, Any] | None, opened: OpenRelease | None) -> Window:
    """A table's patients; out-of-fold scores are put on the release's scale, as its threshold is."""
    from fundoscope.clinic.commissioning.provenance import held_against
    from fundoscope.clinic.monitoring.window import window_of
    from fundoscope.tables import check_predictions, read_table

    rows = check_predictions(read_table(path), path=path)
    if protocol is not None and "release" in protocol["data"] and "fold" in rows and rows["fold"].notna().any():
        if opened is None:
            raise BadRequest(
                f"{path}: expected the commissioned release, to read out-of-fold scores on its scale, got only its "
                "protocol. Give --protocol the folder of the commissioned release."
            )
        rows, _ = held_against(rows, rows, opened, path=path)
    return window_of(rows, path=path)


def _check_twice(predictions: Path, reference: Path) -> None:
    from fundoscope.files import sha256_of

    if sha256_of(predictions) == sha256_of(reference):
        raise BadRequest(
            f"{predictions}: expected a table of later patients, got the reference itself. "
            "Give the table of those who came since."
        )


def _given(
    before: Window,
    now: Window,
    features: tuple[Path | None, Path | None],
    protocol: dict[str, Any] | None,
    opened: OpenRelease | None,
    *,
    seed: int,
) -> Given:
    from fundoscope.clinic.monitoring.watch import Given
    from fundoscope.files import sha256_of

    vectors, notes = _features(before, now, features, seed)
    if protocol is not None:
        if not protocol["guaranteed"]:
            notes.append("The protocol guarantees nothing: its data could not.")
        if protocol["data"].get("predictions_sha256") not in (None, sha256_of(before.path)):
            notes.append(
                f"The reference {before.path.name} is another table than the one that was commissioned "
                f"({protocol['data']['predictions']})."
            )
    names = {} if protocol is None else {protocol["data"].get("release"), None if opened is None else opened.name}
    return Given(
        protocol=protocol, releases=frozenset(filter(None, names)), features=vectors, notes=tuple(notes)
    )  # fmt: skip


def _features(before: Window, now: Window, paths: tuple[Path | None, Path | None], seed: int) -> tuple[Any, list[str]]:
    """Features of both tables' patients, or None and a sentence that says why not."""
    import numpy as np

    from fundoscope.clinic.monitoring.window import features_of
    from fundoscope.runtime.batch import features_path

    windows = (before, now)
    notes: list[str] = []
    places = [given or features_path(window.path) for given, window in zip(paths, windows, strict=True)]
    for given, place in zip(paths, places, strict=True):
        if given is not None and not place.is_file():
            raise BadRequest(f"{place}: expected features (.npz), got nothing: there is no such file. Check the path.")
    if absent := [place for place in places if not place.is_file()]:
        if any(paths):
            raise BadRequest(
                f"{absent[0]}: expected the features of both tables, got those of one. Give the other's as well "
                "(--features, --features-reference), or neither."
            )
        return None, [f"Features were not compared: there is no {' and no '.join(each.name for each in absent)}."]
    rng = np.random.default_rng(seed)
    read = [features_of(window, place, rng) for window, place in zip(windows, places, strict=True)]
    lengths = {vector.shape[1] for vectors, _ in read for vector in vectors}
    if len(lengths) > 1:
        raise BadRequest(
            f"{places[1]}: expected features as long as those of {places[0]}, got {sorted(lengths)}. "
            "Give the features of one release."
        )
    notes.extend(
        f"{lacking} graded photographs of {window.path.name} have no features."
        for window, (_, lacking) in zip(windows, read, strict=True)
        if lacking
    )
    if min(len(vectors) for vectors, _ in read) < 2:
        return None, [*notes, "Features were not compared: fewer than two patients have them."]
    return (read[0][0], read[1][0]), notes


def _print(report: dict[str, Any]) -> None:
    from fundoscope.clinic.monitoring.words import details, verdict

    say(verdict(report), [*(f"- {line}" for line in report["reasons"]), *details(report)])
