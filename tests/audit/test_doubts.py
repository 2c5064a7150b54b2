"""Doubts about grades, read from the report of an audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fundoscope.audit.doubts import CONTRADICTED, GRADE_CHECKS, PROBABLE, UNLIKELY, read_doubts
from fundoscope.errors import BadTable


def finding(check: str, images: list[str], **evidence: object) -> dict[str, object]:
    return {"check": check, "severity": "warns", "message": "", "images": images, "evidence": evidence}


def suspect(image: str, given: int, *, issue: bool) -> dict[str, object]:
    return {"image": image, "given": given, "suggested": 0, "issue": issue, "why": f"labelled {given}"}


def write(folder: Path, findings=(), suspects=(), **changed: object) -> Path:
    answer = {
        "schema": "fundoscope.audit/1",
        "manifests": [{"manifest": "mine.csv", "photographs": 9}],
        "findings": list(findings),
        "suspects": list(suspects),
    }
    (folder / "audit.json").write_text(json.dumps(answer | changed), encoding="utf-8")
    return folder


def test_a_grade_that_is_probably_wrong_comes_before_a_contradicted_and_an_unlikely_one(tmp_path):
    group = [{"image": "b", "source": None, "grade": "1"}, {"image": "c", "source": None, "grade": "3"}]
    write(
        tmp_path,
        [finding("contradicting-grade", ["b", "c"], groups=[group])],
        [suspect("a", 4, issue=True), suspect("d", 2, issue=False)],
    )

    doubts = read_doubts(tmp_path).grades

    assert [(doubt.image, doubt.suspicion, doubt.grade) for doubt in doubts] == [
        ("a", PROBABLE, 4), ("b", CONTRADICTED, 1), ("c", CONTRADICTED, 3), ("d", UNLIKELY, 2),
    ]  # fmt: skip
    assert doubts[1].reasons == ("the same picture is listed with the grades 1 and 3",)


def test_a_photograph_that_is_doubted_twice_is_one_doubt_with_both_reasons(tmp_path):
    pair = {"first": "a", "second": "b", "grades": [0, 3]}
    write(tmp_path, [finding("one-eye-two-grades", ["a", "b"], pairs=[pair])], [suspect("a", 0, issue=False)])

    first, second = read_doubts(tmp_path).grades

    assert (first.image, first.suspicion) == ("a", CONTRADICTED)
    assert first.reasons == ("another photograph of the same eye has grade 3", "labelled 0")
    assert (second.image, second.grade) == ("b", 3)


@pytest.mark.parametrize("check", GRADE_CHECKS)
def test_photographs_beyond_those_that_the_evidence_writes_out_are_doubted_all_the_same(tmp_path, check):
    write(tmp_path, [finding(check, ["x", "y"], groups=[], pairs=[], falls=[])])

    doubts = read_doubts(tmp_path).grades

    assert [(doubt.image, doubt.reasons) for doubt in doubts] == [
        ("x", (GRADE_CHECKS[check],)), ("y", (GRADE_CHECKS[check],)),
    ]  # fmt: skip


def test_a_fall_between_visits_doubts_the_photographs_of_both(tmp_path):
    fall = {"before": {"grade": 4, "images": ["a"]}, "after": {"grade": 0, "images": ["b", "c"]}}
    write(tmp_path, [finding("grade-falls-between-visits", ["a", "b", "c"], falls=[fall])])

    doubts = read_doubts(tmp_path / "audit.json").grades

    assert [doubt.image for doubt in doubts] == ["a", "b", "c"]
    assert all("falls from 4 to 0" in doubt.reasons[0] for doubt in doubts)


def test_what_doubts_something_else_than_a_grade_is_counted_and_not_a_doubt(tmp_path):
    write(tmp_path, [finding("wrong-eye", ["a", "b"]), finding("wrong-eye", ["c"]), finding("odd-size", ["d"])])

    doubts = read_doubts(tmp_path)

    assert doubts.grades == ()
    assert doubts.others == {"wrong-eye": 3}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema": "fundoscope.audit/9"}, "expected an audit of the schema fundoscope.audit/1, got"),
        ({"suspects": [{"image": "a"}]}, "expected an audit as it was written, got a changed one"),
        ({"findings": {"a": 1}}, "expected an audit as it was written, got a changed one"),
    ],
)
def test_what_is_no_audit_of_this_layout_is_refused(tmp_path, changed, message):
    write(tmp_path, **changed)

    with pytest.raises(BadTable, match=message):
        read_doubts(tmp_path)


def test_a_folder_without_a_report_and_a_file_that_is_no_json_are_refused(tmp_path):
    with pytest.raises(BadTable, match="expected the report of an audit, got: No such file or directory"):
        read_doubts(tmp_path / "nowhere")
    (tmp_path / "audit.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadTable, match="expected an audit in JSON"):
        read_doubts(tmp_path)
