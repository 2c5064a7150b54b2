from __future__ import annotations

import dataclasses
import hashlib
import re

import numpy as np
import pytest

from fundoscope.evaluation.stress import stress_set
from fundoscope.evaluation.stress.stress_set import DISTURBANCES, DOSES, disturb, set_name
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.fov import Field, find_field

FIRST, SECOND = "1f" * 32, "e3" * 32


@pytest.fixture(scope="module")
def retina() -> tuple[np.ndarray, Field]:
    photo = paint_retina(RetinaSpec(side_px=512, grade=2), rng=np.random.default_rng(3)).photo
    field = find_field(photo)
    assert field is not None
    return photo, field


@pytest.mark.parametrize("name", DISTURBANCES)
def test_every_dose_changes_the_photograph_and_a_larger_one_more(name, retina):
    photo, field = retina
    one = DISTURBANCES[name]

    pictures = [disturb(photo, one, dose, field, sha256=FIRST) for dose in range(1, DOSES + 1)]

    assert len(one.amounts) == DOSES
    if name == "tight_crop":
        assert [len(picture) for picture in pictures] == sorted((len(picture) for picture in pictures), reverse=True)
        assert len(pictures[0]) < len(photo)
        return
    apart = [float(np.abs(picture.astype(int) - photo).mean()) for picture in pictures]
    assert apart == sorted(apart)
    assert 0 < apart[0] < apart[-1]


@pytest.mark.parametrize("name", DISTURBANCES)
def test_the_same_photograph_is_always_disturbed_alike(name, retina):
    photo, field = retina
    before = photo.copy()

    once, again = (disturb(photo, DISTURBANCES[name], 3, field, sha256=FIRST) for _ in range(2))

    assert np.array_equal(once, again)
    assert np.array_equal(photo, before)


@pytest.mark.parametrize("name", ["free_dust", "lens_spots", "halo", "white_balance", "noise", "motion"])
def test_what_is_random_differs_between_photographs(name, retina):
    photo, field = retina
    one, other = (disturb(photo, DISTURBANCES[name], 4, field, sha256=sha256) for sha256 in (FIRST, SECOND))

    assert not np.array_equal(one, other)


def test_photographs_of_one_camera_have_its_specks_and_there_are_three_cameras(retina):
    photo, field = retina
    photographs = [hashlib.sha256(bytes([number])).hexdigest() for number in range(40)]
    pictures = {
        disturb(photo, DISTURBANCES["camera_specks"], 3, field, sha256=sha256).tobytes() for sha256 in photographs
    }

    assert len(pictures) == 3


def test_specks_of_a_smaller_dose_are_among_those_of_a_larger_one(retina):
    photo, field = retina
    few, many = (
        (disturb(photo, DISTURBANCES["free_dust"], dose, field, sha256=FIRST) != photo).any(axis=2) for dose in (1, 3)
    )

    assert few.any()
    assert (few & many).sum() > 0.9 * few.sum()


def test_the_name_has_version_and_hash_and_changes_with_any_number(monkeypatch):
    name = set_name()
    stronger = dataclasses.replace(DISTURBANCES["jpeg"], amounts=(60.0, 40.0, 25.0, 15.0, 7.0))
    monkeypatch.setitem(stress_set.DISTURBANCES, "jpeg", stronger)

    assert re.fullmatch(r"stress-1@[0-9a-f]{12}", name)
    assert set_name() != name
