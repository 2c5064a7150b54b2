"""`fundoscope service check-log`: whether the audit log is as it was written."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from fundoscope.cli.console import print_json, print_text
from fundoscope.cli.service.options import FOLDER, AsJson, DatabaseUrl, Folder, service_database

CHANGED: Final = 1
"""Exit status where the log is not as it was written."""


def check_log(
    expect: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="Hash of an entry that must be there. As an earlier check printed it."),
    ] = None,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Compute the hashes of the service's audit log again.

    Keep the last hash outside of the service now and then: only with it can a log be recognised whose end was cut off,
    or that was written anew.

    Exit status: 0 the log is as it was written, 1 it was changed, 2 it cannot be read.
    """
    with service_database(folder, database) as opened, opened.reading() as session:
        from fundoscope.service.store.audit_log import verify_log

        result = verify_log(session, expect=expect)
    if as_json:
        print_json(
            {
                "passed": result.passed,
                "entries": result.entries,
                "last": result.last,
                "fault": result.fault,
                "expected_found": result.expected_found,
            }
        )
    elif result.fault is not None:
        print_text("The audit log was changed.", style="bold red")
        print_text(f"{result.fault[:1].upper()}{result.fault[1:]}")
    elif result.expected_found is False:
        print_text("The audit log lacks an entry that it had.", style="bold red")
        print_text(f"{expect}: expected an entry of this hash among {result.entries}, got none.")
    else:
        print_text(f"The audit log is as it was written: {result.entries} entries.", style="bold")
        print_text(f"Last hash: {result.last}")
    if not result.passed:
        raise typer.Exit(CHANGED)
