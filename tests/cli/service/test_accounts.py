"""`fundoscope service user` and `service token`, from the command line to the database."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from fundoscope.service.access.passwords import is_right
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import account_of_token, find_user
from fundoscope.service.store.database import open_database

PASSWORD = "correct horse battery"


@pytest.fixture
def run(run_verb, tmp_path: Path, monkeypatch):
    """Run a verb of the service in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "password").write_text(f"{PASSWORD}\nthe second line\n", encoding="utf-8")

    def run(*words: object) -> tuple[int, str, str]:
        return run_verb("service", *words)

    return run


def stored(name: str):
    """Return a user as the database has it."""
    database = open_database(ServiceSettings(folder=Path("fundoscope-service")).database_url)
    with database.reading() as session:
        user = find_user(session, name)
    database.close()
    return user


def whose(secret: str):
    database = open_database(ServiceSettings(folder=Path("fundoscope-service")).database_url)
    with database.reading() as session:
        account = account_of_token(session, secret)
    database.close()
    return account


def test_a_user_is_added_with_the_password_of_a_file(run):
    status, out, _ = run("user", "add", "ann", "--password-file", "password")

    assert (status, out) == (0, "Added ann, who may read.")
    assert is_right(PASSWORD, stored("ann").password)
    assert PASSWORD.encode() not in Path("fundoscope-service/service.sqlite3").read_bytes()


def test_a_user_is_added_with_the_password_of_standard_input(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\r\n"))

    assert run("user", "add", "ann", "--password-file", "-", "--role", "administer")[0] == 0
    assert is_right(PASSWORD, stored("ann").password)
    assert stored("ann").role == "administer"


def test_without_a_terminal_no_password_is_asked_for(run, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))

    status, _, err = run("user", "add", "ann")

    assert status == 2
    assert "expected a terminal to ask for it, got none. Use --password-file." in err


@pytest.mark.parametrize("content", ["short\n", "", "x" * 2000, "\n" + PASSWORD])
def test_a_password_that_is_too_short_or_too_long_is_refused(run, content):
    Path("password").write_text(content, encoding="utf-8")

    status, _, err = run("user", "add", "ann", "--password-file", "password")

    assert status == 2
    assert "password: expected 12 to 1024 letters, got" in err
    assert run("user", "list")[1].startswith("There are no users.")


def test_a_user_without_a_password_can_only_send_tokens(run):
    _, out, _ = run("user", "add", "camera", "--role", "submit", "--no-password")

    assert "make a token with: fundoscope service token add camera" in out
    assert stored("camera").password is None
    status, _, err = run("user", "add", "b", "--no-password", "--password-file", "password")
    assert status == 2
    assert "Give one of the two" in err


def test_a_token_is_printed_alone_on_standard_output(run):
    run("user", "add", "camera", "--role", "submit", "--no-password")

    status, secret, err = run("token", "add", "camera", "--label", "room 2")

    assert status == 0
    assert " " not in secret
    assert whose(secret).name == "camera"
    assert "Token 1 of camera. Keep it now" in err
    assert run("user", "list")[1].endswith("1: room 2 (submit)")


def test_a_token_with_a_lesser_role_is_made_and_revoked(run):
    run("user", "add", "ann", "--password-file", "password")
    record = json.loads(run("token", "add", "ann", "--role", "submit", "--json")[1])
    assert whose(record["token"]).role == "submit"

    assert run("token", "revoke", record["number"])[1] == "Revoked token 1."

    assert whose(record["token"]) is None
    assert json.loads(run("user", "list", "--json")[1])["users"][0]["tokens"] == []


def test_a_disabled_user_is_listed_as_such(run):
    run("user", "add", "ann", "--password-file", "password")

    assert json.loads(run("user", "disable", "ann", "--json")[1]) == {"name": "ann", "disabled": True}

    assert "disabled" in run("user", "list")[1]
    user = json.loads(run("user", "list", "--json")[1])["users"][0]
    assert (user["disabled"], user["can_log_in"]) == (True, False)


def test_who_typed_a_command_is_in_the_log(run, monkeypatch):
    monkeypatch.setenv("LOGNAME", "operator7")
    run("user", "add", "ann", "--password-file", "password")

    database = open_database(ServiceSettings(folder=Path("fundoscope-service")).database_url)
    with database.engine.connect() as connection:
        actors = [row[0] for row in connection.exec_driver_sql("SELECT actor FROM audit_log")]
    database.close()
    assert actors == ["operator7 (command line)"]


@pytest.mark.parametrize(
    "words",
    [
        ("user", "list"),
        ("user", "disable", "ann"),
        ("token", "add", "ann"),
        ("token", "revoke", "1"),
        ("check-log",),
    ],
    ids=" ".join,
)
def test_a_folder_without_a_service_is_refused_and_stays_as_it_was(run, tmp_path, words):
    status, _, err = run(*words, "--folder", tmp_path / "elsewhere")

    assert status == 2
    assert "expected the folder of a service" in err
    assert not (tmp_path / "elsewhere").exists()


def test_an_unknown_user_or_token_is_refused_in_a_sentence(run):
    run("user", "add", "ann", "--password-file", "password")

    for words in (("user", "disable", "bob"), ("token", "add", "bob"), ("token", "revoke", "9")):
        status, _, err = run(*words)
        assert status == 2
        assert "See: fundoscope service user list" in err


def test_the_database_of_a_service_is_its_owners_alone(run):
    run("user", "add", "ann", "--password-file", "password")

    assert stat.S_IMODE(Path("fundoscope-service").stat().st_mode) & 0o077 == 0


def test_the_url_of_a_database_is_taken_from_the_environment(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FUNDOSCOPE_DATABASE", f"sqlite:///{tmp_path / 'other.sqlite3'}")

    run("user", "add", "ann", "--password-file", "password")

    assert (tmp_path / "other.sqlite3").is_file()
    assert not (tmp_path / "fundoscope-service").exists()
