from __future__ import annotations

import hashlib
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
from PIL import Image

import fundoscope
from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of
from fundoscope.photo.read import read_photo
from fundoscope.runtime import batch as batch_module
from fundoscope.runtime import grader as grader_module
from fundoscope.runtime.batch import PART_FORMAT, features_path, grade_to_rows, grade_to_table, part_path, rows_of
from fundoscope.runtime.destinations import Inputs, Rules
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import Listed
from fundoscope.runtime.output.html import write_report
from fundoscope.runtime.output.summaries import Summaries
from fundoscope.tables import check_predictions, read_table

SLOW_RUN = """
import sys, time
from pathlib import Path
from fundoscope.runtime.batch import grade_to_table
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs
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
    header = {"part": PART_FORMAT, "release": grader.opened.digest, "features": features}
    part_path(out).write_text("".join(f"{line}\n" for line in (json.dumps(header), *lines)))


def finished(grader: Grader, path: Path, **changes: str) -> str:
    """The line of a photograph that an earlier run had finished."""
    source = {"details": {}, "fellow": None, "fellow_sha256": None}
    return json.dumps({"row": grader.grade(path).row() | changes, "input": source})


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
    write_part(out, grader, finished(grader, retinas[0], reason="from the earlier run"))
    with open(part_path(out), "a") as file:
        file.write('{"row": {"image": "' + str(retinas[1])[:20])

    frame = grade_to_table(grader, listed(retinas[:2]), out)

    assert list(frame["image"]) == [str(path) for path in retinas[:2]]
    assert frame["reason"][0] == "from the earlier run"


def test_a_run_may_be_torn_twice(grader, retinas, tmp_path):
    """Were the torn end left in the file, the next row would be glued to it and lost."""
    out = tmp_path / "results.csv"
    write_part(out, grader, finished(grader, retinas[0]))
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
    write_part(out, grader, finished(grader, retinas[2]))

    frame = grade_to_table(grader, listed(retinas[:3]), out)

    assert list(frame["image"]) == [str(path) for path in retinas[:3]]


def test_an_empty_part_file_is_begun_anew(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    part_path(out).write_bytes(b'{"part": 1, "rel')

    assert len(grade_to_table(grader, listed(retinas[:2]), out)) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"image": "a.jpg"}\n{"image": "b.jpg"}', "got another file"),
        (b"my notes", "got another file"),
        (b'{"part": 2, "release": "another", "features": false}\n{"row": {"ima', "got another's"),
    ],
)
def test_a_file_in_the_place_of_the_unfinished_run_keeps_its_last_line(grader, retinas, tmp_path, content, words):
    """The end of a run's own file may be torn and is cut off; of any other file not a byte is."""
    out = tmp_path / "results.csv"
    part_path(out).write_bytes(content)

    with pytest.raises(BadRequest, match=words):
        grade_to_table(grader, listed(retinas[:1]), out)
    assert part_path(out).read_bytes() == content


def test_a_photograph_that_could_not_be_read_is_tried_again(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    mended = tmp_path / "mended.jpg"
    write_part(out, grader, finished(grader, mended))
    mended.write_bytes(retinas[0].read_bytes())

    assert list(grade_to_table(grader, listed([mended]), out)["status"]) == ["graded"]


def test_rows_of_photographs_that_are_no_longer_asked_for_are_left_out(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, finished(grader, retinas[3]))

    assert list(grade_to_table(grader, listed(retinas[:1]), out)["image"]) == [str(retinas[0])]


@pytest.mark.parametrize("header", [{"release": "another"}, {"features": True}])
def test_rows_of_another_release_or_of_other_options_are_not_mixed_in(grader, retinas, tmp_path, header):
    out = tmp_path / "results.csv"
    part_path(out).write_text(
        json.dumps({"part": PART_FORMAT, "release": grader.opened.digest, "features": False} | header) + "\n"
    )

    with pytest.raises(BadRequest, match=r"results\.csv\.part\.jsonl: expected an unfinished run of the same release"):
        grade_to_table(grader, listed(retinas[:1]), out)
    assert part_path(out).exists()


def test_rows_that_another_program_computed_are_not_mixed_in(grader, retinas, tmp_path):
    """OpenVINO's answers agree with onnxruntime's within a tolerance; to the last digit they are others."""
    out = tmp_path / "results.csv"
    write_part(out, grader, finished(grader, retinas[0]))
    grader.program = "openvino 2026.4.1"

    with pytest.raises(BadRequest, match=r"expected an unfinished run of the same release and options, got another's"):
        grade_to_table(grader, listed(retinas[:2]), out)


def test_damage_in_the_middle_of_a_part_file_is_not_passed_over(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, "garbage", finished(grader, retinas[0]))

    with pytest.raises(BadRequest, match=r"got a damaged line\. Delete it to begin anew"):
        grade_to_table(grader, listed(retinas[:1]), out)


def test_progress_hears_of_every_photograph_also_of_finished_ones(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    write_part(out, grader, finished(grader, retinas[0]))
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


def resumed(grader, photographs, out, done: int, change) -> pd.DataFrame:
    """Interrupt a run after some photographs, change something, and go on with it."""

    def interrupt(count: int, _row: object) -> None:
        if count == done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(grader, photographs, out, progress=interrupt)
    return grade_to_table(grader, change(), out)


def test_a_photograph_that_was_overwritten_since_is_graded_again(grader, retinas, tmp_path):
    """With the size and the time of the one before: neither says what a file holds."""
    path = tmp_path / "eye.bmp"
    Image.open(retinas[0]).resize((300, 300)).save(path)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)

    def overwrite() -> list[Listed]:
        Image.open(retinas[3]).resize((300, 300)).save(path)
        os.utime(path, ns=times)
        return listed([path])

    frame = resumed(grader, listed([path]), tmp_path / "results.csv", 1, overwrite)

    assert frame["sha256"][0] == sha256_of(path)
    assert frame["p_referable"][0] == pytest.approx(grader.grade(path).p_referable, abs=1e-6)


@pytest.mark.parametrize("details", [{"patient": "P2", "eye": "left"}, {"patient": "P1"}, {}])
def test_a_photograph_whose_manifest_says_something_else_since_is_answered_by_it(grader, retinas, tmp_path, details):
    before = [Listed("eye", retinas[0], {"patient": "P1", "eye": "left"})]

    frame = resumed(grader, before, tmp_path / "results.csv", 1, lambda: [Listed("eye", retinas[0], details)])

    (row,) = rows_of(frame)
    assert {name: row[name] for name in ("patient", "eye") if row[name] is not None} == details


def test_rows_of_one_file_have_an_answer_each(grader, retinas, tmp_path):
    photographs = [Listed(image, retinas[0], {"patient": image}) for image in ("a.jpg", "./a.jpg", "b.jpg")]

    frame = resumed(grader, photographs, tmp_path / "results.csv", 2, lambda: photographs)

    assert frame["image"].tolist() == frame["patient"].tolist() == ["a.jpg", "./a.jpg", "b.jpg"]
    assert frame["p_referable"].nunique() == 1


def test_a_table_that_exists_is_written_over_only_if_that_was_asked_for(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    out.write_text("image\nanother run's\n")

    with pytest.raises(BadRequest, match=r"results\.csv: expected a name that is free, got a file that exists"):
        grade_to_table(grader, listed(retinas[:1]), out)
    assert out.read_text() == "image\nanother run's\n"
    assert not part_path(out).exists()
    grade_to_table(grader, listed(retinas[:1]), out, rules=Rules(replace=True))

    assert list(pd.read_csv(out)["image"]) == [str(retinas[0])]


@pytest.mark.parametrize(
    "beside", ["results.features.npz", "report/index.html", "report/page-7.html", "report/patients.csv", "p.csv"]
)
def test_what_lies_beside_the_table_is_written_over_only_if_that_was_asked_for(grader, retinas, tmp_path, beside):
    out, other = tmp_path / "results.csv", tmp_path / beside
    other.parent.mkdir(exist_ok=True)
    other.write_text("another run's")
    options = {"features": True, "summaries": Summaries(report=tmp_path / "report", patients=tmp_path / "p.csv")}
    heard = []

    with pytest.raises(BadRequest, match=f"{other.name}: expected a name that is free, got a file that exists"):
        grade_to_table(grader, listed(retinas[:1]), out, progress=lambda *_: heard.append(1), **options)
    assert (heard, other.read_text()) == ([], "another run's")
    grade_to_table(grader, listed(retinas[:1]), out, rules=Rules(replace=True), **options)

    assert out.exists()
    assert (tmp_path / "report" / "index.html").read_text().startswith("<!DOCTYPE html>")
    assert len(pd.read_csv(tmp_path / "p.csv")) == len(pd.read_csv(tmp_path / "report" / "patients.csv")) == 1


@pytest.mark.parametrize("name", ["results.csv", "results.csv.part.jsonl"])
def test_patients_and_photographs_are_two_tables(grader, retinas, tmp_path, name):
    with pytest.raises(BadRequest, match=r"expected another file for --patients than the table of photographs"):
        grade_to_table(
            grader, listed(retinas[:1]), tmp_path / "results.csv", summaries=Summaries(patients=tmp_path / name)
        )

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["the path itself", "a link", "a hard link", "a relative path"])
def test_a_file_that_the_run_reads_is_never_written_over(grader, retinas, tmp_path, name, monkeypatch):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("image\n")
    out = tmp_path / ("manifest.csv" if name == "the path itself" else "other.csv")
    if name == "a link":
        out.symlink_to(manifest)
    if name == "a hard link":
        out.hardlink_to(manifest)
    if name == "a relative path":
        monkeypatch.chdir(tmp_path)
        out = Path("manifest.csv")
    rules = Rules(inputs=Inputs.of([manifest]), replace=True)

    with pytest.raises(BadRequest, match=r"expected a file to write, got one that this run reads\. It is never"):
        grade_to_table(grader, listed(retinas[:1]), out, rules=rules)
    assert manifest.read_text() == "image\n"


def test_photographs_and_release_are_never_written_over_even_if_they_are_gone(grader, retinas, tmp_path):
    photographs = listed([retinas[0], tmp_path / "gone.csv"])

    with pytest.raises(BadRequest, match="got one that this run reads"):
        grade_to_table(grader, photographs, tmp_path / "gone.csv", rules=Rules(replace=True))


def test_a_second_run_with_one_table_is_refused_and_the_first_loses_nothing(grader, retinas, tmp_path):
    out = tmp_path / "results.csv"
    refusals = []

    def second(count: int, _row: object) -> None:
        if count == 2:
            with pytest.raises(BadRequest, match=r"results\.csv: expected no other run to write it") as refusal:
                grade_to_table(grader, listed(retinas[:1]), out, rules=Rules(replace=True))
            refusals.append(refusal)

    frame = grade_to_table(grader, listed(retinas[:4]), out, progress=second)

    assert len(refusals) == 1
    assert len(frame) == len(pd.read_csv(out)) == 4
    assert os.listdir(tmp_path) == ["results.csv"]


FULL_DISK = """
import resource, sys
from pathlib import Path
from fundoscope.errors import BadRequest
from fundoscope.runtime.batch import grade_to_table
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs
from fundoscope.runtime.output.summaries import Summaries
release, folder, out, room = sys.argv[1:]
grader = Grader.open(release, threads=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))
try:
    photographs = list_photographs([folder]).photographs
    grade_to_table(grader, photographs, out, features=True, summaries=Summaries(report=Path(out).with_name("report")))
except BadRequest as problem:
    sys.exit(str(problem))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits as on POSIX systems")
@pytest.mark.parametrize("room", [3000, 50_000])
def test_a_disk_that_is_full_keeps_what_is_done_and_the_run_goes_on_when_there_is_room(
    tiny_release, retinas, tmp_path, room
):
    """The first limit is met while grading, the second when the report is written."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for number, path in enumerate(retinas):
        (folder / f"{number}.jpg").write_bytes(path.read_bytes())
    out = tmp_path / "results.csv"
    environment = os.environ | {"PYTHONPATH": str(Path(fundoscope.__file__).parents[1])}

    def run(room: int) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", FULL_DISK, str(tiny_release), str(folder), str(out), str(room)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    full = run(room)
    assert "got: File too large" in full.stderr
    assert "make room, and give the same command again" in full.stderr
    assert "Traceback" not in full.stderr
    kept = part_path(out).read_bytes()
    assert kept.endswith(b"\n")
    assert not out.exists()
    assert list((tmp_path / "report").iterdir()) == []
    graded_before = [json.loads(line)["row"]["graded_at"] for line in kept.splitlines()[1:] if b'"row"' in line]
    again = run(10**8)

    assert (again.returncode, again.stderr) == (0, "")
    assert len(graded_before) > 0
    assert list(pd.read_csv(out)["graded_at"])[: len(graded_before)] == graded_before


def test_a_run_that_ended_while_it_wrote_goes_on_over_its_own_files(grader, retinas, tmp_path, monkeypatch):
    """The features and the report lay there already; they are this run's, not another's."""
    out, report = tmp_path / "results.csv", tmp_path / "report"
    summaries = Summaries(report=report, patients=tmp_path / "patients.csv")

    def stopped(*_args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch_module, "write_table", stopped_at(batch_module.write_table, out, stopped))
        with pytest.raises(KeyboardInterrupt):
            grade_to_table(grader, listed(retinas[:2]), out, features=True, summaries=summaries)
    assert features_path(out).exists()
    assert (report / "index.html").exists()
    assert (tmp_path / "patients.csv").exists()
    grade_to_table(grader, listed(retinas[:2]), out, features=True, summaries=summaries)

    assert len(pd.read_csv(out)) == 2
    assert not part_path(out).exists()


def stopped_at(write, path, stopped):
    """Write all tables but one."""
    return lambda frame, table: stopped() if Path(table) == path else write(frame, table)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes as on POSIX systems")
@pytest.mark.parametrize("name", ["results.csv", "results.csv.part.jsonl"])
def test_a_pipe_in_the_way_is_refused_and_not_waited_for(grader, retinas, tmp_path, name):
    os.mkfifo(tmp_path / name)

    with pytest.raises(BadRequest, match=r"got a device or pipe|got no plain file"):
        grade_to_table(grader, listed(retinas[:1]), tmp_path / "results.csv", rules=Rules(replace=True))


@pytest.mark.parametrize("length", [240, 300])
def test_a_long_name_is_written_or_refused_in_a_sentence(grader, retinas, tmp_path, length):
    out = tmp_path / ("r" * (length - 4) + ".csv")

    if length < 241:
        assert len(grade_to_table(grader, listed(retinas[:1]), out)) == 1
    else:
        with pytest.raises(BadRequest, match=r"cannot write there: File name too long\. Choose another --out"):
            grade_to_table(grader, listed(retinas[:1]), out)


def test_a_folder_in_place_of_the_table_is_refused_before_anything_is_graded(grader, retinas, tmp_path):
    heard = []

    with pytest.raises(BadRequest, match=r"expected the name of a table, got a folder\. Give --out a name in it"):
        grade_to_table(grader, listed(retinas[:1]), tmp_path, progress=lambda *_: heard.append(1))
    assert heard == []


def test_a_file_that_is_not_the_one_its_manifest_means_is_not_graded(grader, retinas, tmp_path):
    right, wrong = sha256_of(retinas[0]), sha256_of(retinas[1])
    photographs = [
        Listed("a", retinas[0], {"patient": "P1"}, sha256=right),
        Listed("b", retinas[0], {"patient": "P2", "eye": "left"}, sha256=wrong),
        Listed("c", retinas[0], {"patient": "P3"}),
    ]

    frame = grade_to_table(grader, photographs, tmp_path / "results.csv")

    assert frame["status"].tolist() == ["graded", "unreadable", "graded"]
    assert frame["decision"][1] == "cannot grade"
    assert frame["patient"].tolist() == ["P1", "P2", "P3"]
    assert frame["sha256"].tolist() == [right] * 3
    assert f"expected the file that the manifest means (SHA-256 {wrong[:12]})" in frame["reason"][1]
    assert (
        frame.filter(regex="^(p|raw|q_)").drop(columns=["patient", "patient_raw", "patient_note"]).iloc[1].isna().all()
    )


def test_a_run_goes_on_only_with_files_that_the_manifest_means(grader, retinas, tmp_path):
    write_part(tmp_path / "results.csv", grader, finished(grader, retinas[0], image="a"))

    frame = grade_to_table(grader, [Listed("a", retinas[0], sha256="0" * 64)], tmp_path / "results.csv")

    assert frame["status"].tolist() == ["unreadable"]


@pytest.fixture
def reads(monkeypatch):
    """Names of the photographs that are read, in order."""
    names = []
    monkeypatch.setattr(
        grader_module, "read_photo", lambda path, **options: (names.append(path), read_photo(path, **options))[1]
    )
    return names


@pytest.mark.parametrize("with_table", [True, False])
def test_a_report_reads_each_photograph_once(grader, retinas, tmp_path, reads, with_table):
    summaries = Summaries(report=tmp_path / "report")
    photographs = listed(retinas[:3])

    if with_table:
        grade_to_table(grader, photographs, tmp_path / "results.csv", summaries=summaries)
    else:
        grade_to_rows(grader, photographs, summaries=summaries)

    assert sorted(reads) == sorted(retinas[:3])
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 3
    assert {path.name for path in tmp_path.rglob("*")} - {"results.csv"} == {"report", "index.html", "patients.csv"}


def test_a_continued_run_reads_for_its_report_only_what_it_has_no_picture_of(grader, retinas, tmp_path, reads):
    out, photographs = tmp_path / "results.csv", listed(retinas[:4])
    summaries = Summaries(report=tmp_path / "report")
    one_thread = Grader.open(grader.opened.path, threads=1)

    def interrupt(done: int, _row: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade_to_table(one_thread, photographs, out, summaries=summaries, progress=interrupt)
    finished = {
        line["row"]["image"] for line in map(json.loads, part_path(out).read_text().splitlines()) if "row" in line
    }
    assert len(finished) == 2
    assert (tmp_path / "results.csv.part.pictures").is_dir()
    one_picture = sorted((tmp_path / "results.csv.part.pictures").iterdir())
    first = hashlib.sha256(str(retinas[0]).encode()).hexdigest()
    next(path for path in one_picture if path.stem == first).unlink()
    reads.clear()
    grade_to_table(one_thread, photographs, out, summaries=summaries)

    assert sorted(reads) == sorted([retinas[0], retinas[2], retinas[3]])
    assert (tmp_path / "report" / "index.html").read_text(encoding="utf-8").count("data:image/jpeg") == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report", "results.csv"]


def test_a_report_with_kept_pictures_is_that_with_pictures_read_again(grader, retinas, tmp_path):
    photographs = listed(retinas[:2])
    rows = grade_to_rows(grader, photographs, summaries=Summaries(report=tmp_path / "kept"))

    write_report(grader, photographs, rows, tmp_path / "again")

    kept, again = ((tmp_path / name / "index.html").read_text(encoding="utf-8") for name in ("kept", "again"))
    assert kept == again


def test_without_a_report_no_picture_is_kept(grader, retinas, tmp_path):
    seen = []

    grade_to_table(
        grader, listed(retinas[:2]), tmp_path / "results.csv", progress=lambda *_: seen.extend(tmp_path.iterdir())
    )

    assert {path.name for path in seen} == {"results.csv.part.jsonl"}
