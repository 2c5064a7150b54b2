"""How much faster another backend computes a release's network than onnxruntime, in one run.

    python benchmarks/backends.py [--rounds 7] [--seconds 1] [--release FOLDER]

The network alone, as grading asks it: one photograph at a time, heatmap and all, on one thread and then from as many
threads as there are cores. Rounds are interleaved in turning order; what counts is the median of the ratios within a
round. Each backend must first give the release's golden outputs, as in grading.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from fundoscope.errors import FundoscopeError
from fundoscope.parallel import available_cores
from fundoscope.runtime.backends.network import BACKENDS, open_network
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.release import OpenRelease, default_release, open_release


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a backend computes in each round")
    parser.add_argument("--release", type=Path, default=default_release())
    arguments = parser.parse_args()
    opened = open_release(arguments.release)
    print(f"{opened.name}, {opened.recipe.side} px, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for callers in sorted({1, available_cores()}):
        measure(opened, callers, arguments.rounds, arguments.seconds)


def measure(opened: OpenRelease, callers: int, rounds: int, seconds: float) -> None:
    """Images a second of each backend from so many threads, and the ratio to the first."""
    networks = {}
    for backend in BACKENDS:
        try:
            networks[backend] = open_network(opened, callers=callers, backend=backend)
        except FundoscopeError as problem:
            print(f"{backend}: left out. {problem}")
    with ThreadPoolExecutor(callers) as pool:
        runs = {name: _run(network, opened, pool) for name, network in networks.items()}
        once = {name: run(2 * callers) for name, run in runs.items()}
        count = max(2 * callers, int(seconds * 2 * callers / max(once.values())))
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(rounds):
            for name in sorted(runs, reverse=bool(turn % 2)):
                rates[name].append(count / runs[name](count))
    first = BACKENDS[0]
    for name, values in rates.items():
        ratios = [own / usual for own, usual in zip(values, rates[first], strict=True)]
        print(
            f"{callers} thread{'s' if callers > 1 else ''}: {networks[name].program:20} "
            f"{statistics.median(values):6.1f} images/s, {statistics.median(ratios):.2f}x {first} "
            f"({min(ratios):.2f} to {max(ratios):.2f} in {rounds} rounds of {count})"
        )


def _run(network: Network, opened: OpenRelease, pool: ThreadPoolExecutor) -> Callable[[int], float]:
    """Seconds that so many photographs take."""
    canvases = opened.golden["canvases"]
    asked = [canvases[i : i + 1] for i in range(len(canvases))]

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in pool.map(network.run, islice(cycle(asked), count)):
            pass
        return time.perf_counter() - start

    run(len(asked))
    return run


if __name__ == "__main__":
    main()
