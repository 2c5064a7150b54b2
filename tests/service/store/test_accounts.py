"""Users, tokens and sessions."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from fundoscope.errors import BadRequest
from fundoscope.service.store.accounts import (
    account_of_session,
    account_of_token,
    add_token,
    add_user,
    begin_session,
    disable_user,
    end_session,
    find_user,
    revoke_token,
    tokens_of,
)
from fundoscope.service.store.database import Database
from fundoscope.service.store.models import LogEntry, LoginSession, Token


@pytest.fixture
def users(database: Database) -> Database:
    """A database with a user of each role."""
    with database.writing() as session:
        for name, role in (("camera", "submit"), ("ann", "read"), ("root", "administer")):
            add_user(session, name, role, "a hash", actor="test")
    return database


def new_token(database: Database, name: str, **arguments) -> str:
    with database.writing() as session:
        return add_token(session, name, "a label", actor="test", **arguments)


def whose(database: Database, secret: str):
    with database.reading() as session:
        return account_of_token(session, secret)


def test_a_token_is_its_users(users):
    account = whose(users, new_token(users, "ann"))

    assert account is not None
    assert (account.name, account.role, account.csrf) == ("ann", "read", None)


def test_only_the_hash_of_a_token_is_stored(users):
    secret = new_token(users, "ann")

    with users.reading() as session:
        for table in ("tokens", "users", "audit_log"):
            content = str(session.execute(text(f"SELECT * FROM {table}")).all())
            assert secret not in content
            assert secret.removeprefix("fds_") not in content


def test_a_token_may_do_less_than_its_user_and_never_more(users):
    account = whose(users, new_token(users, "root", role="submit"))

    assert account is not None
    assert account.role == "submit"
    with pytest.raises(BadRequest, match="expected at most read, which ann has, got administer"):
        new_token(users, "ann", role="administer")


@pytest.mark.parametrize("secret", ["", "fds_", "fds_x", "ann", "\ud800", "a" * 10_000])
def test_other_secrets_are_nobodys(users, secret):
    new_token(users, "ann")

    assert whose(users, secret) is None


def test_a_revoked_token_is_nobodys_and_the_others_stay(users):
    secret, other = new_token(users, "ann"), new_token(users, "ann")
    with users.writing() as session:
        revoke_token(session, tokens_of(session, "ann")[0].id, actor="test")

    assert whose(users, secret) is None
    assert whose(users, other) is not None


def test_disabling_a_user_ends_tokens_and_sessions_at_once(users):
    secret = new_token(users, "ann")
    with users.writing() as session:
        cookie, _ = begin_session(session, find_user(session, "ann"), minutes=60)

    with users.writing() as session:
        disable_user(session, "ann", actor="test")

    assert whose(users, secret) is None
    with users.reading() as session:
        assert account_of_session(session, cookie) is None
    with pytest.raises(BadRequest, match="this one is disabled"):
        new_token(users, "ann")


def test_a_session_ends_when_the_user_logs_out_or_its_time_is_over(users):
    with users.writing() as session:
        cookie, _ = begin_session(session, find_user(session, "ann"), minutes=60)
        late, _ = begin_session(session, find_user(session, "ann"), minutes=-1)
    with users.reading() as session:
        account = account_of_session(session, cookie)
        assert account_of_session(session, late) is None
    assert account is not None
    assert account.csrf

    with users.writing() as session:
        end_session(session, account)

    with users.reading() as session:
        assert account_of_session(session, cookie) is None


def test_only_the_hash_of_a_cookie_is_stored(users):
    with users.writing() as session:
        cookie, _ = begin_session(session, find_user(session, "ann"), minutes=60)

    with users.reading() as session:
        stored = session.execute(select(LoginSession.digest)).scalar_one()
        assert cookie not in str(session.execute(text("SELECT * FROM sessions")).all())
    assert len(stored) == 64


@pytest.mark.parametrize("name", ["", " ", "a b", "../x", "ann\n", "-x", "a" * 65, "é"])
def test_names_that_would_confuse_a_log_are_refused(database, name):
    with pytest.raises(BadRequest, match="expected a name of 1 to 64 letters"), database.writing() as session:
        add_user(session, name, "read", None, actor="test")


def test_a_second_user_of_a_name_and_an_unknown_role_are_refused(users):
    with pytest.raises(BadRequest, match="expected a new user"), users.writing() as session:
        add_user(session, "ann", "administer", None, actor="test")
    with (
        pytest.raises(BadRequest, match="expected submit, read or administer, got 'owner'"),
        users.writing() as session,
    ):
        add_user(session, "bob", "owner", None, actor="test")
    with users.reading() as session:
        assert find_user(session, "ann").role == "read"


def test_what_is_not_there_is_said_not_to_be_there(users):
    for deed in (
        lambda session: find_user(session, "bob"),
        lambda session: disable_user(session, "bob", actor="test"),
        lambda session: revoke_token(session, 77, actor="test"),
        lambda session: add_token(session, "bob", "x", actor="test"),
    ):
        with pytest.raises(BadRequest, match=r"expected .*there is none"), users.writing() as session:
            deed(session)


def test_every_change_of_accounts_is_in_the_log(users):
    new_token(users, "ann")
    with users.writing() as session:
        number = session.execute(select(Token.id)).scalar_one()
        revoke_token(session, number, actor="test")
        disable_user(session, "ann", actor="test")

    with users.reading() as session:
        actions = list(session.execute(select(LogEntry.action).order_by(LogEntry.id)).scalars())
    assert actions == ["user added"] * 3 + ["token added", "token revoked", "user disabled"]
