"""A release that grades an eye together with its fellow: what it is given, and what it says where there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.audit.embedder import ReleaseEmbedder
from fundoscope.errors import BadRelease
from fundoscope.files import sha256_of
from fundoscope.photo.fov import find_field
from fundoscope.photo.recipe import prepare
from fundoscope.runtime.backends.network import open_network
from fundoscope.runtime.batch import grade_to_table, part_path
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed, list_photographs
from fundoscope.runtime.output.html import write_report
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release

ALONE = "Graded without the other eye: "


@pytest.fixture(scope="module")
def grader(pair_release) -> Grader:
    return Grader.open(pair_release, threads=2)


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def timeless(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="graded_at")


@pytest.fixture
def clinic(retinas, tmp_path) -> Path:
    """A folder whose manifest knows both eyes of one patient and one of another; a third one's fellow is damaged."""
    for number in range(5):
        (tmp_path / f"{number}.jpg").write_bytes(retinas[number].read_bytes())
    (tmp_path / "4.jpg").write_bytes(b"")
    (tmp_path / "manifest.csv").write_text(
        "image,patient,eye\n0.jpg,A,left\n1.jpg,A,right\n2.jpg,B,left\n3.jpg,C,left\n4.jpg,C,right\n"
    )
    return tmp_path


def test_the_network_takes_the_photograph_first_and_its_fellow_second(grader, pair_release, retinas):
    opened = open_release(pair_release)
    own, fellow = (prepare(pixels(path), opened.recipe).canvas for path in retinas[:2])
    expected = open_network(opened).run(np.stack([own, fellow])[None]).raw[0]

    reading = grader.grade(pixels(retinas[0]), pixels(retinas[1]))

    assert reading.raw == pytest.approx(tuple(expected), abs=1e-6)
    assert (reading.fellow, reading.reason) == ("used", "")
    assert grader.grade(retinas[0]).raw != reading.raw


def test_without_a_fellow_the_network_takes_zeros_and_the_row_says_so(grader, pair_release, retinas):
    opened = open_release(pair_release)
    own = prepare(pixels(retinas[0]), opened.recipe).canvas
    expected = open_network(opened).run(np.stack([own, np.zeros_like(own)])[None]).raw[0]

    reading = grader.grade(pixels(retinas[0]))

    assert reading.raw == pytest.approx(tuple(expected), abs=1e-6)
    assert (reading.status, reading.fellow) == ("graded", "missing")
    assert reading.row()["reason"] == ALONE + "no photograph of it is known."


@pytest.mark.parametrize(
    ("content", "state", "words"),
    [
        (b"", "unreadable", "fellow.png could not be read."),
        (None, "unreadable", "fellow.png could not be read."),
        ("black", "ungradable", "fellow.png is not gradable."),
    ],
)
def test_a_fellow_that_is_of_no_use_counts_as_missing(grader, retinas, tmp_path, content, state, words):
    path = tmp_path / "fellow.png"
    if content == "black":
        Image.fromarray(np.zeros((300, 300, 3), np.uint8)).save(path)
    elif content is not None:
        path.write_bytes(content)

    reading = grader.grade(retinas[0], path)

    assert (reading.status, reading.fellow) == ("graded", state)
    assert reading.reason == ALONE + words
    assert reading.raw == grader.grade(retinas[0]).raw


def test_a_fellow_that_the_gate_refuses_counts_as_missing_and_so_does_that_of_a_refused_photograph(
    tiny, tmp_path, retinas
):
    strict = dict.fromkeys(tiny["tiny_description"]().gate, 1.0)
    folder = tiny["write_tiny_release"](tmp_path / "strict", model=tiny["tiny_pair_model"](), eyes=2, gate=strict)

    reading = Grader.open(folder).grade(retinas[0], retinas[1])

    assert (reading.status, reading.fellow) == ("ungradable", "ungradable")
    assert "at least 1.0" in reading.reason
    assert reading.reason.endswith(f"{ALONE}{retinas[1].name} is not gradable.")


def test_a_photograph_without_a_retina_says_nothing_of_its_fellow(grader, retinas):
    reading = grader.grade(np.zeros((300, 400, 3), np.uint8), retinas[0])

    assert (reading.status, reading.fellow, reading.raw) == ("ungradable", None, ())
    assert ALONE not in reading.reason


def test_a_release_of_single_eyes_never_opens_the_fellow(tiny_release, retinas, tmp_path):
    single = Grader.open(tiny_release, threads=1)
    alone, together = single.grade(retinas[0]), single.grade(retinas[0], tmp_path / "not there.jpg")

    assert replace(together, graded_at="").row() == replace(alone, graded_at="").row()
    assert together.fellow is None


def test_a_table_of_single_eyes_is_the_same_to_the_byte_whether_or_not_fellows_are_known(
    tiny_release, retinas, tmp_path, monkeypatch
):
    from datetime import UTC, datetime

    from fundoscope.runtime import grader as grader_module

    class Noon(datetime):
        @classmethod
        def now(cls, tz=UTC):
            return datetime(2026, 1, 1, 12, tzinfo=UTC)

    monkeypatch.setattr(grader_module, "datetime", Noon)
    single = Grader.open(tiny_release, threads=1)
    known = [Listed("one", retinas[0], {}, retinas[1]), Listed("two", retinas[1], {}, retinas[0])]
    grade_to_table(single, known, tmp_path / "known.csv")
    grade_to_table(single, [replace(each, fellow=None) for each in known], tmp_path / "unknown.csv")

    assert (tmp_path / "known.csv").read_bytes() == (tmp_path / "unknown.csv").read_bytes()


def test_fellows_come_from_the_manifest_and_the_rows_say_who_was_graded_alone(grader, clinic):
    listing = list_photographs([clinic])

    frame = grade_to_table(grader, listing.photographs, clinic / "out.csv")

    assert [each.fellow and each.fellow.name for each in listing.photographs] == [
        "1.jpg",
        "0.jpg",
        None,
        "4.jpg",
        "3.jpg",
    ]
    assert list(frame["status"]) == ["graded"] * 4 + ["unreadable"]
    assert list(frame["reason"][:4]) == [
        "",
        "",
        ALONE + "no photograph of it is known.",
        ALONE + "4.jpg could not be read.",
    ]


def test_a_photograph_graded_alone_and_with_all_others_gets_one_answer(grader, clinic):
    manifest = clinic / "manifest.csv"
    (alone,) = list_photographs([clinic / "1.jpg"], manifest=manifest).photographs
    every = list_photographs([], manifest=manifest).photographs

    many = list(grader.grade_many([each.path for each in every], [each.fellow for each in every]))

    assert grader.grade(alone.path, alone.fellow).raw == many[1].raw
    assert many[1].fellow == "used"


def test_an_interrupted_run_of_both_eyes_goes_on_to_the_same_table(grader, clinic):
    photographs = list_photographs([clinic]).photographs
    grade_to_table(grader, photographs, clinic / "whole.csv")

    def interrupt(done: int, _row: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(grader, photographs, clinic / "torn.csv", progress=interrupt)
    assert part_path(clinic / "torn.csv").exists()
    grade_to_table(grader, photographs, clinic / "torn.csv")

    pd.testing.assert_frame_equal(timeless(clinic / "torn.csv"), timeless(clinic / "whole.csv"))


def test_what_was_graded_with_another_fellow_or_a_damaged_one_is_graded_again(grader, clinic, retinas):
    """Or the table would depend on what lay in the folder when the run began."""
    out = clinic / "torn.csv"
    photographs = list(list_photographs([clinic]).photographs)

    def interrupt(done: int, _row: object) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(grader, photographs, out, progress=interrupt)
    lines = [json.loads(line) for line in part_path(out).read_text().splitlines()]
    assert [line["input"]["fellow"] is not None for line in lines[1:]] == [True, True, False, False, True]
    (clinic / "4.jpg").write_bytes(retinas[4].read_bytes())
    photographs[0] = replace(photographs[0], fellow=clinic / "2.jpg")
    heard = []

    grade_to_table(grader, photographs, out, progress=lambda done, row: heard.append(Path(row["image"]).name))
    grade_to_table(grader, photographs, clinic / "fresh.csv")

    assert heard == ["1.jpg", "2.jpg", "0.jpg", "3.jpg", "4.jpg"]
    pd.testing.assert_frame_equal(timeless(out), timeless(clinic / "fresh.csv"))


def test_the_report_says_what_the_release_does_without_the_other_eye(grader, tiny_release, clinic):
    photographs = list_photographs([clinic]).photographs[:3]

    def page(by: Grader, name: str) -> str:
        rows = [by.grade(each.path, each.fellow).row() for each in photographs]
        write_report(by, photographs, rows, clinic / name)
        return (clinic / name / "index.html").read_text()

    both = page(grader, "both")

    assert "a stand-in that the network learnt takes its place" in both
    assert both.count(ALONE) == 1
    assert "stand-in" not in page(Grader.open(tiny_release, threads=1), "single")


def test_a_release_of_both_eyes_verifies(pair_release):
    assert verify_release(pair_release).passed


def test_a_release_of_both_eyes_whose_golden_canvases_are_single_is_refused(tiny, tmp_path):
    with pytest.raises(BadRelease, match=r"must be uint8 \(photo, 2, 64, 64, 3\), got uint8 \(3, 64, 64, 3\)"):
        tiny["write_tiny_release"](tmp_path / "pair", eyes=2)


def test_a_release_of_single_eyes_whose_golden_canvases_are_pairs_is_refused(tiny, tmp_path):
    with pytest.raises(BadRelease, match=r"must be uint8 \(photo, 64, 64, 3\), got uint8 \(3, 2, 64, 64, 3\)"):
        tiny["write_tiny_release"](tmp_path / "single", model=tiny["tiny_pair_model"]())


def test_a_network_of_another_number_of_eyes_than_its_release_says_is_refused(tiny, tmp_path):
    model = tiny["tiny_pair_model"](eyes=3)
    golden = tiny["golden_of"](tiny["tiny_pair_model"]())
    tiny["write_release"](tmp_path / "three", tiny["tiny_description"](eyes=2), model=model, card="", golden=golden)

    with pytest.raises(
        BadRelease, match=r"inputs of model\.onnx must be canvases .*\(any, 2, 64, 64, 3\), got .*3, 64"
    ):
        open_network(open_release(tmp_path / "three"))


def test_the_audit_asks_a_release_of_both_eyes_about_each_photograph_alone(tiny_release, pair_release, retinas):
    """Its features are the photograph's own: those of the same network that takes one eye."""
    photo = np.asarray(Image.open(retinas[0]))
    one, two = (
        ReleaseEmbedder.open(open_release(folder)).features(photo, find_field(photo))
        for folder in (tiny_release, pair_release)
    )

    assert two == pytest.approx(one)


def test_a_fellow_that_is_not_the_file_its_manifest_means_is_not_looked_at(grader, retinas, tmp_path):
    photographs = [
        Listed("right file", retinas[0], {}, retinas[1], fellow_sha256=sha256_of(retinas[1])),
        Listed("wrong file", retinas[0], {}, retinas[1], fellow_sha256=sha256_of(retinas[2])),
    ]

    frame = grade_to_table(grader, photographs, tmp_path / "out.csv")

    alone = f"{ALONE}{retinas[1].name} is not the file that the manifest means."
    assert frame["reason"].fillna("").tolist() == ["", alone]
    assert frame["raw0"][1] == pytest.approx(grader.grade(retinas[0]).raw[0], abs=1e-6)
    assert frame["raw0"][1] != frame["raw0"][0]
