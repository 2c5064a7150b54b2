"""Camera JPEG to grade and heatmap on 2 cores, against the same job done plainly in the same run.

    python benchmarks/grade_throughput.py [--count 40] [--repeats 5] [--release FOLDER]

Plain: one process, one photograph after another, Pillow full decode, the same gradability (field of view, one retina,
quality, vessels) and preparation on the full photograph, as many networks as the release averages, torch fp32 eager on
2 threads, Grad-CAM by hooks with a full backward.
Two workers: the plain job in two processes of one thread each.
The runs are interleaved in turning order; what counts is the median of the ratios within a round. Also printed: the
share of each stage on one core, the machine left alone otherwise, and what the heatmap adds to a forward pass in
onnxruntime. The plain networks have the release's architecture with random weights, which take the same time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from PIL import Image

from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import normalise, prepare
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import OpenRelease, default_release, open_release

ORIGINALS = Path(__file__).resolve().parents[2] / "shared" / "data" / "idrid" / "originals"
CORES = 2


class PlainGrader:
    """The job as a straightforward script does it."""

    def __init__(self, opened: OpenRelease, backbone: str, threads: int) -> None:
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
        import fundoscope.training.torchvision_shim

        import timm

        self.opened = opened
        settings = opened.release.training.get("experiment", {}).get("network", {})
        self.mirrored = bool(settings.get("flip_average", False))
        count = max(1, len(opened.release.training.get("networks", ())))
        self.networks = [timm.create_model(backbone, pad_type="same", num_classes=5).eval() for _ in range(count)]
        self.activations: list[torch.Tensor] = []
        for network in self.networks:
            network.bn2.register_forward_hook(self._remember)

    def _remember(self, _module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        self.activations.append(output)

    def grade(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Logits and heatmap of one photograph."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        field = assess_gradability(pixels, self.opened.gate).field
        prepared = prepare(pixels, self.opened.recipe, field=field)
        batch = torch.from_numpy(normalise(prepared.canvas[None], self.opened.recipe))
        if self.mirrored:
            batch = torch.cat([batch, batch.flip(-1)])
        self.activations.clear()
        logits = torch.stack([network(batch) for network in self.networks]).mean(dim=0).mean(dim=0)
        for network in self.networks:
            network.zero_grad()
        logits[logits.argmax()].backward()
        maps = sum(self._map(activation) for activation in self.activations) / len(self.activations)
        heatmap = (maps[0] + maps[1].flip(-1)) / 2 if self.mirrored else maps[0]
        return logits.detach().numpy(), heatmap.numpy()

    @staticmethod
    def _map(activation: torch.Tensor) -> torch.Tensor:
        assert activation.grad is not None
        weights = activation.grad.mean(dim=(2, 3), keepdim=True)
        return torch.relu((weights * activation).sum(dim=1)).detach()


_worker: PlainGrader | None = None


def start_worker(release: Path, backbone: str) -> None:
    """Make one worker's grader, once."""
    global _worker
    _worker = PlainGrader(open_release(release), backbone, threads=1)


def work(path: Path) -> float:
    """Grade one photograph in a worker."""
    assert _worker is not None
    return float(_worker.grade(path)[0][0])


@dataclass(frozen=True)
class Contest:
    """Three ways of doing the same job."""

    ways: dict[str, Callable[[Sequence[Path]], None]]

    def run(self, paths: Sequence[Path], repeats: int) -> dict[str, list[float]]:
        """Seconds of each way in each round."""
        seconds: dict[str, list[float]] = {name: [] for name in self.ways}
        names = list(self.ways)
        for turn in range(repeats):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                start = time.perf_counter()
                self.ways[name](paths)
                seconds[name].append(time.perf_counter() - start)
        return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40, help="photographs in each run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--release", type=Path, default=default_release())
    parser.add_argument("--backbone", help="timm name; default: what the release says it was trained with")
    arguments = parser.parse_args()
    originals = sorted(ORIGINALS.glob("*.jpg"))
    paths = [originals[i % len(originals)] for i in range(arguments.count)]
    opened = open_release(arguments.release)
    backbone = arguments.backbone or opened.release.training["backbone"]
    print(f"{opened.name}, {backbone}, {opened.recipe.side} px, {len(paths)} photographs, {os.cpu_count()} cores")
    compare(arguments.release, opened, backbone, paths, arguments.repeats)
    # A grader's own threads take one core each; OpenCV's would only get in their way.
    cv2.setNumThreads(1)
    print_stages(opened, originals)
    print_heatmap_cost(opened)


def compare(release: Path, opened: OpenRelease, backbone: str, paths: list[Path], repeats: int) -> None:
    """The three ways, interleaved."""
    grader = Grader.open(release, threads=CORES)
    with ProcessPoolExecutor(CORES, get_context("spawn"), start_worker, (release, backbone)) as workers:
        plain = PlainGrader(opened, backbone, threads=CORES)

        def ours(paths: Sequence[Path]) -> None:
            readings = list(grader.grade_many(paths))
            assert all(reading.heatmap is not None for reading in readings), "a photograph had no heatmap"

        def one_process(paths: Sequence[Path]) -> None:
            for path in paths:
                plain.grade(path)

        def two_workers(paths: Sequence[Path]) -> None:
            list(workers.map(work, paths))

        contest = Contest({"ours": ours, "plain": one_process, "two workers": two_workers})
        contest.run(paths[:4], 1)
        seconds = contest.run(paths, repeats)
    for name, values in seconds.items():
        each = [1000 * value / len(paths) for value in values]
        print(f"{name:12} {statistics.median(each):7.1f} ms a photograph  (rounds: {rounded(each, 1)})")
    for name in ("plain", "two workers"):
        ratios = [other / own for own, other in zip(seconds["ours"], seconds[name], strict=True)]
        print(f"{name} / ours: {statistics.median(ratios):.2f}x  (rounds: {rounded(ratios, 2)})")


def print_stages(opened: OpenRelease, paths: Sequence[Path], repeats: int = 5) -> None:
    """Where the time of one photograph goes, on one core."""
    grader = Grader.open(opened.path, threads=1)
    names = ("read and decode", "gradability", "prepare", "network", "whole")
    samples: dict[str, list[float]] = {name: [] for name in names}
    for path in list(paths) * repeats:
        marks = [time.perf_counter()]

        def mark(marks: list[float] = marks) -> None:
            marks.append(time.perf_counter())

        pixels = read_photo(path, target_px=opened.recipe.decode_px).pixels
        mark()
        field = assess_gradability(pixels, opened.gate).field
        mark()
        prepared = prepare(pixels, opened.recipe, field=field)
        mark()
        grader._network.run(prepared.canvas[None])
        mark()
        grader.grade(path)
        mark()
        for name, start, end in zip(names, marks[:-1], marks[1:], strict=True):
            samples[name].append(1000 * (end - start))
    middle = {name: statistics.median(values) for name, values in samples.items()}
    whole = middle.pop("whole")
    middle["the rest"] = whole - sum(middle.values())
    print(f"one photograph on one core: {whole:.1f} ms")
    for name, value in middle.items():
        print(f"  {name:16} {value:6.1f} ms  {value / whole:5.0%}")


def print_heatmap_cost(opened: OpenRelease, repeats: int = 60) -> None:
    """A pass with the heatmap against the same graph without it, one photograph, on one thread."""
    canvas = opened.golden["canvases"][:1]
    bare = onnx.utils.Extractor(onnx.load_from_string(opened.model)).extract_model(["canvases"], ["raw", "features"])
    sessions = {"with": session(opened.model), "without": session(bare.SerializeToString())}
    ratios = []
    for turn in range(repeats):
        took = {}
        for name in sorted(sessions, reverse=bool(turn % 2)):
            start = time.perf_counter()
            sessions[name].run(None, {"canvases": canvas})
            took[name] = time.perf_counter() - start
        ratios.append(took["with"] / took["without"])
    print(f"heatmap: {statistics.median(ratios):.3f}x a plain forward pass")


def session(model: bytes) -> Any:
    """An onnxruntime session on one thread."""
    import onnxruntime  # after fundoscope, which switches its reports off first

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def rounded(values: Sequence[float], digits: int) -> str:
    """Numbers for one line."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    main()
