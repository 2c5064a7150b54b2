"""A copy is a whole release, changed where it was asked for; the original stays as it is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fundoscope.errors import BadRelease, BadRequest
from fundoscope.runtime.copies import (
    check_unused,
    copy_release,
    copy_with_golden_photograph,
    copy_with_stress,
    with_section,
)
from fundoscope.runtime.golden_photograph import GOLDEN_CANVAS, GOLDEN_PHOTOGRAPH
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release


def test_a_copy_has_the_new_files_the_old_ones_and_not_those_left_behind(tiny_release, tmp_path):
    opened = open_release(tiny_release)
    before = {path.name: path.read_bytes() for path in tiny_release.iterdir()}

    first = copy_release(opened, tmp_path / "first", opened.release, {"note.txt": b"one", "extra.txt": b"two"})
    second = copy_release(
        first, tmp_path / "second", replace(first.release, version="2"), {"note.txt": b"three"}, without=["extra.txt"]
    )

    assert (tmp_path / "second" / "note.txt").read_bytes() == b"three"
    assert set(first.release.files) - set(second.release.files) == {"extra.txt"}
    assert not (tmp_path / "second" / "extra.txt").exists()
    assert (second.release.version, second.model) == ("2", opened.model)
    assert {path.name: path.read_bytes() for path in tiny_release.iterdir()} == before


def test_a_copy_is_sealed(tiny_release, tmp_path):
    opened = open_release(tiny_release)
    copy_release(opened, tmp_path / "copy", opened.release, {})
    path = tmp_path / "copy" / "release.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "9"}))

    with pytest.raises(BadRelease, match=r"release\.json has changed since the release was made"):
        open_release(tmp_path / "copy")


def test_nothing_is_written_over(tiny_release, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("")
    opened = open_release(tiny_release)

    for place in ("used", "file"):
        with pytest.raises(BadRequest, match=f"{place}: expected a new or empty folder for the copy, got one in use"):
            copy_release(opened, tmp_path / place, opened.release, {})
    check_unused(tmp_path / "new")
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["letter.txt"]


def test_an_old_release_is_given_a_golden_photograph_and_keeps_everything_else(tiny_release, tmp_path):
    opened = open_release(tiny_release)
    photograph = (GOLDEN_PHOTOGRAPH, GOLDEN_CANVAS)
    old = copy_release(opened, tmp_path / "old", opened.release, {}, without=photograph)

    new = copy_with_golden_photograph(old, tmp_path / "new")

    assert old.golden_photograph is None
    assert new.golden_photograph is not None
    assert verify_release(tmp_path / "new").passed
    changed = {name for name in new.release.files if new.release.files[name] != old.release.files.get(name)}
    assert changed == {*photograph, "release.json"}
    assert replace(new.release, files={}) == replace(old.release, files={})


def test_figures_under_stress_stand_in_the_sealed_description_and_in_the_card(tiny_release, tmp_path):
    opened = open_release(tiny_release)
    before = opened.release.evaluation

    copied = copy_with_stress(opened, tmp_path / "first", {"criterion": 0.9}, "- all: 0.9")
    again = copy_with_stress(copied, tmp_path / "second", {"criterion": 0.8}, "- all: 0.8")

    assert copied.release.evaluation == {**before, "stress": {"criterion": 0.9}}
    assert again.release.evaluation["stress"] == {"criterion": 0.8}
    assert again.card.count("## Under stress") == 1
    assert "- all: 0.8" in again.card
    assert "0.9" not in again.card
    assert again.model == opened.model


def test_a_section_replaces_an_earlier_one_and_leaves_the_heatmaps_last():
    card = "# Card\n\nText.\n\n## Limits\n\n- one\n\n## Heatmap\n\ncertified\n"

    first = with_section(card, "Under stress", "- a: 1")
    second = with_section(first, "Under stress", "- a: 2\n")

    assert first == ("# Card\n\nText.\n\n## Limits\n\n- one\n\n## Under stress\n\n- a: 1\n\n## Heatmap\n\ncertified\n")
    assert second == first.replace("1", "2")
    assert with_section("# Card", "Under stress", "x") == "# Card\n\n## Under stress\n\nx\n"
