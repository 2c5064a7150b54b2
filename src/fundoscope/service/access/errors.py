"""Errors as the service answers them: `{"error": sentence}`, in our own words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from fundoscope.errors import FundoscopeError
from fundoscope.service.access.headers import SECURITY_HEADERS

LOGGER: Final = logging.getLogger("fundoscope.service")

WORDS: Final = {
    400: "request: expected one that can be understood, got another. Correct the request.",
    404: "address: expected one that is there, got another. Check the address.",
    405: "request: expected another method for this address. See /api/openapi.json.",
}
"""Sentences in place of those of the framework."""

VALUES: Final = {
    "missing": "a value, got none",
    "extra_forbidden": "no field of this name, got one",
    "json_invalid": "JSON, got something else",
}
"""What was expected of a value, by the framework's name of what is wrong with it."""


def error_response(status: int, sentence: str, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as JSON."""
    return JSONResponse({"error": sentence}, status_code=status, headers=dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Let an application answer errors in our words."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_values)
    app.add_exception_handler(FundoscopeError, _of_request)
    app.add_exception_handler(Exception, _of_program)


async def _of_http(_request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    is_ours = ": " in str(problem.detail)
    sentence = str(problem.detail) if is_ours else WORDS.get(problem.status_code, f"request: {problem.detail}.")
    return error_response(problem.status_code, sentence, headers=problem.headers)


async def _of_values(_request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, RequestValidationError)
    return error_response(422, " ".join(map(_words, problem.errors())) or WORDS[400])


def _words(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a value, as the framework found it, in our words."""
    place = " ".join(str(part) for part in fault.get("loc", ()))
    return f"{place or 'request'}: expected {_expected(fault)}. Correct the request."


def _expected(fault: Mapping[str, Any]) -> str:
    message = str(fault.get("msg", "")).strip().rstrip(".")
    if fault.get("type") in VALUES:
        return VALUES[fault["type"]]
    start, should, rest = message.partition(" should be ")
    if start == "Input" and should:
        return f"{rest.partition(', unable')[0]}, got something else"
    return f"a value that is allowed, got another ({message[:1].lower()}{message[1:]})"


async def _of_request(_request: Request, problem: Exception) -> JSONResponse:
    return error_response(422, str(problem))


async def _of_program(_request: Request, problem: Exception) -> JSONResponse:
    # The text of the exception may repeat a patient's name, and is not logged; its traceback names only the code.
    LOGGER.error("a fault in the program: %s", type(problem).__name__)
    sentence = "service: expected an answer, got a fault in the program. Please report it; the log names it."
    return error_response(500, sentence, headers=SECURITY_HEADERS)
