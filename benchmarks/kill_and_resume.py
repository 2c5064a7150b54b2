"""Kill `fundoscope grade` with SIGKILL in the middle of many photographs, start it again, compare the rows.

    python benchmarks/kill_and_resume.py --photographs FOLDER --count 500

The same photographs are graded undisturbed first. The second run is killed several times, each time after some more
rows than before, and then left to finish. All columns but `graded_at` must be equal, in the same order.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

PROGRAM = [sys.executable, "-c", "from fundoscope.cli import main; main()"]


def main() -> None:
    """Run the comparison; exit status 1 if a row was lost, doubled or changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True, help="folder of them")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--release", type=Path, help="default: the one that ships")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = folder / "manifest.csv"
        pictures = sorted(path.resolve() for path in arguments.photographs.rglob("*.jpg"))[: arguments.count]
        pd.DataFrame({"image": [str(path) for path in pictures]}).to_csv(manifest, index=False)
        command = [*PROGRAM, "grade", "--manifest", str(manifest), "--features"]
        if arguments.release is not None:
            command += ["--release", str(arguments.release)]
        whole, torn = folder / "whole.csv", folder / "torn.csv"
        subprocess.run([*command, "--out", str(whole)], check=True, capture_output=True)
        for kill in range(1, arguments.kills + 1):
            rows = kill_after([*command, "--out", str(torn)], torn, len(pictures) * kill // (arguments.kills + 1))
            print(f"killed after {rows} of {len(pictures)} photographs")
        subprocess.run([*command, "--out", str(torn)], check=True, capture_output=True)
        differing = compare(whole, torn)
    print(f"{len(pictures)} photographs, {arguments.kills} kills: {differing} rows differ")
    sys.exit(1 if differing else 0)


def kill_after(command: list[str], table: Path, rows: int) -> int:
    """Start the command, kill it once `rows` rows are in its part file, and say how many there were."""
    part = table.with_name(f"{table.name}.part.jsonl")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while lines_in(part) - 1 < rows:
            if process.poll() is not None:
                raise SystemExit(f"the run ended by itself, with status {process.returncode}, before it was killed")
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    return lines_in(part) - 1


def lines_in(path: Path) -> int:
    """How many lines a file has; none if it is not there."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def compare(whole: Path, torn: Path) -> int:
    """How many rows differ, all columns but the time of grading compared as text."""
    expected, got = (pd.read_csv(path, dtype=str, keep_default_na=False) for path in (whole, torn))
    if len(expected) != len(got):
        raise SystemExit(f"expected {len(expected)} rows, got {len(got)}")
    kept = [column for column in expected.columns if column != "graded_at"]
    return int((expected[kept] != got[kept]).any(axis=1).sum())


if __name__ == "__main__":
    main()
