"""What lies beside the code for those who cite, install, package and audit it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from fundoscope.runtime.release import default_release, open_release
from fundoscope.version import __version__

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[ \[<>=!~;]", name)[0]).lower()


def test_the_citation_is_of_this_version_and_licence():
    yaml = pytest.importorskip("yaml", reason="needs pyyaml (the dev extra)")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))

    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)  # what the format requires
    assert str(citation["version"]) == PROJECT["version"] == __version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_notice_names_all_that_the_default_release_was_made_from():
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    training = open_release(default_release()).release.training
    text = json.dumps(training)

    assert "IDRiD" in notice
    assert "10.3390/data3030025" in notice
    assert ("mobilenet_edgetpu" in text) == ("MobileNet-EdgeTPU" in notice)
    assert ("boxes" in text or "lesion" in text) == ("csefalvay" in notice.lower())


def test_a_source_distribution_holds_documentation_and_notices_and_nothing_generated(tmp_path):
    pytest.importorskip("hatchling", reason="needs hatchling (the dev extra)")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as members:
        names = {name.split("/", 1)[1] for name in members.getnames() if "/" in name}

    for name in ("LICENSE", "NOTICE", "SECURITY.md", "CITATION.cff", "mkdocs.yml", "docs/install.md", "README.md"):
        assert name in names
    assert "src/fundoscope/releases/default/model.onnx" in names
    assert "examples/manifest.csv" in names
    assert not [name for name in names if name.startswith(("site/", "runs/")) or "__pycache__" in name]


def test_the_bill_of_materials_names_every_dependency_with_its_version(tmp_path):
    pytest.importorskip("cyclonedx_py", reason="needs cyclonedx-bom (the dev extra)")
    target = tmp_path / "sbom.cdx.json"
    command = ["environment", sys.executable, "--pyproject", str(ROOT / "pyproject.toml"), "-o", str(target)]
    # The tool validates what it writes against the format's schema.
    subprocess.run([sys.executable, "-m", "cyclonedx_py", *command], check=True, capture_output=True)

    bill = json.loads(target.read_text(encoding="utf-8"))
    components = {normal(component["name"]): component for component in bill["components"]}
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "fundoscope")
    for requirement in PROJECT["dependencies"]:
        assert components[normal(requirement)]["version"]


@pytest.mark.parametrize("command", ["ruff format --check", "ruff check", "mypy", "lint-imports"])
def test_a_commit_is_asked_what_ci_asks(command):
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert f"entry: {command}," in hooks
    assert f".venv/bin/{command}" in readme


def test_the_container_is_of_the_clinics_install_and_runs_without_root():
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()

    installs = [line for line in lines if "pip install" in line]
    assert not [line for line in installs if re.search(r"\[.*(train|dev|research)", line)]
    assert "ARG EXTRAS=dicom" in lines
    assert any('".[$EXTRAS]"' in line for line in installs)
    assert "USER fundoscope" in lines
    copied = [
        part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
