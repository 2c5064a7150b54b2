"""Who may do what: every route with every role, and requests that another site's page might forge."""

from __future__ import annotations

import itertools
import re
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends

from fundoscope.service.access.identity import PUBLIC, Requires, rules_of
from fundoscope.service.access.passwords import hash_password
from fundoscope.service.access.roles import Role
from fundoscope.service.app import ROUTERS, create_app
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import add_user, disable_user, revoke_token, tokens_of

RULES = rules_of(ROUTERS)

EXPECTED = {
    ("GET", "/health"): None,
    ("POST", "/api/session"): None,
    ("POST", "/api/photographs"): "submit",
    ("GET", "/api/photographs/{sha256}"): "submit",
    ("GET", "/ready"): "submit",
    ("GET", "/metrics"): "submit",
    ("GET", "/api/account"): "submit",
    ("POST", "/api/account/log-out"): "submit",
    ("GET", "/api/photographs/{sha256}/overlay.png"): "read",
    ("GET", "/api/cases"): "read",
    ("GET", "/api/cases/{case}"): "read",
    ("GET", "/api/cases/{case}/report.html"): "read",
    ("GET", "/api/cases/{case}/report.pdf"): "read",
    ("GET", "/api/cases/{case}/fhir.json"): "read",
    ("GET", "/api/cases/{case}/dicom.zip"): "read",
    ("POST", "/api/readings"): "read",
    ("GET", "/api/readings"): "read",
    ("GET", "/api/releases"): "read",
}
"""Typed by hand, so that no route becomes open by a slip."""

ALLOWED = {"submit": ("submit", "read", "administer"), "read": ("read", "administer"), "administer": ("administer",)}
PASSWORD = "four words are fine"


@pytest.fixture(scope="module")
def browser(running) -> str:
    """A user who can log in."""
    with running.service.database.writing() as session:
        add_user(session, "browser", "read", hash_password(PASSWORD), actor="test")
    return "browser"


def log_in(running, name: str) -> str:
    response = running.client.post("/api/session", json={"name": name, "password": PASSWORD})
    assert response.status_code == 200, response.text
    return response.json()["csrf"]


def test_every_route_of_the_api_needs_the_role_that_is_written_here():
    routes = {route: role for route, role in RULES.items() if route[1].startswith("/api") or route in EXPECTED}

    assert {route: None if role is None else str(role) for route, role in routes.items()} == EXPECTED


def test_nothing_but_health_and_logging_in_is_public():
    public = {path for (_, path), role in RULES.items() if role is None}

    assert {path for path in public if not path.startswith("/static/")} <= {"/health", "/login", "/api/session"}


@pytest.mark.parametrize(("route", "role"), list(itertools.product(RULES, [None, *ALLOWED])))
def test_a_route_answers_the_roles_that_may_and_nobody_else(running, route: tuple[str, str], role: str | None):
    method, path = route
    path = re.sub(r"\{\w+\}", "0" * 32, path.replace("{sha256}", "0" * 64))
    running.client.cookies.clear()

    headers = {} if role is None else running.headers[role]
    response = running.client.request(method, path, headers=headers, follow_redirects=False)

    needed, status = RULES[route], response.status_code
    if needed is None:
        assert "expected a token or a session" not in response.text
    elif role is None:
        assert status == 401
    elif role in ALLOWED[str(needed)]:
        assert status not in (401, 403)
    else:
        assert status == 403


@pytest.mark.parametrize("path", ["/", "/api", "/api/openapi.json", "/docs", "/redoc", "/api/photographs/", "/healthy"])
def test_without_a_token_even_addresses_that_are_not_there_answer_nothing_else(running, path: str):
    running.client.cookies.clear()

    assert running.client.get(path).status_code == 401


def test_a_route_without_a_rule_or_with_two_is_refused():
    router = APIRouter()
    router.add_api_route("/open", lambda: None)
    with pytest.raises(ValueError, match=r"/open: a route must have one rule, Requires\(role\) or PUBLIC, got none"):
        rules_of([router])

    two = APIRouter()
    two.add_api_route("/two", lambda: None, dependencies=[Depends(Requires(Role.read)), Depends(Requires(Role.submit))])
    with pytest.raises(ValueError, match="got read, submit"):
        rules_of([two])


def test_a_public_route_outside_the_public_paths_is_refused():
    router = APIRouter()
    router.add_api_route("/secret", lambda: None, dependencies=[Depends(PUBLIC)])

    with pytest.raises(ValueError, match="/secret: a route must have one rule"):
        rules_of([router])


def test_an_application_with_a_route_that_has_no_rule_is_not_made(grader, tmp_path):
    router = APIRouter()

    @router.get("/forgotten")
    def forgotten(word: Annotated[str, Depends(lambda: "x")]) -> str:
        return word

    with pytest.raises(ValueError, match="/forgotten: a route must have one rule"):
        create_app(ServiceSettings(folder=tmp_path), grader, routers=[router])


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Bearer fds_wrong", "Basic YTpi", "fds_x", "Bearer " + "x" * 5000]
)
def test_a_token_that_is_none_is_refused(running, header: str):
    running.client.cookies.clear()

    assert running.client.get("/ready", headers={"Authorization": header}).status_code == 401


def test_a_token_ends_when_it_is_revoked(start, tmp_path):
    with start(tmp_path / "s") as own:
        assert own.client.get("/ready", headers=own.headers["submit"]).status_code == 200
        with own.service.database.writing() as session:
            revoke_token(session, tokens_of(session, "submit-user")[0].id, actor="test")

        assert own.client.get("/ready", headers=own.headers["submit"]).status_code == 401


def test_a_session_ends_when_its_user_is_disabled(start, tmp_path):
    with start(tmp_path / "s") as own:
        with own.service.database.writing() as session:
            add_user(session, "ann", "read", hash_password(PASSWORD), actor="test")
        log_in(own, "ann")
        assert own.client.get("/api/cases").status_code == 200
        with own.service.database.writing() as session:
            disable_user(session, "ann", actor="test")

        assert own.client.get("/api/cases").status_code == 401


def test_a_request_that_changes_something_needs_the_token_of_its_session(running, browser):
    csrf = log_in(running, browser)
    body = {"case": "0" * 32, "role": "first", "shown": True, "grades": [{"eye": "left", "grade": 1}]}

    statuses = [
        running.client.post("/api/readings", json=body, headers=headers).status_code
        for headers in ({}, {"X-CSRF-Token": "another"}, {"X-CSRF-Token": csrf})
    ]

    assert statuses == [403, 403, 404], "404: the request went through, and there is no such case"
    assert running.client.get("/api/cases").status_code == 200, "reading needs none"
    running.client.cookies.clear()


def test_photographs_of_a_browser_need_the_token_too(running, browser, retinas):
    csrf = log_in(running, browser)
    files = [("photographs", ("a.jpg", retinas[0].read_bytes()))]

    assert running.client.post("/api/photographs", files=files).status_code == 403
    assert running.client.post("/api/photographs", files=files, headers={"X-CSRF-Token": csrf}).status_code == 202
    running.client.cookies.clear()


def test_logging_out_ends_the_session_on_the_server(running, browser):
    csrf = log_in(running, browser)
    cookie = running.client.cookies["fundoscope_session"]
    assert running.client.post("/api/account/log-out", headers={"X-CSRF-Token": csrf}).status_code == 204

    running.client.cookies.clear()
    stolen = running.client.get("/api/account", headers={"Cookie": f"fundoscope_session={cookie}"})

    assert stolen.status_code == 401


def test_a_session_ends_by_itself(start, tmp_path):
    with start(tmp_path / "s", session_minutes=1) as own:
        with own.service.database.writing() as session:
            add_user(session, "ann", "read", hash_password(PASSWORD), actor="test")
        log_in(own, "ann")
        assert own.client.get("/api/account").status_code == 200
        with own.service.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE sessions SET expires = '2026-01-01T00:00:00.000+00:00'")

        assert own.client.get("/api/account").status_code == 401


def test_a_page_that_needs_an_account_leads_to_logging_in(running):
    running.client.cookies.clear()

    response = running.client.get("/cases/1", headers={"Accept": "text/html"}, follow_redirects=False)

    assert (response.status_code, response.headers["location"]) == (303, "/login")
