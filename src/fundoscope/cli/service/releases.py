"""`fundoscope service look-back` and `activate`: what another release would change, and its taking over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import interruptible, print_json, print_text, say_written
from fundoscope.cli.progress import progress
from fundoscope.cli.service.options import FOLDER, AsJson, DatabaseUrl, Folder, operator, service_database
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.runtime.grader import Grader

CHANGED = 1
"""Exit status where answers would change."""

LISTED = 20
"""Cases that the console names; the table has all."""

Release = Annotated[Path | None, typer.Option(help="The new release: a folder or .zip. Default: the one that ships.")]


def look_back(
    release: Release = None,
    site: Annotated[
        Path | None, typer.Option(help="Folder of a commissioned site, as of serve --site.", show_default=False)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Photographs graded side by side. Default: one for each core.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Table of the changed cases to write. As .csv.")
    ] = None,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Grade a service's archive with a new release and list the cases whose answer it would change.

    Nothing that the service shows changes, and it may run meanwhile. Photographs that were graded are not graded again:
    after Ctrl-C the same command continues.

    Exit status: 0 no answer would change, 1 some would or could not be compared, 2 it cannot be done.
    """
    from fundoscope.tables.formats import check_name

    if out is not None:
        check_name(out)
        if out.exists():
            raise BadRequest(f"{out}: expected a name that is free, got a file. Name another with --out.")
    with service_database(folder, database) as opened:
        from fundoscope.service.server import sole_look_back
        from fundoscope.service.settings import ServiceSettings
        from fundoscope.service.store.files import PhotographFiles
        from fundoscope.service.store.releases import changes_of
        from fundoscope.service.work import look_back as work
        from fundoscope.service.work.change_table import change_rows, summary_of, write_changes
        from fundoscope.service.work.releases import check_single_eye

        settings = ServiceSettings(folder=folder, database=database, release=release, site=site, workers=workers)
        with sole_look_back(folder):
            grader = _open(settings.release, settings.site, settings.workers)
            check_single_eye(grader.opened)
            files = PhotographFiles(settings.photographs)
            again = "What was graded is kept: give the same command again."
            with interruptible(again), progress() as show:
                finished = work.look_back(
                    opened,
                    files,
                    grader,
                    actor=operator(),
                    progress=lambda done, total: show("grading with the new release", done, total),
                )
        with opened.reading() as session:
            changes = changes_of(session, finished)
            summary, rows = summary_of(finished, changes), change_rows(changes)
    if out is not None:
        write_changes(rows, out)
        say_written(out)
    if as_json:
        print_json(summary | {"list": rows})
    else:
        _print(summary, rows)
    if summary["changed"] or summary["not_compared"]:
        raise typer.Exit(CHANGED)


def activate(
    release: Release = None,
    without_look_back: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Why nobody looked back. It stands in the audit log.", show_default=False),
    ] = None,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a release the one that a service answers with, after a look-back.

    The service must be stopped. Cases keep their answers; those that the release would answer otherwise are listed on
    the page /look-back, for people to read again.

    Exit status: 0 activated, 2 it cannot be.
    """
    if without_look_back is not None and not without_look_back.strip():
        raise BadRequest("--without-look-back: expected a reason, got none. Say why nobody looked back.")
    with service_database(folder, database) as opened_database:
        from fundoscope.runtime.grader import Grader
        from fundoscope.service.server import sole_service
        from fundoscope.service.store.releases import changes_of
        from fundoscope.service.work.look_back import activate_release
        from fundoscope.service.work.releases import check_single_eye, keep_release

        with sole_service(folder):
            # Its network, too, is opened and must give its golden outputs: what cannot be served is not activated.
            opened = Grader.open(release, threads=1).opened
            check_single_eye(opened)
            keep_release(folder, opened)
            finished = activate_release(opened_database, opened, actor=operator(), without_look_back=without_look_back)
        with opened_database.reading() as session:
            changes = [] if finished is None else changes_of(session, finished)
    left = sum(change.done is None for change, _ in changes)
    if as_json:
        print_json({"active": opened.name, "looked_back": finished is not None, "to_read_again": left})
        return
    print_text(f"Active from the next start: {opened.name}.", style="bold")
    print_text("All cases keep the answers that they have.")
    if left:
        print_text(
            f"To be read again: {left} case{'' if left == 1 else 's'} that it answers otherwise, see /look-back."
        )


def _open(release: Path | None, site: Path | None, workers: int | None) -> Grader:
    """Open a release as `serve` would."""
    from fundoscope.cli.service.serve import open_grader

    return open_grader(release, site, workers)


def _print(summary: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from fundoscope.service.work.change_table import AGREEMENT_WORDS as names

    cases = f"{summary['cases']} case{'' if summary['cases'] == 1 else 's'}"
    print_text(f"{summary['release']} would change the answer for {summary['changed']} of {cases}.", style="bold")
    print_text(f"Compared with the answers that the cases have; active is {summary['against']}.")
    if summary["not_compared"]:
        print_text(
            f"Not compared: {summary['not_compared']}, of which a photograph's bytes are not in the folder, or a fault "
            "in the program kept it from being graded. The next look-back tries again."
        )
    for kind in summary["changes"]:
        agreement = "; ".join(f"{names[words]} {count}" for words, count in kind["readings_agree_with"].items())
        print_text(f"{kind['change']}: {kind['cases']} (readings agree with: {agreement})", indent="  ")
        if kind["read_after_answer_shown"]:
            shown = kind["read_after_answer_shown"]
            print_text(f"{shown} read after the earlier answer could be seen, which favours it.", indent="    ")
    for row in rows[:LISTED]:
        print_text(f"{row['case']}  {row['change']}", indent="  ")
    if len(rows) > LISTED:
        print_text(f"and {len(rows) - LISTED} more: --out FILE.csv writes them all.", indent="  ")
