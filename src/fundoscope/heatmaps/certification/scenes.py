"""Photographs of a manifest, prepared, with the masks of their lesions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np
import pandas as pd
from jaxtyping import Bool

from fundoscope.data.manifest import picture_paths
from fundoscope.errors import BadTable
from fundoscope.heatmaps.certification.measure import PreparedPhotograph
from fundoscope.heatmaps.masks import mask_on_canvas, read_mask
from fundoscope.heatmaps.table import Scene
from fundoscope.photo.fov import find_field
from fundoscope.photo.read import read_photo
from fundoscope.photo.recipe import Prepared, Recipe, prepare, shown_retina
from fundoscope.tables.columns import DISC_MASK, LESION_MASKS, MASK_COLUMNS
from fundoscope.tables.patients import texts

_Size = tuple[int, int]


def read_photographs(
    frame: pd.DataFrame, manifest: Path, recipe: Recipe, evaluators: Sequence[int], *, lesions: bool = True
) -> list[PreparedPhotograph]:
    """Prepare the photographs of a manifest's rows.

    Args:
        frame: Rows of a checked manifest.
        manifest: Where it lies: its paths are relative to the folder.
        recipe: How the network takes photographs.
        evaluators: Number of each row's evaluator.
        lesions: Read the masks; False where the rows are of photographs without any.

    Returns:
        In the order of the rows, each called by its file's name, or by its whole path where two are called alike.

    Raises:
        BadTable: If a mask cannot be read or is not of its photograph's shape, or a row has none of `LESIONS`.
        UnreadablePhotograph: If a photograph cannot be read.
    """
    names = short_names(frame)
    patients, sources = texts(frame, "patient"), texts(frame, "source")
    photographs = []
    for at, path in enumerate(picture_paths(frame, manifest)):
        pixels = read_photo(path, target_px=recipe.decode_px).pixels
        size = pixels.shape[0], pixels.shape[1]
        field = find_field(pixels)
        prepared = prepare(pixels, recipe, field=field)
        masks = _masks(frame.iloc[at], manifest.parent, prepared, size) if lesions else {}
        scene = Scene(
            image=names[at],
            field=shown_retina(prepared.placement, field, size=size, side=len(prepared.canvas)),
            lesions={name: mask for name, mask in masks.items() if name != DISC_MASK},
            disc=masks.get(DISC_MASK),
            patient=patients[at],
            source=sources[at],
        )
        if lesions and not scene.marked:
            raise BadTable(
                f"{path}: expected a lesion in the field of view in one of {', '.join(LESION_MASKS)}, got none. "
                "Leave it out (--leave-out), or list it as lesion-free"
            )
        photographs.append(PreparedPhotograph(scene=scene, canvas=prepared.canvas, evaluator=evaluators[at]))
    return photographs


def short_names(frame: pd.DataFrame) -> list[str]:
    """Return what photographs are called in tables: the file's name, or the manifest's own where two share a name."""
    names = [PurePath(str(image)).name for image in frame["image"]]
    uses = Counter(names)
    return [name if uses[name] == 1 else str(image) for name, image in zip(names, frame["image"], strict=True)]


def with_masks(frame: pd.DataFrame) -> Bool[np.ndarray, " row"]:
    """Return which rows name a mask of a lesion."""
    columns = [name for name in LESION_MASKS if name in frame]
    if not columns:
        return np.zeros(len(frame), dtype=bool)
    return np.asarray(frame[columns].notna().any(axis=1), dtype=bool)


def _masks(row: pd.Series, folder: Path, prepared: Prepared, size: _Size) -> dict[str, Bool[np.ndarray, "side side"]]:
    masks = {}
    for column in MASK_COLUMNS:
        if column not in row or pd.isna(row[column]):
            continue
        path = folder / str(row[column])
        mask = read_mask(path, column)
        try:
            on_canvas = mask_on_canvas(mask, prepared.placement, len(prepared.canvas), size=size)
        except ValueError as problem:
            raise BadTable(f"{path}: {problem}") from None
        masks[LESION_MASKS.get(column, DISC_MASK)] = on_canvas
    return masks
