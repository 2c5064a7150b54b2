"""Routes of the pages, without a browser."""

from __future__ import annotations

import pytest

from fundoscope.service.access.passwords import hash_password
from fundoscope.service.store.accounts import add_user

PASSWORD = "four words in a row"


@pytest.fixture(scope="module")
def reader(running):
    """The client, with a user who can log in."""
    with running.service.database.writing() as session:
        add_user(session, "ada", "read", hash_password(PASSWORD), actor="test")
    return running


def log_in(reader, **headers: str):
    form = {"name": "ada", "password": PASSWORD}
    return reader.client.post("/login", data=form, headers=headers, follow_redirects=False)


def test_a_login_form_of_another_site_is_refused(reader):
    refused = log_in(reader, Origin="https://elsewhere.example")

    assert refused.status_code == 403
    assert "expected a form of this service" in refused.json()["error"]
    assert "set-cookie" not in refused.headers
    assert log_in(reader, Origin="http://localhost").status_code == 303


def test_a_reading_without_the_sessions_token_is_refused(reader):
    log_in(reader)
    refused = reader.client.post(f"/cases/{'0' * 32}/readings", data={"role": "first"})

    assert refused.status_code == 403
    reader.client.cookies.clear()


def test_a_case_that_is_not_there_has_a_page_that_says_so(reader):
    headers = reader.headers["read"]

    missing = reader.client.get(f"/cases/{'0' * 32}", headers=headers)

    assert missing.status_code == 404
    assert "There is no such case." in missing.text
    assert reader.client.get("/cases/..%2f..%2fetc%2fpasswd", headers=headers).status_code in (404, 422)


@pytest.mark.parametrize("name", ["../views.py", "..%2fviews.py", "views.py", "reading_room.css%00", ""])
def test_nothing_but_styles_and_scripts_is_sent_without_an_account(reader, name):
    answer = reader.client.get(f"/static/{name}")

    assert answer.status_code in (401, 404, 405)
    assert b"import" not in answer.content


def test_pages_fetch_nothing_from_elsewhere_and_run_nothing_inline(reader):
    page = reader.client.get("/login")

    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert " style=" not in page.text
    assert "onclick" not in page.text


def test_what_a_sender_calls_a_file_or_a_patient_is_shown_as_text(reader):
    painted = (b"\xff\xd8\xff broken", "<script>alert(1)</script>.jpg")
    sent = reader.send((painted[1], painted[0]), patient="<b>Ada</b>")
    reader.wait()
    (photograph,) = sent.json()["photographs"]
    if photograph["case"] is None:
        pytest.fail(f"expected an accepted photograph, got {photograph}")

    page = reader.client.get(f"/cases/{photograph['case']}", headers=reader.headers["read"]).text

    assert "<script>alert" not in page
    assert "<b>Ada</b>" not in page
    assert "&lt;b&gt;Ada&lt;/b&gt;" in page
