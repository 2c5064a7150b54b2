"""One retina is one whatever is written beside it; two are two however they lie together."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import FRAMINGS, RetinaSpec, paint_retina
from fundoscope.photo.fov import find_field
from fundoscope.photo.montage import shows_several_retinas

GAP_PX = 24


def painted(seed, *, framing="full", side_px=360, grade=2, **spec):
    return paint_retina(
        RetinaSpec(side_px=side_px, framing=framing, grade=grade, **spec), rng=np.random.default_rng(seed)
    ).photo


def retinas(count, **spec):
    return [painted(seed, **spec) for seed in range(count)]


def several(photo):
    photo = np.ascontiguousarray(photo)
    return shows_several_retinas(photo, find_field(photo))


def tight(photo):
    """Without the surround to the left and right, so that neighbours touch."""
    lit = np.flatnonzero(photo.max(axis=(0, 2)) > 20)
    return photo[:, lit[0] : lit[-1] + 1]


def middle(photo):
    """A square inside the field: retina to the edge."""
    height, width = photo.shape[:2]
    half = int(0.3 * height)
    return photo[height // 2 - half : height // 2 + half, width // 2 - half : width // 2 + half]


def side_by_side(photos):
    return np.hstack([cv2.resize(photo, photos[0].shape[1::-1]) for photo in photos])


def pasted(photo, inset, share, place):
    """A smaller picture over one corner of another."""
    height, width = photo.shape[:2]
    small = cv2.resize(inset, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    row = 0 if place.startswith("upper") else height - len(small)
    column = 0 if place.endswith("left") else width - small.shape[1]
    made = photo.copy()
    made[row : row + len(small), column : column + small.shape[1]] = small
    return made


def on_white(photo):
    return np.where(photo.max(axis=2, keepdims=True) < 12, np.uint8(255), photo)


def with_labels(photo, colour):
    """What cameras and archives print into pictures: a name, a time, a scale, a dot."""
    made = np.ascontiguousarray(photo.copy())
    height, width = made.shape[:2]
    cv2.putText(made, "OD 2019-03-04", (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour, 2)
    cv2.putText(made, "R", (width - 40, height - 10), cv2.FONT_HERSHEY_SIMPLEX, 1.4, colour, 4)
    cv2.rectangle(made, (4, height - 20), (54, height - 6), colour, cv2.FILLED)
    cv2.circle(made, (width - 16, 16), 8, (255, 255, 255), cv2.FILLED)
    return made


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("eye", ["left", "right"])
def test_a_single_retina_is_one_in_every_framing(framing, eye):
    photos = [painted(seed, framing=framing, eye=eye, grade=seed % 5) for seed in range(5)]

    assert [several(photo) for photo in photos] == [False] * 5


@pytest.mark.parametrize("colour", [(255, 255, 255), (255, 200, 0), (255, 120, 0), (0, 255, 0)])
def test_labels_and_marks_beside_a_retina_are_none(colour):
    assert not any(several(with_labels(photo, colour)) for photo in retinas(4, framing="full"))


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: photo // 4,
        lambda photo: np.where(np.arange(len(photo))[:, None, None] < 60, np.uint8(2), photo),
        lambda photo: cv2.GaussianBlur(photo, (0, 0), 5),
        lambda photo: np.clip(photo.astype(int) + 25, 0, 255).astype(np.uint8),
        middle,
        on_white,
    ],
    ids=["dark", "eyelid", "blurred", "lit surround", "cut inside the field", "on white"],
)
def test_a_poor_or_cut_photograph_of_one_retina_is_still_one(change):
    assert not any(several(change(photo)) for photo in retinas(4))


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("count", [2, 3])
def test_retinas_side_by_side_are_several(framing, count):
    assert several(side_by_side(retinas(count, framing=framing)))


@pytest.mark.parametrize("framing", ["full", "cropped"])
def test_retinas_one_above_the_other_are_several(framing):
    assert several(np.vstack(retinas(2, framing=framing)))


@pytest.mark.parametrize("part", [lambda photo: photo, tight, middle], ids=["whole", "touching", "without surround"])
def test_a_montage_of_four_is_several(part):
    first, *others = (part(photo) for photo in retinas(4))
    second, third, fourth = (cv2.resize(photo, first.shape[1::-1]) for photo in others)

    assert several(np.vstack([np.hstack([first, second]), np.hstack([third, fourth])]))


@pytest.mark.parametrize("part", [tight, middle], ids=["touching", "without surround"])
def test_pictures_that_touch_are_several(part):
    assert several(side_by_side([part(photo) for photo in retinas(2)]))


def test_a_stereo_pair_of_one_retina_is_several():
    photo = painted(3, framing="cropped")

    assert several(np.hstack([photo[:, :-20], photo[:, 20:]]))


def test_a_gap_between_two_pictures_does_not_join_them():
    left, right = (middle(photo) for photo in retinas(2))

    assert several(np.hstack([left, np.zeros((len(left), GAP_PX, 3), np.uint8), right]))


@pytest.mark.parametrize("place", ["upper left", "upper right", "lower left", "lower right"])
@pytest.mark.parametrize("share", [0.2, 0.3, 0.45])
def test_a_small_second_field_in_a_corner_is_seen(place, share):
    assert several(pasted(painted(0, framing="cropped"), painted(1), share, place))


def test_a_small_second_field_without_surround_is_seen():
    assert several(pasted(painted(0), middle(painted(1)), 0.5, "lower right"))


def test_a_second_retina_that_is_dark_or_has_no_colour_counts():
    first, second = retinas(2)
    red_free = np.repeat(second[..., 1:2], 3, axis=2)

    assert several(np.hstack([first, second // 3]))
    assert several(np.hstack([first, red_free]))


def test_two_retinas_on_white_are_several():
    assert several(on_white(np.hstack(retinas(2))))


@pytest.mark.parametrize("size", [(1, 1), (31, 31), (33, 700), (300, 400)])
def test_a_blank_picture_shows_no_several_retinas(size):
    for level in (0, 90, 255):
        assert not several(np.full((*size, 3), level, np.uint8))


def test_real_photographs_are_single_and_their_pairs_are_not(shared_data):
    """Of all 516 none is taken for several; of 100 pairs of each of 33 kinds, none for one."""
    paths = sorted((shared_data / "idrid" / "images").iterdir())[::43]
    photos = [np.asarray(Image.open(path)) for path in paths]

    assert [path.name for path, photo in zip(paths, photos, strict=True) if several(photo)] == []
    pairs = list(pairwise(photos))
    assert all(several(np.hstack(pair)) for pair in pairs)
    assert all(several(np.vstack(pair)) for pair in pairs)
    assert all(several(side_by_side([tight(photo) for photo in pair])) for pair in pairs)
    assert all(several(pasted(*pair, 0.25, "lower right")) for pair in pairs)
