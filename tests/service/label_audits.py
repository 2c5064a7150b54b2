"""A manifest with doubtful labels, and the report of its audit as the program writes it."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pandas as pd

from fundoscope.audit.audit import Predictions, audit, listed
from fundoscope.audit.report import write_report

LABELS = {"a.jpg": 0, "b.jpg": 1, "c.jpg": 2, "d.jpg": 3, "e.jpg": 4, "f.jpg": 2, "a_again.jpg": 3, "broken.jpg": 3}
"""Labels of the manifest; `a_again.jpg` is the file `a.jpg` under another name."""

LIKELIEST = {"b.jpg": 4, "c.jpg": 0, "broken.jpg": 0}
"""What the predictions say instead of the label; of the others they say the label."""

DOUBTED = {"a.jpg", "a_again.jpg", "b.jpg", "c.jpg", "broken.jpg"}


def write_audit(folder: Path, retinas: list[Path]) -> tuple[Path, Path]:
    """Write `mine.csv` with its photographs and the report of its audit; return the manifest and the folder."""
    (folder / "photos").mkdir(parents=True)
    for path, name in zip(retinas, "abcdef", strict=True):
        shutil.copy(path, folder / "photos" / f"{name}.jpg")
    shutil.copy(folder / "photos" / "a.jpg", folder / "photos" / "a_again.jpg")
    (folder / "photos" / "broken.jpg").write_bytes(retinas[0].read_bytes()[:400])
    frame = pd.DataFrame({"image": [f"photos/{name}" for name in LABELS], "grade": list(LABELS.values())})
    frame = frame.assign(patient=[f"{at:03}" for at in range(len(frame))], eye="left", Zeiss_ID="007")
    manifest, report = folder / "mine.csv", folder / "audit"
    frame.to_csv(manifest, index=False)
    shares = []
    for name, label in LABELS.items():
        likeliest = LIKELIEST.get(name, label)
        shares.append(
            {"image": f"photos/{name}", "fold": 0} | {f"p{k}": 0.8 if k == likeliest else 0.05 for k in range(5)}
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cleanlab's: so few labels are not what it is for
        result = audit(
            listed([manifest]),
            cache=folder / "cache",
            release=None,
            predictions=Predictions(pd.DataFrame(shares)),
            threads=2,
        )
    write_report(result, report)
    shutil.rmtree(folder / "cache")
    return manifest, report
