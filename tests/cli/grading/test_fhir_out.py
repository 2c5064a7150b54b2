from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Both eyes of one patient, and a file that is no photograph."""
    folder = tmp_path / "Ada Lovelace"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(2):
        photo = paint_retina(RetinaSpec(side_px=300, grade=number), rng=rng).photo
        Image.fromarray(photo).save(folder / f"{number}.jpg", quality=92)
    (folder / "2.jpg").write_bytes(b"\xff\xd8\xff and then nothing")
    (folder / "manifest.csv").write_text("image,patient,eye\n0.jpg,Ada,left\n1.jpg,Ada,right\n2.jpg,Bo,left\n")
    return folder


def bundles(folder: Path) -> list[dict]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def test_each_examination_has_a_bundle_whose_file_names_nobody(run, photographs, tmp_path):
    status, out, _ = run(photographs, "--fhir-out", tmp_path / "fhir")

    assert status == 1  # one photograph could not be read
    assert f"FHIR: 2 bundles written to {tmp_path / 'fhir'}." in " ".join(out.split()).replace("/ ", "/")
    written = bundles(tmp_path / "fhir")
    assert sorted(len(bundle["entry"]) for bundle in written) == [6, 7]
    texts = json.dumps(written)
    assert "Lovelace" not in texts
    assert "could not be read" in texts
    assert not [path for path in (tmp_path / "fhir").iterdir() if "Ada" in path.name]


def test_json_lists_the_files(run, photographs, tmp_path):
    _, out, _ = run(photographs, "--fhir-out", tmp_path / "fhir", "--json")

    assert sorted(json.loads(out)["fhir"]["written"]) == sorted(map(str, (tmp_path / "fhir").glob("*.json")))


def test_bundles_that_exist_are_replaced_only_on_request(run, photographs, tmp_path):
    run(photographs, "--fhir-out", tmp_path / "fhir")
    before = {path: path.read_bytes() for path in (tmp_path / "fhir").iterdir()}

    status, _, err = run(photographs, "--fhir-out", tmp_path / "fhir")

    assert status == 2
    assert "--replace" in err
    assert {path: path.read_bytes() for path in (tmp_path / "fhir").iterdir()} == before
    assert run(photographs, "--fhir-out", tmp_path / "fhir", "--replace")[0] == 1
    assert set((tmp_path / "fhir").iterdir()) == set(before)


def test_without_identity_no_patient_is_named(run, photographs, tmp_path):
    run(photographs, "--fhir-out", tmp_path / "fhir", "--de-identify")

    texts = json.dumps(bundles(tmp_path / "fhir"))
    assert '"Ada"' not in texts
    assert '"Bo"' not in texts
    assert texts.count("ANON-") > 2


def test_removing_identity_needs_results_to_remove_it_from(run, photographs):
    status, _, err = run(photographs, "--de-identify")

    assert status == 2
    assert "--de-identify: expected --dicom-out or --fhir-out beside it, got none" in err


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_graded(run, photographs, tmp_path):
    shutil.copy(photographs / "0.jpg", tmp_path / "fhir")

    status, out, err = run(photographs, "--fhir-out", tmp_path / "fhir")

    assert (status, out) == (2, "")
    assert "fhir: expected a folder, got a file. Choose another --fhir-out." in err
