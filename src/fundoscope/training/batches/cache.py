"""Photographs prepared once and kept on disk, keyed by their bytes and the recipe.

With each is kept whether a release would grade it, and by which gate: one that was assessed with another gate, or by
another version, is assessed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fundoscope.arrays import ONE_READER, Canvas, Photo
from fundoscope.errors import BadExperiment, BadTable, UnreadablePhotograph
from fundoscope.files import replacing, sha256_of
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import Placement, Prepared, Recipe, prepare
from fundoscope.runtime.grader import assess
from fundoscope.runtime.reading import Reading
from fundoscope.runtime.tasks.task import Task
from fundoscope.version import __version__


@dataclass(frozen=True, slots=True)
class Stored:
    """Where one prepared photograph lies, and the hash of the file it came from."""

    path: Path
    sha256: str
    ungradable: str = ""
    """Why a release would not grade it; empty: it would, or this was not assessed."""

    def canvas(self) -> Canvas:
        """The prepared photograph."""
        with np.load(self.path) as stored:
            return np.asarray(stored["canvas"])

    def prepared(self) -> tuple[Prepared, tuple[int, int]]:
        """The prepared photograph with its placement, and (width, height) of the picture it was made from."""
        with np.load(self.path) as stored:
            placement = Placement(**json.loads(str(stored["placement"])))
            width, height = (int(value) for value in stored["size"])
            return Prepared(canvas=np.asarray(stored["canvas"]), field=None, placement=placement), (width, height)


def prepare_all(
    paths: Sequence[Path],
    recipe: Recipe,
    cache: Path | str,
    *,
    task: Task | None = None,
    advance: Callable[[], object] | None = None,
) -> list[Stored]:
    """Prepare every photograph that the cache does not hold yet; in the order of `paths`.

    Args:
        paths: Photographs.
        recipe: How they are prepared.
        cache: Folder of the cache; made if absent. Files are written whole, so a kill loses nothing.
        task: Its gate says which photographs are gradable; None: that is not assessed.
        advance: Called after each photograph, for a progress bar.

    Raises:
        BadExperiment: If the cache cannot be written.
        BadTable: If photographs cannot be read; the message counts them and names the first three.
    """
    folder = Path(cache) / recipe_key(recipe)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise _unwritable(folder, problem) from None

    def one(path: Path) -> Stored | str:
        try:
            return _prepare_one(path, recipe, folder, task)
        except UnreadablePhotograph as error:
            return str(error)
        except OSError as error:
            return f"{path}: {error.strerror or error}"
        finally:
            if advance is not None:
                advance()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(one, paths))
    troubles = [result for result in results if isinstance(result, str)]
    if troubles:
        raise BadTable(
            f"{len(troubles)} of {len(paths)} photographs cannot be trained on: {'; '.join(troubles[:3])}. "
            "Take their rows out of the manifest or mend the files"
        )
    return [result for result in results if isinstance(result, Stored)]


def recipe_key(recipe: Recipe) -> str:
    """A short name for everything in the recipe that changes the canvas."""
    values: dict[str, Any] = {k: v for k, v in recipe.to_dict().items() if k not in ("mean", "std")}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _prepare_one(path: Path, recipe: Recipe, folder: Path, task: Task | None) -> Stored:
    sha256 = sha256_of(path)
    stored = Stored(folder / f"{sha256[:32]}.npz", sha256)
    gate = {} if task is None else _gate(task)
    if stored.path.is_file():
        assessed = _assessed(stored.path)
        if task is None or {name: assessed.get(name) for name in gate} == gate:
            return stored if task is None else replace(stored, ungradable=str(assessed["ungradable"]))
    pixels = read_photo(path, target_px=recipe.decode_px).pixels
    if task is None:
        prepared, ungradable = prepare(pixels, recipe), ""
    else:
        prepared, ungradable = _assess_and_prepare(path, pixels, recipe, task)
    try:
        with replacing(stored.path) as fresh:
            np.savez(
                fresh,
                canvas=prepared.canvas,
                placement=json.dumps(asdict(prepared.placement)),
                size=np.array([pixels.shape[1], pixels.shape[0]]),
                assessed=json.dumps(gate | {"ungradable": ungradable} if gate else {}),
            )
    except OSError as problem:
        raise _unwritable(folder, problem) from None
    return replace(stored, ungradable=ungradable)


def _unwritable(folder: Path, problem: OSError) -> BadExperiment:
    """Return the refusal of a cache that cannot be written; no photograph is at fault, nor a temporary file."""
    return BadExperiment(
        f"data.cache: expected a folder that prepared photographs can be written into, got {folder}: "
        f"{problem.strerror or problem}. Change data.cache, or make room"
    )


def _assess_and_prepare(path: Path, pixels: Photo, recipe: Recipe, task: Task) -> tuple[Prepared, str]:
    """Prepare a photograph as a release does, and say why that would not grade it: empty where it would."""
    blank = Reading(image=str(path), status="", reason="", release="", graded_at="")
    reading, _, canvas = assess(blank, pixels, recipe, task.gate, requires_field=task.requires_field)
    ungradable = "" if reading.status == "graded" else reading.reason or reading.status
    if canvas is None or reading.placement is None:
        return prepare(pixels, recipe), ungradable
    return Prepared(canvas=canvas, field=None, placement=reading.placement), ungradable


def _gate(task: Task) -> dict[str, Any]:
    """Return what an assessment depends on beside the photograph."""
    return {"gate": task.gate.to_dict(), "requires_field": task.requires_field, "version": __version__}


def _assessed(path: Path) -> dict[str, Any]:
    """Return what is stored of a photograph's assessment; nothing by earlier versions."""
    with ONE_READER, np.load(path) as stored:
        assessed: dict[str, Any] = json.loads(str(stored["assessed"])) if "assessed" in stored else {}
    return assessed
