"""A folder of explanations: pictures, raw maps, and one `explanations.json`, which a run that was killed goes on from.

Of each photograph: `NAME.METHOD.png` (overlays), `NAME.png` (all side by side) and `NAME.npz` (raw maps by method, and
`field`, the pixels of the prepared photograph that show retina). Where networks stand beside one another METHOD is
`NETWORK.METHOD`, and each map has a `NETWORK.METHOD.field` of its own. What was asked stands in the JSON; a folder of
another request is refused. Photographs whose file, request and outputs are as they were are not explained again.
"""

from __future__ import annotations

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from fundoscope.arrays import Mask
from fundoscope.errors import BadRequest
from fundoscope.files import replacing, sha256_of, write_bytes, write_text
from fundoscope.grades import NOT_A_DEVICE
from fundoscope.records import null_if_nan, parse_record
from fundoscope.runtime.destinations import NO_INPUTS, Inputs, Rules, cannot_write, sole_writer
from fundoscope.runtime.explanation.explain import Explained, Lesions, field_on_grid, figure, overlay, share_outside
from fundoscope.runtime.listing.inputs import Listed, numbered
from fundoscope.runtime.reading import Reading

SCHEMA: Final = 1
ANSWERS: Final = "explanations.json"
SAVE_EVERY: Final = 16
"""Photographs after which the JSON is written; a killed run explains at most so many again."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What all photographs of a folder are asked."""

    network: str
    """The release by its id and hash, or the checkpoints by theirs."""
    methods: tuple[str, ...]
    layers: tuple[str, ...]
    target: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "network": self.network,
            "methods": list(self.methods),
            "layers": list(self.layers),
            "target": self.target,
        }


def explain_listed(
    photographs: Sequence[Listed],
    folder: Path,
    request: Request,
    explain: Callable[[Listed], Explained],
    *,
    lesions: Callable[[Listed], Lesions] | None = None,
    force: bool = False,
    inputs: Inputs = NO_INPUTS,
) -> Iterator[Row]:
    """Explain photographs into a folder, one row for each, in order; those that are done are not done again.

    Args:
        photographs: Every `image` once.
        folder: Made where absent.
        request: What `explain` does.
        explain: Never raises because of the photograph.
        lesions: Masks of a photograph, empty where nothing is known of it; None: none are drawn.
        force: Explain all anew, and write over what lies there.
        inputs: Files beside the photographs that are read, and never written over.

    Raises:
        BadRequest: If the folder holds explanations of another request, or files that would be written over, or another
            run writes there.
    """
    with sole_writer(folder, "--out"):
        stored = Stored() if force else _read(folder / ANSWERS, request)
        done, names = stored.rows, names_of(photographs)
        fellows = [photograph.fellow for photograph in photographs if photograph.fellow is not None]
        rules = Rules(
            inputs=inputs | Inputs.of([*(photograph.path for photograph in photographs), *fellows]),
            replace=force,
            replace_option="--force",
            claimed=frozenset(
                os.path.abspath(file) for name in stored.names for file in _files_of(folder, name, request.methods)
            ),
        )
        for file in (file for name in names for file in _files_of(folder, name, request.methods)):
            rules.check_file(file, "--out")
        if force:
            rules.check_file(folder / ANSWERS, "--out")
        claimed = [*dict.fromkeys((*stored.names, *names))]
        rows: dict[str, Row] = dict(done)
        _save(folder, request, rows, claimed)
        try:
            for count, (listed, name) in enumerate(zip(photographs, names, strict=True), start=1):
                if not _stands(done.get(listed.image), listed, folder, name):
                    marked = None if lesions is None else lesions(listed)
                    rows[listed.image] = write_explained(explain(listed), listed.image, folder, name, request, marked)
                yield rows[listed.image]
                if count % SAVE_EVERY == 0:
                    _save(folder, request, rows, claimed)
        except OSError as problem:
            raise cannot_write(Path(problem.filename or folder), problem, "--out") from None
        finally:
            with suppress(OSError):
                _save(folder, request, rows, claimed)


def _files_of(folder: Path, name: str, methods: Sequence[str]) -> list[Path]:
    """Return the files of one photograph."""
    return [folder / f"{name}.png", folder / f"{name}.npz", *(folder / f"{name}.{method}.png" for method in methods)]


def names_of(photographs: Sequence[Listed]) -> list[str]:
    """Return what the files of each photograph begin with: its name, or where two have one name the whole path."""
    stems = [photograph.path.stem for photograph in photographs]
    uses = Counter(stems)
    paths = [
        "_".join(part for part in Path(photograph.image).parts if part not in ("/", "..")) for photograph in photographs
    ]
    names = [stem if uses[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]
    return numbered(names)


def write_explained(
    explained: Explained, image: str, folder: Path, name: str, request: Request, lesions: Lesions | None
) -> Row:
    """Write one photograph's files; the row that says what became of it."""
    reading = explained.reading
    row: Row = {"image": image, "sha256": reading.sha256, "status": reading.status, "reason": reading.reason}
    row |= {"answer": explained.answer, "target": request.target, "name": name, "methods": {}}
    if not explained.maps:
        return row
    for method, relevance in explained.maps.items():
        laid_by, residual = explained.reading_of(method), explained.residuals.get(method)
        outside = share_outside(laid_by, relevance)
        write_bytes(folder / f"{name}.{method}.png", _png(overlay(laid_by, relevance)))
        row["methods"][method] = {
            "grid": list(relevance.shape),
            "outside_field": null_if_nan(outside),
            "residual": residual,
        }
    write_bytes(folder / f"{name}.png", _png(figure(explained, target=request.target, lesions=lesions)))
    # Of any type: to the stub a name among them might be an option of the function.
    arrays: dict[str, Any] = {method: relevance.astype(np.float32) for method, relevance in explained.maps.items()}
    arrays |= {"field": _field(reading)} | {f"{name}.field": _field(own) for name, own in explained.readings.items()}
    with replacing(folder / f"{name}.npz") as fresh:
        np.savez_compressed(fresh, **arrays)
    return row


def _field(reading: Reading) -> Mask:
    """Return the pixels of the prepared photograph that show retina."""
    side = reading.side or 0
    return field_on_grid(reading, side, side)


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def _stands(row: Row | None, listed: Listed, folder: Path, name: str) -> bool:
    """Return whether a photograph was explained, from this very file, and all that was written is there."""
    if row is None or not row["methods"] or row["name"] != name:
        return False
    if not all(file.is_file() for file in _files_of(folder, name, list(row["methods"]))) or not listed.path.is_file():
        return False
    return bool(sha256_of(listed.path) == row["sha256"])


@dataclass(frozen=True, slots=True)
class Stored:
    """What a folder of explanations holds already."""

    rows: Mapping[str, Row] = field(default_factory=dict)
    """By `image`."""
    names: tuple[str, ...] = ()
    """What the files begin with that runs of this request wrote, or were about to write."""


def _read(path: Path, request: Request) -> Stored:
    if not path.exists():
        return Stored()
    try:
        document = parse_record(path.read_bytes())
        stored_request, rows = document["request"], {row["image"]: row for row in document["photographs"]}
        names = dict.fromkeys([*document.get("names", ()), *(str(row["name"]) for row in rows.values())])
    except (ValueError, KeyError, TypeError):
        raise BadRequest(f"{path}: expected explanations, got a damaged file. Delete it, or give --force.") from None
    if stored_request != request.to_dict():
        raise BadRequest(
            f"{path}: expected explanations of the same request, got those of {_words(stored_request)}. "
            "Choose another --out, or give --force to replace them."
        )
    return Stored(rows, tuple(names))


def _words(request: Mapping[str, Any]) -> str:
    return f"{request.get('network')} by {', '.join(request.get('methods', []))} of {request.get('target')}"


def _save(folder: Path, request: Request, rows: Mapping[str, Row], names: Sequence[str]) -> None:
    document = {
        "schema": SCHEMA,
        "request": request.to_dict(),
        "names": list(names),
        "photographs": list(rows.values()),
        "notice": NOT_A_DEVICE,
    }
    write_text(folder / ANSWERS, json.dumps(document, indent=1, allow_nan=False) + "\n")
