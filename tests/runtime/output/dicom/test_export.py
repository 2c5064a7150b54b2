"""DICOM reports, written from rows of the predictions table and read back by highdicom, DCMTK and dicom3tools."""

from __future__ import annotations

import itertools
import runpy
import sys
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    SecondaryCaptureImageStorage,
)

from fundoscope.errors import BadRelease, BadRequest, MissingExtra
from fundoscope.grades import CANNOT_GRADE, CANNOT_GRADE_REFER, REFER, RESCREEN
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.batch import grade_to_rows, grade_to_table
from fundoscope.runtime.certificate import Certificate, Outcome, Verdict
from fundoscope.runtime.destinations import Rules
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs
from fundoscope.runtime.output.dicom.export import DicomReports
from fundoscope.runtime.output.summaries import Summaries

studies = runpy.run_path(str(Path(__file__).with_name("studies.py")))
PERSON, QUESTION, SIDE, SNOMED, STUDY = (studies[name] for name in ("PERSON", "QUESTION", "SIDE", "SNOMED", "STUDY"))
photograph, row, reports, check_with_peers = (
    studies[name] for name in ("photograph", "row", "reports", "check_with_peers")
)
all_codes, conclusions, groups, name_of, values = (
    studies[name] for name in ("all_codes", "conclusions", "groups", "name_of", "values")
)


@pytest.fixture(scope="module")
def grader(tiny_release):
    return Grader.open(tiny_release, threads=1)


@pytest.fixture(scope="module")
def certified(write_tiny_release, tmp_path_factory, tiny_release):
    """A release whose heatmap may be shown, and which refers everything."""
    tested = Outcome(name="chance", says="finds lesions", needed="more", result="passed", value=0.2, low=0.1, high=0.3)
    certificate = Certificate(
        method="grad-cam", model_sha256=Grader.open(tiny_release, threads=1).opened.release.files["model.onnx"],
        made_at="2026-11-21", fundoscope="0", judged_by="the release's own network", photographs={"left_out": []},
        settings={}, verdicts=(Verdict(method="grad-cam", tests=(tested,)),),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("certified") / "release"
    point = {"name": "all", "threshold": 0.0}
    return Grader.open(write_tiny_release(folder, certificate=certificate.to_dict(), operating_point=point), threads=1)


@pytest.fixture(scope="module")
def retina():
    return paint_retina(RetinaSpec(side_px=192, grade=2, framing="cropped"), rng=np.random.default_rng(3)).photo


@pytest.mark.parametrize(("eye", "grade"), list(itertools.product(["left", "right", None], range(5))))
def test_each_grade_of_each_eye_has_its_own_code_and_no_other(tmp_path, grader, eye, grade):
    path = photograph(tmp_path / "a.dcm")
    decision = REFER if grade >= 2 else RESCREEN

    made = reports(tmp_path / "out", grader, [row(path, eye=eye, grade=grade, decision=decision)])

    report = dcmread(made.written[0])
    label = {"left": "Left eye", "right": "Right eye", None: "Eye not stated"}[eye]
    expected = "LA18643-9" if grade == 0 else SNOMED[eye, grade]
    assert values(groups(report)[label], QUESTION[eye]) == [expected]
    others = {"LA18643-9", *SNOMED.values()} - {expected}
    assert not all_codes(report) & others
    site = next(item for item in groups(report)[label] if name_of(item) == "363698007")
    assert values(site.get("ContentSequence", []), "272741003") == ([] if eye is None else [SIDE[eye]])


@pytest.mark.parametrize(
    ("status", "decision"),
    [("ungradable", CANNOT_GRADE), ("ungradable", CANNOT_GRADE_REFER), ("unreadable", CANNOT_GRADE)],
)
@pytest.mark.parametrize("eye", ["left", "right", None])
def test_an_eye_without_an_answer_says_so_by_code_and_has_no_grade_nor_probability(
    tmp_path, grader, eye, status, decision
):
    path = photograph(tmp_path / "a.dcm")

    made = reports(tmp_path / "out", grader, [row(path, eye=eye, status=status, decision=decision)])

    report = dcmread(made.written[0])
    items = next(iter(groups(report).values()))
    assert values(items, "111050") == ["111235"]
    assert values(items, "111052") == ["110531"]
    assert values(items, "121077") == [decision]
    assert not all_codes(report) & {"LA18643-9", "122157", *SNOMED.values()}
    assert report.CompletionFlag == ("PARTIAL" if status == "unreadable" else "COMPLETE")


def test_two_eyes_of_which_one_cannot_be_graded_keep_their_own_answers(tmp_path, grader):
    left, right = photograph(tmp_path / "l.dcm"), photograph(tmp_path / "r.dcm")
    rows = [
        row(left, eye="left", status="ungradable", decision=CANNOT_GRADE, reason="too dark"),
        row(right, eye="right", grade=0),
    ]

    report = dcmread(reports(tmp_path / "out", grader, rows).written[0])

    assert values(groups(report)["Right eye"], QUESTION["right"]) == ["LA18643-9"]
    assert values(groups(report)["Left eye"], QUESTION["left"]) == []
    assert values(groups(report)["Photograph 1"], "121106") == ["cannot grade. too dark"]
    assert values(conclusions(report), "121075")[0].startswith("Photograph the left eye now")


def test_an_eye_without_a_photograph_is_said_to_be_not_examined(tmp_path, grader):
    report = dcmread(reports(tmp_path / "out", grader, [row(photograph(tmp_path / "r.dcm"))]).written[0])

    missing = groups(report)["Left eye"]
    assert values(missing, QUESTION["left"]) == ["373121007"]
    assert values(missing, "121077") == ["not examined: the study has no photograph of the left eye"]
    assert values(conclusions(report), "121075")[0].startswith("Photograph the left eye now")


def test_an_eye_with_a_photograph_that_is_referred_without_a_grade_does_not_take_the_healthy_ones_grade(
    tmp_path, grader
):
    first, second = photograph(tmp_path / "1.dcm"), photograph(tmp_path / "2.dcm")
    rows = [row(first, grade=0), row(second, status="ungradable", decision=CANNOT_GRADE_REFER)]

    report = dcmread(reports(tmp_path / "out", grader, rows).written[0])

    assert values(groups(report)["Right eye"], QUESTION["right"]) == []
    assert values(groups(report)["Right eye"], "121077") == [CANNOT_GRADE_REFER]
    assert values(conclusions(report), "121075")[0].startswith("Refer")


def test_probability_threshold_quality_and_algorithm_are_in_the_photographs_group(tmp_path, grader):
    path = photograph(tmp_path / "r.dcm")

    report = dcmread(reports(tmp_path / "out", grader, [row(path, grade=1)]).written[0])

    items = groups(report)["Photograph 1"]
    assert values(items, "122157") == [0.25]
    assert values(items, "111071") == [grader.opened.operating_point.threshold]
    assert values(items, "111050") == ["111237"]
    assert values(items, "111001") == ["tiny"]
    assert values(items, "111003") == [f"1 ({grader.opened.name})"]
    assert values(items, "111000") == ["123110"]
    assert f"release.json SHA-256: {grader.opened.digest}" in values(items, "111002")
    assert "121056" not in {name_of(item) for item in report.ContentSequence}
    assert values(report.ContentSequence, "121058") == ["363679005"]


def test_patient_study_and_accession_number_are_those_of_the_files(tmp_path, grader):
    path = photograph(tmp_path / "r.dcm")

    made = reports(tmp_path / "out", grader, [row(path)])

    report = dcmread(made.written[0])
    assert made.written == [tmp_path / "out" / STUDY / "report.dcm"]
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert report.StudyInstanceUID == STUDY
    assert {name: str(report[name].value) for name in PERSON} == PERSON
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == dcmread(path).SOPInstanceUID


@pytest.mark.parametrize(
    "person",
    [
        {"PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100"},
        {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう", "SpecificCharacterSet": "ISO_IR 192"},
        {"PatientName": "X" * 200},
        {"PatientName": None, "PatientID": None, "AccessionNumber": None, "StudyDate": None, "StudyTime": None},
        {"PatientBirthDate": "1951", "StudyDate": "2026.3.14", "StudyTime": "25", "PatientSex": "weiblich"},
        {"PatientName": "", "PatientID": "", "ReferringPhysicianName": None, "StudyID": None},
    ],
)
def test_odd_and_missing_names_make_valid_objects(tmp_path, grader, person):
    path = photograph(tmp_path / "r.dcm", **person)

    made = reports(tmp_path / "out", grader, [row(path, patient=None)])

    assert not made.refused
    check_with_peers(made.written[0])
    if "SpecificCharacterSet" in person:
        assert str(dcmread(made.written[0]).PatientName) == person["PatientName"]


def test_photographs_without_a_study_are_counted_and_said(tmp_path, grader, retinas):
    paths = [
        photograph(tmp_path / "r.dcm"),
        photograph(tmp_path / "none.dcm", StudyInstanceUID=None),
        photograph(tmp_path / "wrong.dcm", StudyInstanceUID="../../1.2"),
        retinas[0],
    ]

    made = reports(tmp_path / "out", grader, [row(path) for path in paths])

    assert len(made.written) == 1
    assert made.notes == [
        "1 photograph in no DICOM report: only DICOM files say which study a report belongs to.",
        "2 DICOM photographs in no report: without a valid StudyInstanceUID. Export them again.",
    ]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [STUDY]


def test_a_study_of_two_patients_is_refused_and_costs_the_other_study_nothing(tmp_path, grader):
    paths = [
        photograph(tmp_path / "1.dcm"),
        photograph(tmp_path / "2.dcm", PatientID="another"),
        photograph(tmp_path / "3.dcm", StudyInstanceUID="1.2.3"),
    ]
    rows = [row(path, patient=name) for path, name in zip(paths, ["MRN-4711", "another", "MRN-4711"], strict=True)]

    made = reports(tmp_path / "out", grader, rows)

    assert [path.parent.name for path in made.written] == ["1.2.3"]
    assert len(made.refused) == 1
    assert made.refused[0].startswith(f"study {STUDY}: expected photographs of one patient, got 2 different PatientIDs")


def test_a_manifest_that_gives_a_study_to_two_patients_has_no_report(tmp_path, grader):
    paths = [photograph(tmp_path / "1.dcm"), photograph(tmp_path / "2.dcm")]

    made = reports(tmp_path / "out", grader, [row(paths[0], patient="a"), row(paths[1], patient="b")])

    assert made.written == []
    assert "got several in the manifest" in made.refused[0]


def test_a_study_whose_photographs_have_no_identifiers_has_no_report(tmp_path, grader):
    path = photograph(tmp_path / "r.dcm", SeriesInstanceUID=None)

    made = reports(tmp_path / "out", grader, [row(path)])

    assert made.written == []
    assert "expected a photograph with SOP class, SOP instance and series UID, got none" in made.refused[0]


def test_the_recommendation_counts_the_patients_other_study(tmp_path, grader):
    now, before = photograph(tmp_path / "1.dcm"), photograph(tmp_path / "2.dcm", StudyInstanceUID="1.2.3")
    rows = [row(now, grade=0), row(before, eye="left", grade=4, decision=REFER)]

    made = reports(tmp_path / "out", grader, rows)

    report = dcmread(made.written[0])
    assert values(groups(report)["Right eye"], QUESTION["right"]) == ["LA18643-9"]
    assert values(conclusions(report), "121075")[0].startswith("Refer")
    assert values(conclusions(report), "111055") == [1]
    assert any("also count 1 photographs of other studies" in text for text in values(conclusions(report), "121106"))
    assert len(made.written) == 2


def graded_study(folder, retina, **elements):
    """Write a study of both eyes, one of them dark, and a truncated file; return their listing."""
    folder.mkdir()
    photograph(folder / "1_right.dcm", retina, ImageLaterality="R", **elements)
    photograph(folder / "2_left.dcm", retina // 90, ImageLaterality="L", **elements)
    broken = photograph(folder / "3_Anna_Meier.dcm", retina, ImageLaterality="L", **elements)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    return list_photographs([folder])


def grade(grader, listing, out, **options):
    dicom = DicomReports(folder=out, paths=[photograph.path for photograph in listing.photographs], **options)
    grade_to_rows(grader, listing.photographs, summaries=Summaries(dicom=dicom))
    return dicom


def test_a_graded_study_passes_the_peers_and_is_read_back_by_highdicom(tmp_path, certified, retina):
    made = grade(certified, graded_study(tmp_path / "study", retina), tmp_path / "out")

    assert [path.name for path in made.written] == ["heatmap-1.dcm", "report.dcm"]
    for path in made.written:
        check_with_peers(path)
    report = hd.sr.srread(made.written[1])
    assert len(report.content.get_image_measurement_groups()) == 5
    heatmap = dcmread(made.written[0])
    explanation = next(item for item in groups(report)["Photograph 1"] if name_of(item) == "130401")
    assert explanation.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == heatmap.SOPInstanceUID
    assert values(explanation.ContentSequence, "370129005") == ["130403"]
    assert heatmap.SOPClassUID == SecondaryCaptureImageStorage
    assert heatmap.StudyInstanceUID == report.StudyInstanceUID == STUDY
    assert heatmap.Laterality == "R"
    assert (np.abs(heatmap.pixel_array.astype(int) - retina).max(axis=2) > 30).mean() > 0.05
    assert "130401" not in {name_of(item) for item in groups(report)["Photograph 2"]}
    (sentence,) = values(groups(report)["Photograph 3"], "121106")
    assert sentence.startswith("could not be read. expected")
    assert "Anna" not in sentence


def test_without_a_certificate_no_heatmap_is_written(tmp_path, grader, retina):
    made = grade(grader, graded_study(tmp_path / "study", retina), tmp_path / "out")

    assert [path.name for path in made.written] == ["report.dcm"]


def test_nothing_of_the_patient_is_left_where_that_was_asked_for(tmp_path, certified, retina):
    listing = graded_study(tmp_path / "study", retina, BurnedInAnnotation="NO")
    photograph(
        tmp_path / "study" / "4.dcm", retina, StudyInstanceUID="1.2.3", ImageLaterality="R", BurnedInAnnotation="NO"
    )
    listing = list_photographs([tmp_path / "study"])
    originals = [dcmread(photo.path, force=True) for photo in listing.photographs]

    made = grade(certified, listing, tmp_path / "out", de_identify=True)

    objects = [dcmread(path) for path in made.written]
    assert len(objects) == 4
    secrets = [*PERSON.values(), "Anna", STUDY, *(str(original.SOPInstanceUID) for original in originals)]
    for path, written in zip(made.written, objects, strict=True):
        check_with_peers(path)
        content = path.read_bytes()
        assert [secret for secret in secrets if len(secret) > 1 and secret.encode() in content] == []
        assert written.PatientIdentityRemoved == "YES"
        days = {str(element.value) for element in written.iterall() if element.VR in ("DA", "TM", "DT")}
        assert days <= {"", "None", "19000101", "000000"}
    assert len({str(written.PatientID) for written in objects}) == 1
    assert len({str(written.StudyInstanceUID) for written in objects}) == 2
    heatmap, report = objects[:2]
    assert heatmap.SourceImageSequence[0].ReferencedSOPInstanceUID in {
        image.ReferencedSOPInstanceUID
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for image in series.ReferencedSOPSequence
    }


@pytest.mark.parametrize("burned_in", ["YES", None])
def test_a_heatmap_that_may_show_a_burned_in_name_is_not_among_de_identified_objects(
    tmp_path, certified, retina, burned_in
):
    listing = graded_study(tmp_path / "study", retina, BurnedInAnnotation=burned_in)

    made = grade(certified, listing, tmp_path / "out", de_identify=True)

    assert [path.name for path in made.written] == ["report.dcm"]
    assert "heatmap not written: the file does not say that no text is burned" in made.notes[0]


def test_a_report_that_exists_is_refused_before_anything_is_graded_and_kept(tmp_path, grader, retina):
    listing = graded_study(tmp_path / "study", retina)
    first = grade(grader, listing, tmp_path / "out")
    content = first.written[0].read_bytes()

    with pytest.raises(BadRequest, match=r"report\.dcm: expected a name that is free.*--dicom-out"):
        grade(grader, listing, tmp_path / "out")

    assert first.written[0].read_bytes() == content


def test_a_report_that_is_replaced_leaves_no_heatmap_of_the_earlier_one(tmp_path, certified, grader, retina):
    listing = graded_study(tmp_path / "study", retina)
    grade(certified, listing, tmp_path / "out")
    dicom = DicomReports(folder=tmp_path / "out", paths=[photo.path for photo in listing.photographs])

    table = tmp_path / "table.csv"
    summaries = Summaries(dicom=dicom)
    grade_to_table(grader, listing.photographs, table, summaries=summaries, rules=Rules(replace=True))

    assert [path.name for path in (tmp_path / "out" / STUDY).iterdir()] == ["report.dcm"]


def test_a_release_of_another_task_is_refused_by_name(tmp_path, write_tiny_release, retina):
    signs = write_tiny_release(
        tmp_path / "signs",
        task="signs",
        head="signs",
        labels=["a", "b", "c", "d"],
        calibration={"temperatures": dict.fromkeys("abcd", 1.0)},
        operating_point={"name": "test", "thresholds": dict.fromkeys("abcd", 0.5)},
    )

    with pytest.raises(BadRelease, match=r"expected a release that grades retinopathy .*got one of the task signs"):
        grade(Grader.open(signs, threads=1), graded_study(tmp_path / "study", retina), tmp_path / "out")


def test_without_highdicom_the_extra_is_named(tmp_path, grader, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)

    with pytest.raises(MissingExtra, match=r"--dicom-out needs .*fundoscope\[dicom\]"):
        DicomReports(folder=tmp_path, paths=[]).try_out(grader.opened)


def test_a_fault_in_one_study_costs_the_others_nothing(tmp_path, grader):
    paths = [photograph(tmp_path / "1.dcm"), photograph(tmp_path / "2.dcm", StudyInstanceUID="1.2.3")]
    rows = [{**row(paths[0]), "quality": "no such word"}, row(paths[1], patient="2")]

    made = reports(tmp_path / "out", grader, rows)

    assert [path.parent.name for path in made.written] == ["1.2.3"]
    assert "got a fault in the program (KeyError" in made.refused[0]


def test_reports_and_heatmaps_beside_the_photographs_are_not_graded_the_next_time(tmp_path, certified, retina):
    listing = graded_study(tmp_path / "study", retina)
    made = grade(certified, listing, tmp_path / "study" / "reports")

    again = list_photographs([tmp_path / "study"])

    assert len(made.written) == 2
    assert again.photographs == listing.photographs
    assert any("2 DICOM reports and heatmaps" in note for note in again.notes)


@pytest.mark.parametrize("identifier", ["7" * 65, ["7", "8"], "7\a8"])
def test_a_patients_identifier_that_cannot_be_written_is_not_cut_but_its_study_refused(tmp_path, grader, identifier):
    paths = [
        photograph(tmp_path / "1.dcm", PatientID=identifier),
        photograph(tmp_path / "2.dcm", StudyInstanceUID="1.2.3"),
    ]
    rows = [row(paths[0], patient=None), row(paths[1], patient=None)]

    made = reports(tmp_path / "out", grader, rows)
    without = reports(tmp_path / "without", grader, rows, de_identify=True)

    assert [path.parent.name for path in made.written] == ["1.2.3"]
    assert made.refused[0].startswith(f"study {STUDY}: expected one PatientID and IssuerOfPatientID of at most 64")
    assert len(without.written) == 2


def test_an_accession_number_that_cannot_be_written_is_left_out_and_said(tmp_path, grader):
    path = photograph(
        tmp_path / "1.dcm", AccessionNumber="A" * 17, StudyID=["1", "2"], StudyDescription="long " * 30,
        PatientName="a^b^c^d^e^f^g",
    )  # fmt: skip

    made = reports(tmp_path / "out", grader, [row(path)])

    report = dcmread(made.written[0])
    assert (report.AccessionNumber, report.StudyID) == ("", "")
    assert made.notes == [
        f"study {STUDY}: StudyID and AccessionNumber left out of its report: too long for DICOM, or several."
    ]
    assert str(report.PatientName) == "a^b^c^d^e"
    check_with_peers(made.written[0])


def test_a_photograph_of_a_class_of_its_makers_own_is_in_the_report_without_a_reference(tmp_path, grader):
    paths = [photograph(tmp_path / "1.dcm", SOPClassUID="1.2.840.99999.1"), photograph(tmp_path / "2.dcm")]

    made = reports(tmp_path / "out", grader, [row(path) for path in paths])

    report = dcmread(made.written[0])
    assert "121112" not in {name_of(item) for item in groups(report)["Photograph 1"]}
    assert "121112" in {name_of(item) for item in groups(report)["Photograph 2"]}
    check_with_peers(made.written[0])


def test_reasons_lose_names_of_files_and_control_characters_and_nothing_else(tmp_path, grader):
    path = photograph(tmp_path / "1")
    reason = f"{path}: expected 10241 bytes, got 1\0. Graded without the other eye: Anna_1.dcm could not be read."

    report = dcmread(reports(tmp_path / "out", grader, [row(path, reason=reason)]).written[0])

    assert values(groups(report)["Photograph 1"], "121106") == [
        "rescreen. expected 10241 bytes, got 1 . Graded without the other eye: its photograph could not be read."
    ]
    check_with_peers(tmp_path / "out" / STUDY / "report.dcm")


def test_the_image_library_names_the_eye_of_each_photograph(tmp_path, grader):
    paths = [photograph(tmp_path / f"{number}.dcm") for number in range(3)]
    rows = [row(path, eye=eye) for path, eye in zip(paths, ["right", "left", None], strict=True)]

    report = dcmread(reports(tmp_path / "out", grader, rows).written[0])

    library = next(item for item in report.ContentSequence if name_of(item) == "111028")
    images = library.ContentSequence[0].ContentSequence
    eyes = {image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID: image.ContentSequence for image in images}
    sides = [values(eyes[dcmread(path).SOPInstanceUID], "111027") for path in paths]
    assert sides == [["24028007"], ["7771000"], []]
    check_with_peers(tmp_path / "out" / STUDY / "report.dcm")
