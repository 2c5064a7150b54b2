"""Pages are written whole and fetch nothing; numbers are said in one way."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

from fundoscope.pages import (
    environment,
    interval_words,
    number_words,
    picture_uri,
    stored_interval_words,
    write_page,
)


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates"
    folder.mkdir()
    (folder / "page.jinja").write_text("<p>{{ name }}, {{ place }}: {{ not_a_device }}</p>")
    return folder


def test_what_a_page_is_given_is_escaped_and_what_a_text_is_given_is_not(templates, tmp_path):
    for escaped, written in ((True, "&lt;b&gt;, here: Research"), (False, "<b>, here: Research")):
        template = environment(templates, escaped=escaped, place="here").get_template("page.jinja")
        path = write_page(tmp_path / "out" / "page.html", template, name="<b>")

        assert path.read_text().startswith(f"<p>{written}")


def test_a_name_that_nobody_gave_leaves_the_earlier_page_as_it_was(templates, tmp_path):
    template = environment(templates, place="here").get_template("page.jinja")
    path = write_page(tmp_path / "page.html", template, name="first")
    with pytest.raises(jinja2.UndefinedError, match="'name' is undefined"):
        write_page(path, template)

    assert "first" in path.read_text()


def test_a_picture_comes_back_from_its_uri():
    pixels = np.full((6, 9, 4), (10, 200, 30, 128), np.uint8)
    kind, _, data = picture_uri(pixels, "webp", quality=90).partition(",")
    shown = Image.open(io.BytesIO(base64.b64decode(data)))

    assert kind == "data:image/webp;base64"
    assert (shown.size, shown.mode) == ((9, 6), "RGBA")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.9, 0.85, 0.94), "0.900 (0.850 to 0.940)"),
        ((0.9, math.nan, math.nan), "0.900 (no interval)"),
        ((0.9, None, None), "0.900 (no interval)"),
        ((math.nan, 0.1, 0.2), "n/a"),
        ((None, None, None), "n/a"),
    ],
)
def test_an_interval_is_said_the_same_of_numbers_and_of_json(values, words):
    stored = dict(zip(("estimate", "low", "high"), values, strict=True))

    assert interval_words(*values) == stored_interval_words(stored) == words
    assert stored_interval_words(stored | {"level": 0.9}, style="+.1f").count("90% CI") == words.count(" to ")


def test_an_undefined_number_is_not_available():
    assert [number_words(each) for each in (math.nan, None, 0.12345)] == ["n/a", "n/a", "0.123"]
    assert number_words(0.125, ".0%") == "12%"
