"""The published OpenAPI: requests drawn from it are answered as it says, and never with a fault in the program."""

from __future__ import annotations

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, reject, settings
from hypothesis import strategies as st

REQUESTS = 12
"""Requests drawn for each operation."""

OPERATIONS = (
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/api/releases"),
    ("GET", "/api/account"),
    ("POST", "/api/session"),
    ("POST", "/api/photographs"),
    ("GET", "/api/photographs/{sha256}"),
    ("GET", "/api/photographs/{sha256}/overlay.png"),
    ("GET", "/api/cases"),
    ("GET", "/api/cases/{case}"),
    ("GET", "/api/cases/{case}/report.html"),
    ("GET", "/api/cases/{case}/report.pdf"),
    ("GET", "/api/cases/{case}/fhir.json"),
    ("GET", "/api/cases/{case}/dicom.zip"),
    ("GET", "/api/readings"),
    ("POST", "/api/readings"),
)


@pytest.fixture(scope="module")
def published(running) -> dict:
    """The OpenAPI as a client with a token reads it."""
    return running.client.get("/api/openapi.json", headers=running.headers["submit"]).json()


@pytest.fixture(scope="module")
def schema(running, published):
    """The same, as schemathesis reads it."""
    return schemathesis.openapi.from_dict(published)


def test_the_operations_here_are_those_of_the_schema(published):
    ours = {(method.upper(), path) for path, operations in published["paths"].items() for method in operations}

    assert {pair for pair in ours if pair[1].startswith(("/api", "/health", "/ready", "/metrics"))} - set(
        OPERATIONS
    ) <= {("POST", "/api/account/log-out")}
    assert set(OPERATIONS) <= ours


def prepared(case, headers: dict[str, str]) -> requests.PreparedRequest:
    """Return a request as it goes over the wire; those that no client could write are left out."""
    allowed = ("method", "url", "headers", "params", "data", "json", "files", "cookies")
    parts = case.as_transport_kwargs(base_url="http://localhost", headers=headers)
    try:
        return requests.Request(**{name: value for name, value in parts.items() if name in allowed}).prepare()
    except (requests.exceptions.RequestException, ValueError):
        reject()


# schemathesis draws the bodies of forms with `random` itself.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_requests_drawn_from_the_schema_are_answered_as_it_says(method, path, schema, running):
    operation = schema[path][method]
    modes = st.sampled_from(list(schemathesis.GenerationMode))

    @settings(
        max_examples=REQUESTS,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def answer(data) -> None:
        case = data.draw(modes.flatmap(lambda mode: operation.as_strategy(generation_mode=mode)))
        headers = dict(case.headers or {}) | running.headers["administer"]
        request = prepared(case, headers)
        response = running.client.request(
            request.method, request.url, content=request.body, headers=dict(request.headers), follow_redirects=False
        )
        documented = operation.definition.raw["responses"]
        assert response.status_code < 500
        assert str(response.status_code) in documented or response.status_code in (405, 429), response.text
        if response.status_code >= 400:
            assert ": expected " in response.json().get("error", "") or "photographs" in response.json()

    answer()
