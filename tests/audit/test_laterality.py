"""The recorded eye against the optic disc."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from fundoscope.audit.laterality import LEAST_CONFIDENCE, LEAST_OFFSET, eye_findings, eye_of, see_eyes
from fundoscope.duplicates.fingerprint import collected, take_fingerprints
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.disc import Disc
from fundoscope.photo.read import read_photo


def saved(path: Path, photo) -> Path:
    cv2.imwrite(str(path), cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2BGR))
    return path


def prints_of(paths, cache):
    return collected(take_fingerprints(paths, cache, embedder=None, threads=1), cache, None)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Twelve painted eyes, of which the third and the fourth are mirrored."""
    folder = tmp_path_factory.mktemp("eyes")
    paths, rows = [], []
    for number in range(12):
        eye = ("left", "right")[number % 2]
        made = paint_retina(RetinaSpec(side_px=256, eye=eye, grade=number % 5), rng=np.random.default_rng(number))
        photo = made.photo[:, ::-1] if number in (2, 3) else made.photo
        paths.append(saved(folder / f"{number}.png", photo))
        rows.append({"image": f"{number}.png", "eye": eye, "source": "painted"})
    return pd.DataFrame(rows), prints_of(paths, folder / "cache")


def findings(eyes, **changed):
    frame, fingerprints = eyes
    changed_frame = frame.assign(**changed)
    return list(eye_findings(changed_frame, see_eyes(changed_frame, fingerprints, threads=2)))


def test_mirrored_eyes_are_named_and_no_others(eyes):
    warning, note = findings(eyes)

    assert warning.severity == "warns"
    assert set(warning.images) == {"2.png", "3.png"}
    assert "mirrored, or the eye is recorded wrongly" in warning.message
    told = {row["image"]: (row["recorded"], row["seen"]) for row in warning.evidence["photographs"]}
    assert told == {"2.png": ("left", "right"), "3.png": ("right", "left")}
    assert (note.severity, note.evidence["judged"], note.evidence["agreed"]) == ("notes", 12, 10)


def test_a_source_whose_eyes_are_all_reversed_is_said_to_be(eyes):
    frame, _ = eyes
    reversed_eyes = frame["eye"].map({"left": "right", "right": "left"})
    reversed_eyes[[2, 3]] = None

    warning, note = findings(eyes, eye=reversed_eyes)

    assert "reversed throughout" in warning.message
    assert len(warning.images) == note.evidence["judged"] == note.evidence["named"] == 10


def test_sources_are_told_apart(eyes):
    warning, _ = findings(eyes, source=["a"] * 3 + ["b"] * 9)[:2]

    assert warning.evidence["source"] == "a"
    assert warning.images == ("2.png",)


def test_an_eye_that_was_itself_read_off_the_picture_is_said_to_be(eyes):
    frame, _ = eyes

    warning, note = findings(eyes, eye_inferred=frame["eye"])
    partly = findings(eyes, eye_inferred=["left"] * 12)

    assert "itself inferred" in warning.message
    assert note.evidence["eye_is_inferred"]
    assert not any("itself inferred" in finding.message for finding in partly)


def test_where_no_eye_is_recorded_nothing_is_said(eyes):
    frame, _ = eyes

    assert findings(eyes, eye=None) == []
    assert list(eye_findings(frame.drop(columns="eye"), [])) == []


def test_an_oct_scan_has_no_side(eyes):
    (note,) = findings(eyes, modality="oct")

    assert note.evidence["judged"] == 0


@pytest.mark.parametrize(
    ("column", "confidence", "eye"),
    [
        (0.5 + LEAST_OFFSET + 0.01, 0.9, "right"),
        (0.5 - LEAST_OFFSET - 0.01, 0.9, "left"),
        (0.5 + LEAST_OFFSET - 0.01, 0.9, None),
        (0.5 - LEAST_OFFSET + 0.01, 0.9, None),
        (0.9, LEAST_CONFIDENCE - 0.01, None),
    ],
)
def test_a_disc_near_the_middle_or_not_surely_found_tells_no_eye(column, confidence, eye):
    assert eye_of(Disc(row=0.5, column=column, radius=0.08, confidence=confidence)) == eye
    assert eye_of(None) is None


def test_real_photographs_agree_and_their_mirror_images_do_not(shared_data, tmp_path):
    labels = pd.read_csv(shared_data / "idrid" / "labels.csv")
    chosen = labels[labels["split"] == "test"].iloc[::9]
    paths, rows = [], []
    for row in chosen.itertuples():
        path = shared_data / "idrid" / row.image
        mirror = saved(tmp_path / f"mirror-{Path(row.image).name}", read_photo(path, target_px=340).pixels[:, ::-1])
        paths += [path, mirror]
        rows += [{"image": row.image, "eye": row.eye_inferred}, {"image": mirror.name, "eye": row.eye_inferred}]
    frame = pd.DataFrame(rows)

    seen = see_eyes(frame, prints_of(paths, tmp_path / "cache"), threads=1)
    warning, _ = eye_findings(frame, seen)

    assert len(chosen) == 12
    assert all(image.startswith("mirror-") for image in warning.images)
    assert len(warning.images) >= 10
