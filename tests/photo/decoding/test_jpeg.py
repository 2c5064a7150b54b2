"""JPEG files are decoded to the pixels that Pillow gives, and their decoder's warnings are handed on."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.decoding.jpeg import decode_colour
from fundoscope.photo.read import read_photo


def jpeg(width: int, height: int, mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).convert(mode).save(stream, "JPEG", **options)
    return stream.getvalue()


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(8, 90),
    height=st.integers(8, 90),
    subsampling=st.integers(0, 2),
    quality=st.integers(5, 100),
    progressive=st.booleans(),
    restart=st.integers(0, 3),
    factor=st.sampled_from([1, 2, 4, 8]),
)
def test_pixels_are_those_that_pillow_decodes(width, height, subsampling, quality, progressive, restart, factor):
    data = jpeg(
        width, height, subsampling=subsampling, quality=quality, progressive=progressive, restart_marker_blocks=restart
    )
    picture = Image.open(io.BytesIO(data))
    picture.draft(None, (-(-width // factor), -(-height // factor)))

    pixels, warning = decode_colour(data, picture.size)

    assert warning is None
    np.testing.assert_array_equal(pixels, np.asarray(picture))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_kinds_are_left_to_pillow(mode):
    assert decode_colour(jpeg(40, 30, mode), (40, 30)) == (None, None)


@pytest.fixture
def retina() -> bytes:
    photo = paint_retina(RetinaSpec(side_px=320, grade=2), rng=np.random.default_rng(1)).photo
    stream = io.BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=90)
    return stream.getvalue()


def damaged(data: bytes) -> bytes:
    """Change a few bytes in the middle so that the decoder warns, and Pillow decodes all the same."""
    for place in range(len(data) // 2, len(data) - 100, 7):
        changed = bytearray(data)
        changed[place : place + 2] = b"\xff\xd3"  # a restart marker where none belongs
        try:
            Image.open(io.BytesIO(bytes(changed))).load()
        except OSError:
            continue
        return bytes(changed)
    raise AssertionError("no such place")


@pytest.mark.parametrize("grey", [False, True])
def test_a_damaged_picture_that_can_be_decoded_says_so(retina, tmp_path, grey):
    data = retina
    if grey:
        stream = io.BytesIO()
        Image.open(io.BytesIO(retina)).convert("L").save(stream, "JPEG", quality=90)
        data = stream.getvalue()
    (tmp_path / "whole.jpg").write_bytes(data)
    (tmp_path / "damaged.jpg").write_bytes(damaged(data))

    whole, spoilt = read_photo(tmp_path / "whole.jpg"), read_photo(tmp_path / "damaged.jpg")

    assert not any("damaged" in note for note in whole.notes)
    assert any("picture data are damaged (the decoder says: Corrupt JPEG data" in note for note in spoilt.notes)
    assert spoilt.pixels.shape == whole.pixels.shape


def test_a_truncated_picture_is_refused_as_before(retina, tmp_path):
    (tmp_path / "short.jpg").write_bytes(retina[: len(retina) // 2])

    with pytest.raises(Exception, match="expected a whole JPEG picture, got one that is damaged or truncated"):
        read_photo(tmp_path / "short.jpg")


def test_colours_of_a_profile_are_converted_after_decoding(retina, tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stream = io.BytesIO()
    Image.open(io.BytesIO(retina)).save(stream, "JPEG", quality=95, icc_profile=profile)
    (tmp_path / "profile.jpg").write_bytes(stream.getvalue())

    pixels = read_photo(tmp_path / "profile.jpg").pixels

    expected = np.asarray(Image.open(tmp_path / "profile.jpg")).astype(int)
    assert np.abs(pixels.astype(int) - expected).max() <= 2
