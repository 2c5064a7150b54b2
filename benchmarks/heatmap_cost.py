"""What a heatmap costs: an exported graph with it against the same network's graph without, in onnxruntime, in one run.

    python benchmarks/heatmap_cost.py [--rounds 5] [--names NAME ...] [--json FILE]

Networks at their published size with random weights, one photograph at a time on one thread, processor time. Rounds are
interleaved: each times both graphs, the order turned each time, and gives a ratio; their median is the figure,
their range stands beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fundoscope.training.torchvision_shim

import numpy as np
import torch

from fundoscope.photo.recipe import Recipe
from fundoscope.training.attribution.explain import Method
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export.graph import PlainGraph, check_parity, release_graph, to_onnx
from fundoscope.training.export.traced import TracedGraph
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise


@dataclass(frozen=True)
class Case:
    """A network with a heatmap."""

    backbone: str
    side: int
    method: Method = field(default_factory=Method)
    closed: bool = False
    """Grad-CAM of the last map in closed form, as a pooled network is exported."""


CASES = (
    Case("mobilenet_edgetpu_100", 320, closed=True),
    Case("mobilenet_edgetpu_100", 320, Method(name="layer-cam", layers=("blocks.4",))),
    Case("resnet50", 224, closed=True),
    Case("vgg16", 224),
    Case("vit_tiny_patch16_224", 224, Method(name="grad-rollout")),
    Case("vit_small_patch16_224", 224, Method(name="grad-rollout")),
    Case("vit_small_patch14_dinov2", 518, Method(name="grad-rollout")),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--names", nargs="*", help="backbones to be timed; all if absent")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = [measure(case, asked.rounds) for case in CASES if not asked.names or case.backbone in asked.names]
    print(
        "| network | side | heatmap | plain, ms | with it, ms | ratio (lowest to highest) |\n|---|---|---|---|---|---|"
    )
    for row in rows:
        ratios = row["ratios"]
        print(
            f"| {row['backbone']} | {row['side']} | {row['heatmap']} | {row['plain_ms']:.1f} | {row['with_ms']:.1f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    if asked.json:
        asked.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Times of both graphs of a network, and the ratio of each round."""
    torch.manual_seed(0)
    network = GradingNetwork(Network(backbone=case.backbone, head="coral"), side=case.side).eval()
    normalise = Normalise(Recipe(side=case.side))
    photographs = np.random.default_rng(0).integers(0, 255, (2, case.side, case.side, 3)).astype(np.uint8)
    plain = to_onnx(PlainGraph(network, normalise), case.side)
    graph = (
        release_graph(network, normalise, photographs[:1])
        if case.closed
        else TracedGraph(network, normalise, case.method)
    )
    mapped = to_onnx(graph, case.side)
    check_parity(graph, mapped, photographs, "coral")
    runs = {"plain": _runner(plain, photographs[:1]), "with": _runner(mapped, photographs[:1])}
    for run in runs.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds):
        for name in sorted(runs, reverse=bool(turn % 2)):
            seconds[name].append(_median_seconds(runs[name]))
    ratios = [b / a for a, b in zip(seconds["plain"], seconds["with"], strict=True)]
    where = f" of {', '.join(case.method.layers)}" if case.method.layers else ""
    return {
        "backbone": case.backbone,
        "side": case.side,
        "heatmap": ("closed form, " if case.closed else "traced, ") + graph.heatmap + where,
        "plain_ms": 1000 * statistics.median(seconds["plain"]),
        "with_ms": 1000 * statistics.median(seconds["with"]),
        "ratios": ratios,
    }


def _runner(model: bytes, photographs: np.ndarray) -> Callable[[], object]:
    import onnxruntime  # after fundoscope, which switches its reports off first

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"canvases": photographs})


def _median_seconds(run: Callable[[], object], repeats: int = 5) -> float:
    """Processor time: another process beside this one is not counted."""
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        run()
        taken.append(time.process_time() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
