"""fundoscope reads retinal photographs: it grades diabetic retinopathy and says how sure it is.

Research software, not a medical device.

    >>> from fundoscope import Grader
    >>> reading = Grader.open().grade("photograph.jpg")  # doctest: +SKIP
    >>> reading.decision  # doctest: +SKIP
    'refer'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fundoscope.offline import disable_reports
from fundoscope.version import __version__ as __version__

# Before anything imports onnxruntime, whoever it is.
disable_reports()

if TYPE_CHECKING:
    from fundoscope.photo.read import read_photo
    from fundoscope.photo.recipe import Recipe, prepare
    from fundoscope.runtime.description import Release
    from fundoscope.runtime.grader import Grader, Reading, Readings

_HOMES = {
    "Grader": "fundoscope.runtime.grader",
    "Reading": "fundoscope.runtime.grader",
    "Readings": "fundoscope.runtime.grader",
    "Recipe": "fundoscope.photo.recipe",
    "Release": "fundoscope.runtime.description",
    "prepare": "fundoscope.photo.recipe",
    "read_photo": "fundoscope.photo.read",
}
# Written out, and imported on first use: `fundoscope --help` must not wait for onnxruntime.
__all__ = ["Grader", "Reading", "Readings", "Recipe", "Release", "prepare", "read_photo"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fundoscope' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
