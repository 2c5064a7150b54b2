"""`fundoscope service shadow`: how far the shadow mode of a service has come, and the tables to commission from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fundoscope.cli.console import print_command, print_json, print_text, say_written
from fundoscope.cli.service.options import FOLDER, AsJson, DatabaseUrl, Folder, operator, service_database
from fundoscope.errors import BadRequest


def shadow(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder for the tables that commission reads. Made if absent."),
    ] = None,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Show how many patients were read in a service's shadow mode, and whether those are enough.

    How readers and release agree is shown, and the tables are written, only once the planned number of patients was
    read; each look at growing data is noted.

    Exit status: 0 the planned number was read, 1 it was not, 2 it cannot be said.
    """
    with service_database(folder, database) as opened:
        from fundoscope.service.work import shadow_words as words
        from fundoscope.service.work.releases import kept_release
        from fundoscope.service.work.shadow import enough_tables, shadow_progress

        if out is not None:
            progress = enough_tables(opened, actor=operator())
            say_written(*progress.tables.write(out))
        else:
            so_far = shadow_progress(opened, actor=operator())
            if so_far is None:
                raise BadRequest(
                    f"{folder}: expected a service that runs or ran in shadow mode, got another. Start it with: "
                    "fundoscope serve --shadow"
                )
            progress = so_far
    place = "" if out is None else f"{out.as_posix()}/"
    release = kept_release(folder, progress.period.release)
    command = words.commission_command(progress, release=release, folder=place)
    if as_json:
        print_json(
            {
                "on": progress.is_on,
                "release": progress.period.release,
                "planned": progress.period.planned,
                "referable": progress.referable,
                "enough": progress.is_enough,
                "counts": words.count_words(progress),
                "looks": progress.looks,
                "figures": words.figures_document(progress),
                "command": command,
            }
        )
    else:
        headline = f"{progress.referable} of {progress.period.planned} planned referable patients were read"
        print_text(f"{headline} in shadow mode.", style="bold")
        for name, count in words.count_words(progress).items():
            print_text(f"{name}: {count}", indent="  ")
        for name, value in words.figure_words(progress).items():
            print_text(f"{name}: {value}", indent="  ")
        if command is None:
            print_text(
                "No figure is shown before that: stopping at one that pleases makes a release look better than it is."
            )
        else:
            print_text(f"Looks at growing data so far, this one included: {progress.looks}.")
            print_command("To commission", command)
    if not progress.is_enough:
        raise typer.Exit(1)
