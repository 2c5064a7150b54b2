"""What the audit finds of what was put in: copies in five disguises, and labels changed by two grades.

    python benchmarks/audit_injected.py IDRID --work runs/injected
    python benchmarks/audit_injected.py IDRID --work runs/injected --predictions out_of_fold.csv

Copies: 50 photographs each are re-encoded (JPEG quality 60), resized to 60 %, flipped left to right, cropped by 5 % on
every side, and brightened by 30 of 255; all five kinds from different photographs, seed 0. The audit runs over the
originals and the copies together. A copy is found if it is in one duplicate group with its original; a false pair is
one that joins photographs which neither the injection nor a file hash makes one picture. Pairs found among the
originals alone are written out, to be looked at.

Labels: the manifest `changed.csv` (the training split, 40 of its grades two up or down) is written at every call, the
same for the same `--seed`. Train on it, and give the out-of-fold predictions with `--predictions`: then nothing is
copied, and the changed labels among the first suspects are counted.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fundoscope.audit import audit as auditing
from fundoscope.audit import labels
from fundoscope.data.imports import import_source
from fundoscope.data.manifest import read_manifest, rebased, write_manifest
from fundoscope.evaluation.statistics.interval import proportion_interval
from fundoscope.parallel import available_cores
from fundoscope.runtime.release import default_release, open_release
from fundoscope.tables import check_predictions, join, read_table

COPIES = 50
CHANGED_LABELS = 40
FIRST_SUSPECTS = 80

Disguise = Callable[[Image.Image], Image.Image]


def cropped(picture: Image.Image) -> Image.Image:
    """Five in a hundred of the width and of the height are cut off on every side."""
    width, height = picture.size
    return picture.crop((round(0.05 * width), round(0.05 * height), round(0.95 * width), round(0.95 * height)))


KINDS: dict[str, tuple[Disguise, int]] = {
    "re-encoded": (lambda picture: picture, 60),
    "resized": (lambda picture: picture.resize((round(0.6 * picture.width), round(0.6 * picture.height))), 90),
    "flipped": (lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 90),
    "cropped": (cropped, 90),
    "brightened": (lambda picture: picture.point(lambda value: min(255, value + 30)), 90),
}
"""What is done to a photograph, and the JPEG quality it is written with."""


def main() -> None:
    """Inject, audit, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="IDRiD")
    parser.add_argument("--work", type=Path, required=True, help="folder for copies, manifests and fingerprints")
    parser.add_argument("--predictions", type=Path, help="out-of-fold predictions trained on changed.csv")
    parser.add_argument("--release", default="default", help="a path, `default`, or `none`")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    originals = rebased(import_source("idrid", arguments.folder), arguments.folder, arguments.work)
    changed = changed_labels(originals, np.random.default_rng(arguments.seed))
    write_manifest(changed, arguments.work / "changed.csv")
    if arguments.predictions is not None:
        print(json.dumps(suspects_found(arguments.work / "changed.csv", arguments.predictions), indent=2))
        return
    write_manifest(originals, arguments.work / "originals.csv")
    copies = injected(originals, arguments.work, np.random.default_rng(arguments.seed))
    write_manifest(copies, arguments.work / "copies.csv")
    print(json.dumps(copies_found(arguments.work, arguments.release), indent=2))


def injected(originals: pd.DataFrame, work: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write the disguised copies, and list them with the photograph that each is of."""
    unique = originals[~originals["sha256"].duplicated(keep=False)]
    chosen = unique.iloc[rng.choice(len(unique), COPIES * len(KINDS), replace=False)]
    rows = []
    for at, image in enumerate(chosen["image"]):
        kind = list(KINDS)[at // COPIES]
        disguise, quality = KINDS[kind]
        buffer = io.BytesIO()
        with Image.open(work / image) as picture:
            disguise(picture.convert("RGB")).save(buffer, "JPEG", quality=quality)
        name = f"copies/{kind}_{Path(image).stem}.jpg"
        (work / "copies").mkdir(exist_ok=True)
        (work / name).write_bytes(buffer.getvalue())
        rows.append({"image": name, "kind": kind, "copy_of": image})
    return pd.DataFrame(rows, dtype=object)


def copies_found(work: Path, release: str) -> dict[str, object]:
    """Recall by kind, precision over all pairs that the audit calls one picture."""
    listing = auditing.listed([work / "originals.csv", work / "copies.csv"])
    opened = None if release == "none" else open_release(default_release() if release == "default" else release)
    found = auditing.audit(listing, cache=work / "cache", release=opened, threads=available_cores())
    frame = found.listing.frame
    group = dict(zip(frame["image_written"], frame["duplicate_group"], strict=True))
    copies = read_table(work / "copies.csv")
    hit = [
        group[copy] is not None and group[copy] == group[original]
        for copy, original in zip(copies["image"], copies["copy_of"], strict=True)
    ]
    recall = Counter(kind for kind, found_ in zip(copies["kind"], hit, strict=True) if found_)
    source = dict(zip(copies["image"], copies["copy_of"], strict=True))
    sha256 = dict(zip(frame["image_written"], frame["sha256"], strict=True))
    written, pairs = frame["image_written"].tolist(), found.overlap.copies()

    def picture(at: int) -> str:
        return str(sha256[source.get(written[at], written[at])])

    right = sum(picture(pair.first) == picture(pair.second) for pair in pairs)
    others = [pair for pair in pairs if picture(pair.first) != picture(pair.second)]
    by_kind = {
        kind: {
            "recall": recall[kind] / COPIES,
            "interval": list(proportion_interval(recall[kind], COPIES)),
            "false_pairs": sum(kind in written[pair.first] + written[pair.second] for pair in others),
        }
        for kind in KINDS
    }
    return {
        "photographs": len(frame),
        "pairs_compared": found.overlap.compared,
        "by_kind": by_kind,
        "pairs": len(pairs),
        "precision": right / max(1, len(pairs)),
        "not_planted": [pair.to_dict(written) for pair in others],
        "same_eye": [pair.to_dict(written) for pair in found.overlap.same_eye()],
    }


def changed_labels(originals: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """The training split with some grades two off, `grade_true` beside them."""
    training = originals[originals["split"] == "train"].reset_index(drop=True)
    given = training["grade"].to_numpy(dtype=np.int64).copy()
    for at in rng.choice(len(given), CHANGED_LABELS, replace=False):
        given[at] += 2 if given[at] < 2 or (given[at] == 2 and rng.random() < 0.5) else -2
    return training.assign(grade=given, grade_true=training["grade"])


def suspects_found(manifest: Path, predictions: Path) -> dict[str, object]:
    """How many of the changed labels are among the first suspects."""
    listed = read_manifest(manifest)
    rows = join(check_predictions(read_table(predictions), path=predictions), listed).rows
    ranked = [suspect.image for suspect in labels.suspects(rows)]
    changed = set(listed.loc[listed["grade"] != listed["grade_true"].astype(float), "image"])
    among = len(changed & set(ranked[:FIRST_SUSPECTS]))
    return {
        "changed": len(changed),
        "suspects": len(ranked),
        f"changed_among_first_{FIRST_SUSPECTS}": among,
        "share": among / len(changed),
        "interval": list(proportion_interval(among, len(changed))),
    }


if __name__ == "__main__":
    main()
