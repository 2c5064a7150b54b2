"""All tests of OpenVINO, in a process that nothing else was loaded into."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = (
    "runtime/backends/test_openvino_session.py",
    "runtime/test_openvino_transformer.py",
    "cli/grading/test_backend.py",
)


@pytest.mark.skipif(find_spec("openvino") is None, reason="needs the openvino extra")
def test_openvino_gives_the_same_answers_or_none():
    files = [str(TESTS / name) for name in FILES]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "openvino", *files],
        cwd=TESTS.parent,
        env=os.environ | {"FUNDOSCOPE_TEST_OPENVINO": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
