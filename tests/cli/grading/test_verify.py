from __future__ import annotations

import json
import shutil

from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.golden_photograph import GOLDEN_CANVAS, GOLDEN_PHOTOGRAPH
from fundoscope.runtime.release import open_release


def test_a_whole_release_is_verified_check_by_check(run_verb, tiny_release):
    status, out, _ = run_verb("verify", tiny_release)

    assert status == 0
    for name in (
        "files",
        "golden photograph",
        "golden canvas",
        "network",
        "golden raw",
        "golden features",
        "golden heatmap",
    ):
        assert f"passed {name}:" in out


def test_a_release_with_one_byte_changed_fails_with_status_2(run_verb, tiny_release, tmp_path):
    folder = shutil.copytree(tiny_release, tmp_path / "changed")
    data = bytearray((folder / "model.onnx").read_bytes())
    data[100] ^= 1
    (folder / "model.onnx").write_bytes(data)

    status, out, _ = run_verb("verify", folder)

    assert status == 2
    assert "FAILED files:" in out
    assert "model.onnx has changed" in out


def test_a_program_can_read_the_verification(run_verb, tiny_release):
    status, out, _ = run_verb("verify", tiny_release, "--json")

    told = json.loads(out)
    assert (status, told["passed"]) == (0, True)
    assert [check["name"] for check in told["checks"]][:2] == ["files", "golden photograph"]


def test_info_says_what_a_release_is_for_and_what_it_cannot_do(run_verb, tiny_release):
    status, out, _ = run_verb("info", tiny_release)

    assert status == 0
    assert "tiny@" in out
    assert "It was never trained." in out
    assert "not a medical device" in out


def test_info_hands_the_whole_description_to_a_program(run_verb, tiny_release):
    status, out, _ = run_verb("info", tiny_release, "--json")

    told = json.loads(out)
    assert status == 0
    assert told["head"] == "coral"
    assert told["name"].startswith("tiny@")


def test_a_release_that_is_not_there_ends_with_status_2(run_verb, tmp_path):
    status, out, err = run_verb("info", tmp_path / "nowhere")

    assert (status, out) == (2, "")
    assert "there is no such path" in err


def test_an_older_release_is_completed_with_a_golden_photograph(run_verb, tiny_release, tmp_path):
    whole = open_release(tiny_release)
    old = copy_release(whole, tmp_path / "old", whole.release, {}, without=(GOLDEN_PHOTOGRAPH, GOLDEN_CANVAS))

    status, out, err = run_verb("verify", old.path, "--complete", tmp_path / "new")

    assert status == 0
    assert "absent golden photograph" in out
    assert "Written: " in err
    assert open_release(tmp_path / "new").golden_photograph is not None
    assert run_verb("verify", tmp_path / "new")[1].count("absent") == 0
    status, _, err = run_verb("verify", tmp_path / "new", "--complete", tmp_path / "newer")
    assert status == 2
    assert "--complete: expected a release without a golden photograph" in err
    assert not (tmp_path / "newer").exists()
