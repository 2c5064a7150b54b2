"""Running a service: one process on one folder, listening at one address until it is told to stop.

A request whose headers do not arrive in time is cut off here, because the application sees a request only after them;
what follows them is limited by `access.limits`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import HANDLED_SIGNALS

from fundoscope.errors import BadRequest
from fundoscope.files import locked
from fundoscope.service.settings import LOCK, LOOK_BACK_LOCK, ServiceSettings

HEADER_SECONDS: Final = 10.0
"""Longest time between the first byte of a request and the end of its headers."""

HEADER_BYTES: Final = 32 * 1024
"""Most bytes of a request's headers."""

KEEP_ALIVE_SECONDS: Final = 15
"""How long a connection is kept open for a next request."""

MOST_CONNECTIONS: Final = 512

STOP_SECONDS: Final = 30
"""How long stopping waits for requests that are being answered."""


class DeadlineProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose requests' headers do not arrive in time."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        # A server's connection is always one that reads and writes; uvicorn declares it so, asyncio more widely.
        super().connection_made(cast(asyncio.Transport, transport))
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take bytes: while no request is being answered they are of headers, which must end in time."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._wait_no_more()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _wait_no_more(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class NoValues(logging.Filter):
    """Takes the texts of exceptions out of the log, which may repeat what a request said; their lines of code stay."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a record; every one passes."""
        if record.exc_info and record.exc_info[0] is not None:
            kind, _, trace = record.exc_info
            record.msg = f"{record.getMessage().strip()}: {kind.__name__}\n{''.join(traceback.format_tb(trace))}"
            record.args, record.exc_info, record.exc_text = (), None, None
        return True


class _Server(uvicorn.Server):
    """Calls back once it listens; a signal that stopped it has had its effect then, and does not end the process."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started_callback = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._started_callback()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals stop the service while it runs; uvicorn would raise them again at the end."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread may say what signals do
            return
        earlier = {number: signal.signal(number, self.handle_exit) for number in HANDLED_SIGNALS}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)


def run_service(
    app: FastAPI,
    settings: ServiceSettings,
    *,
    started: Callable[[str], None],
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until the process is told to stop (SIGINT or SIGTERM).

    Args:
        app: Of `service.app.create_app`.
        settings: The same.
        started: Called with the address once photographs are accepted.
        certificate: Of the server, with its chain (PEM), to be reached by HTTPS without a proxy; None: by HTTP.
        key: Of the certificate (PEM).

    Raises:
        BadRequest: If the address is taken or cannot be listened at, or the certificate and its key cannot be used.
    """
    if certificate is not None:
        _check_certificate(certificate, key)
    listener = _listen(settings)
    config = uvicorn.Config(
        app,
        http=DeadlineProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEADER_BYTES,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    scheme = "https" if certificate is not None else "http"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    address = f"{scheme}://{host}:{listener.getsockname()[1]}"
    logging.getLogger("uvicorn.error").addFilter(NoValues())
    with listener:
        _Server(config, lambda: started(address)).run(sockets=[listener])


def _check_certificate(certificate: Path, key: Path | None) -> None:
    try:
        # A key with a password would be asked for on the terminal: a service has none.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except OSError as problem:  # ssl.SSLError is one
        reason = getattr(problem, "reason", None) or problem.strerror or "a file that cannot be used"
        raise BadRequest(
            f"certificate {certificate}, key {key or 'in the same file'}: expected two PEM files that belong together, "
            f"the key without a password, got: {str(reason).lower().replace('_', ' ')}. Give others, or let a proxy "
            "end HTTPS (--https)."
        ) from problem


def _listen(settings: ServiceSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as problem:
        raise BadRequest(
            f"{settings.host}, port {settings.port}: expected an address that is free and this computer's, got: "
            f"{problem.strerror or problem}. Give another --port or --host."
        ) from None


@contextmanager
def sole_service(folder: Path) -> Iterator[None]:
    """Lock a service's folder for this process.

    Raises:
        BadRequest: If another service runs on it.
    """
    refusal = (
        f"{folder}: expected a folder on which no service runs, got one on which another does. Stop it, or name "
        "another --folder."
    )
    with _sole(folder / LOCK, refusal):
        yield


@contextmanager
def sole_look_back(folder: Path) -> Iterator[None]:
    """Lock a service's folder for a look-back, beside which the service may run.

    Raises:
        BadRequest: If another one runs on it.
    """
    refusal = (
        f"{folder}: expected a folder on which no look-back runs, got one on which another does. Wait for its end."
    )
    with _sole(folder / LOOK_BACK_LOCK, refusal):
        yield


@contextmanager
def _sole(path: Path, refusal: str) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with locked(handle, path) as is_ours:
            if not is_ours:
                raise BadRequest(refusal)
            yield
    finally:
        os.close(handle)
