from __future__ import annotations

import io
import zipfile
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from fundoscope import arrays
from fundoscope.arrays import arrays_from


def npz(**values: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **values)
    return buffer.getvalue()


def test_arrays_are_read_as_they_were_written():
    back = arrays_from(npz(a=np.arange(6).reshape(2, 3), b=np.array(["x"])))

    assert back["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert back["b"].tolist() == ["x"]


def test_a_file_that_unpacks_to_more_than_is_allowed_is_refused_before_it_is_unpacked(monkeypatch):
    bomb = npz(a=np.zeros(10_000))
    monkeypatch.setattr(arrays, "LARGEST_ARRAYS", 50_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))

    assert len(bomb) < 1_000
    with pytest.raises(ValueError, match="80128 bytes unpacked, more than 50000"):
        arrays_from(bomb)


@pytest.mark.parametrize("names", [("a.npy", "a.npy"), ("a.npy", "a")])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(names: tuple[str, str]):
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz(a=np.zeros(1)))) as one, zipfile.ZipFile(buffer, "w") as two:
        for name in names:
            two.writestr(name, one.read("a.npy"))

    with pytest.raises(ValueError, match="two arrays of one name"):
        arrays_from(buffer.getvalue())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.complex64])
def test_numbers_that_are_not_finite_are_refused(value: float, kind: type):
    with pytest.raises(ValueError, match="numbers in a that are not finite"):
        arrays_from(npz(b=np.zeros(2), a=np.array([0, value], kind)))


def test_objects_are_refused():
    with pytest.raises(ValueError, match="an array of objects"):
        arrays_from(npz(a=np.array([{}], dtype=object)))


def test_every_damaged_file_is_a_value_error(rng: np.random.Generator):
    data = npz(a=rng.normal(size=20), b=np.array(["text"]))
    for _ in range(500):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), 3):
            damaged[place] = rng.integers(0, 256)
        with suppress(ValueError):
            arrays_from(bytes(damaged[: rng.integers(1, len(data) + 1)]))
