from __future__ import annotations

import json
import shutil


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
