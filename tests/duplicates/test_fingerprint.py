"""Fingerprints: mirror images' hashes follow, disguises hardly change them, the cache gives back what was stored."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from tests.disguises import DISGUISES, painted

from fundoscope.duplicates.fingerprint import (
    MIRRORS,
    Fingerprint,
    cache_folder,
    collected,
    flattened,
    hashes_of,
    mirrored,
    stored_path,
    take_fingerprint,
    take_fingerprints,
)
from fundoscope.photo.read import Photograph, read_photo


def taken(photo: np.ndarray) -> Fingerprint:
    height, width = photo.shape[:2]
    return take_fingerprint(
        Photograph(pixels=photo, path="painted", sha256="0" * 64, format="PNG", width=width, height=height)
    )


def bits_apart(first: np.ndarray, second: np.ndarray) -> int:
    return int(np.unpackbits(first ^ second).sum())


@pytest.mark.parametrize("mirror", range(4))
def test_the_hash_of_a_mirror_image_follows_from_the_photographs(mirror):
    plane = flattened(taken(painted(1)).frame)[0]

    turned = hashes_of(np.ascontiguousarray(mirrored(plane, mirror)))

    # Pixels on the mirror axis may differ in the last digit, which tips a coefficient that is nearly 0.
    assert bits_apart(turned[0], hashes_of(plane)[mirror]) <= 2
    assert (mirrored(mirrored(plane, mirror), mirror) == plane).all()
    assert len(MIRRORS) == 4


@pytest.mark.parametrize("name", [name for name in DISGUISES if name not in ("flipped", "upside down")])
def test_a_disguise_changes_few_bits_and_another_retina_many(name):
    original, other = taken(painted(1)), taken(painted(2))

    disguised = taken(np.ascontiguousarray(DISGUISES[name](painted(1))))

    assert bits_apart(original.hashes[0], disguised.hashes[0]) <= 40
    assert bits_apart(original.hashes[0], other.hashes[0]) >= 60


def test_illumination_is_taken_out():
    """Light that falls off to one side leaves the flattened frame nearly as it was."""
    photo = painted(3)
    ramp = np.linspace(0.6, 1.0, photo.shape[1])[None, :, None]

    plain, inside = flattened(taken(photo).frame)
    shaded, _ = flattened(taken((photo * ramp).astype(np.uint8)).frame)

    assert np.corrcoef(plain[inside], shaded[inside])[0, 1] > 0.9
    assert (plain[~inside] == 0).all()


def test_the_cache_gives_back_what_was_taken_and_a_damaged_file_is_made_again(tmp_path, save):
    path = save("a.jpg", painted(1))
    cache = tmp_path / "cache"
    (fresh,) = take_fingerprints([path], cache, embedder=None, threads=1)
    (again,) = take_fingerprints([path], cache, embedder=None, threads=1)

    assert isinstance(fresh, Fingerprint)
    assert isinstance(again, Fingerprint)
    assert (again.frame == fresh.frame).all()
    assert (again.hashes == fresh.hashes).all()
    assert (again.width, again.height, again.field) == (fresh.width, fresh.height, True)

    stored_path(cache_folder(cache, None), fresh.sha256).write_bytes(b"PK\x03\x04 half a file")
    (mended,) = take_fingerprints([path], cache, embedder=None, threads=1)
    assert isinstance(mended, Fingerprint)
    assert (mended.frame == fresh.frame).all()


def test_what_cannot_be_read_is_one_sentence_and_costs_no_other(tmp_path, save):
    whole = save("whole.jpg", painted(1))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(whole.read_bytes()[:500])

    paths = [broken, whole, tmp_path / "absent.jpg"]
    fingerprints = collected(
        take_fingerprints(paths, tmp_path / "cache", embedder=None, threads=2), tmp_path / "cache", None
    )

    assert fingerprints.read.tolist() == [False, True, False]
    assert "broken.jpg" in fingerprints.reasons[0]
    assert "absent.jpg" in fingerprints.reasons[2]
    assert fingerprints.sizes[1] == read_photo(whole).pixels.shape[1::-1]
    assert fingerprints.frame(1).shape == (256, 256)


def test_a_scan_has_no_field_and_is_kept_whole(tmp_path, rng):
    scan = np.repeat(rng.integers(0, 255, (200, 400, 1), dtype=np.uint8), 3, axis=2)
    Image.fromarray(scan).save(tmp_path / "scan.png")

    print_ = take_fingerprint(read_photo(tmp_path / "scan.png"))

    assert not print_.field
    assert (print_.width, print_.height) == (400, 200)
    assert (print_.frame[:60] == 0).all()  # padded above and below


def test_no_photographs_give_empty_arrays(tmp_path):
    fingerprints = collected([], tmp_path, None)

    assert fingerprints.hashes.shape == (0, 4, 32)
    assert fingerprints.features.shape == (0, 0)
