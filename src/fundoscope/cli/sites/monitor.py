"""`fundoscope monitor`: check whether a commissioning still holds for the patients who came since."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fundoscope.cli.console import interruptible, print_json, say, say_written
from fundoscope.cli.progress import dust_progress
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.clinic.monitoring.watch import MonitoringReport

ALARM = 1
"""Exit status where something changed."""


def monitor(
    predictions: Annotated[Path, typer.Argument(help="Predictions of the patients who came since.")],
    reference: Annotated[Path, typer.Option(help="Predictions of the patients of the commissioning.")],
    protocol: Annotated[
        Path | None,
        typer.Option(help="protocol.json, or the commissioned release. A folder or .zip that holds it."),
    ] = None,
    features: Annotated[
        Path | None, typer.Option(help="Features of the table. Default: NAME.features.npz beside it.")
    ] = None,
    features_reference: Annotated[
        Path | None, typer.Option(help="Features of the reference. Default: NAME.features.npz beside it.")
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the site, to look for new dust. It has dust_map.json: whether specks on the sensor "
            "have come or gone is reported."
        ),
    ] = None,
    photographs: Annotated[
        Path | None,
        typer.Option(help="Folder that the table's photographs lie in. Default: this one, else the table's."),
    ] = None,
    false_alarms: Annotated[
        str, typer.Option(help="Allowed false alarms. 'one in N patients', or N.")
    ] = "one in 2000 patients",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    report: Annotated[Path | None, typer.Option(help="Folder to write monitor.json and monitor.md into.")] = None,
) -> None:
    """Test whether gradability, scores, features and referral rate, and dust, have changed since the commissioning.

    Exit status: 0 no change found, 1 alarm, 2 a table or the protocol is not usable.
    """
    import json
    from datetime import UTC, datetime

    from fundoscope.clinic.commissioning.site import open_site
    from fundoscope.clinic.monitoring.from_tables import Camera, monitor_tables
    from fundoscope.clinic.monitoring.watch import Rules
    from fundoscope.clinic.monitoring.words import to_markdown
    from fundoscope.files import write_text
    from fundoscope.parallel import available_cores

    if photographs is not None and site is None:
        raise BadRequest("--photographs: expected --site beside it, got none. Name the folder with dust_map.json.")
    dust = None if site is None else open_site(site).dust
    with interruptible("Nothing was written: give the same command again."), dust_progress() as progress:
        result = monitor_tables(
            predictions,
            reference,
            Rules(false_alarm_after=_patients(false_alarms)),
            protocol=protocol,
            features=(features, features_reference),
            camera=None
            if dust is None
            else Camera(dust=dust, folder=photographs, threads=available_cores(), progress=progress),
            day=datetime.now(UTC).date(),
        )
    text = json.dumps(result, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if report is not None:
        for name, content in (("monitor.json", text), ("monitor.md", to_markdown(result))):
            write_text(report / name, content)
            say_written(report / name)
    if as_json:
        print_json(dict(result))
    else:
        _print(result)
    if not result["holds"]:
        raise typer.Exit(ALARM)


def _patients(text: str) -> int:
    """Read the N of "one in N patients"."""
    match = re.fullmatch(r"\s*(?:(?:one|1) in )?(\d[\d,]*)(?: patients)?\s*", text, re.IGNORECASE)
    patients = 0 if match is None else int(match[1].replace(",", ""))
    if not patients:
        raise BadRequest(
            f"--false-alarms: expected 'one in N patients' or a number of patients, got {text!r}. "
            "Write 'one in 2000 patients'."
        )
    return patients


def _print(report: MonitoringReport) -> None:
    from fundoscope.clinic.monitoring.words import details, verdict

    say(verdict(report), [*(f"- {line}" for line in report["reasons"]), *details(report)])
