"""Every photograph is sRGB, whatever its file says of its colours; what means sRGB is not touched."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.decoding.colour import ADOBE_EXPONENT, ADOBE_PRIMARIES, SRGB_PRIMARIES, matrix_profile, to_srgb
from fundoscope.photo.quality import Gate
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.grader import assess
from fundoscope.runtime.reading import Reading

P3_PRIMARIES = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = matrix_profile(ADOBE_PRIMARIES, exponent=ADOBE_EXPONENT, name="Adobe RGB (1998)")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORANGE = (180, 90, 40)
ORANGE_IN_SRGB = (205, 90, 31)
"""Adobe's orange, by the published matrices of both spaces (Adobe RGB (1998) 4.3.5; IEC 61966-2-1)."""


@pytest.fixture(scope="module")
def retina():
    return paint_retina(RetinaSpec(side_px=96, grade=2), rng=np.random.default_rng(3)).photo


def orange(path, **options):
    Image.new("RGB", (16, 16), ORANGE).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "options"),
    [(".png", {}), (".tif", {}), (".jpg", {"quality": 100, "subsampling": 0}), (".webp", {"lossless": True})],
)
def test_a_wide_profile_is_converted_to_srgb_and_noted_in_every_format(tmp_path, suffix, options):
    read = read_photo(orange(tmp_path / f"eye{suffix}", icc_profile=ADOBE, **options))

    assert np.abs(read.pixels.astype(int) - ORANGE_IN_SRGB).max() <= 2
    assert read.notes == ("Colours were converted to sRGB from Adobe RGB (1998).",)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize(
    "profile", [SRGB, matrix_profile(SRGB_PRIMARIES, exponent=2.2, name="x")[:0]], ids=["sRGB", "empty"]
)
def test_a_profile_that_means_srgb_leaves_every_pixel(tmp_path, retina, suffix, profile):
    Image.fromarray(retina).save(tmp_path / f"plain{suffix}")
    Image.fromarray(retina).save(tmp_path / f"tagged{suffix}", icc_profile=profile)

    plain, tagged = read_photo(tmp_path / f"plain{suffix}"), read_photo(tmp_path / f"tagged{suffix}")

    np.testing.assert_array_equal(tagged.pixels, plain.pixels)
    assert tagged.notes == ()


@pytest.mark.parametrize(
    "profile", [b"no profile" * 20, ADOBE[:200], ADOBE[:150] + bytes(300)], ids=["text", "cut", "empty"]
)
def test_a_damaged_profile_is_a_note_and_no_failure(tmp_path, retina, profile):
    Image.fromarray(retina).save(tmp_path / "eye.png", icc_profile=profile)

    read = read_photo(tmp_path / "eye.png")

    np.testing.assert_array_equal(read.pixels, retina)
    assert len(read.notes) == 1
    assert read.notes[0].startswith("The colour profile in the file is damaged")


def test_a_profile_for_other_pixels_is_not_used(tmp_path, retina):
    Image.fromarray(retina).convert("CMYK").save(tmp_path / "eye.jpg", quality=95, icc_profile=ADOBE)

    read = read_photo(tmp_path / "eye.jpg")

    assert np.abs(read.pixels.astype(int) - retina).mean() < 3
    assert read.notes[0].endswith("is not for its pixels: colours are shown as sRGB.")


def png_with(path, pixels, *chunks):
    info = PngInfo()
    for name, content in chunks:
        info.add(name, content)
    Image.fromarray(pixels).save(path, pnginfo=info)
    return path


def gamma_chunk(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 1e5))


def primaries_chunk(primaries):
    return b"cHRM", struct.pack(">8I", *(round(value * 1e5) for value in primaries))


def test_the_gamma_of_a_png_is_followed(tmp_path):
    linear = np.full((8, 8, 3), ORANGE, np.uint8)

    read = read_photo(png_with(tmp_path / "eye.png", linear, gamma_chunk(1.0)))

    light = np.array(ORANGE) / 255
    expected = 255 * (1.055 * light ** (1 / 2.4) - 0.055)  # IEC 61966-2-1
    assert np.abs(read.pixels - expected).max() <= 2
    assert read.notes == ("Colours were converted to sRGB from the PNG file's gamma and primaries.",)


def test_the_primaries_of_a_png_are_followed(tmp_path):
    chunks = gamma_chunk(1 / ADOBE_EXPONENT), primaries_chunk(ADOBE_PRIMARIES)

    read = read_photo(png_with(tmp_path / "eye.png", np.full((8, 8, 3), ORANGE, np.uint8), *chunks))

    assert np.abs(read.pixels.astype(int) - ORANGE_IN_SRGB).max() <= 2


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma_chunk(0.45455)],
        [gamma_chunk(0.45455), primaries_chunk(SRGB_PRIMARIES)],
        [(b"sRGB", b"\0"), gamma_chunk(1.0), primaries_chunk(P3_PRIMARIES)],
    ],
    ids=["usual gamma", "usual primaries", "sRGB said"],
)
def test_a_png_that_means_srgb_is_left_as_it_is(tmp_path, retina, chunks):
    read = read_photo(png_with(tmp_path / "eye.png", retina, *chunks))

    np.testing.assert_array_equal(read.pixels, retina)
    assert read.notes == ()


@pytest.mark.parametrize("chunks", [[gamma_chunk(1e-5)], [gamma_chunk(0.45455), primaries_chunk((0.3,) * 8)]])
def test_impossible_gamma_and_primaries_are_a_note(tmp_path, retina, chunks):
    read = read_photo(png_with(tmp_path / "eye.png", retina, *chunks))

    np.testing.assert_array_equal(read.pixels, retina)
    assert read.notes[0].startswith("The colour profile in the file is damaged")


@pytest.mark.parametrize("word", ["space", "rule"])
def test_a_camera_that_says_adobe_rgb_in_exif_is_believed(tmp_path, word):
    exif = Image.Exif()
    if word == "space":
        exif.get_ifd(0x8769)[0xA001] = 2
    else:
        exif.get_ifd(0x8769)[0xA001] = 0xFFFF
        exif.get_ifd(0x8769)[0xA005] = {1: "R03"}

    read = read_photo(orange(tmp_path / "eye.jpg", exif=exif, quality=100, subsampling=0))

    assert np.abs(read.pixels.astype(int) - ORANGE_IN_SRGB).max() <= 2
    assert read.notes == ("Colours were converted to sRGB from Adobe RGB (EXIF).",)


def test_a_profile_within_a_bitmap_is_followed(tmp_path):
    pixels = np.full((4, 4, 3), ORANGE[::-1], np.uint8).tobytes()  # rows of 12 bytes need no filling
    header = struct.pack("<IiiHHIIiiII", 124, 4, 4, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    header += bytes(16) + b"DEBM" + bytes(36 + 12) + struct.pack("<IIII", 4, 124 + len(pixels), len(ADOBE), 0)
    assert len(header) == 124
    data = b"BM" + struct.pack("<IHHI", 14 + 124 + len(pixels) + len(ADOBE), 0, 0, 14 + 124) + header + pixels + ADOBE
    (tmp_path / "eye.bmp").write_bytes(data)

    read = read_photo(tmp_path / "eye.bmp")

    assert np.abs(read.pixels.astype(int) - ORANGE_IN_SRGB).max() <= 1


def test_transparent_and_grey_pictures_are_converted_too(tmp_path):
    rgba = np.full((8, 8, 4), (*ORANGE, 255), np.uint8)
    rgba[:4, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "eye.png", icc_profile=ADOBE)

    pixels = read_photo(tmp_path / "eye.png").pixels

    assert pixels[:4].max() == 0
    assert np.abs(pixels[4:].astype(int) - ORANGE_IN_SRGB).max() <= 1


def test_lab_becomes_rgb(tmp_path):
    Image.new("LAB", (4, 4), (136, 128, 128)).save(tmp_path / "eye.tif")  # L* 53.3: the middle grey of sRGB

    assert np.abs(read_photo(tmp_path / "eye.tif").pixels.astype(int) - 127).max() <= 2


def test_converting_again_changes_nothing():
    converted, _ = to_srgb(Image.new("RGB", (2, 2), ORANGE), ADOBE)

    again, note = to_srgb(converted, SRGB)

    np.testing.assert_array_equal(np.asarray(again), np.asarray(converted))
    assert note is None


def test_the_row_says_that_colours_were_converted(tmp_path):
    photo = paint_retina(RetinaSpec(side_px=300), rng=np.random.default_rng(1)).photo
    buffer = io.BytesIO()
    Image.fromarray(photo).save(buffer, "PNG", icc_profile=ADOBE)
    (tmp_path / "eye.png").write_bytes(buffer.getvalue())
    blank = Reading(image="a", status="unreadable", reason="", release="r", graded_at="")

    reading, _, _ = assess(
        blank, read_photo(tmp_path / "eye.png"), Recipe(side=64, crop="square"), Gate(field_size=0.2)
    )

    assert reading.status == "graded"
    assert reading.reason.endswith("Colours were converted to sRGB from Adobe RGB (1998).")


@pytest.mark.parametrize(("primaries", "exponent"), [(SRGB_PRIMARIES, 0.0), ((0.3, 0.0) * 4, 2.2)])
def test_a_profile_of_no_colours_is_refused(primaries, exponent):
    with pytest.raises(ValueError, match="primaries must have a positive y and exponent lie in"):
        matrix_profile(primaries, exponent=exponent, name="none")
