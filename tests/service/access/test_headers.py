"""Headers of every answer, hosts, limits of requests, and errors."""

from __future__ import annotations

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message

from fundoscope.service.access.headers import POLICY, SECURITY_HEADERS, host_of
from fundoscope.service.access.limits import BodyLimits
from fundoscope.service.app import SMALL_BODY


@pytest.mark.parametrize("path", ["/health", "/api/cases", "/nothing", "/api/photographs/x"])
@pytest.mark.parametrize("role", [None, "read"])
def test_every_answer_has_the_headers_whatever_it_says(running, path: str, role: str | None):
    response = running.client.get(path, headers={} if role is None else running.headers[role])

    assert {name: response.headers.get(name) for name in SECURITY_HEADERS} == dict(SECURITY_HEADERS)


def test_the_policy_allows_no_script_or_style_that_stands_in_a_page():
    policy = SECURITY_HEADERS[POLICY]

    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *((host, 200) for host in ("localhost", "127.0.0.1:8017", "[::1]:8017", "LOCALHOST")),
        *((host, 400) for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.nip.io", "a:b:c")),
    ],
)
def test_only_requests_to_names_of_the_service_are_answered(running, host: str, status: int):
    assert running.client.get("/health", headers={"Host": host}).status_code == status


def test_a_host_is_found_in_its_header():
    assert [host_of(value) for value in ("A:1", "[::1]:80", "::1", " b ")] == ["a", "::1", "::1", "b"]


def test_addresses_that_are_not_there_and_methods_are_refused_in_our_words(running):
    headers = running.headers["read"]

    missing, method = running.client.get("/nothing", headers=headers), running.client.put("/health", headers=headers)

    assert missing.json() == {"error": "address: expected one that is there, got another. Check the address."}
    assert (missing.status_code, method.status_code) == (404, 405)
    assert method.json() == {"error": "request: expected another method for this address. See /api/openapi.json."}


def test_a_fault_of_the_program_says_nothing_of_the_patient(start, tmp_path, caplog):
    with start(tmp_path / "s") as own:
        own.service.database.close()
        with own.service.database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE cases RENAME TO elsewhere")
        response = own.client.get("/api/cases", params={"query": "Smith^Ann"}, headers=own.headers["read"])
        with own.service.database.engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO cases")

    assert response.status_code == 500
    assert "fault in the program" in response.json()["error"]
    assert response.headers[POLICY] == SECURITY_HEADERS[POLICY]
    assert "Smith" not in response.text + caplog.text


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_refused_whether_its_length_is_stated_or_not(running, is_chunked: bool):
    body = b" " * (SMALL_BODY + 1)
    content = iter([body[:1000], body[1000:]]) if is_chunked else body

    response = running.client.post("/api/readings", content=content, headers=running.headers["read"])

    assert response.status_code == 413
    assert response.json()["error"].startswith(f"request: expected at most {SMALL_BODY} bytes, got more.")


@pytest.mark.parametrize("length", ["-1", "1e3", "999999999999999999999999999"])
def test_a_length_that_is_none_or_endless_is_refused(running, length: str):
    headers = running.headers["read"] | {"Content-Length": length}

    assert running.client.post("/api/readings", content=b"{}", headers=headers).status_code == 413


def slow(pauses: list[float], *, request_seconds: float, idle_seconds: float) -> int:
    """Send a body with pauses before its parts; return the status that it is answered with."""

    async def application(scope, receive, send) -> None:
        while (await receive()).get("more_body"):
            pass

    waiting = list(pauses)

    async def receive() -> Message:
        await asyncio.sleep(waiting.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": bool(waiting)}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    limits = BodyLimits(application, lambda scope: 100, request_seconds=request_seconds, idle_seconds=idle_seconds)
    try:
        asyncio.run(limits({"type": "http", "headers": []}, receive, send))
    except HTTPException as problem:
        return problem.status_code
    return 200


def test_a_request_that_stops_or_drips_is_ended():
    assert slow([0.0, 0.0, 0.0], request_seconds=5.0, idle_seconds=1.0) == 200
    assert slow([0.0, 5.0], request_seconds=5.0, idle_seconds=0.05) == 408
    assert slow([0.02] * 50, request_seconds=0.1, idle_seconds=0.09) == 408
