"""How long an audit of camera photographs takes, against the plain way, in CPU seconds of one thread.

    python benchmarks/audit_speed.py ORIGINALS --photographs 60 --work runs/audit_speed

ORIGINALS is a folder of photographs as a camera wrote them (IDRiD's are 4288 x 2848). Each is turned, shifted and
scaled a little, seed 0, until there are as many as asked for. The plain way decodes each photograph whole, computes the
default release's features of it and of its mirror image, and lays every pair of photographs on one another in two
mirrorings. The audit is run twice: with an empty folder of fingerprints, and with a full one. Both ways should find the
same pairs; what one finds and the other does not is listed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fundoscope.audit import audit as auditing
from fundoscope.audit.embedder import ReleaseEmbedder
from fundoscope.data.manifest import write_manifest
from fundoscope.duplicates.alignment import compare_frames
from fundoscope.duplicates.fingerprint import take_fingerprint
from fundoscope.photo.disc import find_disc
from fundoscope.photo.read import read_photo
from fundoscope.runtime.release import default_release, open_release

WHOLE_PX = 100_000
"""A side that no photograph has: it is decoded whole."""

Pairs = dict[tuple[int, int], str]


def main() -> None:
    """Make the photographs, audit them both ways, print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("originals", type=Path, help="folder of photographs as a camera wrote them")
    parser.add_argument("--photographs", type=int, default=60)
    parser.add_argument("--work", type=Path, required=True, help="folder for photographs and fingerprints, empty")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    manifest = camera_photographs(arguments.originals, arguments.work, arguments.photographs)
    plain_seconds, plain = timed(lambda: plain_pairs(manifest))
    cold_seconds, pairs = timed(lambda: audited_pairs(manifest, arguments.work / "fingerprints"))
    warm_seconds, again = timed(lambda: audited_pairs(manifest, arguments.work / "fingerprints"))
    assert pairs == again
    answer = {
        "photographs": arguments.photographs,
        "cpu_seconds": {"plain": plain_seconds, "audit": cold_seconds, "audit again": warm_seconds},
        "ratio": round(plain_seconds / cold_seconds, 2),
        "ratio_again": round(plain_seconds / warm_seconds, 2),
        "pairs": {"plain": len(plain), "audit": len(pairs)},
        "only_plain": sorted(map(list, plain.keys() - pairs.keys())),
        "only_audit": sorted(map(list, pairs.keys() - plain.keys())),
    }
    print(json.dumps(answer, indent=2))


def camera_photographs(originals: Path, work: Path, count: int) -> Path:
    """Write the photographs and their manifest."""
    work.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    paths = sorted(path for path in originals.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".tif"))
    names = []
    for at in range(count):
        photo = cv2.imread(str(paths[at % len(paths)]))
        height, width = photo.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-5, 5), rng.uniform(0.92, 1.1))
        matrix[:, 2] += rng.uniform(-0.04, 0.04, 2) * width
        names.append(f"{at:04}.jpg")
        cv2.imwrite(
            str(work / names[-1]), cv2.warpAffine(photo, matrix, (width, height)), [cv2.IMWRITE_JPEG_QUALITY, 92]
        )
    frame = pd.DataFrame({"image": names, "patient": [f"p{at % len(paths)}" for at in range(count)]}, dtype=object)
    write_manifest(frame, work / "manifest.csv")
    return work / "manifest.csv"


def plain_pairs(manifest: Path) -> Pairs:
    """Decode photographs whole, compute features, compare all pairs."""
    embedder = ReleaseEmbedder.open(open_release(default_release()))
    listing = auditing.listed([manifest])
    fingerprints = [take_fingerprint(read_photo(path, target_px=WHOLE_PX), embedder) for path in listing.paths]
    for fingerprint in fingerprints:
        find_disc(fingerprint.frame)
    pairs = {}
    for first, second in combinations(range(len(fingerprints)), 2):
        one, other = fingerprints[first], fingerprints[second]
        match = compare_frames(one.frame, other.frame, fields=one.field and other.field, mirrors=(0, 1))
        if match.relation != "different":
            pairs[first, second] = match.relation
    return pairs


def audited_pairs(manifest: Path, cache: Path) -> Pairs:
    """Run the audit on one thread."""
    release = open_release(default_release())
    result = auditing.audit(auditing.listed([manifest]), cache=cache, release=release, threads=1)
    return {(pair.first, pair.second): pair.relation for pair in result.overlap.pairs}


def timed(run: Callable[[], Pairs]) -> tuple[float, Pairs]:
    """Return the CPU seconds of a run and what it found."""
    start = time.process_time()
    pairs = run()
    return round(time.process_time() - start, 1), pairs


if __name__ == "__main__":
    main()
