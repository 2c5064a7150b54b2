"""Photographs of one eye are among one another's most alike by their details, shifted or flipped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.disguises import painted

from fundoscope.duplicates.correlation import PLANE_PX, SIDES, detail_plane, most_alike, planes_of
from fundoscope.duplicates.fingerprint import mirrored


def square(seed, *, shift=(0, 0), turn=0.0):
    """The green channel of a painted retina on the square of a fingerprint, its retina moved behind the aperture."""
    photo = painted(seed)[..., 1]
    side = min(photo.shape)
    left = (photo.shape[1] - side) // 2
    frame = cv2.resize(photo[:side, left : left + side], (256, 256), interpolation=cv2.INTER_AREA)
    matrix = cv2.getRotationMatrix2D((127.5, 127.5), turn, 1.0)
    matrix[:, 2] += shift
    moved = cv2.warpAffine(frame, matrix, (256, 256))
    inside = np.hypot(*(np.indices((256, 256)) - 127.5)) < 115
    return np.where(inside, moved, 0).astype(np.uint8)


def test_a_plane_has_length_1_and_is_blind_to_light():
    frame = square(0)
    plane = detail_plane(frame, field=True)

    assert plane.shape == (PLANE_PX, PLANE_PX)
    assert np.linalg.norm(plane) == pytest.approx(1, abs=1e-5)
    assert (plane * detail_plane((0.7 * frame).astype(np.uint8), field=True)).sum() > 0.97
    assert not detail_plane(np.zeros((256, 256), np.uint8), field=True).any()


@pytest.mark.parametrize("mirror", SIDES)
def test_the_shifted_view_of_an_eye_is_nearest_in_the_mirroring_it_was_given(mirror):
    frames = [(square(seed), True) for seed in range(5)]
    frames += [(mirrored(square(seed, shift=(18, -11), turn=3.0), mirror), True) for seed in range(5)]

    neighbours, mirrors = most_alike(planes_of(frames, threads=1), 3, threads=2)

    assert neighbours[:, 0].tolist() == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    assert mirrors[:, 0].tolist() == [mirror] * 10


def test_an_empty_plane_and_too_few_photographs_have_no_neighbours():
    planes = planes_of([(square(0), True), None, (square(1), True)], threads=1)

    neighbours, _ = most_alike(planes, 4, threads=1)

    assert neighbours.tolist() == [[2, -1, -1, -1], [-1] * 4, [0, -1, -1, -1]]
    assert most_alike(planes[:0], 2, threads=1)[0].shape == (0, 2)


def test_the_order_of_the_photographs_does_not_matter():
    frames = [(square(seed % 4, shift=(7 * seed, 0)), True) for seed in range(8)]
    planes = planes_of(frames, threads=1)
    order = np.random.default_rng(0).permutation(8)

    forward, _ = most_alike(planes, 2, threads=1)
    shuffled, _ = most_alike(planes[order], 2, threads=1)

    assert order[shuffled].tolist() == forward[order].tolist()
