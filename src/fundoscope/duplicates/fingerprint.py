"""What is kept of a photograph so that it can be found again in another disguise.

The photograph is laid on a small square by its field of view, so that size, format and most of a crop are gone;
local mean and contrast are taken out, so that brightness and illumination are gone. Of what is left, the signs of
the lowest frequencies of the cosine transform are the perceptual hash (pHash of Zauner 2010 with a threshold of 0
instead of the median, so that the hashes of the mirror images follow from the same coefficients).
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar, cast, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from fundoscope.arrays import ONE_READER, Photo
from fundoscope.errors import UnreadablePhotograph
from fundoscope.files import replacing, sha256_of
from fundoscope.parallel import in_order
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import Recipe, prepare

VERSION: Final = 3
"""Part of the cache's name: another way to make fingerprints must not meet the old ones."""

FRAME_PX: Final = 256
"""Side of the square that photographs are compared on."""

SHADE_PX: Final = 10.0
"""Width of the blur (sigma) that is taken for illumination and background."""

DARK: Final = 8
"""Grey level up to which a pixel of the frame is outside the picture."""

DECODE_PX: Final = 384
"""Shortest side that a photograph is decoded at: the field may fill only two thirds of the frame."""

MIRRORS: Final = ("as it is", "left to right", "upside down", "half a turn")
"""The ways a picture may have been flipped, in the order of `hashes_of`."""

_FRAME: Final = Recipe(side=FRAME_PX, crop="circle")

Frame = UInt8[np.ndarray, "256 256"]
Plane = Float32[np.ndarray, "256 256"]


@runtime_checkable
class Embedder(Protocol):
    """Computes the feature vector of a photograph, for instance with a release's network."""

    @property
    def key(self) -> str:
        """Names the network in the cache: features of another network must not meet these."""

    @property
    def decode_px(self) -> int:
        """Shortest side that a photograph must be decoded at, in px."""

    def features(self, photo: Photo, field: Field | None) -> Float32[np.ndarray, " feature"]:
        """Return the photograph's feature vector, of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """One photograph, as far as finding it again needs."""

    sha256: str
    frame: Frame
    """The green channel on the field of view's square; the padded picture where there is no field."""
    hashes: UInt8[np.ndarray, "4 32"]
    """256 bits for each of `MIRRORS`."""
    features: Float32[np.ndarray, " feature"]
    """A release's features, the mean over the photograph and its mirror image, of length 1; empty: none asked for."""
    width: int
    """Of the picture in the file, in px."""
    height: int
    field: bool
    """Whether a retina's field of view was found."""


def take_fingerprint(photograph: Photograph, embedder: Embedder | None = None) -> Fingerprint:
    """Take the fingerprint of a photograph that was read at `DECODE_PX` or larger."""
    field = find_field(photograph.pixels)
    frame = np.ascontiguousarray(prepare(photograph.pixels, _FRAME, field=field).canvas[..., 1])
    return Fingerprint(
        sha256=photograph.sha256,
        frame=frame,
        hashes=hashes_of(flattened(frame, field=field is not None)[0]),
        features=np.zeros(0, np.float32) if embedder is None else embedder.features(photograph.pixels, field),
        width=photograph.width,
        height=photograph.height,
        field=field is not None,
    )


def flattened(frame: Frame, *, field: bool = True) -> tuple[Plane, Bool[np.ndarray, "256 256"]]:
    """Normalise illumination: local mean 0, local contrast 1; also return where the picture is.

    Outside the picture, and a little inside its edge, the plane is 0. Without a `field` of view all of the padded
    picture counts: a scan's dark background is part of it.
    """
    inside = cv2.erode(_picture(frame, field), np.ones((9, 9), np.uint8)).astype(np.float32)
    pixels = frame.astype(np.float32)
    detail = (pixels - _broad(pixels * inside, 1) / (_broad(inside, 1) + 1e-3)) * inside
    contrast = np.sqrt(_broad(detail * detail, 2) / (_broad(inside, 2) + 1e-3)) + 1
    return np.asarray(detail / contrast * inside), inside > 0


def _picture(frame: Frame, field: bool) -> UInt8[np.ndarray, "256 256"]:
    """Return 1 where the frame shows the picture: its lit part; without a field, the bounding box."""
    lit = (frame > DARK).astype(np.uint8)
    if field or not lit.any():
        return lit
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    box = np.zeros_like(lit)
    box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = 1
    return box


def _broad(plane: Plane, widths: int) -> Plane:
    """Blur by `widths` times `SHADE_PX`, at a quarter of the size: a wide blur leaves nothing finer."""
    small = cv2.resize(plane, (FRAME_PX // 4, FRAME_PX // 4), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), widths * SHADE_PX / 4)
    return np.asarray(cv2.resize(blurred, (FRAME_PX, FRAME_PX), interpolation=cv2.INTER_LINEAR))


def hashes_of(plane: Plane) -> UInt8[np.ndarray, "4 32"]:
    """Compute the hashes of a flattened frame and of its three mirror images.

    Mirroring a picture changes the sign of every other row or column of its cosine transform, so that all four
    follow from one transform.
    """
    spectrum = cv2.dct(cv2.resize(plane, (64, 64), interpolation=cv2.INTER_AREA))[:16, :16]
    odd = np.where(np.arange(16) % 2, -1, 1)
    signs = (1, odd[None, :], odd[:, None], odd[:, None] * odd[None, :])
    return np.packbits(np.stack([(spectrum * sign > 0).ravel() for sign in signs]), axis=1)


Square = TypeVar("Square", bound=np.ndarray)


def mirrored(square: Square, mirror: int) -> Square:
    """Return a frame or plane flipped as `MIRRORS[mirror]` says; each way undoes itself."""
    return cast("Square", np.ascontiguousarray((square, square[:, ::-1], square[::-1], square[::-1, ::-1])[mirror]))


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """The fingerprints of many photographs: what is small in memory, the frames on disk."""

    hashes: UInt8[np.ndarray, "photo 4 32"]
    features: Float32[np.ndarray, "photo feature"]
    sha256: tuple[str, ...]
    """Blank where the file could not be read at all."""
    sizes: tuple[tuple[int, int], ...]
    """(width, height) of each file's picture; (0, 0) where it could not be read."""
    field: Bool[np.ndarray, " photo"]
    reasons: tuple[str, ...]
    """Why a photograph could not be read; blank where it could."""
    stored: tuple[Path, ...]

    def frame(self, at: int) -> Frame:
        """Return the frame of one photograph that could be read."""
        with ONE_READER, np.load(self.stored[at]) as file:
            return np.asarray(file["frame"])

    @property
    def read(self) -> Bool[np.ndarray, " photo"]:
        """Which photographs could be read."""
        return np.array([not reason for reason in self.reasons])


def take_fingerprints(
    paths: Iterable[Path], cache: Path, *, embedder: Embedder | None, threads: int
) -> Iterator[Fingerprint | str]:
    """Yield the fingerprint of each file in order, from the cache where possible; a sentence if it is unreadable.

    Args:
        paths: Photographs.
        cache: Folder; fingerprints are kept in it by their file's hash, so that an audit goes on after a kill.
        embedder: Gives features; None: none are kept.
        threads: Photographs worked on side by side.
    """
    folder = cache_folder(cache, embedder)
    folder.mkdir(parents=True, exist_ok=True)

    def one(path: Path) -> Fingerprint | str:
        try:
            sha256 = sha256_of(path)
            stored = stored_path(folder, sha256)
            cached = _read_stored(stored, sha256)
            if cached is not None:
                return cached
            taken = take_fingerprint(read_photo(path, target_px=_decode_px(embedder)), embedder)
            _store(taken, stored)
            return taken
        except UnreadablePhotograph as problem:
            return str(problem)
        except OSError as problem:
            return (
                f"{path}: expected a readable file, got: {problem.strerror or problem}. Check the path and its rights."
            )

    return in_order(one, paths, threads=threads)


def collected(taken: Iterable[Fingerprint | str], cache: Path, embedder: Embedder | None) -> Fingerprints:
    """Stack many fingerprints into arrays; their frames stay on disk."""
    folder = cache_folder(cache, embedder)
    hashes, features, rows = [], [], []
    width = 0
    for fingerprint in taken:
        if isinstance(fingerprint, str):
            hashes.append(np.zeros((4, 32), np.uint8))
            features.append(np.zeros(0, np.float32))
            rows.append(("", (0, 0), False, fingerprint, Path()))
            continue
        width = len(fingerprint.features)
        hashes.append(fingerprint.hashes)
        features.append(fingerprint.features)
        rows.append(
            (
                fingerprint.sha256,
                (fingerprint.width, fingerprint.height),
                fingerprint.field,
                "",
                stored_path(folder, fingerprint.sha256),
            )
        )
    names, sizes, fields, reasons, stored = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    return Fingerprints(
        hashes=np.stack(hashes) if hashes else np.zeros((0, 4, 32), np.uint8),
        features=np.stack([row if len(row) == width else np.zeros(width, np.float32) for row in features])
        if features
        else np.zeros((0, 0), np.float32),
        sha256=names,
        sizes=sizes,
        field=np.array(fields, dtype=bool),
        reasons=reasons,
        stored=stored,
    )


def cache_folder(cache: Path, embedder: Embedder | None) -> Path:
    """Return the folder for fingerprints of this version with this release's features."""
    features = "plain" if embedder is None else embedder.key
    return cache / f"fingerprints-{VERSION}-{features}"


def stored_path(folder: Path, sha256: str) -> Path:
    """Return the path of a file's fingerprint: 256 folders, by the hash's beginning, so that none grows too large."""
    return folder / sha256[:2] / f"{sha256[2:34]}.npz"


def _decode_px(embedder: Embedder | None) -> int:
    return max(DECODE_PX, embedder.decode_px if embedder is not None else 0)


def _store(taken: Fingerprint, path: Path) -> None:
    with replacing(path) as fresh:
        np.savez_compressed(
            fresh,
            frame=taken.frame,
            hashes=taken.hashes,
            features=taken.features,
            facts=np.array([taken.width, taken.height, int(taken.field)]),
        )


def _read_stored(path: Path, sha256: str) -> Fingerprint | None:
    """Read a fingerprint from the cache; None where there is none, or a damaged one."""
    try:
        with ONE_READER, open(path, "rb") as opened, np.load(opened) as file:
            width, height, field = (int(value) for value in file["facts"])
            return Fingerprint(
                sha256=sha256,
                frame=np.asarray(file["frame"]),
                hashes=np.asarray(file["hashes"]),
                features=np.asarray(file["features"]),
                width=width,
                height=height,
                field=bool(field),
            )
    except (FileNotFoundError, zipfile.BadZipFile, KeyError, ValueError, EOFError):
        return None
