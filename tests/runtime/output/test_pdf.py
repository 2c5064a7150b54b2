"""Reports as PDF files, read again by pypdf."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.errors import MissingExtra
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.pages import data_uri
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output.html import paper_page
from fundoscope.runtime.output.pdf import NoPdfHere, to_pdf

NAME = "Łódź Ωμέγα 王小明"


@pytest.fixture(scope="module")
def pango() -> None:
    """A test that makes a PDF skips where the system's library is missing: pip cannot bring it."""
    try:
        to_pdf("<p>a</p>")
    except NoPdfHere as problem:
        pytest.skip(str(problem))


def pages_of(data: bytes) -> list[str]:
    from pypdf import PdfReader

    # Lines are broken where the paper ends.
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(data)).pages]


def pictures_in(data: bytes) -> int:
    from pypdf import PdfReader

    return sum(len(page.images) for page in PdfReader(io.BytesIO(data)).pages)


def paper(tiny_release: Path, retinas: list[Path], eyes: tuple[str, ...], **facts: object) -> str:
    grader = Grader.open(tiny_release)
    rows = []
    for path, eye in zip(retinas, eyes, strict=False):
        rows.append(dict(grader.examine(path)[0].row()) | {"image": path.name, "eye": eye} | facts)
    return paper_page(grader, [Listed(path.name, path) for path in retinas[: len(eyes)]], rows)


def test_a_patients_report_holds_both_eyes_the_name_and_the_notice_on_each_page(pango, tiny_release, retinas):
    facts = {"patient": NAME, "taken": "2026-03-04T10:00:00"}
    data = to_pdf(paper(tiny_release, retinas, ("left", "right"), **facts))

    pages = pages_of(data)
    assert len(pages) == 2
    assert f"Patient {NAME}" in pages[0]
    assert "Left eye" in pages[0]
    assert "Right eye" in pages[0]
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of 2" in page
        assert NOT_A_DEVICE in page
    assert "Intended use" in pages[1]
    assert pictures_in(data) >= 2


def test_several_patients_are_listed_before_the_first(pango, tiny_release, retinas):
    grader = Grader.open(tiny_release)
    rows = [
        dict(grader.examine(path)[0].row()) | {"image": path.name, "patient": f"P{number}"}
        for number, path in enumerate(retinas[:3])
    ]
    pages = pages_of(to_pdf(paper_page(grader, [Listed(path.name, path) for path in retinas[:3]], rows)))

    assert all(f"P{number}" in pages[0] for number in range(3))
    assert sum(page.count("Picture quality") for page in pages) == 3


def test_nothing_is_fetched_for_a_page(pango, tmp_path):
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(tmp_path / "secret.png")
    own = data_uri((tmp_path / "secret.png").read_bytes(), "png")

    assert pictures_in(to_pdf(f'<img src="{own}">')) == 1
    for address in ((tmp_path / "secret.png").as_uri(), "http://127.0.0.1:9/a.png"):
        assert pictures_in(to_pdf(f'<p>a</p><img src="{address}">')) == 0


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "weasyprint", None)

    with pytest.raises(MissingExtra, match=r"a report as PDF needs packages .* 'fundoscope\[pdf\]'"):
        to_pdf("<p>a</p>")
