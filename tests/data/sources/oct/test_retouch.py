"""RETOUCH: one row per volume."""

from __future__ import annotations

from pathlib import Path

import pytest

from fundoscope.data.manifest import with_hashes
from fundoscope.data.sources.oct.retouch import RETOUCH
from fundoscope.errors import BadTable
from fundoscope.tables import check_manifest

HEADER = "ObjectType = Image\nNDims = 3\nDimSize = 512 1024 128\nElementType = MET_UCHAR\nElementDataFile = oct.raw\n"


def write_volume(folder: Path, voxels: bytes, *, header: str = HEADER, reference: bool = False) -> None:
    folder.mkdir(parents=True)
    (folder / "oct.mhd").write_text(header)
    (folder / "oct.raw").write_bytes(voxels)
    if reference:
        (folder / "reference.mhd").write_text(HEADER)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    write_volume(tmp_path / "RETOUCH-TrainingSet-Cirrus" / "TRAIN001", b"one", reference=True)
    write_volume(tmp_path / "RETOUCH-TrainingSet-Cirrus" / "TRAIN002", b"two", reference=True)
    write_volume(tmp_path / "RETOUCH-TestSet-Topcon" / "TEST029", b"three")
    return tmp_path


def test_maker_split_and_size_of_every_volume_are_read(volumes):
    frame = check_manifest(RETOUCH.read(volumes), path=volumes / "retouch.csv")

    assert frame["image"].tolist() == [
        "RETOUCH-TrainingSet-Cirrus/TRAIN001/oct.raw",
        "RETOUCH-TrainingSet-Cirrus/TRAIN002/oct.raw",
        "RETOUCH-TestSet-Topcon/TEST029/oct.raw",
    ]
    assert frame["split"].tolist() == ["train", "train", "test"]
    assert frame["camera"].tolist() == ["Zeiss Cirrus", "Zeiss Cirrus", "Topcon"]
    assert frame["slices"].tolist() == [128, 128, 128]
    assert frame["reference"].tolist() == ["reference.mhd", "reference.mhd", None]


def test_two_volumes_with_the_same_header_are_not_the_same_picture(volumes):
    """Headers of one maker are equal to the byte; hashed instead of the voxels, every volume would be a duplicate."""
    frame = with_hashes(RETOUCH.read(volumes), volumes)

    assert frame["sha256"].is_unique
    assert frame["sha256"].notna().all()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("ObjectType = Image\n", r"oct.mhd: expected a MetaImage header with a line DimSize = .* got 'ObjectType"),
        (None, r"expected RETOUCH with RETOUCH-TrainingSet-Cirrus, .* found nothing\. Name the folder"),
    ],
)
def test_what_is_no_volume_is_refused(tmp_path, header, message):
    if header is not None:
        write_volume(tmp_path / "RETOUCH-TestSet-Cirrus" / "TEST001", b"", header=header)
    with pytest.raises(BadTable, match=message):
        RETOUCH.read(tmp_path)
