"""A running service and a browser, for the tests of its pages."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn

from fundoscope.runtime.grader import Grader
from fundoscope.service.access.passwords import hash_password
from fundoscope.service.app import create_app
from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import add_user
from fundoscope.service.store.database import Database

CHROMIUM = shutil.which("chromium")
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
PASSWORD = "four words in a row"
WAIT_MS = 10_000


@dataclass(frozen=True)
class Room:
    """A running service with its pages, and a browser."""

    address: str
    database: Database
    browser: object

    def log_in(self, name: str, **options: object):
        """Open the worklist as a user, in a browser of its own."""
        page = self.browser.new_context(base_url=self.address, **options).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto("/")
        page.fill("#name", name)
        page.fill("#password", PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Worklist").wait_for()
        return page

    def faults_of(self, page) -> list[str]:
        """Return serious faults of accessibility on a page, and whether it is wider than the screen."""
        import axe_playwright_python as axe

        page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
        found = page.evaluate("async () => (await axe.run()).violations")  # a script element would be refused
        faults = [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")]
        is_wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return [*faults, "wider than the screen"] if is_wide else faults


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A service with the release that ships, readers ada, bo and cy, dee who submits, and flo who administers it."""
    if CHROMIUM is None:
        pytest.skip("needs Debian's Chromium, which drives the pages")
    folder = tmp_path_factory.mktemp("room")
    app = create_app(ServiceSettings(folder=folder, port=0), Grader.open(threads=2))
    database = app.state.service.database
    hashed = hash_password(PASSWORD)
    with database.writing() as session:
        for name, role in (("ada", "read"), ("bo", "read"), ("cy", "read"), ("dee", "submit"), ("flo", "administer")):
            add_user(session, name, role, hashed, actor="test")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    import playwright.sync_api as playwright

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield Room(f"http://127.0.0.1:{port}", database, browser)
        browser.close()
    server.should_exit = True
    thread.join(30)
