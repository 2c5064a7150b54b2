"""Running a service: connections that never send a request, one process on one folder, and what its log may say."""

from __future__ import annotations

import logging
import queue
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest
import trustme
import uvicorn
from cryptography.hazmat.primitives import serialization
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


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    """A certificate of this computer with its key, and `authority.pem` beside them, which vouches for it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return certificate, key


def test_a_certificate_of_ones_own_is_served_and_plain_http_is_not(pair, tmp_path, monkeypatch):
    servers: list[uvicorn.Server] = []
    begin = server._Server.startup

    async def startup(self, sockets=None) -> None:
        servers.append(self)
        await begin(self, sockets)

    monkeypatch.setattr(server._Server, "startup", startup)
    app, addresses = FastAPI(), queue.Queue()
    app.get("/health")(lambda: {"lives": True})
    settings = ServiceSettings(folder=tmp_path, port=0, https=True)
    running = threading.Thread(
        target=server.run_service,
        args=(app, settings),
        kwargs={"started": addresses.put, "certificate": pair[0], "key": pair[1]},
    )
    running.start()
    try:
        address = addresses.get(timeout=30)
        trusted = ssl.create_default_context(cafile=tmp_path / "authority.pem")
        response = httpx2.get(f"{address}/health", verify=trusted)
        with pytest.raises(httpx2.HTTPError):
            httpx2.get(f"{address}/health".replace("https", "http"))
    finally:
        servers[0].should_exit = True
        running.join(30)

    assert address.startswith("https://127.0.0.1:")
    assert response.json() == {"lives": True}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda certificate, key: certificate.unlink(), "no such file or directory"),
        (
            lambda certificate, key: certificate.write_text("garbage"),
            "no start line|pem lib|a file that",
        ),
        (lambda certificate, key: key.write_text("garbage"), "no start line|pem lib|a file that"),
        (lambda certificate, key: trustme.CA().private_key_pem.write_to_path(key), "key values mismatch"),
        (lambda certificate, key: (key.unlink(), key.mkdir()), "is a directory"),
        (lambda certificate, key: lock(key), "bad decrypt|bad password read|pem lib"),
    ],
    ids=["absent", "no certificate", "no key", "another's key", "a folder", "a key with a password"],
)
def test_a_certificate_that_cannot_be_used_is_refused_in_a_sentence(pair, tmp_path, change, words: str):
    change(*pair)

    with pytest.raises(BadRequest, match=rf"expected two PEM files that belong together.*, got: .*({words})"):
        server.run_service(FastAPI(), ServiceSettings(folder=tmp_path), started=print, certificate=pair[0], key=pair[1])


def lock(key: Path) -> None:
    """Encrypt a key with a password."""
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    locked = serialization.BestAvailableEncryption(b"secret")
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(serialization.Encoding.PEM, form, locked))
