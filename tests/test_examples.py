"""The example photographs: what a newcomer grades first."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fundoscope.data.manifest import read_manifest
from fundoscope.runtime.answers import answer_patients
from fundoscope.runtime.batch import grade_to_rows
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MANIFEST = EXAMPLES / "manifest.csv"
NOTEBOOK = EXAMPLES / "grading.ipynb"
BLURRED = EXAMPLES / "idrid_test_055_out_of_focus.jpg"


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader.open()


@pytest.fixture(scope="module")
def rows(grader: Grader) -> list[dict[str, object]]:
    return grade_to_rows(grader, list_photographs([], manifest=MANIFEST).photographs)


def test_the_manifest_names_every_photograph_once():
    frame = read_manifest(MANIFEST)

    assert sorted(frame["image"]) == sorted(path.name for path in EXAMPLES.glob("*.jpg"))


def test_there_is_one_of_each_grade_and_one_without():
    grades = read_manifest(MANIFEST)["grade"]

    assert set(grades.dropna().astype(int)) == {0, 1, 2, 3, 4}
    assert grades.isna().sum() == 1


def test_only_the_photograph_out_of_focus_cannot_be_graded(rows: list[dict[str, object]]):
    refused = {str(row["image"]): row["decision"] for row in rows if row["status"] != "graded"}

    assert {Path(name).name: decision for name, decision in refused.items()} == {
        "idrid_test_055_out_of_focus.jpg": "cannot grade"
    }


def test_a_patient_with_one_eye_out_of_focus_is_not_sent_home(grader: Grader, rows: list[dict[str, object]]):
    answers = {answer.patient: answer for answer in answer_patients(rows, grader.opened.task)}
    half_graded = answers["IDRiD-s248"]

    assert {eye.eye: eye.decision for eye in half_graded.eyes} == {"right": "rescreen", "left": "cannot grade"}
    assert half_graded.decision == "cannot grade"


def test_eyes_without_retinopathy_are_not_referred_and_grades_three_and_four_are(rows: list[dict[str, object]]):
    """What a newcomer sees first must be believable; how often it is right is measured elsewhere."""
    references = read_manifest(MANIFEST).set_index("image")["grade"].dropna()
    decisions = {Path(str(row["image"])).name: row["decision"] for row in rows}

    assert all(decisions[name] == "rescreen" for name, grade in references.items() if grade == 0)
    assert all(decisions[name] == "refer" for name, grade in references.items() if grade >= 3)


def test_the_readme_shows_what_the_command_prints():
    root = EXAMPLES.parent
    readme = (root / "README.md").read_text(encoding="utf-8")
    shown = readme.split("```text\n", 1)[1].split("```", 1)[0].splitlines()

    printed = subprocess.run(
        [sys.executable, "-m", "fundoscope", "grade", "--manifest", "examples/manifest.csv"],
        cwd=root, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip

    lines = [line.rstrip() for line in printed.splitlines()]
    first = lines.index(shown[0])
    assert lines[first : first + len(shown)] == shown


def test_none_of_them_was_learnt_from(grader: Grader, rows: list[dict[str, object]]):
    assert not {row["sha256"] for row in rows} & set(grader.opened.release.training["training_sha256"])


def test_they_are_idrids_files(shared_data: Path):
    copied = [path for path in EXAMPLES.glob("*.jpg") if path != BLURRED]

    assert len(copied) == 11
    for path in copied:
        assert path.read_bytes() == idrids(shared_data, path.stem).read_bytes(), path.name


def test_the_one_out_of_focus_is_blurred_as_its_readme_says(shared_data: Path):
    photograph = cv2.imread(str(idrids(shared_data, BLURRED.stem.removesuffix("_out_of_focus"))))
    expected = cv2.GaussianBlur(photograph, (0, 0), 16)

    assert np.abs(cv2.imread(str(BLURRED)).astype(int) - expected).mean() < 1


def idrids(shared_data: Path, stem: str) -> Path:
    """The file of IDRiD that an example was made of."""
    return shared_data / "idrid" / "images" / f"{stem.replace('idrid', 'IDRiD')}.jpg"


EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=sys.argv[2])
nbformat.write(notebook, sys.argv[3])
"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The cells of the example notebook after they were run, in a process of its own."""
    pytest.importorskip("nbclient", reason="needs nbclient (the dev extra)")
    pytest.importorskip("ipykernel", reason="needs ipykernel (the dev extra)")
    done = tmp_path_factory.mktemp("notebook") / "done.ipynb"
    subprocess.run([sys.executable, "-c", EXECUTE, str(NOTEBOOK), str(EXAMPLES), str(done)], check=True)
    return [cell for cell in json.loads(done.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def result(notebook: list[dict[str, object]], words: str, kind: str = "text/plain") -> str:
    """Return what the cell that holds these words shows."""
    (cell,) = [cell for cell in notebook if words in "".join(cell["source"])]
    (output,) = [each for each in cell["outputs"] if each["output_type"] == "execute_result"]
    return "".join(output["data"][kind])


def test_the_notebook_runs_and_shows_what_it_promises(notebook, rows):
    pictured = result(notebook, 'grader.grade("idrid_test_022.jpg")', "text/html")
    table = result(notebook, "to_frame()")
    blurred = result(notebook, "blurred =")
    probabilities = result(notebook, "predict_proba(")

    assert pictured.count("<img") == 3
    assert "refer" in pictured
    assert all(str(row["image"]) in table for row in rows)
    assert "cannot grade" in blurred
    assert probabilities.count("nan") == 5


def test_the_notebook_is_kept_without_results_and_names_photographs_that_are_there():
    kept = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    text = NOTEBOOK.read_text(encoding="utf-8")

    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in kept["cells"])
    named = set(re.findall(r"idrid_test_\w+\.jpg", text))
    assert named
    assert all((EXAMPLES / name).is_file() for name in named)
