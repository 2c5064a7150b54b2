"""Whether `model.onnx` holds all of its network: read as far as is needed, without onnx, which the clinic has not.

A tensor of an ONNX graph may name a file in its place (`external_data`). A file beside the release, or wherever the
program was started, would then change answers, and no hash of the release's would notice. The file is read here as
Protocol Buffers encode it: fields of a number and a kind, of which some are messages that may hold tensors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fundoscope.errors import BadRelease

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""How a field is stored. Groups (3 and 4) are not used by ONNX and are refused."""

NESTED: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
"""Fields of each message of ONNX that are messages in which a tensor may be."""

EXTERNAL_DATA, DATA_LOCATION = 13, 14
"""Fields of a tensor: where its values are stored, and whether that is outside (1)."""

KEYS: Final = 2**32
"""Keys of fields are below: a larger one is cut to 32 bits by some readers, who then see another field."""

ORT_FORMAT: Final = b"ORTM"
"""Identifier, from byte 4 on, of onnxruntime's own format."""

ADVICE: Final = "Export the release again, or fetch it anew."


def check_self_contained(model: bytes, path: Path) -> None:
    """Refuse a graph that names files, or that is no ONNX graph.

    Args:
        model: What `model.onnx` holds.
        path: The release; messages name it.

    Raises:
        BadRelease: If it is so.
    """
    try:
        external = model[4:8] != ORT_FORMAT and _names_files(memoryview(model))
    except (ValueError, IndexError):
        external = None
    if external is None or model[4:8] == ORT_FORMAT or not model:
        raise BadRelease(f"{path}: expected an ONNX graph in model.onnx, got a file that is none. {ADVICE}")
    if external:
        raise BadRelease(
            f"{path}: expected model.onnx to hold all its weights, got some that it reads from another file. {ADVICE}"
        )


def _names_files(model: memoryview) -> bool:
    """Visit all messages by a list of their own: graphs may be nested deeper than the interpreter's stack."""
    pending = [("model", model)]
    while pending:
        kind, message = pending.pop()
        for number, wire, value in _fields(message):
            if kind == "tensor" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
                return True
            nested = NESTED[kind].get(number)
            if nested is not None and wire == BYTES:
                assert isinstance(value, memoryview)
                pending.append((nested, value))
    return False


def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Read number, kind and value of each field.

    Raises:
        ValueError: If the bytes are no message.
        IndexError: If they end within a field.
    """
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if number == 0 or key >= KEYS:
            raise ValueError(f"a field of number {number}")
        value: int | memoryview
        if wire == VARINT:
            value, place = _varint(message, place)
        else:
            if wire == BYTES:
                length, place = _varint(message, place)
            elif wire in (FIXED64, FIXED32):
                length = 8 if wire == FIXED64 else 4
            else:
                raise ValueError(f"a field of kind {wire}")
            value = message[place : place + length]
            if len(value) < length:
                raise ValueError("a field that is cut off")
            place += length
        yield number, wire, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and the place behind it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
    raise ValueError("a number of more than ten bytes")
