from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fundoscope
from fundoscope.errors import BadRequest
from fundoscope.runtime.batch import features_path, grade_to_table, part_path, rows_of
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.inputs import Listed
from fundoscope.tables import check_predictions, read_table

SLOW_RUN = """
import sys, time
from pathlib import Path
from fundoscope.runtime.batch import grade_to_table
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.inputs import list_photographs
release, folder, out = sys.argv[1:]
photographs = list_photographs([folder]).photographs
grade_to_table(Grader.open(release, threads=2), photographs, out, features=True, progress=lambda *_: time.sleep(0.01))
"""


@pytest.fixture
def grader(tiny_release):
    return Grader.open(tiny_release, threads=2)


def listed(paths) -> list[Listed]:
    return [Listed(str(path), Path(path)) for path in paths]


def timeless(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False).drop(columns="graded_at")


def write_part(out: Path, grader: Grader, *lines: str, features: bool = False) -> None:
    header = {"part": 1, "release": grader.opened.digest, "features": features}
    part_path(out).write_text("".join(f"{line}\n" for line in (json.dumps(header), *lines)))


def test_every_photograph_has_a_row_in_input_order(grader, retinas, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    out = tmp_path / "results.csv"

    frame = grade_to_table(grader, listed([retinas[1], tmp_path / "empty.jpg", retinas[0]]), out)

    stored = pd.read_csv(out)
    assert list(stored["image"]) == [str(retinas[1]), str(tmp_path / "empty.jpg"), str(retinas[0])]
    assert list(stored["status"]) == ["graded", "unreadable", "graded"]
    assert stored["decision"][1] == "cannot grade"
    assert frame["grade"].isna().tolist() == [False, True, False]
    assert not part_path(out).exists()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_table_keeps_the_contract_of_predictions_whatever_its_kind(grader, retinas, tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the research extra: pyarrow writes Parquet")
    out = tmp_path / f"results{suffix}"
    photographs = [Listed("one", retinas[0], {"patient": "007", "eye": "left"}), Listed("gone", tmp_path / "gone.jpg")]

    written = grade_to_table(grader, photographs, out)

    read = check_predictions(read_table(out), path=out)
    assert rows_of(read)[0]["patient"] == "007"
    assert rows_of(read)[0]["p_referable"] == pytest.approx(rows_of(written)[0]["p_referable"])
    assert rows_of(read)[1]["grade"] is None


def test_what_a_manifest_says_goes_into_the_rows(grader, retinas, tmp_path):
    photographs = [Listed("name in the manifest", retinas[0], {"patient": "P1", "eye": "left", "source": "here"})]

    (row,) = rows_of(grade_to_table(grader, photographs, tmp_path / "results.csv"))

    assert (row["image"], row["patient"], row["eye"], row["source"]) == ("name in the manifest", "P1", "left", "here")
    assert row["taken"] is None


def test_a_table_in_which_nothing_could_be_read_has_all_its_columns(grader, tmp_path):
    frame = grade_to_table(grader, listed([tmp_path / "gone.jpg"]), tmp_path / "results.csv")

    assert {"raw0", "raw3", "p0", "p4", "grade", "release"} <= set(frame.columns)
    assert "raw4" not in frame.columns


def test_a_run_killed_in_the_middle_goes_on_to_the_same_rows(tiny_release, retinas, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.jpg").write_bytes(retinas[number % len(retinas)].read_bytes())
    environment = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1])}

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", SLOW_RUN, tiny_release, folder, out], env=environment)

    whole, torn = tmp_path / "whole.csv", tmp_path / "torn.csv"
    assert start(whole).wait() == 0
    process = start(torn)
    while not part_path(torn).exists() or part_path(torn).read_bytes().count(b"\n") < 20:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part_path(torn).read_bytes().count(b"\n") - 1
    assert not torn.exists()
    assert 0 < kept < 60
    before = [json.loads(line)["row"] for line in part_path(torn).read_bytes().splitlines()[1 : kept + 1]]

    assert start(torn).wait() == 0

    pd.testing.assert_frame_equal(timeless(torn), timeless(whole))
    times = pd.read_csv(torn).set_index("image")["graded_at"]
    assert all(times[row["image"]] == row["graded_at"] for row in before), "a finished photograph was graded again"
    with np.load(features_path(torn)) as got, np.load(features_path(whole)) as expected:
        assert got.files == expected.files
        assert all(np.array_equal(got[name], expected[name]) for name in got.files)


def test_a_torn_last_line_is_dropped_and_its_photograph_graded(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    row = grader.grade(retinas[0]).row() | {"reason": "from the earlier run"}
    write_part(out, grader, json.dumps({"row": row}))
    with open(part_path(out), "a") as file:
        file.write('{"row": {"image": "' + str(retinas[1])[:20])

    frame = grade_to_table(grader, listed(retinas[:2]), out)

    assert list(frame["image"]) == [str(path) for path in retinas[:2]]
    assert frame["reason"][0] == "from the earlier run"


def test_a_run_may_be_torn_twice(grader, retinas, tmp_path):
    """Were the torn end left in the file, the next row would be glued to it and lost."""
    out = tmp_path / "results.csv"
    write_part(out, grader, json.dumps({"row": grader.grade(retinas[0]).row()}))
    with open(part_path(out), "a") as file:
        file.write('{"row": {"ima')

    def interrupt(done: int, _row: object) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(grader, listed(retinas[:4]), out, progress=interrupt)
    frame = grade_to_table(grader, listed(retinas[:4]), out)

    assert list(frame["image"]) == [str(path) for path in retinas[:4]]


def test_rows_stand_in_input_order_also_when_later_ones_were_finished_first(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, json.dumps({"row": grader.grade(retinas[2]).row()}))

    frame = grade_to_table(grader, listed(retinas[:3]), out)

    assert list(frame["image"]) == [str(path) for path in retinas[:3]]


def test_an_empty_part_file_is_begun_anew(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    part_path(out).write_bytes(b'{"part": 1, "rel')

    assert len(grade_to_table(grader, listed(retinas[:2]), out)) == 2


def test_a_photograph_that_could_not_be_read_is_tried_again(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    mended = tmp_path / "mended.jpg"
    write_part(out, grader, json.dumps({"row": grader.grade(mended).row()}))
    mended.write_bytes(retinas[0].read_bytes())

    assert list(grade_to_table(grader, listed([mended]), out)["status"]) == ["graded"]


def test_rows_of_photographs_that_are_no_longer_asked_for_are_left_out(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, json.dumps({"row": grader.grade(retinas[3]).row()}))

    assert list(grade_to_table(grader, listed(retinas[:1]), out)["image"]) == [str(retinas[0])]


@pytest.mark.parametrize("header", [{"release": "another"}, {"features": True}])
def test_rows_of_another_release_or_of_other_options_are_not_mixed_in(grader, retinas, tmp_path, header):
    out = tmp_path / "results.csv"
    part_path(out).write_text(
        json.dumps({"part": 1, "release": grader.opened.digest, "features": False} | header) + "\n"
    )

    with pytest.raises(BadRequest, match=r"results\.csv\.part\.jsonl: expected an unfinished run of the same release"):
        grade_to_table(grader, listed(retinas[:1]), out)
    assert part_path(out).exists()


def test_rows_that_another_program_computed_are_not_mixed_in(grader, retinas, tmp_path):
    """OpenVINO's answers agree with onnxruntime's within a tolerance; to the last digit they are others."""
    out = tmp_path / "results.csv"
    write_part(out, grader, json.dumps({"row": grader.grade(retinas[0]).row()}))
    grader.program = "openvino 2026.4.1"

    with pytest.raises(BadRequest, match=r"expected an unfinished run of the same release and options, got another's"):
        grade_to_table(grader, listed(retinas[:2]), out)


def test_damage_in_the_middle_of_a_part_file_is_not_passed_over(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, "garbage", json.dumps({"row": grader.grade(retinas[0]).row()}))

    with pytest.raises(BadRequest, match=r"got a damaged line\. Delete it to begin anew"):
        grade_to_table(grader, listed(retinas[:1]), out)


def test_progress_hears_of_every_photograph_also_of_finished_ones(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, json.dumps({"row": grader.grade(retinas[0]).row()}))
    heard = []

    grade_to_table(grader, listed(retinas[:3]), out, progress=lambda done, row: heard.append((done, row["image"])))

    assert heard == [(number, str(path)) for number, path in enumerate(retinas[:3], start=1)]


def test_features_lie_beside_the_table_by_hash(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    frame = grade_to_table(grader, listed(retinas[:2]), out, features=True)

    with np.load(tmp_path / "results.features.npz") as stored:
        assert set(stored.files) == set(frame["sha256"])
        np.testing.assert_array_equal(stored[frame["sha256"][0]], grader.grade(retinas[0]).features)


def test_a_place_that_cannot_be_written_is_named_before_anything_is_graded(grader, retinas, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(BadRequest, match=r"cannot write there: .*Choose another --out"):
        grade_to_table(grader, listed(retinas[:1]), tmp_path / "file" / "results.csv")


def test_a_kind_of_table_that_cannot_be_written_is_refused_before_anything_is_graded(grader, retinas, tmp_path):
    heard = []

    with pytest.raises(fundoscope.errors.FundoscopeError, match=r"results\.xls"):
        grade_to_table(grader, listed(retinas[:1]), tmp_path / "results.xls", progress=lambda *_: heard.append(1))
    assert heard == []
