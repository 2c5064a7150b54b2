"""Painted scans: layers in order and of a healthy eye's thickness, and every sign where its mask says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fundoscope.painting.scan import AXIAL_UM, BRUCH, LATERAL_UM, LAYERS, SIGNS, ScanSpec, paint_scan

DISEASED = SIGNS[2:]


def painted(*signs: str, seed: int = 0, **facts: object):
    return paint_scan(ScanSpec(signs=frozenset(signs), **facts), rng=np.random.default_rng(seed))


def thickness(made) -> np.ndarray:
    """Of the retina, in micrometres, by column."""
    return (made.boundaries[BRUCH] - made.boundaries[LAYERS[0]]) * AXIAL_UM


def test_one_generator_state_gives_one_scan():
    assert np.array_equal(painted("drusen", seed=3).scan, painted("drusen", seed=3).scan)
    assert not np.array_equal(painted("drusen", seed=3).scan, painted("drusen", seed=4).scan)


@settings(max_examples=30, deadline=None)
@given(st.sets(st.sampled_from(SIGNS[1:])), st.integers(0, 99), st.sampled_from([(496, 768), (248, 384), (160, 224)]))
def test_layers_lie_in_order_in_every_column(signs, seed, size):
    made = painted(*signs, seed=seed, height_px=size[0], width_px=size[1])

    rows = np.stack([made.boundaries[name] for name in (*LAYERS, BRUCH)])
    assert made.scan.shape == size
    assert (np.diff(rows, axis=0) >= 0).all()
    assert set(made.masks) == signs - {"foveal scan"}
    assert all(mask.any() for mask in made.masks.values())


@pytest.mark.parametrize("seed", range(5))
def test_a_healthy_fovea_is_a_pit_and_a_scan_beside_it_has_none(seed: int):
    foveal = thickness(painted("healthy", "foveal scan", seed=seed))
    beside = thickness(painted("healthy", seed=seed))
    millimetre = round(1000 / LATERAL_UM)
    pit = int(foveal.argmin())

    assert 180 < foveal[pit] < 240
    assert 315 < foveal[pit - millimetre] < 345
    assert 340 < foveal[pit + millimetre] < 365
    assert beside[len(beside) // 2 - 2 * millimetre : len(beside) // 2 + 2 * millimetre].min() > 1.1 * foveal[pit]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sign", DISEASED)
def test_a_sign_looks_as_it_does_where_its_mask_says(sign: str, seed: int):
    made = painted(sign, "foveal scan", seed=seed, noise=0.3)
    rows = np.arange(made.scan.shape[0])[:, None]
    retina = (rows >= made.boundaries[LAYERS[0]]) & (rows < made.boundaries[BRUCH])
    inside, around = made.scan[made.masks[sign]].mean(), made.scan[retina & ~made.masks[sign]].mean()

    if sign.endswith("fluid"):
        assert inside < 0.35 * around
    elif sign.startswith("hyperreflective"):
        assert inside > 1.25 * around
    elif sign == "pigment epithelium detachment":
        assert inside < 0.8 * around
        assert thickness(made).max() > 400
    else:
        assert np.ptp(made.boundaries["pigment epithelium"] - made.boundaries[BRUCH]) * AXIAL_UM > 30


def test_fluid_under_the_retina_lifts_the_retina_and_not_the_epithelium():
    made, healthy = painted("subretinal fluid"), painted("healthy")
    epithelium = (made.boundaries[BRUCH] - made.boundaries["pigment epithelium"]) * AXIAL_UM

    assert np.allclose(epithelium, 22)
    assert thickness(made).max() > thickness(healthy).max() + 60


def test_the_light_of_a_scan_can_fail():
    good, dark = painted("healthy"), painted("healthy", brightness=0.1)

    assert dark.scan.mean() < 0.4 * good.scan.mean()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"signs": frozenset({"haemorrhage"})}, "signs must be some of .*, got haemorrhage"),
        ({"signs": frozenset({"healthy", "drusen"})}, "signs must not add to healthy, got drusen, healthy"),
        ({"width_px": 20}, "a scan must be at least 64 x 64 px, got 20 x 496"),
        ({"noise": -1.0}, r"must not be negative, got 1\.0 and -1\.0"),
    ],
)
def test_what_cannot_be_painted_is_refused(wrong: dict[str, object], words: str):
    with pytest.raises(ValueError, match=words):
        ScanSpec(**wrong)
