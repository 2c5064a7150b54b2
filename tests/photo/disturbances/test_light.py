from __future__ import annotations

import numpy as np
import pytest

from fundoscope.photo.disturbances.light import Tone, Vignette, darken_edge, render_tone
from fundoscope.photo.fov import Field


def test_tone_is_gain_then_gamma_on_shares_of_full_range(rng):
    picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
    tone = Tone(red=1.2, green=0.9, blue=0.7, gamma=0.8)

    expected = 255 * np.clip(picture / 255 * np.array([1.2, 0.9, 0.7]), 0, 1) ** 0.8

    assert render_tone(picture, tone) == pytest.approx(expected, abs=0.51)


def test_black_stays_black_and_a_plain_tone_changes_nothing(rng):
    picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)

    assert not render_tone(np.zeros((9, 9, 3), np.uint8), Tone(2.0, 2.0, 2.0, 0.3)).any()
    assert np.array_equal(render_tone(picture, Tone()), picture)


def test_a_vignette_leaves_its_centre_and_takes_its_strength_at_the_fields_edge():
    picture = np.full((200, 300, 3), 200, np.uint8)
    field = Field(row=100.0, column=150.0, radius=80.0, confidence=1.0)

    darker = darken_edge(picture, Vignette(row=0.5, column=0.5, strength=0.6), field)

    assert darker[100, 150, 0] >= 199
    assert darker[100, 230, 0] == pytest.approx(200 * 0.4, abs=4)
    assert darker[20, 150, 0] == pytest.approx(200 * 0.4, abs=4)
    assert darker[100, 190, 0] == pytest.approx(200 * (1 - 0.6 / 4), abs=4)
    assert darker[0, 0, 0] == 0  # more than full strength: never below black


def test_a_vignette_off_the_centre_is_darkest_opposite():
    darker = darken_edge(np.full((60, 60, 3), 200, np.uint8), Vignette(row=0.3, column=0.5, strength=0.5))

    assert darker[2, 30, 0] > darker[57, 30, 0]
