"""What the files of a study say together: elements that they disagree on are in no report."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from fundoscope.runtime.output.dicom.sources import gather_studies

studies = runpy.run_path(str(Path(__file__).with_name("studies.py")))
photograph, PERSON = studies["photograph"], studies["PERSON"]


def study_of(folder, *files):
    """Return the one study of files with these elements."""
    paths = [photograph(folder / f"{number}.dcm", **elements) for number, elements in enumerate(files)]
    (study,) = gather_studies(paths).studies
    return study


@pytest.mark.parametrize(
    ("keyword", "other"),
    [("AccessionNumber", "ACC-9"), ("StudyID", "S-9"), ("PatientBirthDate", "19990909"), ("PatientSex", "M")],
)
def test_what_files_of_one_study_disagree_on_is_left_out_and_said(tmp_path, keyword, other):
    study = study_of(tmp_path, {}, {keyword: other})

    assert study.values == {**study.sources[0].values, keyword: ""}
    assert study.dropped() == (keyword,)
    assert study.fault() is None


def test_what_only_one_file_of_a_study_says_counts_for_all(tmp_path):
    nothing = dict.fromkeys(PERSON)

    study = study_of(tmp_path, nothing, {"PatientID": PERSON["PatientID"]})

    assert {name: study.values[name] for name in PERSON} == PERSON
    assert study.dropped() == ()
    assert study.fault() is None


def test_a_study_of_two_dates_of_birth_is_of_two_people_where_a_file_does_not_name_its_patient(tmp_path):
    born = {"PatientBirthDate": "19990909"}

    assert study_of(tmp_path, {}, born).fault() is None
    unnamed = study_of(tmp_path, {}, {**born, "PatientID": None})

    assert "expected photographs of one patient, got several dates of birth and a file without PatientID" in str(
        unnamed.fault()
    )
