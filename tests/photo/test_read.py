from __future__ import annotations

import contextlib
import hashlib
import io
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fundoscope.errors import UnreadablePhotograph
from fundoscope.files import sha256_of
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.read import Limits, read_photo

CORNERS = {"red": (250, 10, 10), "green": (10, 250, 10), "blue": (10, 10, 250), "grey": (120, 120, 120)}


@pytest.fixture(scope="module")
def retina():
    return paint_retina(RetinaSpec(side_px=240, grade=2), rng=np.random.default_rng(3)).photo


@pytest.fixture
def quarters():
    """40 high, 60 wide: red upper left, green upper right, blue lower left, grey lower right."""
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:20, :30], photo[:20, 30:], photo[20:, :30], photo[20:, 30:] = CORNERS.values()
    return photo


def saved(photo, path, **options):
    Image.fromarray(photo).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("suffix", "kind", "exact"),
    [
        (".png", "PNG", True),
        (".tif", "TIFF", True),
        (".bmp", "BMP", True),
        (".webp", "WEBP", True),
        (".jpg", "JPEG", False),
    ],
)
def test_every_format_gives_the_same_photograph(tmp_path, retina, suffix, kind, exact):
    options = {"lossless": True} if suffix == ".webp" else {"quality": 95} if suffix == ".jpg" else {}
    path = saved(retina, tmp_path / f"eye{suffix}", **options)

    read = read_photo(path)

    assert (read.format, read.width, read.height, read.reduced) == (kind, 320, 240, 1)
    assert read.path == str(path)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    if exact:
        np.testing.assert_array_equal(read.pixels, retina)
    else:
        assert np.abs(read.pixels.astype(int) - retina).mean() < 2


def test_the_name_does_not_matter_only_what_is_in_the_file(tmp_path, retina):
    path = tmp_path / "eye.jpg"
    Image.fromarray(retina).save(path, format="PNG")

    assert read_photo(path).format == "PNG"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_photographs_are_turned_upright(tmp_path, quarters, orientation, suffix):
    # What a camera stores when the upright picture is `quarters` (EXIF 2.32, 4.6.4).
    stored = {
        1: quarters,
        2: quarters[:, ::-1],
        3: quarters[::-1, ::-1],
        4: quarters[::-1],
        5: quarters.transpose(1, 0, 2),
        6: np.rot90(quarters, 1),
        7: quarters[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(quarters, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if suffix == ".jpg" else {"lossless": True} if suffix == ".webp" else {}
    path = saved(np.ascontiguousarray(stored), tmp_path / f"eye{suffix}", exif=exif, **options)

    read = read_photo(path)

    assert (read.height, read.width) == (40, 60) == read.pixels.shape[:2]
    assert np.abs(read.pixels[5:15, 5:25].astype(int) - CORNERS["red"]).max() < 40
    assert np.abs(read.pixels[25:35, 5:25].astype(int) - CORNERS["blue"]).max() < 40


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_is_decoded_no_smaller_than_asked_for(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(np.full((600, 810, 3), 90, np.uint8), tmp_path / "eye.jpg", exif=exif)

    sizes = {target: read_photo(path, target_px=target) for target in (600, 301, 300, 151, 150, 75, 10)}

    assert [sizes[target].reduced for target in sizes] == [1, 1, 2, 2, 4, 8, 8]
    assert all(min(read.pixels.shape[:2]) >= target for target, read in sizes.items() if target >= 75)
    whole = (810, 600) if orientation == 1 else (600, 810)
    assert {(read.width, read.height) for read in sizes.values()} == {whole}
    assert read_photo(path).reduced == 1


def test_grey_palette_and_cmyk_become_rgb(tmp_path, retina):
    picture = Image.fromarray(retina)
    picture.convert("L").save(tmp_path / "grey.png")
    picture.quantize(200).save(tmp_path / "palette.png")
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    picture.convert("1").save(tmp_path / "bits.png")

    grey = read_photo(tmp_path / "grey.png").pixels
    assert (grey[..., 0] == grey[..., 2]).all()
    assert np.abs(grey[..., 1].astype(int) - np.asarray(picture.convert("L"))).max() == 0
    assert np.abs(read_photo(tmp_path / "palette.png").pixels.astype(int) - retina).mean() < 4
    assert np.abs(read_photo(tmp_path / "cmyk.jpg").pixels.astype(int) - retina).mean() < 3
    assert set(np.unique(read_photo(tmp_path / "bits.png").pixels)) == {0, 255}


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_black(tmp_path, mode):
    rgba = np.full((20, 20, 4), 200, np.uint8)
    rgba[..., 3] = 255
    rgba[:10, :, 3] = 0
    rgba[10:15, :, 3] = 128
    picture = Image.fromarray(rgba)
    (picture.quantize(8) if mode == "P" else picture.convert(mode)).save(tmp_path / "eye.png")

    pixels = read_photo(tmp_path / "eye.png").pixels

    assert pixels[:10].max() == 0
    assert np.abs(pixels[10:15].astype(int) - 100).max() <= 3
    assert (pixels[15:] == 200).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_to_eight_whatever_the_brightest_pixel(tmp_path, suffix):
    values = np.array([[0, 257, 514, 1000], [4095, 30000, 65278, 65535]], np.uint16).repeat(4, axis=0)
    Image.fromarray(values).save(tmp_path / f"all{suffix}")
    Image.fromarray(values // 3).save(tmp_path / f"dark{suffix}")

    np.testing.assert_array_equal(
        read_photo(tmp_path / f"all{suffix}").pixels[::4, :, 1], [[0, 1, 2, 4], [16, 117, 254, 255]]
    )
    assert read_photo(tmp_path / f"dark{suffix}").pixels.max() == 85


def test_floating_point_pixels_are_refused_because_their_white_is_unknown(tmp_path):
    Image.fromarray(np.ones((9, 9), np.float32)).save(tmp_path / "eye.tif")

    with pytest.raises(UnreadablePhotograph, match=r"eye\.tif: expected whole-number pixels, got floating-point"):
        read_photo(tmp_path / "eye.tif")


def test_one_pixel_is_a_photograph_if_a_poor_one(tmp_path):
    path = saved(np.full((1, 1, 3), 7, np.uint8), tmp_path / "dot.png")

    assert read_photo(path, target_px=512).pixels.tolist() == [[[7, 7, 7]]]


def test_exif_time_is_told_in_iso_8601(tmp_path, retina):
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2017:08:01 13:07:05"
    told = read_photo(saved(retina, tmp_path / "told.jpg", exif=exif))
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    untold = read_photo(saved(retina, tmp_path / "untold.jpg", exif=exif))

    assert (told.taken, untold.taken) == ("2017-08-01T13:07:05", None)
    assert (told.patient, told.eye) == (None, None)


@pytest.mark.parametrize(
    "stamp",
    ["9999:99:99 99:99:99", "9999:12:31 23:59:59", "2026:02:30 10:00:00", "2026:03:01 25:00:00", "1000:01:01 00:00:00"],
)
def test_a_time_that_no_photograph_is_of_is_no_time(tmp_path, retina, stamp):
    """Tables with such times could not be read again: `monitor` refused them."""
    exif = Image.Exif()
    exif[0x0132] = stamp

    assert read_photo(saved(retina, tmp_path / "eye.jpg", exif=exif)).taken is None


def test_a_missing_file_a_folder_and_an_empty_file_are_told_apart(tmp_path):
    (tmp_path / "empty.jpg").touch()

    with pytest.raises(UnreadablePhotograph, match=r"gone\.jpg: expected a photograph, there is no such file"):
        read_photo(tmp_path / "gone.jpg")
    with pytest.raises(UnreadablePhotograph, match="expected a photograph, got a folder"):
        read_photo(tmp_path)
    with pytest.raises(UnreadablePhotograph, match=r"empty\.jpg: .*got an empty file \(0 bytes\)\. Copy it again"):
        read_photo(tmp_path / "empty.jpg")


@pytest.mark.parametrize("content", [b"patient;eye\n1;left\n", b"RIFF1234WAVEfmt ", b"x"])
def test_what_is_no_picture_is_refused_by_its_first_bytes(tmp_path, content):
    (tmp_path / "eye.jpg").write_bytes(content)

    with pytest.raises(UnreadablePhotograph, match=r"eye\.jpg: expected a JPEG, PNG, .* got something else"):
        read_photo(tmp_path / "eye.jpg")


@pytest.mark.parametrize("place", ["/dev/zero", "pipe.jpg"])
def test_pipes_and_devices_are_refused_at_once_and_not_hashed(tmp_path, place):
    path = tmp_path / place
    if not path.exists():
        os.mkfifo(path)

    with pytest.raises(UnreadablePhotograph, match=r"expected a photograph, got a pipe or device\. Name a file"):
        read_photo(path)
    with pytest.raises(OSError, match="it is a pipe or a device, not a file"):
        sha256_of(path)


def test_paths_that_lead_nowhere_are_refused_in_words_of_our_own(tmp_path, retina):
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    eye = saved(retina, tmp_path / "eye.png")

    with pytest.raises(UnreadablePhotograph, match="got a link that leads to itself"):
        read_photo(tmp_path / "circle")
    with pytest.raises(UnreadablePhotograph, match="got a name that is too long for a file"):
        read_photo(tmp_path / f"{'a' * 300}.jpg")
    with pytest.raises(UnreadablePhotograph, match="there is no such file"):
        read_photo(eye / "below.jpg")


def test_an_animation_of_another_kind_is_refused_by_its_kind(tmp_path):
    (tmp_path / "eye.jpg").write_bytes(b"GIF89a" + bytes(40))

    with pytest.raises(UnreadablePhotograph, match=r"eye\.jpg: .* got GIF, which cannot be read here"):
        read_photo(tmp_path / "eye.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("kept", [0.05, 0.5, 0.95])
def test_a_truncated_file_is_refused_with_its_path_and_the_reason(tmp_path, retina, suffix, kept):
    path = saved(retina, tmp_path / f"eye{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])

    with pytest.raises(UnreadablePhotograph, match=rf"eye\{suffix}: expected a whole .* damaged or truncated"):
        read_photo(path, target_px=64)


def png_header(width, height):
    """A PNG that promises a picture of this size and holds none."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", len(head))
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 90)
        + b"IDAT"
    )


def test_a_header_of_900_megapixels_is_refused_before_decoding(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(30_000, 30_000) + bytes(100))

    with pytest.raises(UnreadablePhotograph, match=r"bomb\.png: expected at most 200 megapixels, got 30000 x 30000"):
        read_photo(tmp_path / "bomb.png")


def test_limits_may_be_lowered_and_bytes_are_limited_too(tmp_path, retina):
    path = saved(retina, tmp_path / "eye.png")

    with pytest.raises(UnreadablePhotograph, match=r"got 320 x 240 \(0 megapixels\)"):
        read_photo(path, limits=Limits(max_pixels=320 * 240 - 1))
    with pytest.raises(UnreadablePhotograph, match="expected a photograph of at most 0 MiB"):
        read_photo(path, limits=Limits(max_bytes=1000))
    assert read_photo(path, limits=Limits(max_pixels=320 * 240)).width == 320


def test_a_hundred_megapixels_do_not_warn(tmp_path):
    """Pillow warns from 89 megapixels on; our limit is another. Warnings are errors here."""
    (tmp_path / "large.png").write_bytes(png_header(10_000, 10_000) + bytes(100))

    with pytest.raises(UnreadablePhotograph, match="damaged or truncated"):
        read_photo(tmp_path / "large.png")


@pytest.fixture(scope="module")
def files():
    photo = paint_retina(RetinaSpec(side_px=64), rng=np.random.default_rng(0)).photo
    data = {}
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, format=kind)
        data[kind] = buffer.getvalue()
    return data


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "WEBP"]),
    where=st.floats(0, 1, exclude_max=True),
    patch=st.binary(min_size=1, max_size=6),
)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(tmp_path, files, kind, where, patch):
    data = bytearray(files[kind])
    at = int(where * len(data))
    data[at : at + len(patch)] = patch
    (tmp_path / "eye").write_bytes(bytes(data))

    # Anything but UnreadablePhotograph fails the test.
    with contextlib.suppress(UnreadablePhotograph):
        read = read_photo(tmp_path / "eye")
        assert read.pixels.dtype == np.uint8
        assert read.pixels.shape == (read.height, read.width, 3)


def test_a_camera_file_is_read_small_with_its_size_and_time(shared_data):
    read = read_photo(shared_data / "idrid" / "originals" / "IDRiD_test_026.jpg", target_px=640)

    assert (read.width, read.height, read.reduced, read.pixels.shape) == (4288, 2848, 4, (712, 1072, 3))
    assert read.taken is not None
    assert read.taken.startswith("20")
