from __future__ import annotations

import shutil

from fundoscope.runtime.release import write_release
from fundoscope.runtime.verification import verify_release


def test_a_whole_release_passes_every_check(tiny_release):
    found = verify_release(tiny_release)

    assert found.passed
    assert [check.name for check in found.checks] == [
        "files",
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
    assert [check.name for check in found.checks if not check.passed] == ["golden raw"]
    assert "at most 0.001" in found.checks[2].detail


def test_an_output_that_is_not_a_number_fails(tiny, tmp_path):
    model = tiny["tiny_model"]()
    golden = tiny["golden_of"](model)
    golden["heatmap"] = golden["heatmap"] * float("nan")
    write_release(tmp_path, tiny["tiny_description"](), model=model, card="", golden=golden)

    assert [check.name for check in verify_release(tmp_path).checks if not check.passed] == ["golden heatmap"]


def test_a_damaged_release_fails_at_its_files(tiny_release, tmp_path):
    folder = shutil.copytree(tiny_release, tmp_path / "copy")
    (folder / "MODEL_CARD.md").write_text("I changed this.")

    found = verify_release(folder)

    assert not found.passed
    assert [check.name for check in found.checks] == ["files"]
    assert "MODEL_CARD.md has changed" in found.checks[0].detail
