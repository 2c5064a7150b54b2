"""No network at run time: reports that libraries send to their makers are switched off, and look-ups of models as well.

onnxruntime 1.32 for Linux writes a device number and a queue of events into the user's cache when it is imported, and
looks up its makers' computer some seconds later. Only an environment variable stops it, and only before the import:
`onnxruntime.disable_telemetry_events()` comes too late. Importing any part of fundoscope therefore sets the variables
in `REPORTS`; the command line, whose process is its own, also sets those in `LOOKUPS`, by which the libraries used for
training take models from this computer only. OpenVINO has no such variable:
`runtime/backends/openvino_session.py` imports it without its reporting package.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Final

ONNXRUNTIME: Final = "ORT_DISABLE_TELEMETRY"

REPORTS: Final = {ONNXRUNTIME: "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
"""Variables by which libraries send no reports, and their values."""

LOOKUPS: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "NO_ALBUMENTATIONS_UPDATE": "1"}
"""Variables by which libraries look up nothing, and their values."""


def disable_reports() -> None:
    """Switch reports off, and warn where onnxruntime was imported before and has begun to report."""
    if "onnxruntime" in sys.modules and os.environ.get(ONNXRUNTIME) != REPORTS[ONNXRUNTIME]:
        warnings.warn(
            "onnxruntime: expected to be imported after fundoscope, got the reverse, so that it may already report to "
            f"its makers, which cannot be stopped in this process. Import fundoscope first, or set {ONNXRUNTIME}=1.",
            RuntimeWarning,
            stacklevel=3,
        )
    os.environ.update(REPORTS)


def disable_lookups() -> None:
    """Let libraries take models from this computer only; for a process that is the program's own."""
    os.environ.update(LOOKUPS)
