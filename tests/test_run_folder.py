from __future__ import annotations

from pathlib import Path

from fundoscope.run_folder import FitFolder, RunFolder


def test_fits_of_folds_are_listed_by_number_and_nothing_else_is_taken_for_one(tmp_path: Path):
    for name in ("fold10", "fold2", "fold0", "folder", "final", "fold"):
        (tmp_path / name).mkdir()

    assert [fit.path.name for fit in RunFolder(tmp_path).folds()] == ["fold0", "fold2", "fold10"]
    assert RunFolder(tmp_path).fold(3).weights == tmp_path / "fold3" / "network.safetensors"


def test_every_attempt_has_a_log_of_its_own(tmp_path: Path):
    fit = FitFolder(tmp_path)
    names = []
    for _ in range(11):
        names.append(fit.next_log)
        (tmp_path / names[-1]).mkdir()
    (tmp_path / "log_of_mine").mkdir()
    for name in ("log", "log10", "log2"):
        (tmp_path / name / "metrics.csv").write_text("step\n")

    assert names == ["log", *(f"log{attempt}" for attempt in range(2, 12))]
    assert [path.parent.name for path in fit.metrics] == ["log", "log2", "log10"]
