"""Logging in: cookies, and passwords that are tried out."""

from __future__ import annotations

import pytest

from fundoscope.errors import BadRequest
from fundoscope.service.access.login import is_secure
from fundoscope.service.access.passwords import hash_password, is_right
from fundoscope.service.access.throttle import MOST_BY_USER, WINDOW_SECONDS, LoginThrottle
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import add_user
from fundoscope.service.store.models import LogEntry

PASSWORD = "four words are fine"


@pytest.fixture
def own(start, tmp_path):
    with start(tmp_path / "s") as running:
        with running.service.database.writing() as session:
            add_user(session, "ann", "read", hash_password(PASSWORD), actor="test")
        yield running


def attempt(running, name: str, password: str):
    return running.client.post("/api/session", json={"name": name, "password": password})


def test_no_script_and_no_other_site_gets_the_cookie(own):
    cookie = attempt(own, "ann", PASSWORD).headers["set-cookie"].lower()

    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie


@pytest.mark.parametrize(
    ("host", "https", "secure"),
    [
        *((host, False, False) for host in ("127.0.0.1", "::1", "localhost")),
        *((host, False, True) for host in ("0.0.0.0", "192.168.1.4", "eyes.example")),
        ("127.0.0.1", True, True),
    ],
)
def test_cookies_go_by_https_only_wherever_others_reach_the_service(tmp_path, host: str, https: bool, secure: bool):
    assert is_secure(ServiceSettings(folder=tmp_path, host=host, https=https)) is secure


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong"), ("bob", PASSWORD), ("submit-user", ""), ("ann", "")])
def test_a_wrong_name_and_a_wrong_password_are_answered_alike(own, name: str, password: str):
    response = attempt(own, name, password)

    assert response.status_code == 401
    assert response.json() == {"error": "login: expected the name and password of a user, got others. Try again."}
    assert "set-cookie" not in response.headers


def test_passwords_cannot_be_tried_out(own):
    statuses = [attempt(own, "ann", f"guess {number}").status_code for number in range(MOST_BY_USER + 1)]
    right = attempt(own, "ann", PASSWORD)

    assert statuses == [401] * MOST_BY_USER + [429]
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= WINDOW_SECONDS


def test_failed_attempts_stand_in_the_log_without_what_was_typed(own):
    attempt(own, "ann's secret, typed into the wrong field", "x")
    attempt(own, "ann", "x")

    with own.service.database.reading() as session:
        entries = [entry for entry in session.query(LogEntry) if entry.action == "login failed"]
    assert [entry.subject for entry in entries] == ["", "ann"]


def test_failures_are_forgotten_after_their_time_and_after_success():
    clock = [0.0]
    throttle = LoginThrottle(lambda: clock[0])
    for _ in range(MOST_BY_USER):
        throttle.note_failure("ann", "10.0.0.1")

    assert throttle.wait_seconds("ann", "10.0.0.2") == WINDOW_SECONDS
    assert throttle.wait_seconds("bob", "10.0.0.2") == 0
    clock[0] = WINDOW_SECONDS - 1.0
    assert throttle.wait_seconds("ann", "10.0.0.2") == 1
    throttle.note_success("ann")
    assert throttle.wait_seconds("ann", "10.0.0.2") == 0


def test_an_address_that_tries_many_names_is_stopped():
    throttle = LoginThrottle(lambda: 0.0)
    for number in range(30):
        throttle.note_failure(f"user {number}", "10.0.0.1")

    assert throttle.wait_seconds("ann", "10.0.0.1") > 0
    assert throttle.wait_seconds("ann", "10.0.0.2") == 0


def test_a_password_is_kept_as_a_slow_hash_with_a_salt():
    first, second = hash_password(PASSWORD), hash_password(PASSWORD)

    assert first.startswith("$argon2id$")
    assert first != second
    assert is_right(PASSWORD, first)
    assert not is_right(PASSWORD + " ", first)
    assert not is_right(PASSWORD, None)


@pytest.mark.parametrize("password", ["", "short", "x" * 11, "x" * 1025])
def test_short_and_endless_passwords_are_refused(password: str):
    with pytest.raises(BadRequest, match=r"password: expected 12 to 1024 letters, got \d+\. Choose another one"):
        hash_password(password)
