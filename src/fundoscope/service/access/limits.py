"""Limits of a request while it arrives: how many bytes, how long altogether, how long between two parts.

They hold for bodies of a stated length and for those sent in chunks without one. The headers of a request have their
own deadline (`service.server`), because no application sees a request before its headers are complete.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fundoscope.service.access.errors import error_response


class BodyLimits:
    """Middleware that ends requests which are too large or too slow."""

    def __init__(
        self, app: ASGIApp, most_bytes: Callable[[Scope], int], *, request_seconds: float, idle_seconds: float
    ) -> None:
        self.app = app
        self.most_bytes = most_bytes
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit, length = self.most_bytes(scope), Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > limit:
            problem = _too_large(limit)
            await error_response(413, problem.detail, headers=problem.headers)(scope, receive, send)
            return
        await self.app(scope, self._limited(receive, limit), send)

    def _limited(self, receive: Receive, limit: int) -> Receive:
        loop = asyncio.get_running_loop()
        end, count, is_complete = loop.time() + self.request_seconds, 0, False

        async def receive_limited() -> Message:
            nonlocal count, is_complete
            if is_complete:
                return await receive()  # waits for the client to go away, as long as the answer takes
            try:
                async with asyncio.timeout(min(self.idle_seconds, max(0.0, end - loop.time()))):
                    message = await receive()
            except TimeoutError:
                raise _too_slow(self.request_seconds, self.idle_seconds) from None
            count += len(message.get("body", b""))
            is_complete = message["type"] != "http.request" or not message.get("more_body", False)
            if count > limit:
                raise _too_large(limit)
            return message

        return receive_limited


def _too_large(limit: int) -> HTTPException:
    sentence = f"request: expected at most {limit} bytes, got more. Send fewer or smaller photographs at a time."
    return HTTPException(413, sentence, headers={"Connection": "close"})


def _too_slow(request_seconds: float, idle_seconds: float) -> HTTPException:
    sentence = (
        f"request: expected all of it within {request_seconds:g} s and no pause of {idle_seconds:g} s, got "
        "less. Send it again."
    )
    return HTTPException(408, sentence, headers={"Connection": "close"})
