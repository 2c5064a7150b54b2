"""Headers of every answer, which let a browser refuse what the service never asks for; and the hosts it answers to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY: Final = "Content-Security-Policy"

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    POLICY: (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" browsers would also hide the Origin of our own forms, which `pages.routes.login` compares.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""An answer that sets one of them itself keeps its own."""

DOCUMENT_POLICY: Final = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"
"""Policy of a self-contained report: its styles stand in it, and nothing in it is run or fetched."""

STRICT_TRANSPORT: Final = ("Strict-Transport-Security", "max-age=31536000")


class SecurityHeaders:
    """Middleware that adds the headers, and refuses requests addressed to a host of another name."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], *, https: bool) -> None:
        self.app = app
        self.hosts = hosts
        self.https = https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if self.https:
                    headers.setdefault(*STRICT_TRANSPORT)
            await send(message)

        if host_of(Headers(scope=scope).get("host", "")) not in self.hosts:
            await _refuse(send_with_headers)
            return
        await self.app(scope, receive, send_with_headers)


def host_of(value: str) -> str:
    """Return the name in a Host header, without the port."""
    name = value.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


async def _refuse(send: Send) -> None:
    sentence = (
        "Host: expected a name of this service, got another. Call it by its address, or start it with --name for the "
        "name that its clients use."
    )
    body = json.dumps({"error": sentence}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
