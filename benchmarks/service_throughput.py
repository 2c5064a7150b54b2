"""Photographs sent to `fundoscope serve` by many clients at once, against `fundoscope grade` of the same files.

    python benchmarks/service_throughput.py [--requests 2000] [--clients 32] [--release FOLDER] [--photographs FOLDER]

Every request sends one photograph over loopback, each of other bytes, and is sent again after the seconds that 429 asks
for. The service's time ends when all are answered. Both sides use all cores; the clients share them with the service.
Printed: photographs a second of both, their ratio, the times of submissions, refusals, and the service's memory.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fundoscope.service.settings import ServiceSettings
from fundoscope.service.store.accounts import add_token, add_user
from fundoscope.service.store.database import open_database
from fundoscope.service.store.photographs import count_by_state

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
COMMAND = [sys.executable, "-m", "fundoscope"]
BOUNDARY = "boundary-of-the-benchmark"


@dataclass(frozen=True)
class Sent:
    """What became of a request."""

    seconds: float
    """Of the attempt that was accepted."""
    refusals: int
    """Attempts that were answered with 429."""
    fault: str | None
    """An answer that was neither."""


def copies(folder: Path, count: int) -> list[bytes]:
    """Return photographs of which no two have the same bytes: what follows a picture's end is not decoded."""
    photographs = [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]
    return [photographs[number % len(photographs)] + b"%d" % number for number in range(count)]


def grade(photographs: list[bytes], release: list[str]) -> float:
    """Return the seconds in which `fundoscope grade` answers, from its start to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number, data in enumerate(photographs):
            (folder / f"{number:05d}.jpg").write_bytes(data)
        start = time.perf_counter()
        command = [*COMMAND, "grade", str(folder), "--out", f"{name}.csv", *release]
        subprocess.run(command, check=False, capture_output=True)
        seconds = time.perf_counter() - start
    Path(f"{name}.csv").unlink()
    return seconds


def send(address: str, token: str, data: bytes) -> Sent:
    """Send a photograph until it is accepted."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photographs"; filename="a.jpg"\r\n\r\n'
    body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    place, refusals = urlsplit(address), 0
    while True:
        start = time.perf_counter()
        connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)
        try:
            connection.request("POST", "/api/photographs", body, headers)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        if response.status == 429:
            refusals += 1
            time.sleep(float(response.headers["Retry-After"]))
            continue
        fault = None if response.status == 202 else f"{response.status}: {text[:200]!r}"
        return Sent(time.perf_counter() - start, refusals, fault)


def serve(photographs: list[bytes], clients: int, release: list[str]) -> tuple[float, list[Sent], list[float]]:
    """Return the seconds in which a service answers, what became of requests, and its memory in MiB while it ran."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "service"
        folder.mkdir()
        database = open_database(ServiceSettings(folder=folder).database_url)
        with database.writing() as session:
            add_user(session, "clients", "submit", None, actor="benchmark")
            token = add_token(session, "clients", "benchmark", actor="benchmark")
        command = [*COMMAND, "serve", "--json", "--port", "0", "--folder", str(folder), *release]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                lines = [process.stdout.readline()]
                while lines[-1] not in ("}\n", ""):
                    lines.append(process.stdout.readline())
                address = json.loads("".join(lines))["address"]
                memory: list[float] = []
                start = time.perf_counter()
                with ThreadPoolExecutor(clients) as pool:
                    waiting = [pool.submit(send, address, token, data) for data in photographs]
                    results = []
                    for number, one in enumerate(waiting):
                        results.append(one.result())
                        if number % max(1, len(photographs) // 8) == 0:
                            memory.append(memory_of(process.pid))
                while True:
                    with database.reading() as session:
                        if not count_by_state(session).get("accepted"):
                            break
                    time.sleep(0.1)
                seconds = time.perf_counter() - start
                memory.append(memory_of(process.pid))
            finally:
                process.terminate()
        database.close()
    return seconds, results, memory


def memory_of(process: int) -> float:
    """Return the memory of a process in MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def main() -> None:
    """Run both and print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--release", default=None)
    parser.add_argument("--photographs", type=Path, default=EXAMPLES)
    options = parser.parse_args()
    release = [] if options.release is None else ["--release", options.release]
    photographs = copies(options.photographs, options.requests)
    alone = grade(photographs, release)
    seconds, results, memory = serve(photographs, options.clients, release)
    times = sorted(result.seconds for result in results)
    faults = [result.fault for result in results if result.fault is not None]
    print(f"{len(photographs)} photographs, {options.clients} clients, {os.cpu_count()} cores")
    print(f"grade:   {len(photographs) / alone:.2f} photographs a second")
    print(f"service: {len(photographs) / seconds:.2f} photographs a second, ratio {alone / seconds:.3f}")
    print(
        f"submission: median {statistics.median(times):.3f} s, 99 % within {times[int(0.99 * (len(times) - 1))]:.3f} s"
    )
    print(f"429: {sum(result.refusals for result in results)}; other faults: {len(faults)} {faults[:3]}")
    print("memory: " + ", ".join(f"{value:.0f}" for value in memory) + " MiB")


if __name__ == "__main__":
    main()
