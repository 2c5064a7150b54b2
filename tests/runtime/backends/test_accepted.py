"""A release whose golden outputs fail is refused by whoever opens it; of one that passed a note is kept."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fundoscope.audit.embedder import ReleaseEmbedder
from fundoscope.errors import BadRelease
from fundoscope.runtime.backends import golden
from fundoscope.runtime.backends.accepted import note_accepted, was_accepted
from fundoscope.runtime.backends.network import load_network, open_network
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.release import OpenRelease, open_release, write_release

REFUSED = (
    r"tiny@\w+: expected onnxruntime [\d.]+ to compute the release's golden outputs, got golden {}: 3 photographs, "
    r"largest deviation .*\. Do not use it: fetch or export it again, and see fundoscope verify\.$"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of one's own."""
    monkeypatch.setenv("FUNDOSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def opened(tiny_release: Path) -> OpenRelease:
    return open_release(tiny_release)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the releases whose golden outputs were computed, in order."""
    names: list[str] = []
    checks = golden.golden_checks
    monkeypatch.setattr(
        golden, "golden_checks", lambda opened, network: names.append(opened.name) or checks(opened, network)
    )
    return names


def wrong_release(tiny: dict[str, Any], folder: Path, output: str) -> Path:
    model = tiny["tiny_model"]()
    outputs = tiny["golden_of"](model)
    outputs[output] = outputs[output] + np.float32(0.01)
    write_release(folder, tiny["tiny_description"](), model=model, card="", golden=outputs)
    return folder


@pytest.mark.parametrize("output", ["raw", "features", "heatmap"])
@pytest.mark.usefixtures("cache")
def test_a_release_that_computes_something_else_is_refused_by_whoever_opens_it_and_every_time(
    tiny: dict[str, Any], tmp_path: Path, output: str
):
    folder = wrong_release(tiny, tmp_path / "wrong", output)

    for _ in range(2):
        with pytest.raises(BadRelease, match=REFUSED.format(output)):
            Grader.open(folder)
        with pytest.raises(BadRelease, match=REFUSED.format(output)):
            ReleaseEmbedder.open(open_release(folder))


@pytest.mark.usefixtures("cache")
def test_golden_outputs_are_computed_once_for_each_release_and_program(
    opened: OpenRelease, computed: list[str], monkeypatch: pytest.MonkeyPatch
):
    open_network(opened)
    open_network(opened)
    assert computed == [opened.name]

    open_network(replace(opened, digest="0" * 64))
    assert len(computed) == 2

    monkeypatch.setattr("fundoscope.runtime.backends.sessions._onnxruntime_name", lambda: "onnxruntime 99")
    open_network(opened)
    assert len(computed) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="permissions as on POSIX systems")
@pytest.mark.parametrize("spoil", ["folder for all", "note for the group", "other text", "link", "link to the folder"])
def test_a_note_that_somebody_else_may_have_written_counts_for_nothing(cache: Path, opened: OpenRelease, spoil: str):
    network = load_network(opened)
    note_accepted(opened, network)
    assert was_accepted(opened, network)
    (note,) = (cache / "golden").iterdir()

    match spoil:
        case "folder for all":
            note.parent.chmod(0o777)
        case "note for the group":
            note.chmod(0o660)
        case "other text":
            note.write_text("0" * 64)
        case "link":
            note.rename(cache / "elsewhere")
            note.symlink_to(cache / "elsewhere")
        case _:
            note.parent.rename(cache / "elsewhere")
            (cache / "golden").symlink_to(cache / "elsewhere")

    assert not was_accepted(opened, network)


@pytest.mark.skipif(sys.platform == "win32", reason="permissions as on POSIX systems")
def test_a_note_counts_whatever_the_umask_was(cache: Path, opened: OpenRelease):
    network = load_network(opened)
    before = os.umask(0)
    try:
        note_accepted(opened, network)
    finally:
        os.umask(before)

    assert was_accepted(opened, network)


@pytest.mark.parametrize("place", ["a file", "/dev/null/cache", "zero"])
def test_where_no_note_can_be_kept_a_release_is_opened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: OpenRelease, place: str, computed: list[str]
):
    (tmp_path / "file").write_text("")
    folder = {"a file": str(tmp_path / "file"), "zero": "x" * 5000}.get(place, place)
    monkeypatch.setenv("FUNDOSCOPE_CACHE", folder)

    for _ in range(2):
        assert open_network(opened).program.startswith("onnxruntime")
    assert computed == [opened.name] * 2
