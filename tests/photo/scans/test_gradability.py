"""Which scans can be read: painted ones with one fault each, photographs given for scans, and patients' scans."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fundoscope.arrays import Photo
from fundoscope.painting import SIGNS, RetinaSpec, ScanSpec, paint_retina, paint_scan
from fundoscope.photo.gradability import assess_gradability
from fundoscope.photo.quality import Gate, Verdict


def verdict_on(picture: Photo) -> Verdict:
    found = assess_gradability(picture, Gate(), is_scan=True)
    assert found.field is None
    assert found.verdict is not None
    return found.verdict


def coloured(grey: np.ndarray) -> Photo:
    return np.repeat(grey[..., None], 3, axis=2)


def scan(seed: int = 0, **facts: object) -> Photo:
    return coloured(paint_scan(ScanSpec(**facts), rng=np.random.default_rng(seed)).scan)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_good_scan_passes_whatever_its_signs_are(sign: str):
    assert verdict_on(scan(signs=frozenset({sign}))) == Verdict(True, "good", "")


def test_a_scan_without_a_signal_is_refused():
    verdicts = [verdict_on(scan(brightness=light)) for light in (1.0, 0.5, 0.2, 0.1, 0.05, 0.02)]

    assert [verdict.gradable for verdict in verdicts] == [True] * 4 + [False] * 2
    assert verdicts[-1].faults == ("weak_signal",)
    assert verdicts[-1].reason == "no retina to be seen in the scan"


def test_a_retina_in_noise_is_first_called_weak_and_then_refused(rng):
    made = paint_scan(ScanSpec(brightness=0.4), rng=np.random.default_rng(0)).scan
    verdicts = []
    for level in (0, 40, 160, 640):
        noisy = np.clip(made + np.abs(rng.normal(0, level, made.shape)), 0, 255).astype(np.uint8)
        verdicts.append(verdict_on(coloured(noisy)))

    order = [("good", "usable", "reject").index(verdict.quality) for verdict in verdicts]
    assert order == sorted(order)
    assert (order[0], order[-1]) == (0, 2)


@pytest.mark.parametrize("side", ["above", "below"])
def test_a_retina_that_leaves_the_scan_is_refused(side: str):
    whole = scan()
    rows = len(whole)
    cut = whole[round(0.49 * rows) :] if side == "above" else whole[: round(0.52 * rows)]

    assert verdict_on(cut).faults == ("cut_off",)


@pytest.mark.parametrize("framing", ["full", "cropped"])
def test_a_fundus_photograph_is_no_scan_in_colour_or_without(framing: str, rng):
    photo = paint_retina(RetinaSpec(side_px=400, framing=framing), rng=rng).photo

    for picture in (photo, coloured(photo[..., 1])):
        assert verdict_on(picture).faults == ("not_a_scan",)


@pytest.mark.parametrize("kind", ["noise", "black", "white"])
def test_a_picture_of_nothing_is_refused(kind: str, rng):
    grey = {
        "noise": rng.integers(0, 60, (300, 500)).astype(np.uint8),
        "black": np.zeros((300, 500), np.uint8),
        "white": np.full((300, 500), 255, np.uint8),
    }[kind]

    assert not verdict_on(coloured(grey)).gradable


def test_a_photographs_gradability_is_not_asked_as_a_scans(rng):
    photo = paint_retina(RetinaSpec(side_px=600), rng=rng).photo

    assert assess_gradability(photo, Gate()).verdict != verdict_on(photo)


def test_scans_of_patients_pass(shared_data):
    paths = sorted((shared_data / "octdl" / "images").glob("*.jpg"))[7::60]
    verdicts = [verdict_on(np.array(Image.open(path).convert("RGB"))) for path in paths]

    assert len(paths) > 30
    assert all(verdict.gradable for verdict in verdicts)
