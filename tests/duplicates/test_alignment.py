"""Two frames are one picture, one eye, or neither."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.disguises import DISGUISES, painted

from fundoscope.duplicates.alignment import compare_frames
from fundoscope.duplicates.fingerprint import Frame, mirrored
from fundoscope.photo.recipe import Recipe, prepare


def frame_of(photo: np.ndarray) -> Frame:
    return np.ascontiguousarray(prepare(np.ascontiguousarray(photo), Recipe(side=256)).canvas[..., 1])


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_picture_in_disguise_is_a_copy(name, seed):
    seen = compare_frames(frame_of(painted(seed)), frame_of(DISGUISES[name](painted(seed))), fields=True)

    assert seen.relation == "copy"
    assert seen.mirror == {"flipped": 1, "upside down": 2}.get(name, 0)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_retina_is_neither(seed):
    seen = compare_frames(frame_of(painted(seed)), frame_of(painted(seed + 10)), fields=True)

    assert seen.relation == "different"
    assert seen.correlation < 0.5


def moved_behind_the_aperture(photo: np.ndarray, by_px: int) -> np.ndarray:
    """The same retina, shifted, seen through the same aperture: another photograph of the same eye."""
    inside = photo.max(axis=2, keepdims=True) > 12
    shift = np.array([[1, 0, by_px], [0, 1, by_px / 2]], np.float32)
    moved = cv2.warpAffine(photo, shift, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    return np.where(inside & (moved.max(axis=2, keepdims=True) > 12), moved, 0).astype(np.uint8)


@pytest.mark.parametrize("by_px", [12, 24])
def test_a_retina_that_moved_behind_its_aperture_is_the_same_eye_and_no_copy(by_px):
    photo = painted(4)

    seen = compare_frames(frame_of(photo), frame_of(moved_behind_the_aperture(photo, by_px)), fields=True)

    assert seen.relation == "same eye"
    assert seen.shift > 0.007


@pytest.mark.parametrize("mirror", range(4))
def test_comparing_either_way_round_says_the_same(mirror):
    first, second = frame_of(painted(5)), mirrored(frame_of(painted(5)), mirror)

    there, back = compare_frames(first, second, fields=True), compare_frames(second, first, fields=True)

    assert (there.relation, there.mirror) == (back.relation, back.mirror) == ("copy", mirror)
    assert there.correlation == pytest.approx(back.correlation, abs=0.02)


def test_only_the_asked_mirrorings_are_tried():
    first = frame_of(painted(6))

    assert compare_frames(first, mirrored(first, 1), fields=True, mirrors=(0,)).relation == "different"


def test_black_frames_are_not_copies_of_one_another():
    black = np.zeros((256, 256), np.uint8)

    assert compare_frames(black, black, fields=False).relation == "different"
