"""The documentation site: it builds without a network and without a warning, and asks for nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from fundoscope.evaluation.report.words import ROWS
from fundoscope.tables.columns import MANIFEST_COLUMNS

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings", "latex2mathml") if find_spec(name) is None]

if MISSING:
    pytest.skip(f"needs {', '.join(MISSING)} (the docs extra)", allow_module_level=True)

NOWHERE = "http://127.0.0.1:9"
"""A proxy that answers nobody, for machines where a process cannot be given a network of its own."""


def _without_network() -> list[str]:
    """Return the words before a command that runs it without a network, where this system has such."""
    unshare = shutil.which("unshare")
    if unshare and subprocess.run([unshare, "-rn", "true"], capture_output=True, check=False).returncode == 0:
        return [unshare, "-rn"]
    return []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as strictly as it can be; any warning fails."""
    folder = tmp_path_factory.mktemp("site")
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), NOWHERE)
    built = subprocess.run(
        [*_without_network(), sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path):
    loads = re.compile(r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=[\"'](?:https?:)?//[^\"']*[\"']")
    pages = list(site.rglob("*.html"))

    asked = {match for page in pages for match in loads.findall(page.read_text(encoding="utf-8"))}

    assert len(pages) > 30
    assert asked == set()


def test_no_style_loads_a_font_from_elsewhere(site: Path):
    sheets = "".join(sheet.read_text(encoding="utf-8") for sheet in site.rglob("*.css"))

    assert re.findall(r"url\([\"']?(?:https?:)?//[^)]*\)", sheets) == []


@pytest.mark.parametrize(
    ("page", "texts"),
    [
        ("data.html", [f"<code>{name}</code>" for name in MANIFEST_COLUMNS]),
        ("metrics.html", [f"<code>{key}</code>" for key in ROWS]),
        ("metrics.html", ["<math", "<mfrac>"]),
        ("experiment_keys.html", ["<code>optimiser.layer_decay</code>", "<code>fit.epochs</code>"]),
        ("reference/commands.html", ["fundoscope data columns", "--unseen-patients"]),
        ("reference/api.html", ["grade_many", "evaluate_tables", "commission_tables"]),
    ],
)
def test_what_is_generated_from_the_code_stands_on_its_page(site: Path, page: str, texts: list[str]):
    # Words of code are kept whole by a span each.
    shown = re.sub(r'<span class="word">([^<]*)</span>', r"\1", (site / page).read_text(encoding="utf-8"))

    assert [text for text in texts if text not in shown] == []


def test_no_mark_of_a_generator_is_left_on_a_page(site: Path):
    assert [page.name for page in site.rglob("*.html") if "<!-- generate:" in page.read_text(encoding="utf-8")] == []
