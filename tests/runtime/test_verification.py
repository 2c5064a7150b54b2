from __future__ import annotations

import shutil

import cv2
import pytest

import fundoscope.photo.recipe as preparing
from fundoscope.errors import BadRelease
from fundoscope.runtime.release import write_release
from fundoscope.runtime.verification import verify_release


def test_a_whole_release_passes_every_check(tiny_release):
    found = verify_release(tiny_release)

    assert found.passed
    assert [check.name for check in found.checks] == [
        "files",
        "golden photograph",
        "golden canvas",
        "network",
        "golden raw",
        "golden features",
        "golden heatmap",
    ]
    assert found.name.startswith("tiny@")


def test_a_network_that_computes_something_else_fails_its_golden_outputs(tiny, tmp_path):
    model = tiny["tiny_model"]()
    golden = tiny["golden_of"](model)
    golden["raw"] = golden["raw"] + 0.01
    write_release(tmp_path, tiny["tiny_description"](), model=model, card="", golden=golden)

    found = verify_release(tmp_path)

    assert not found.passed
    failed = [check for check in found.checks if check.passed is False]
    assert [check.name for check in failed] == ["golden raw"]
    assert "at most 0.001" in failed[0].detail


def test_a_golden_output_that_is_not_a_number_is_not_written(tiny, tmp_path):
    model = tiny["tiny_model"]()
    golden = tiny["golden_of"](model)
    golden["heatmap"] = golden["heatmap"] * float("nan")
    with pytest.raises(BadRelease, match=r"golden\.npz must hold finite numbers, got numbers in heatmap that are not"):
        write_release(tmp_path, tiny["tiny_description"](), model=model, card="", golden=golden)


def test_a_damaged_release_fails_at_its_files(tiny_release, tmp_path):
    folder = shutil.copytree(tiny_release, tmp_path / "copy")
    (folder / "MODEL_CARD.md").write_text("I changed this.")

    found = verify_release(folder)

    assert not found.passed
    assert [check.name for check in found.checks] == ["files"]
    assert "MODEL_CARD.md has changed" in found.checks[0].detail


def test_a_photograph_prepared_by_another_interpolation_fails(tiny_release, monkeypatch):
    class Nearest:
        """OpenCV with nearest neighbours where areas are asked for."""

        INTER_AREA = cv2.INTER_NEAREST

        def __getattr__(self, name):
            return getattr(cv2, name)

    monkeypatch.setattr(preparing, "cv2", Nearest())

    found = verify_release(tiny_release)

    assert not found.passed
    assert [check.name for check in found.checks if check.passed is False] == ["golden canvas"]


def test_a_release_from_before_golden_photographs_passes_and_says_what_was_not_checked(tiny, tmp_path):
    model = tiny["tiny_model"]()
    write_release(tmp_path, tiny["tiny_description"](), model=model, card="", golden=tiny["golden_of"](model))

    found = verify_release(tmp_path)

    assert found.passed
    (unchecked,) = [check for check in found.checks if check.passed is None]
    assert "decoding and preprocessing are not checked" in unchecked.detail
