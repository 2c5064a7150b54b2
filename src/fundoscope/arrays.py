"""Names for the arrays that pass between rooms: shape, type, range and order.

The names are checked by jaxtyping and beartype while testing and cost nothing otherwise.
"""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Shaped, UInt8

Photo = UInt8[np.ndarray, "height width 3"]
"""An upright photograph, 8-bit RGB (not BGR), 0 to 255."""

Scan = UInt8[np.ndarray, "height width"]
"""Grey values of an OCT B-scan, the vitreous above."""

Canvas = UInt8[np.ndarray, "side side 3"]
"""A prepared photograph: square, 8-bit RGB, before normalisation."""

Canvases = UInt8[np.ndarray, "photo side side 3"]
"""A batch of prepared photographs: what a release's network takes."""

Mask = Bool[np.ndarray, "height width"]
"""True where a pixel belongs to the thing named."""

Heatmap = Float32[np.ndarray, "row column"]
"""Relevance on a network's last grid, >= 0, largest value 1 (all 0 where nothing spoke for the grade)."""

RawOutput = Float[np.ndarray, "photo output"]
"""What a head gives before it is read as probabilities: logits, cut logits or one regression value."""

Probabilities = Float[np.ndarray, "photo 5"]
"""Probability of each ICDR grade; rows sum to 1."""

Grades = Int[np.ndarray, " photo"]
"""ICDR grade of each photograph, 0 to 4."""

Scores = Float[np.ndarray, " photo"]
"""One number for each photograph; higher means more disease."""

Array = Shaped[np.ndarray, "..."]
"""An array of any shape and kind."""

ONE_READER: Final = threading.Lock()
"""Held while threads read NPZ files: NumPy reads headers by Python's parser, and CPython 3.11's fails now and then with
"SystemError: AST constructor recursion depth mismatch" where two threads are in it."""

LARGEST_ARRAYS: Final = 2 * 2**30
"""Unpacked bytes of an NPZ file beyond which it is refused."""


def arrays_from(data: bytes) -> dict[str, Array]:
    """Read an NPZ file's arrays, none of which may hold objects; its size and names are checked before it is unpacked.

    Raises:
        ValueError: If it is damaged, too large, has two arrays of one name, or numbers that are not finite.
    """
    try:
        _check_members(data)
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            arrays = {name: np.asarray(stored[name]) for name in stored.files}
    except ValueError as problem:
        raise ValueError("an array of objects" if "allow_pickle" in str(problem) else str(problem)) from None
    except Exception:  # what NumPy and zipfile raise for damaged files shares no base but Exception
        raise ValueError("a damaged file") from None
    check_finite(arrays)
    return arrays


def check_finite(arrays: Mapping[str, Array]) -> None:
    """Refuse arrays with a number that is not finite.

    Raises:
        ValueError: If there is one.
    """
    for name, array in arrays.items():
        if array.dtype.kind in "fc" and not np.isfinite(array).all():
            raise ValueError(f"numbers in {name} that are not finite")


def _check_members(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
    names = [entry.filename.removesuffix(".npy") for entry in entries]
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST_ARRAYS:
        raise ValueError(f"{size} bytes unpacked, more than {LARGEST_ARRAYS}")
    if len(set(names)) < len(names):
        raise ValueError("two arrays of one name")
