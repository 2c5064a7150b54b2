from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.files import sha256_of
from fundoscope.heatmaps.certification.certify import write_certified
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.release import open_release


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three photographs with masks, and two without lesions."""
    folder = tmp_path_factory.mktemp("lesions")
    rows = []
    for number in range(5):
        painted = paint_retina(
            RetinaSpec(side_px=320, grade=3 if number < 3 else 0), rng=np.random.default_rng(30 + number)
        )
        Image.fromarray(painted.photo).save(folder / f"{number}.jpg", quality=92)
        Image.fromarray((painted.lesion_mask * 255).astype(np.uint8)).save(folder / f"{number}_he.png")
        mask = f"{number}_he.png" if number < 3 else None
        rows.append({"image": f"{number}.jpg", "patient": f"p{number}", "grade": painted.grade, "mask_he": mask})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def test_a_release_nobody_trained_is_not_certified_and_its_copy_says_why(run_verb, tiny_release, lesions, tmp_path):
    status, out, err = run_verb(
        "certify", tiny_release, "--lesions", lesions, "--lesion-free", lesions, "--out", tmp_path / "copy",
        "--cache", tmp_path / "cache", "--threads", 1,
    )  # fmt: skip

    assert status == 1, err
    assert "grad-cam: not certified" in out
    assert "not run: changes when the network's weights are drawn anew" in out
    assert "on 2 photographs without lesions" in out
    copy = open_release(tmp_path / "copy")
    assert copy.certificate is not None
    assert copy.certificate.photographs["lesions"] == 3
    assert not copy.heatmap_state[0]
    assert "tested and failed" in copy.heatmap_state[1]
    assert copy.card.startswith(open_release(tiny_release).card.rstrip())
    assert copy.card.count("## Heatmap") == 1
    again = write_certified(copy, replace(copy.certificate, made_at="2031-01-01"), tmp_path / "again")
    assert again.card.count("## Heatmap") == 1
    assert again.card.rstrip().endswith("(2031-01-01).")
    assert copy.model == open_release(tiny_release).model
    status, out, _ = run_verb("info", tmp_path / "copy")
    assert "not certified: tested and failed" in out


def test_what_the_release_learnt_from_must_be_sought_and_is_marked(run_verb, write_tiny_release, lesions, tmp_path):
    hashes = [sha256_of(lesions.parent / f"{number}.jpg") for number in (0, 3)]
    release = write_tiny_release(tmp_path / "release", training={"backbone": "tiny", "training_sha256": hashes})
    words = ("certify", release, "--lesions", lesions, "--cache", tmp_path / "cache", "--threads", 1)

    status, _, err = run_verb(*words)
    assert status == 2
    assert "expected --checkpoint or --trained-on to seek them by, got neither" in err
    status, out, err = run_verb(*words, "--trained-on", lesions, "--leave-out", "2", "--json")
    told = json.loads(out)
    assert status == 1, err
    assert told["photographs"]["lesions"] == 1
    assert [each["image"] for each in told["photographs"]["left_out"]] == ["0.jpg"]
    assert told["judged_by"] == "the release's own network"
    status, out, err = run_verb(*words, "--held-out", "--leave-out", "2", "--json")
    assert status == 1, err
    assert [each["image"] for each in json.loads(out)["photographs"]["left_out"]] == ["0.jpg"], "the same file at least"
    pd.read_csv(lesions).iloc[1:].to_csv(lesions.with_name("part.csv"), index=False)
    status, _, err = run_verb(*words, "--trained-on", lesions.with_name("part.csv"))
    assert status == 2
    assert "part.csv: expected all 2 photographs that tiny" in err
    assert "got 1 of them" in err


def test_what_needs_a_checkpoint_is_refused_without_one(run_verb, tiny_release, write_tiny_release, lesions, tmp_path):
    status, _, err = run_verb("certify", tiny_release, "--lesions", lesions, "--method", "grad-cam")
    assert status == 2
    assert "expected --checkpoint beside them, got none" in err
    status, _, err = run_verb("certify", tiny_release, "--lesions", lesions, "--label-randomisation", 1)
    assert status == 2
    assert "expected --checkpoint beside them, got none" in err
    status, _, err = run_verb("certify", tiny_release, "--lesions", lesions, "--checkpoint", tmp_path)
    assert status == 2
    assert "expected a run folder with experiment.json" in err
