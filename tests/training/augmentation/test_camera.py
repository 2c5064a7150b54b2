from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.photo.disturbances.framing import FieldCut
from fundoscope.training.augmentation.camera import CameraParams, TightFrame
from fundoscope.training.augmentation.parameters import AugmentParams, apply_params, draw_params, move_mask
from fundoscope.training.experiment.ranges import Augment

NOTHING = Augment.plain()

CAMERA: dict[str, Any] = {
    "zoom": (0.7, 1.3), "zoom_probability": 0.8, "tight": 0.3, "cut": 0.8, "crescent": 0.8, "vignette": 0.8,
    "motion": 0.8, "specks": 0.8, "dust": 0.8, "noise": 0.8, "gain": 0.3, "gamma": 0.3, "jpeg": 0.8,
}  # fmt: skip

ALL = dataclasses.replace(NOTHING, **CAMERA)


def field(side: int = 64) -> np.ndarray:
    canvas = np.zeros((side, side, 3), np.uint8)
    cv2.circle(canvas, (side // 2, side // 2), side // 2 - 4, (180, 90, 40), -1)
    return canvas


def drawn(ranges: Augment, photograph: int, run_seed: int = 0) -> AugmentParams:
    return draw_params(np.random.default_rng([1, photograph]), ranges, run_seed=run_seed)


def parts(params: AugmentParams) -> dict[str, object]:
    """Every number that is drawn, by its name; those of the cut one by one."""
    camera = dataclasses.asdict(params.camera)
    cut = camera.pop("cut") or dataclasses.asdict(FieldCut())
    tone = camera.pop("tone") or {}
    return {
        **{f"camera.{name}": value for name, value in camera.items()}, **{f"cut.{name}": cut[name] for name in cut},
        "gain": tuple(tone.get(name, 1.0) for name in ("red", "green", "blue")), "gamma": tone.get("gamma", 1.0),
        "zoom": params.zoom, "masked": params.masked, "tight": params.tight,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "part"), [
    ("zoom", {"zoom", "masked"}), ("tight", {"tight", "masked"}),
    ("cut", {"cut.top", "cut.bottom", "cut.left", "cut.right"}), ("crescent", {"cut.crescent", "cut.crescent_degrees"}),
    ("vignette", {"camera.vignette"}), ("motion", {"camera.motion"}), ("specks", {"camera.specks"}),
    ("dust", {"camera.specks"}), ("noise", {"camera.noise"}), ("gain", {"gain"}), ("gamma", {"gamma"}),
    ("jpeg", {"camera.jpeg"}),
])  # fmt: skip
def test_switching_one_disturbance_off_changes_no_other_draw(name, part):
    off = dataclasses.replace(ALL, **{name: getattr(NOTHING, name)})
    changed: set[str] = set()
    for photograph in range(40):
        with_it, without = parts(drawn(ALL, photograph)), parts(drawn(off, photograph))
        changed |= {key for key in with_it if with_it[key] != without[key]}

    assert changed == part


def test_photographs_of_one_virtual_camera_share_its_pattern():
    ranges = dataclasses.replace(NOTHING, specks=1.0, speck_cameras=3)
    patterns = [drawn(ranges, photograph).camera.specks for photograph in range(60)]

    assert len(set(patterns)) == 3
    assert min(patterns.count(pattern) for pattern in set(patterns)) >= 8
    assert set(patterns).isdisjoint(drawn(ranges, photograph, run_seed=1).camera.specks for photograph in range(60))


def test_free_dust_is_drawn_anew_for_each_photograph():
    ranges = dataclasses.replace(NOTHING, dust=1.0)

    assert len({drawn(ranges, photograph).camera.specks for photograph in range(20)}) == 20


def test_each_disturbance_happens_as_often_as_it_is_asked_for():
    ranges = dataclasses.replace(NOTHING, specks=0.3, jpeg=0.3, cut=0.3, gamma=0.5, tone_probability=0.3)
    cameras = [drawn(ranges, photograph).camera for photograph in range(400)]

    for happened in (
        [bool(camera.specks) for camera in cameras], [camera.jpeg > 0 for camera in cameras],
        [camera.cut is not None for camera in cameras], [camera.tone is not None for camera in cameras],
    ):  # fmt: skip
        assert np.mean(happened) == pytest.approx(0.3, abs=0.08)


def test_numbers_lie_in_the_ranges_of_the_experiment():
    ranges = dataclasses.replace(
        ALL, cut=1.0, cut_depth=(0.1, 0.2), jpeg=1.0, jpeg_quality=(40.0, 50.0), motion=1.0, motion_length=(0.01, 0.02),
        noise=1.0, noise_level=(0.02, 0.04), zoom=(1.1, 1.2), zoom_probability=1.0,
    )  # fmt: skip
    for photograph in range(50):
        params = drawn(ranges, photograph)
        camera = params.camera
        assert camera.cut is not None
        depths = (camera.cut.top, camera.cut.bottom, camera.cut.left, camera.cut.right)
        assert any(depths)
        assert all(depth == 0 or 0.1 <= depth <= 0.2 for depth in depths)
        assert 40 <= camera.jpeg <= 50
        assert camera.motion is not None
        assert 0.01 <= camera.motion.length <= 0.02
        assert camera.noise is not None
        assert 0.02 <= camera.noise.shot <= 0.04
        assert camera.noise.read <= 0.02
        assert 1.1 <= params.zoom <= 1.2


def test_the_same_draw_does_the_same_again_from_json(rng):
    canvas = field()
    for photograph in range(30):
        params = drawn(ALL, photograph)
        again = AugmentParams.from_json(params.to_json())

        assert again == params
        assert np.array_equal(apply_params(canvas, again), apply_params(canvas, params))


MOVED = [
    AugmentParams(zoom=1.3, masked=True, turn_degrees=20.0),
    AugmentParams(zoom=0.7, masked=True),
    AugmentParams(tight=TightFrame(0.2, 0.25, 0.6, shown=0.75)),
    AugmentParams(tight=TightFrame(0.2, 0.25, 0.6, shown=1.0), flip=True),
    AugmentParams(camera=CameraParams(cut=FieldCut(top=0.35, left=0.1))),
    AugmentParams(camera=CameraParams(cut=FieldCut(right=0.4, crescent=0.2, crescent_degrees=200.0))),
]


@pytest.mark.parametrize("params", MOVED)
def test_lesions_move_and_are_hidden_with_the_photograph(params):
    canvas, mask = np.full((129, 129, 3), 60, np.uint8), np.zeros((129, 129, 2), np.uint8)
    canvas[40:75, 50:92], mask[40:75, 50:92, 1] = 200, 255

    marked, moved = apply_params(canvas, params)[..., 0] > 127, move_mask(mask, params)

    shared, either = marked & (moved[..., 1] > 0), marked | (moved[..., 1] > 0)
    assert moved[..., 1].any()
    assert shared.sum() / either.sum() > 0.9
    assert not moved[..., 0].any()


def test_a_tight_crop_has_a_square_of_retina_in_the_middle_and_black_round_it():
    shown = apply_params(field(128), AugmentParams(tight=TightFrame(0.25, 0.25, 0.5, shown=0.75)))

    lit = shown.max(axis=2) > 0
    assert lit[16:112, 16:112].all()
    assert lit.sum() == 96 * 96


def test_another_angle_of_view_has_the_edge_of_the_canvass_circle():
    canvas = np.full((64, 64, 3), 120, np.uint8)

    shown = apply_params(canvas, AugmentParams(zoom=1.3, masked=True))

    assert not shown[0, 0].any()
    assert shown[32, 0].all()
    assert (shown.max(axis=2) > 0).mean() == pytest.approx(np.pi / 4, abs=0.02)


@pytest.mark.parametrize("canvas", [
    np.zeros((48, 48, 3), np.uint8), np.full((48, 48, 3), 130, np.uint8), np.full((16, 16, 3), 255, np.uint8),
], ids=["black", "no surround", "small and white"])  # fmt: skip
def test_canvases_out_of_the_ordinary_keep_their_shape_and_black_ones_stay_black(canvas):
    side = canvas.shape[0]
    everything = dataclasses.replace(
        ALL, sharpness=0.8, halo=0.8, hole=0.8, spot=0.8, blur=0.8, rand_augment=0, turn_degrees=180.0, shift=0.1
    )  # fmt: skip
    for photograph in range(25):
        params = drawn(everything, photograph)
        before = canvas.copy()
        shown = apply_params(canvas, params)

        assert shown.shape == canvas.shape
        assert shown.dtype == np.uint8
        assert np.array_equal(canvas, before)
        assert move_mask(np.zeros((side, side, 2), np.uint8), params).shape == (side, side, 2)
        if not canvas.any():
            assert not shown.any()


def test_a_disturbed_photograph_looks_the_same_at_another_side():
    """Fits that grow their canvases (`fit.sides`) must not grow their disturbances."""
    large = field(256)
    large[100:140, 90:170] = (230, 190, 80)
    small = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    ranges = dataclasses.replace(ALL, noise=0.0, jpeg=0.0, zoom=(1.0, 1.0))
    for photograph in range(12):
        params = drawn(ranges, photograph)
        shrunk = cv2.resize(apply_params(large, params), (128, 128), interpolation=cv2.INTER_AREA).astype(int)

        assert np.abs(shrunk - apply_params(small, params)).mean() < 4
