"""One file is one picture, whole and of a kind that is decoded right; everything else is refused in our own words."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from fundoscope.errors import UnreadablePhotograph
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.read import read_photo

NEW_SUBFILE_TYPE, BITS, COMPRESSION, MAX_VALUE, PLANES, SUB_DIRECTORIES = 254, 258, 259, 281, 284, 330


@pytest.fixture(scope="module")
def retina():
    return paint_retina(RetinaSpec(side_px=96, grade=2), rng=np.random.default_rng(3)).photo


def marked(kind):
    tags = ImageFileDirectory_v2()
    tags[NEW_SUBFILE_TYPE] = kind
    return tags


def tiff(path, pages, **options):
    """A TIFF of pages, each pixels and NewSubfileType."""
    pictures = []
    for pixels, kind in pages:
        picture = Image.fromarray(pixels)
        picture.encoderinfo = {"tiffinfo": marked(kind)}
        pictures.append(picture)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], tiffinfo=marked(pages[0][1]), **options)
    return path


def tiff_entries(path, entries, pixels, *, order="<"):
    """A TIFF of one strip with the tags given, each (type, values); the strip's place is put in."""
    entries = {273: ("I", [8]), 279: ("I", [len(pixels)]), **entries}
    letters = {"H": 3, "I": 4}
    directory, beside, start = b"", b"", 8 + len(pixels)
    room = start + 2 + 12 * len(entries) + 4
    for tag, (letter, values) in sorted(entries.items()):
        packed = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(packed) > 4:
            place = room + len(beside)
            beside += packed
            packed = struct.pack(f"{order}I", place)
        directory += struct.pack(f"{order}HHI", tag, letters[letter], len(values)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    path.write_bytes(head + pixels + struct.pack(f"{order}H", len(entries)) + directory + bytes(4) + beside)
    return path


def plain_entries(retina, **more):
    height, width = retina.shape[:2]
    entries = {
        256: ("I", [width]), 257: ("I", [height]), BITS: ("H", [8, 8, 8]), COMPRESSION: ("H", [1]), 262: ("H", [2]),
        277: ("H", [3]), 278: ("I", [height]),
    }  # fmt: skip
    return entries | {int(tag.lstrip("_")): value for tag, value in more.items()}


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_tiff_of_several_pages_is_refused_by_their_number(tmp_path, retina, count, compression):
    path = tiff(
        tmp_path / "pages.tif", [(retina, 0), (retina[:, ::-1], 0), (retina, 2)][:count], compression=compression
    )

    with pytest.raises(UnreadablePhotograph, match=rf"expected one picture, got a file of {count} pages\. Export each"):
        read_photo(path)


@pytest.mark.parametrize("kind", [1, 4, 5], ids=["reduced copy", "mask", "mask of a reduced copy"])
def test_a_page_marked_as_a_copy_or_a_mask_is_passed_over(tmp_path, retina, kind):
    path = tiff(tmp_path / "copy.tif", [(retina, 0), (retina[::2, ::2], kind), (retina[::4, ::4], kind)])

    np.testing.assert_array_equal(read_photo(path).pixels, retina)


def test_the_picture_behind_its_reduced_copy_is_read(tmp_path, retina):
    path = tiff(tmp_path / "behind.tif", [(retina[::2, ::2], 1), (retina, 0)])

    read = read_photo(path)

    assert (read.width, read.height) == retina.shape[1::-1]
    np.testing.assert_array_equal(read.pixels, retina)


def test_the_levels_of_a_pyramid_count_as_pages_unless_they_are_marked(tmp_path, retina):
    levels = [retina, retina[::2, ::2], retina[::4, ::4]]

    with pytest.raises(UnreadablePhotograph, match="got a file of 3 pages"):
        read_photo(tiff(tmp_path / "pyramid.tif", [(level, 0) for level in levels]))


@pytest.mark.parametrize(("kind", "refused"), [(0, True), (1, False)])
def test_a_directory_below_another_is_a_page_unless_it_is_a_copy(tmp_path, retina, kind, refused):
    below = plain_entries(retina, _254=("I", [kind]))
    # The second directory is written as a file of its own, and its bytes put behind the first.
    second = tiff_entries(tmp_path / "second.tif", below, retina.tobytes()).read_bytes()
    first = tiff_entries(tmp_path / "first.tif", plain_entries(retina, _330=("I", [0])), retina.tobytes()).read_bytes()
    shift = len(first)
    directory = 8 + retina.nbytes
    entries = bytearray(second)
    for number in range(struct.unpack_from("<H", second, directory)[0]):
        at = directory + 2 + 12 * number
        tag, _, count = struct.unpack_from("<HHI", second, at)
        if tag in (273, BITS) and (tag == 273 or count > 2):
            struct.pack_into("<I", entries, at + 8, struct.unpack_from("<I", second, at + 8)[0] + shift)
    whole = bytearray(first + entries)
    for number in range(struct.unpack_from("<H", first, directory)[0]):
        at = directory + 2 + 12 * number
        if struct.unpack_from("<H", first, at)[0] == SUB_DIRECTORIES:
            struct.pack_into("<I", whole, at + 8, shift + directory)
    path = tmp_path / "below.tif"
    path.write_bytes(whole)

    if refused:
        with pytest.raises(UnreadablePhotograph, match="got a file of 2 pages"):
            read_photo(path)
    else:
        np.testing.assert_array_equal(read_photo(path).pixels, retina)


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_an_animation_is_refused_by_the_number_of_its_frames(tmp_path, retina, suffix):
    path = tmp_path / f"moving{suffix}"
    Image.fromarray(retina).save(path, save_all=True, append_images=[Image.fromarray(retina[:, ::-1])], duration=90)

    with pytest.raises(UnreadablePhotograph, match="expected one picture, got a file of 2 frames"):
        read_photo(path)


@pytest.mark.parametrize(("share", "refused"), [(1.0, True), (0.4, False)])
def test_a_second_picture_in_a_jpeg_is_refused_unless_it_is_a_preview(tmp_path, retina, share, refused):
    first = Image.fromarray(retina)
    second = first.resize((round(first.width * share), round(first.height * share)))
    path = tmp_path / "stereo.jpg"
    first.save(path, "MPO", save_all=True, append_images=[second])

    if refused:
        with pytest.raises(UnreadablePhotograph, match="expected one picture, got a file of 2 pictures"):
            read_photo(path)
    else:
        assert np.abs(read_photo(path).pixels.astype(int) - retina).mean() < 8


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_colours_of_sixteen_bits_are_cut_to_eight(tmp_path, retina, suffix):
    _, data = cv2.imencode(suffix, retina[..., ::-1].astype(np.uint16) * 257)
    (tmp_path / "deep").write_bytes(data.tobytes())

    np.testing.assert_array_equal(read_photo(tmp_path / "deep").pixels, retina)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_fewer_bits_stored_in_sixteen_are_refused_by_name(tmp_path, retina, suffix, bits):
    _, data = cv2.imencode(suffix, (retina[..., ::-1].astype(np.uint16) * 257) >> (16 - bits))
    (tmp_path / "deep").write_bytes(data.tobytes())

    with pytest.raises(UnreadablePhotograph, match=r"reach white \(65535\), got no value above \d+: 10, 12 or 14 bits"):
        read_photo(tmp_path / "deep")


def test_grey_of_twelve_bits_stored_in_sixteen_is_refused_too(tmp_path):
    Image.fromarray(np.arange(0, 4096, 8, dtype=np.uint16).reshape(16, 32)).save(tmp_path / "grey.png")

    with pytest.raises(UnreadablePhotograph, match="got no value above 4088"):
        read_photo(tmp_path / "grey.png")


def test_a_file_that_names_its_white_is_taken_at_its_word(tmp_path, retina):
    deep = retina.astype("<u2") * 257  # reaches far above the white that is named
    entries = plain_entries(retina, _258=("H", [16, 16, 16]), _281=("H", [4095, 4095, 4095]))

    with pytest.raises(UnreadablePhotograph, match="says that its white is 4095"):
        read_photo(tiff_entries(tmp_path / "named.tif", entries, deep.tobytes()))


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_with_each_colour_in_a_plane_are_refused_by_name(tmp_path, retina, order):
    planes = np.ascontiguousarray(retina.transpose(2, 0, 1)).astype(f"{order}u2") * 257
    height = retina.shape[0]
    each = planes.nbytes // 3
    entries = plain_entries(retina, _258=("H", [16, 16, 16]), _284=("H", [2]), _278=("I", [height]))
    entries |= {273: ("I", [8, 8 + each, 8 + 2 * each]), 279: ("I", [each] * 3)}
    path = tiff_entries(tmp_path / "planes.tif", entries, planes.tobytes(), order=order)

    with pytest.raises(UnreadablePhotograph, match="got a TIFF of 16 bits with each colour in a plane, which cannot"):
        read_photo(path)


def test_eight_bits_with_each_colour_in_a_plane_are_read(tmp_path, retina):
    planes = np.ascontiguousarray(retina.transpose(2, 0, 1))
    each = planes.nbytes // 3
    entries = plain_entries(retina, _284=("H", [2])) | {273: ("I", [8, 8 + each, 8 + 2 * each]), 279: ("I", [each] * 3)}

    np.testing.assert_array_equal(
        read_photo(tiff_entries(tmp_path / "planes.tif", entries, planes.tobytes())).pixels, retina
    )


def jpeg_bytes(retina, **options):
    buffer = io.BytesIO()
    Image.fromarray(retina).save(buffer, "JPEG", **options)
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize(
    ("marker", "precision", "words"),
    [(0xC3, 8, "a lossless or hierarchical JPEG"), (0xC1, 12, "a JPEG of 12 bits a channel")],
)
def test_an_intact_jpeg_of_an_uncommon_kind_is_not_called_damaged(tmp_path, retina, marker, precision, words):
    data = jpeg_bytes(retina)
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = marker, precision
    (tmp_path / "eye.jpg").write_bytes(data)

    with pytest.raises(UnreadablePhotograph, match=f"got {words}, which cannot be read here. Export it as JPEG"):
        read_photo(tmp_path / "eye.jpg")


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"_259": ("H", [34712])}, "a TIFF of compression 34712"),
        ({"_259": ("H", [50002])}, "a TIFF of compression 50002"),
        ({"_258": ("H", [10, 10, 10])}, "a TIFF of 3 x 10 bits a pixel"),
        ({"_258": ("H", [64, 64, 64])}, "a TIFF of 3 x 64 bits a pixel"),
    ],
)
def test_an_intact_tiff_of_an_uncommon_kind_is_not_called_damaged(tmp_path, retina, entries, words):
    path = tiff_entries(tmp_path / "eye.tif", plain_entries(retina, **entries), retina.tobytes())

    with pytest.raises(UnreadablePhotograph, match=f"got {words}, which cannot be read here"):
        read_photo(path)


def test_an_intact_bitmap_of_an_uncommon_kind_is_not_called_damaged(tmp_path, retina):
    buffer = io.BytesIO()
    Image.fromarray(retina).save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    struct.pack_into("<H", data, 28, 64)
    (tmp_path / "eye.bmp").write_bytes(data)

    with pytest.raises(UnreadablePhotograph, match="got a bitmap of 64 bits a pixel and compression 0"):
        read_photo(tmp_path / "eye.bmp")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
def test_reasons_are_words_of_our_own_whatever_is_damaged(tmp_path, retina, suffix):
    """Not one of them quotes a library, an exception's name or empty brackets."""
    options = {"compression": "tiff_lzw"} if suffix == ".tif" else {}
    path = tmp_path / f"eye{suffix}"
    Image.fromarray(retina).save(path, **options)
    data = path.read_bytes()
    rng = np.random.default_rng(5)
    reasons = set()
    for _ in range(60):
        broken = bytearray(data[: rng.integers(20, len(data))] if rng.random() < 0.5 else data)
        for at in rng.integers(4, len(broken), 6):
            broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            read_photo(path)
        except UnreadablePhotograph as problem:
            reasons.add(str(problem).removeprefix(f"{path}: "))

    assert reasons
    beginnings = (
        "expected a whole", "expected a JPEG, PNG", "expected one picture", "expected at most", "expected 16 bits",
        "expected whole-number", "expected a TIFF picture of a common", "expected a BMP picture of a common",
        "expected a JPEG picture of a common",
    )  # fmt: skip
    assert [reason for reason in reasons if not reason.startswith(beginnings)] == []
    assert not [reason for reason in reasons if "()" in reason or "Error" in reason or "decoder" in reason]
