"""Pictures and reports of stored photographs, made when they are asked for; nothing of them is kept."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from PIL import Image

from fundoscope.errors import BadRequest
from fundoscope.photo.illustration import draw_overlay
from fundoscope.photo.read import read_photo
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output.html import paper_page, write_report
from fundoscope.runtime.output.pdf import to_pdf
from fundoscope.runtime.tasks.task import Row
from fundoscope.service.store.files import PhotographFiles

VIEW_PX = 1600
"""Longer side of a photograph as it is viewed, at most."""

VIEW_QUALITY = 88


def view(path: Path, *, longer_px: int = VIEW_PX) -> bytes:
    """Return a photograph as a JPEG picture that every browser shows.

    Raises:
        UnreadablePhotograph: If there is no picture.
    """
    pixels = read_photo(path, target_px=longer_px).pixels
    factor = min(1.0, longer_px / max(pixels.shape[:2]))
    if factor < 1:
        pixels = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=VIEW_QUALITY)
    return buffer.getvalue()


def overlay(grader: Grader, path: Path, row: Row) -> bytes:
    """Return the heatmap of a photograph as a transparent PNG in its proportions.

    Args:
        grader: The release that answered.
        path: Where the photograph lies.
        row: Its answer.

    Raises:
        BadRequest: If no heatmap may be shown beside the answer.
    """
    decision = grader.opened.task.of_photograph(row).decision
    is_certified, why = grader.opened.heatmap_state
    if not grader.opened.shows_heatmap(decision):
        reason = "it is shown only beside decisions that it explains" if is_certified else why
        raise BadRequest(f"{row['image']}: expected an answer beside which a heatmap is shown, got none: {reason}.")
    reading = grader.examine(path)[0]
    drawn = draw_overlay(reading) if reading.sha256 == row["sha256"] else None
    if drawn is None:
        raise BadRequest(f"{row['image']}: expected a photograph with a heatmap, got one without. Look at its answer.")
    buffer = io.BytesIO()
    Image.fromarray(drawn, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def report(grader: Grader, files: PhotographFiles, rows: Sequence[Row], scratch: Path) -> str:
    """Return the report on a case as self-contained HTML.

    Args:
        grader: The release that answered all its photographs.
        files: Where they lie.
        rows: Their answers.
        scratch: Folder in which the report may be made.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="report-") as folder:
        page = write_report(grader, _listed(files, rows), rows, folder)[0]
        return page.read_text(encoding="utf-8")


def paper_report(grader: Grader, files: PhotographFiles, rows: Sequence[Row]) -> bytes:
    """Return the report on a case as a PDF file.

    Raises:
        MissingExtra: If WeasyPrint is not installed.
        NoPdfHere: If the system's Pango is missing.
    """
    return to_pdf(paper_page(grader, _listed(files, rows), rows))


def _listed(files: PhotographFiles, rows: Sequence[Row]) -> list[Listed]:
    return [Listed(row["image"], files.path(row["sha256"])) for row in rows]
