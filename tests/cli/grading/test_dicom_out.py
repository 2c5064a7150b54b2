from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from fundoscope.painting import RetinaSpec, paint_retina

TESTS = Path(__file__).parents[2]
photograph = runpy.run_path(str(TESTS / "runtime" / "output" / "dicom" / "studies.py"))["photograph"]

STUDY = "1.2.826.0.1.99.1"


@pytest.fixture
def study(tmp_path: Path, retinas: list[Path]) -> Path:
    """Both eyes of one patient as DICOM files, and a JPEG file."""
    folder = tmp_path / "study"
    folder.mkdir()
    photo = paint_retina(RetinaSpec(side_px=300, grade=1), rng=np.random.default_rng(2)).photo
    photograph(folder / "r.dcm", photo, ImageLaterality="R")
    photograph(folder / "l.dcm", photo, ImageLaterality="L")
    (folder / "other.jpg").write_bytes(retinas[0].read_bytes())
    return folder


def test_a_study_has_a_report_and_the_console_says_what_is_in_none(run, study, tmp_path):
    status, out, err = run(study, "--dicom-out", tmp_path / "reports")

    assert status == 0
    assert "DICOM: 1 report and 0 heatmaps written to" in " ".join(out.split())
    assert "1 photograph in no DICOM report" in err
    report = dcmread(tmp_path / "reports" / STUDY / "report.dcm")
    assert (report.PatientID, report.StudyInstanceUID) == ("MRN-4711", STUDY)


def test_reports_that_exist_are_written_over_only_where_that_is_asked_for(run, study, tmp_path):
    run(study, "--dicom-out", tmp_path / "reports")
    before = (tmp_path / "reports" / STUDY / "report.dcm").read_bytes()

    refused, _, err = run(study, "--dicom-out", tmp_path / "reports", "--out", tmp_path / "table.csv")
    assert refused == 2
    assert "expected a name that is free, got a file that exists. Choose another --dicom-out" in err
    assert (tmp_path / "reports" / STUDY / "report.dcm").read_bytes() == before
    assert not (tmp_path / "table.csv").exists()

    assert run(study, "--dicom-out", tmp_path / "reports", "--replace")[0] == 0
    assert (tmp_path / "reports" / STUDY / "report.dcm").read_bytes() != before


def test_the_answers_as_json_name_the_files_and_what_is_in_none(run, study, tmp_path):
    _, out, _ = run(study, "--dicom-out", tmp_path / "reports", "--de-identify", "--json")

    dicom = json.loads(out)["dicom"]
    (written,) = dicom["written"]
    assert STUDY not in written
    assert str(dcmread(written).PatientID).startswith("ANON-")
    assert len(dicom["notes"]) == 1
    assert dicom["refused"] == []


def test_a_study_without_a_report_is_an_exit_status_of_one_and_costs_no_grade(run, study, tmp_path):
    photograph(study / "another.dcm", PatientID="another")

    status, out, err = run(study, "--dicom-out", tmp_path / "reports", "--out", tmp_path / "table.csv")

    assert status == 1
    assert "got 2 different PatientIDs" in err
    assert "DICOM: 0 reports and 0 heatmaps" in " ".join(out.split())
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 4
