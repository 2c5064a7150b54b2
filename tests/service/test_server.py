"""Running a service: connections that never send a request, one process on one folder, and what its log may say."""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI

from fundoscope.errors import BadRequest
from fundoscope.service import server
from fundoscope.service.settings import ServiceSettings


@pytest.fixture
def address(monkeypatch):
    """Address of a server whose patience with headers is short."""
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.3)

    async def application(scope, receive, send) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(application, http=server.DeadlineProtocol, ws="none", lifespan="off", log_config=None)
        running = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: running.run(sockets=[listener]))
        thread.start()
        yield listener.getsockname()
        running.should_exit = True
        thread.join(10)


def closed_after(address, *parts: bytes) -> float:
    """Send parts of a request and wait for the end of the connection; return after how many seconds it came."""
    with socket.create_connection(address, timeout=5) as connection:
        start = time.monotonic()
        for part in parts[:-1]:
            connection.sendall(part)
            assert connection.recv(4096), "a response to what is whole"
        connection.sendall(parts[-1])
        while connection.recv(4096):
            pass
        return time.monotonic() - start


@pytest.mark.parametrize("part", [b"", b"GET /hea", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Endless: a"])
def test_a_connection_whose_request_does_not_arrive_is_closed(address, part: bytes):
    assert 0.2 < closed_after(address, part) < 3


def test_the_next_request_of_a_connection_must_arrive_too(address):
    whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

    assert 0.2 < closed_after(address, whole, b"GET /hea") < 3


def test_two_services_never_run_on_one_folder(tmp_path):
    with (
        server.sole_service(tmp_path / "s"),
        pytest.raises(BadRequest, match="expected a folder on which no service runs, got one on which another does"),
        server.sole_service(tmp_path / "s"),
    ):
        pass
    with server.sole_service(tmp_path / "s"):
        pass


def test_an_address_that_is_taken_is_refused_in_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServiceSettings(folder=tmp_path, port=taken.getsockname()[1])

        with pytest.raises(BadRequest, match=r"127\.0\.0\.1, port \d+: expected an address that is free"):
            server.run_service(FastAPI(), settings, started=lambda address: None)


def test_the_log_has_the_lines_of_a_fault_and_not_what_it_says():
    try:
        raise ValueError("Smith^Ann has no left eye")
    except ValueError:
        record = logging.LogRecord(
            "uvicorn.error", logging.ERROR, __file__, 1, "Exception in %s", ("x",), sys.exc_info()
        )

    assert server.NoValues().filter(record)
    text = logging.Formatter().format(record)

    assert text.startswith("Exception in x: ValueError")
    assert "test_server.py" in text
    assert "left eye" not in text.replace('raise ValueError("Smith^Ann has no left eye")', "")
