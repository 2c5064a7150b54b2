"""`fundoscope service user` and `service token`: who may use the service, and what for."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from fundoscope.cli.console import answers, print_json, print_text, troubles
from fundoscope.cli.help import Verb
from fundoscope.cli.layout import fitted
from fundoscope.cli.service.options import FOLDER, AsJson, DatabaseUrl, Folder, operator, service_database
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    from fundoscope.service.store.models import Token, User

STANDARD_INPUT: Final = "-"

PASSWORD_BYTES: Final = 8192
"""Bytes of a password file that are read at most."""

users = typer.Typer(help="Users of the service.", no_args_is_help=True, add_completion=False)
tokens = typer.Typer(help="Tokens that programs send to the service.", no_args_is_help=True, add_completion=False)


class Role(StrEnum):
    """Roles of users and tokens (`service.access.roles`)."""

    submit = "submit"
    read = "read"
    administer = "administer"


UserName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user.", show_default=False)]


@users.command("add", cls=Verb)
def add_user(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the user. Letters, digits or ._@-", show_default=False)
    ],
    role: Annotated[
        Role,
        typer.Option(
            metavar="ROLE",
            help="submit, read or administer. submit sends photographs; read also grades cases; administer does all.",
        ),
    ] = Role.read,
    password_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="File whose first line is the password. - reads standard input. Default: asked for."
        ),
    ] = None,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="The user cannot log in. A camera or router only sends tokens.")
    ] = False,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Add a user of the service."""
    if no_password and password_file is not None:
        raise BadRequest("--no-password: expected no --password-file beside it, got one. Give one of the two.")
    with service_database(folder, database, create=True) as opened:
        from fundoscope.service.access.passwords import hash_password
        from fundoscope.service.store import accounts

        stored = None if no_password else hash_password(_password(password_file))
        with opened.writing() as session:
            accounts.add_user(session, name, role.value, stored, actor=operator())
    if as_json:
        print_json({"name": name, "role": role.value, "can_log_in": not no_password})
        return
    print_text(f"Added {name}, who may {role.value}.")
    if no_password:
        print_text(f"It cannot log in; make a token with: fundoscope service token add {name}")


@users.command("list", cls=Verb)
def list_users(folder: Folder = FOLDER, database: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List the users of the service, and their tokens that are valid."""
    with service_database(folder, database) as opened, opened.reading() as session:
        from fundoscope.service.store import accounts

        people = [(user, accounts.tokens_of(session, user.name)) for user in accounts.all_users(session)]
    if as_json:
        print_json({"users": [_user_record(user, issued) for user, issued in people]})
        return
    if not people:
        print_text("There are no users. Add one with: fundoscope service user add NAME")
        return
    from rich.table import Table

    table = Table("name", "role", "added", "log in", "tokens", box=None, pad_edge=False)
    for user, issued in people:
        valid = "\n".join(f"{token.id}: {token.label} ({token.role})" for token in issued if token.revoked is None)
        table.add_row(user.name, user.role, user.created[:10], _log_in(user), valid)
    answers.print(fitted(table))


@users.command("disable", cls=Verb)
def disable_user(
    name: UserName, folder: Folder = FOLDER, database: DatabaseUrl = None, as_json: AsJson = False
) -> None:
    """Disable a user: tokens and sessions end at once; readings and the log stay."""
    with service_database(folder, database) as opened, opened.writing() as session:
        from fundoscope.service.store import accounts

        accounts.disable_user(session, name, actor=operator())
    if as_json:
        print_json({"name": name, "disabled": True})
    else:
        print_text(f"Disabled {name}. Tokens and sessions have ended.")


@tokens.command("add", cls=Verb)
def add_token(
    name: UserName,
    label: Annotated[str, typer.Option(metavar="TEXT", help="What the token is for. Shown in the list.")] = "",
    role: Annotated[
        Role | None, typer.Option(metavar="ROLE", help="At most what the user may. Default: the same.")
    ] = None,
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it: this is the only time that it can be seen."""
    with service_database(folder, database) as opened, opened.writing() as session:
        from fundoscope.service.store import accounts

        secret = accounts.add_token(session, name, label, role=None if role is None else role.value, actor=operator())
        number = accounts.tokens_of(session, name)[-1].id
    if as_json:
        print_json({"token": secret, "number": number, "user": name})
        return
    answers.print(secret, soft_wrap=True)
    print_text(
        f"Token {number} of {name}. Keep it now: the service has only its hash. Programs send it as the header "
        "Authorization: Bearer TOKEN.",
        to=troubles,
    )


@tokens.command("revoke", cls=Verb)
def revoke_token(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Number of the token.", show_default=False)],
    folder: Folder = FOLDER,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a token: requests that send it are refused from now on."""
    with service_database(folder, database) as opened, opened.writing() as session:
        from fundoscope.service.store import accounts

        accounts.revoke_token(session, number, actor=operator())
    if as_json:
        print_json({"number": number, "revoked": True})
    else:
        print_text(f"Revoked token {number}.")


def _password(file: Path | None) -> str:
    """Return the password: from a file, from standard input, or as it is typed twice."""
    if file is None:
        if not sys.stdin.isatty():
            raise BadRequest("password: expected a terminal to ask for it, got none. Use --password-file.")
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt="Password again", err=True))
    if str(file) == STANDARD_INPUT:
        return sys.stdin.readline(PASSWORD_BYTES).rstrip("\r\n")
    with open(file, encoding="utf-8", errors="replace") as lines:
        return lines.readline(PASSWORD_BYTES).rstrip("\r\n")


def _log_in(user: User) -> str:
    if user.disabled:
        return "disabled"
    return "tokens only" if user.password is None else "password"


def _user_record(user: User, issued: list[Token]) -> dict[str, Any]:
    return {
        "name": user.name,
        "role": user.role,
        "added": user.created,
        "disabled": user.disabled,
        "can_log_in": user.password is not None and not user.disabled,
        "tokens": [
            {"number": token.id, "label": token.label, "role": token.role, "added": token.created}
            for token in issued
            if token.revoked is None
        ],
    }
