"""Truncated photographs are refused in a process in which another library has told Pillow to load them."""

from __future__ import annotations

import threading

import pytest
from PIL import Image, ImageFile

from fundoscope.errors import UnreadablePhotograph
from fundoscope.photo.decoding.truncation import TRUNCATION_REFUSED
from fundoscope.photo.read import read_photo


@pytest.mark.parametrize(("suffix", "share"), [("jpg", 0.3), ("jpg", 0.9), ("png", 0.5), ("tif", 0.5), ("webp", 0.6)])
def test_what_others_have_told_pillow_makes_no_half_photograph_a_whole_one(
    retinas, tmp_path, monkeypatch, suffix: str, share: float
):
    Image.open(retinas[0]).save(tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    (tmp_path / f"torn.{suffix}").write_bytes(data[: round(share * len(data))])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)

    read_photo(tmp_path / f"whole.{suffix}")
    with pytest.raises(UnreadablePhotograph, match="damaged or truncated"):
        read_photo(tmp_path / f"torn.{suffix}")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True, "the switch is somebody else's"


def test_the_switch_is_put_back_once_the_last_thread_has_decoded(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    both, inside = threading.Barrier(2, timeout=10), []

    def decode() -> None:
        with TRUNCATION_REFUSED:
            both.wait()
            inside.append(ImageFile.LOAD_TRUNCATED_IMAGES)

    threads = [threading.Thread(target=decode) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert inside == [False, False]
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
