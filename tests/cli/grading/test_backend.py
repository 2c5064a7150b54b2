from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.runtime.release import open_release, write_release

needs_openvino = pytest.mark.openvino


@pytest.fixture
def photograph(tmp_path) -> Path:
    painted = paint_retina(RetinaSpec(side_px=320, grade=2), rng=np.random.default_rng(3))
    Image.fromarray(painted.photo).save(tmp_path / "eye.png")
    return tmp_path / "eye.png"


@pytest.mark.parametrize("verb", ["grade", "verify", "explain"])
def test_a_backend_that_does_not_exist_ends_with_status_2_and_the_names_of_those_that_do(
    verb, run_verb, tiny_release, photograph
):
    where = [tiny_release] if verb == "verify" else [photograph, "--release", tiny_release]

    status, _, err = run_verb(verb, *where, "--backend", "tensorrt")

    assert status == 2
    assert "'tensorrt' is not one of 'onnxruntime', 'openvino'" in err


def test_where_openvino_is_missing_the_command_line_says_what_to_install(
    run_verb, tiny_release, photograph, monkeypatch
):
    monkeypatch.setitem(sys.modules, "openvino", None)

    status, _, err = run_verb("grade", photograph, "--release", tiny_release, "--backend", "openvino")

    assert status == 2
    assert "pip install 'fundoscope[openvino]'" in err


@needs_openvino
def test_grade_says_which_program_computed(run_verb, tiny_release, photograph):
    told = {}
    for backend in ("onnxruntime", "openvino"):
        status, out, _ = run_verb("grade", photograph, "--release", tiny_release, "--backend", backend, "--json")
        assert status == 0
        told[backend] = json.loads(out)
        assert told[backend]["computed_by"].startswith(f"{backend} ")
    _, words, _ = run_verb("grade", photograph, "--release", tiny_release, "--backend", "openvino")

    assert ", computed by openvino 20" in words
    usual, other = (told[backend]["photographs"][0] for backend in ("onnxruntime", "openvino"))
    assert {name for name in usual if usual[name] != other[name]} <= {"graded_at", "p_referable"} | {
        f"{kind}{number}" for kind in ("raw", "p") for number in range(5)
    }
    assert other["p_referable"] == pytest.approx(usual["p_referable"], abs=1e-5)


@needs_openvino
def test_verify_asks_the_program_that_is_named(run_verb, tiny_release):
    status, out, _ = run_verb("verify", tiny_release, "--backend", "openvino")

    assert status == 0
    assert "passed network: loads in openvino 20" in out
    assert "passed golden heatmap" in out


@needs_openvino
def test_a_release_that_openvino_computes_wrongly_grades_nothing_and_verify_says_why(
    run_verb, tiny_release, tmp_path, photograph
):
    right = open_release(tiny_release)
    golden = right.golden | {"heatmap": np.ascontiguousarray(right.golden["heatmap"][:, ::-1])}
    write_release(tmp_path / "release", replace(right.release, files={}), model=right.model, card="", golden=golden)
    asked = (photograph, "--release", tmp_path / "release", "--backend", "openvino")

    status, out, err = run_verb("grade", *asked)
    assert (status, out) == (2, "")
    assert "Use onnxruntime instead" in err
    assert run_verb("explain", *asked, "--out", tmp_path / "maps")[0] == 2
    assert not (tmp_path / "maps").exists()
    status, out, _ = run_verb("verify", tmp_path / "release", "--backend", "openvino")
    assert status == 2
    assert "FAILED golden heatmap" in out
    assert "passed golden raw" in out


@needs_openvino
def test_maps_of_one_program_are_not_passed_off_as_the_other_s(run_verb, tiny_release, photograph, tmp_path):
    asked = ("explain", photograph, "--release", tiny_release, "--out", tmp_path / "maps")

    status, out, _ = run_verb(*asked, "--backend", "openvino")
    assert status == 0
    assert ", computed by openvino 20" in out
    status, _, err = run_verb(*asked)
    assert status == 2
    assert "--force" in err


def test_a_checkpoint_is_computed_by_torch_and_by_no_backend(run_verb, photograph, tmp_path):
    status, _, err = run_verb("explain", photograph, "--checkpoint", tmp_path, "--backend", "openvino")

    assert status == 2
    assert "--backend openvino: expected a release, got --checkpoint" in err
