from __future__ import annotations

import json
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.quality import NOTHING, Gate, Quality, judge, measure_quality

GOOD = Quality(0.9, 0.8, 0.95, 0.7, 0.6)


def painted(seed=4, **spec):
    return paint_retina(RetinaSpec(side_px=512, **spec), rng=np.random.default_rng(seed)).photo


def measured(photo):
    return measure_quality(photo, find_field(photo))


@pytest.fixture(scope="module")
def photo():
    return painted(grade=2, framing="cropped")


def test_a_clear_photograph_is_good(photo):
    verdict = judge(measured(photo), Gate())

    assert (verdict.gradable, verdict.quality, verdict.reason) == (True, "good", "")


def test_the_more_blurred_the_less_sharp():
    sharpness = [measured(painted(blur_px=blur)).sharpness for blur in (0.0, 1.5, 3.0, 5.0, 8.0)]

    assert sharpness == sorted(sharpness, reverse=True)
    assert sharpness[0] > 0.8
    assert sharpness[-1] < 0.1


def test_the_darker_the_worse_exposed_and_nothing_else_suffers_first():
    qualities = [measured(painted(brightness=brightness)) for brightness in (1.0, 0.4, 0.25, 0.15, 0.08)]

    exposure = [quality.exposure for quality in qualities]
    assert exposure == sorted(exposure, reverse=True)
    assert exposure[0] == 1
    assert exposure[-1] < 0.1
    assert qualities[1].sharpness == pytest.approx(qualities[0].sharpness, abs=0.1)


def test_washed_out_photographs_are_badly_exposed():
    assert measured(painted(brightness=2.8)).exposure < measured(painted(brightness=1.0)).exposure - 0.3


def test_the_flatter_the_less_contrast_and_vessels(photo):
    field = find_field(photo)
    mean = photo[field.mask(*photo.shape[:2])].mean(axis=0)
    qualities = [
        measure_quality(np.rint(mean + share * (photo - mean)).clip(0, 255).astype(np.uint8), field)
        for share in (1.0, 0.5, 0.2, 0.05)
    ]

    for name in ("contrast", "vessels"):
        values = [getattr(quality, name) for quality in qualities]
        assert values == sorted(values, reverse=True)
        assert values[-1] < 0.15


def test_noise_is_not_taken_for_sharpness(rng):
    spec = RetinaSpec(side_px=1000, blur_px=12.0)
    blurred = paint_retina(spec, rng=np.random.default_rng(4)).photo
    noisy = np.clip(blurred + rng.normal(0, 10, blurred.shape), 0, 255).astype(np.uint8)

    assert measured(noisy).sharpness < 0.35
    assert not judge(measured(noisy), Gate()).gradable


def test_less_of_the_field_in_the_frame_is_a_smaller_field(photo):
    field = find_field(photo)
    sizes = [measure_quality(photo, replace(field, column=field.column - moved)).field_size for moved in (0, 250, 450)]

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 0.5


def test_few_pixels_are_a_small_field():
    assert measured(cv2.resize(painted(), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)).field_size < 0.4


@pytest.mark.parametrize("flip", [np.fliplr, np.flipud])
def test_flipping_changes_no_measure(photo, flip):
    before, after = measured(photo), measured(np.ascontiguousarray(flip(photo)))

    assert list(asdict(after).values()) == pytest.approx(list(asdict(before).values()), abs=0.05)


def test_the_cameras_resolution_changes_no_measure():
    large = paint_retina(RetinaSpec(side_px=1200, grade=1), rng=np.random.default_rng(2)).photo
    half = cv2.resize(large, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)

    assert list(asdict(measured(half)).values()) == pytest.approx(list(asdict(measured(large)).values()), abs=0.06)


@pytest.mark.parametrize(
    "field",
    [
        None,
        Field(50.0, 50.0, 2.0, 1.0),
        Field(-500.0, 50.0, 100.0, 1.0),
        Field(150.0, 5000.0, 100.0, 1.0),
        Field(-95.0, 50.0, 100.0, 1.0),
    ],
)
def test_without_a_field_in_the_frame_everything_is_nothing(field):
    quality = measure_quality(np.full((300, 400, 3), 80, np.uint8), field)

    assert quality == NOTHING
    assert quality.overall == 0


def test_a_plain_and_a_noisy_disc_are_no_retina(rng):
    disc = np.zeros((500, 600, 3), np.uint8)
    disc[Field(250.0, 300.0, 230.0, 1.0).mask(500, 600)] = (190, 95, 40)
    noisy = np.clip(disc + rng.normal(0, 25, disc.shape) * (disc > 0), 0, 255).astype(np.uint8)

    assert not judge(measured(disc), Gate()).gradable
    assert measured(noisy).vessels < 0.05
    assert not judge(measured(noisy), Gate()).gradable


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_an_ordinary_picture_behind_a_round_hole_is_no_retina(name):
    datasets = pytest.importorskip("sklearn.datasets", reason="needs scikit-learn's sample pictures")
    picture = datasets.load_sample_image(name)
    inside = Field(213.0, 320.0, 200.0, 1.0).mask(*picture.shape[:2])

    assert not judge(measured(picture * inside[..., None].astype(np.uint8)), Gate()).gradable


def test_no_field_is_said_to_be_no_fundus_photograph():
    verdict = judge(NOTHING, Gate())

    assert (verdict.gradable, verdict.quality) == (False, "reject")
    assert verdict.reason == "no retina found: not a fundus photograph"


def test_the_reason_names_every_shortfall_worst_first():
    verdict = judge(replace(GOOD, sharpness=0.12, contrast=0.14), Gate(sharpness=0.25, contrast=0.15))

    assert verdict.reason == (
        "out of focus (sharpness 0.12, at least 0.25 needed); too little contrast (contrast 0.14, at least 0.15 needed)"
    )
    assert (verdict.gradable, verdict.quality) == (False, "reject")


def test_between_gate_and_good_lies_usable():
    verdict = judge(replace(GOOD, vessels=0.3), Gate())

    assert (verdict.gradable, verdict.quality, verdict.reason) == (
        True,
        "usable",
        "vessels are hard to see (vessels 0.30)",
    )
    assert judge(GOOD, Gate()).quality == "good"
    assert judge(replace(GOOD, sharpness=0.25), Gate(sharpness=0.25)).gradable


def test_a_gate_survives_json_and_has_defaults():
    gate = Gate(sharpness=0.4, vessels=0.0)

    assert Gate.from_dict(json.loads(json.dumps(gate.to_dict()))) == gate
    assert Gate.from_dict({}) == Gate()
    assert Gate.from_dict({"sharpness": 1}).sharpness == 1


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"colour": 0.1}, r"gate\.colour is unknown; expected keys among contrast, exposure"),
        ({"sharpness": 1.5}, r"gate\.sharpness must lie in \[0, 1\], got 1\.5"),
        ({"sharpness": "high"}, r"gate\.sharpness must be a number in \[0, 1\], got 'high'"),
        ({"vessels": True}, r"gate\.vessels must be a number"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused_by_its_key(mapping, message):
    with pytest.raises(ValueError, match=message):
        Gate.from_dict(mapping)


def test_real_photographs_pass_and_their_blurred_copies_do_not(shared_data):
    """Of all 413 three do not pass; none of them is among these."""
    paths = sorted((shared_data / "idrid" / "images").glob("*train*"))[2::21]
    photos = [np.asarray(Image.open(path)) for path in paths]

    assert [
        path.name for path, photo in zip(paths, photos, strict=True) if not judge(measured(photo), Gate()).gradable
    ] == []
    blurred = [cv2.GaussianBlur(photo, (0, 0), 10) for photo in photos]
    assert not any(judge(measured(photo), Gate()).gradable for photo in blurred)
