"""What the verbs of the service share: where its folder and its database are, and opening the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from fundoscope.cli.console import needs_extra
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.service.store.database import Database

FOLDER: Final = Path("fundoscope-service")
"""Folder of a service where none is named."""

DATABASE_VARIABLE: Final = "FUNDOSCOPE_DATABASE"
"""Environment variable with the database's URL, whose password then stands in no list of processes."""

Folder = Annotated[
    Path, typer.Option("--folder", metavar="DIR", help=f"Folder of the service. Default: {FOLDER} in the current one.")
]

DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database",
        metavar="URL",
        envvar=DATABASE_VARIABLE,
        show_envvar=False,
        help="Its database, if not in the folder. Such as postgresql://user@host/name; the variable "
        f"{DATABASE_VARIABLE} may hold it instead.",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


@contextmanager
def service_database(folder: Path, url: str | None, *, create: bool = False) -> Iterator[Database]:
    """Open the database of a service.

    Args:
        folder: Folder of the service.
        url: URL of its database; None: in the folder.
        create: Whether a service that is not there yet is begun.

    Raises:
        BadRequest: If there is none, or it cannot be opened.
        MissingExtra: If the packages are not installed.
    """
    with needs_extra("The service", "serve"):
        from fundoscope.service.settings import DATABASE, ServiceSettings
        from fundoscope.service.store.database import open_database

        settings = ServiceSettings(folder=folder, database=url)
    if url is None:
        if create:
            settings.make_folder()
        elif not (folder / DATABASE).is_file():
            raise BadRequest(
                f"{folder}: expected the folder of a service, there is no {DATABASE} in it. Name it with --folder, or "
                "begin with: fundoscope service user add"
            )
    database = open_database(settings.database_url)
    try:
        yield database
    finally:
        database.close()


def operator() -> str:
    """Return how the audit log calls whoever types a command on the service's machine."""
    import getpass

    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError, ImportError):
        return "command line"
