"""What lies in `deploy/`: the unit that runs the service, and the module for a DICOM router."""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import typer

from fundoscope.cli import app
from fundoscope.painting import RetinaSpec, paint_retina

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
MODULE = DEPLOY / "mercure" / "fundoscope-mercure"


def settings() -> list[tuple[str, str]]:
    """Return the settings of the unit in order; a key may stand more than once."""
    lines = (DEPLOY / "fundoscope.service").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("=", 1)) for line in lines if "=" in line and not line.startswith("#")]


def test_the_unit_starts_the_service_with_options_that_it_has():
    (start,) = [value for key, value in settings() if key == "ExecStart"]
    words = shlex.split(start)[1:]
    command = typer.main.get_command(app)
    assert isinstance(command, click.Group) or hasattr(command, "commands")
    serve = command.commands[words[0]]

    known = {option for parameter in serve.params for option in parameter.opts}

    assert words[0] == "serve"
    assert {word for word in words[1:] if word.startswith("-")} <= known
    assert words[words.index("--host") + 1] == "127.0.0.1"


def test_the_unit_gives_the_service_no_privilege_and_one_folder():
    unit = dict(settings())

    assert unit["User"] not in ("", "root")
    assert unit["ProtectSystem"] == "strict"
    assert unit["NoNewPrivileges"] == "yes"
    assert unit["CapabilityBoundingSet"] == ""
    assert f"/var/lib/{unit['StateDirectory']}" in unit["ExecStart"]


def run_module(incoming: Path, outgoing: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the router's module with the command line of this environment."""
    programs = folder / "programs"
    programs.mkdir()
    command = programs / "fundoscope"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fundoscope "$@"\n')
    command.chmod(0o755)
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}",
        "MERCURE_IN_DIR": str(incoming), "MERCURE_OUT_DIR": str(outgoing),
    }  # fmt: skip
    return subprocess.run([str(MODULE)], env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "task.json").write_text("{}")  # the router's own file
    return tmp_path / "in", tmp_path / "out"


def test_the_module_puts_reports_where_the_router_looks_for_them(folders, tmp_path):
    pytest.importorskip("highdicom", reason="needs the dicom extra")
    from pydicom import dcmread

    studies = runpy.run_path(str(ROOT / "tests" / "runtime" / "output" / "dicom" / "studies.py"))
    incoming, outgoing = folders
    for number, side in enumerate("RL"):
        pixels = paint_retina(RetinaSpec(side_px=300, grade=2), rng=np.random.default_rng(number)).photo
        studies["photograph"](incoming / f"1.2#{number}.dcm", pixels, ImageLaterality=side)
    (incoming / "1.2#3.dcm").write_bytes(b"no picture")

    done = run_module(incoming, outgoing, tmp_path)

    assert done.returncode == 0, done.stderr
    (report,) = [path for path in outgoing.iterdir() if path.name.endswith("#report.dcm")]
    assert dcmread(report).Modality == "SR"
    assert all(path.suffix == ".dcm" and path.is_file() for path in outgoing.iterdir())


def test_the_module_fails_where_no_report_could_be_written(folders, tmp_path):
    incoming, outgoing = folders
    shutil.copy(ROOT / "examples" / "idrid_test_054.jpg", incoming / "a.jpg")

    done = run_module(incoming, outgoing, tmp_path)

    assert done.returncode == 2
    assert "no report was written" in done.stderr
    assert list(outgoing.iterdir()) == []
