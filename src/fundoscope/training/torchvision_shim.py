"""Makes torchvision importable beside a CPU-only torch, as soon as it is imported itself.

The registry's torchvision is built for CUDA. Beside a CPU-only torch its plain import dies with
`RuntimeError: operator torchvision::nms does not exist`, and with it lightning, torchmetrics and
timm. The operators themselves are not needed here: declaring their schemas is enough for the
import to go through. A healthy torchvision registers them itself, so they are declared only after
it has failed. Every module of `training` that imports one of those imports this first; ruff sorts it there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import torch

_declared: list[Any] = []  # a library that is collected takes its schemas along


def _import_torchvision() -> None:
    """Import torchvision, declaring its compiled operators when this build of torch lacks them."""
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library: Any = torch.library  # torch leaves it untyped
        operators = library.Library("torchvision", "DEF")
        operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(operators)
        import_module("torchvision")


_import_torchvision()
