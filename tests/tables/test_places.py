"""Files that a table of another computer names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.tables.places import Places


@pytest.mark.parametrize("name", [r"eyes\1.jpg", "eyes/1.JPG", r"eyes\1.JPG", "eyes/1.jpg", r".\eyes\1.Jpg"])
def test_back_slashes_and_capitals_of_the_suffix_do_not_hide_a_file(tmp_path, name):
    (tmp_path / "eyes").mkdir()
    (tmp_path / "eyes" / "1.jpg").touch()

    assert Places(tmp_path).find(name) == tmp_path / "eyes" / "1.jpg"


def test_a_name_that_may_mean_two_files_means_none(tmp_path):
    for name in ("a.jpg", "a.Jpg"):
        (tmp_path / name).touch()
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("the file system does not tell capitals apart")

    assert Places(tmp_path).find("a.JPG") == tmp_path / "a.JPG"
    assert Places(tmp_path).find("a.Jpg").is_file()


def test_a_back_slash_in_a_files_own_name_goes_first(tmp_path):
    (tmp_path / r"a\b.jpg").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.jpg").touch()

    assert Places(tmp_path).find(r"a\b.jpg") == tmp_path / r"a\b.jpg"


def test_a_file_that_is_nowhere_keeps_its_name():
    assert Places(Path("/nowhere")).find("a.jpg") == Path("/nowhere/a.jpg")
