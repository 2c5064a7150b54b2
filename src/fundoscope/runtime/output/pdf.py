"""PDF files from pages of HTML that hold all that they show. Needs WeasyPrint (extra `pdf`)."""

from __future__ import annotations

import threading
from typing import Final

from fundoscope.errors import FundoscopeError, MissingExtra

ONE_AT_A_TIME: Final = threading.Lock()
"""Held while a page is set: Pango and its fonts are shared by all threads."""


class NoPdfHere(FundoscopeError):
    """The system's library for setting text, which WeasyPrint needs, is missing."""


def to_pdf(page: str) -> bytes:
    """Return a page of HTML as a PDF file; nothing is fetched for it, from the network or from the disk.

    Args:
        page: With its pictures as `data:` addresses, such as `html.paper_page` makes.

    Raises:
        MissingExtra: If WeasyPrint is not installed.
        NoPdfHere: If it cannot find Pango.
    """
    try:
        from weasyprint import HTML
        from weasyprint.urls import URLFetcher
    except ImportError as problem:
        raise MissingExtra("a report as PDF", "pdf") from problem
    except OSError as problem:
        raise NoPdfHere(
            f"a report as PDF: expected the library Pango 1.44 or later on this computer, got none ({problem}). "
            "Install it (Debian: libpango-1.0-0 and libpangoft2-1.0-0), or print the report from a browser."
        ) from problem
    document = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols={"data"}))
    with ONE_AT_A_TIME:
        return bytes(document.write_pdf())
