from __future__ import annotations

import subprocess
import sys

import pytest

import fundoscope

CLINIC = (
    "clinic",
    "audit",
    "heatmaps",
    "duplicates",
    "runtime",
    "evaluation",
    "data",
    "photo",
    "decide",
    "tables",
    "pages",
    "files",
    "arrays",
    "parallel",
    "records",
    "painting",
    "grades",
    "errors",
    "cli",
)

WITHOUT = """
import importlib, pkgutil, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm", "lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
import fundoscope
for room in sys.argv[1].split(","):
    module = importlib.import_module(f"fundoscope.{room}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"fundoscope.{room}."):
        importlib.import_module(found.name)
print(len([name for name in sys.modules if name.startswith("fundoscope.")]))
"""

LOADED = """
import sys
from fundoscope.cli import main
sys.argv = ["fundoscope", "--help"]
try:
    main()
except SystemExit:
    pass
heavy = {"onnxruntime", "openvino", "torch", "pandas", "cv2", "scipy", "pydicom", "sklearn"}
print("LOADED", sorted(heavy & set(sys.modules)))
"""


def test_the_front_door_holds_what_we_promised():
    assert fundoscope.__all__ == ["Grader", "Reading", "Readings", "Recipe", "Release", "prepare", "read_photo"]
    assert all(getattr(fundoscope, name).__name__ == name for name in fundoscope.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fundoscope' has no attribute 'Grade'"):
        fundoscope.Grade  # noqa: B018  (the access is the test)


def test_the_clinic_imports_where_torch_cannot_be_loaded():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(CLINIC)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 30


def test_help_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)

    assert "grade" in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED []"
