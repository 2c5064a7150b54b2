"""Readings as a manifest."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.data.manifest import read_manifest
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.service.pages import routes


def painted(seed: int) -> bytes:
    photo = paint_retina(RetinaSpec(side_px=300, grade=1), rng=np.random.default_rng(seed)).photo
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


@pytest.fixture
def case(start, tmp_path):
    """A running service with a case of two photographs of the left eye and one of the right."""
    with start(tmp_path / "folder") as running:
        for seed, eye in ((1, "left"), (2, "left"), (3, "right")):
            sent = running.send((f"{seed}.jpg", painted(seed)), patient="P", eye=eye)
        running.wait()
        yield running, sent.json()["photographs"][0]["case"]


def read(running, uid, left, right, *, role="first", reader="read", reason=None, shown=False):
    grades = [{"eye": eye, "grade": grade, "reason": reason} for eye, grade in (("left", left), ("right", right))]
    body = {"case": uid, "role": role, "shown": shown, "grades": grades}
    answer = running.client.post("/api/readings", json=body, headers=running.headers[reader])
    assert answer.status_code == 201, answer.text


def table(running, reader="read") -> pd.DataFrame:
    return pd.read_csv(io.StringIO(running.client.get("/readings.csv", headers=running.headers[reader]).text))


def test_a_second_reader_does_not_see_the_first_reading_before_the_own(case):
    running, uid = case
    read(running, uid, 2, 0, reader="administer")

    assert running.client.get("/readings.csv", headers=running.headers["read"]).text.count("\n") == 1
    for address in ("/api/readings", f"/api/cases/{uid}"):
        assert running.client.get(address, headers=running.headers["read"]).json()["readings"] == []
    assert len(table(running, "administer")) == 3
    read(running, uid, 2, 0, role="second")
    assert len(table(running)) == 6


def test_a_reading_has_a_row_for_each_photograph_of_its_eye_and_is_a_manifest(case, tmp_path):
    running, uid = case
    read(running, uid, 2, None)

    rows = table(running)

    assert sorted(zip(rows["eye"], rows["image"], strict=True)) == [
        ("left", "1.jpg"), ("left", "2.jpg"), ("right", "3.jpg"),
    ]  # fmt: skip
    assert set(rows[rows["eye"] == "left"]["grade"]) == {2}
    assert rows[rows["eye"] == "right"]["grade"].isna().all()
    assert set(rows["counts"]) == {1}
    rows.to_csv(tmp_path / "readings.csv", index=False)
    manifest = read_manifest(tmp_path / "readings.csv")
    assert list(manifest["grade"].dropna()) == [2, 2]


def test_of_readers_who_differ_neither_counts_until_a_third_has_decided(case):
    running, uid = case
    read(running, uid, 2, 0)
    read(running, uid, 3, 0, role="second", reader="administer")

    rows = table(running)

    assert set(rows[rows["eye"] == "left"]["counts"]) == {0}
    assert list(rows[rows["eye"] == "right"]["counts"]) == [0, 1]


def test_a_reading_of_a_case_to_which_a_photograph_came_later_no_longer_counts(case):
    running, uid = case
    read(running, uid, 2, 0)
    running.send(("4.jpg", painted(4)), patient="P", eye="right")
    running.wait()

    assert set(table(running)["counts"]) == {0}


def test_a_reader_who_corrects_a_reading_is_counted_once(case):
    running, uid = case
    read(running, uid, 2, 0)
    read(running, uid, 1, 0)

    rows = table(running)

    assert rows[rows["eye"] == "left"].groupby("grade")["counts"].max().to_dict() == {1: 1, 2: 0}


def test_the_page_shows_the_latest_rows_and_the_table_all(case, monkeypatch):
    running, uid = case
    read(running, uid, 2, 0)
    read(running, uid, 3, 1)
    page = running.client.get("/readings", headers=running.headers["read"]).text
    assert page.count(f'href="/cases/{uid}"') == 6
    assert "here the latest" not in page

    monkeypatch.setattr(routes, "LATEST", 2)
    page = running.client.get("/readings", headers=running.headers["read"]).text

    assert page.count(f'href="/cases/{uid}"') == 2
    assert "here the latest 2." in page
    assert "<td>1</td>" in page, "the right eye of the last reading comes first"
    assert len(table(running)) == 6
