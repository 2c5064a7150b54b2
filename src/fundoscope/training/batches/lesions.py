"""Lesion boxes and masks of a manifest as coarse target maps on the prepared photograph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from jaxtyping import UInt8

from fundoscope.errors import BadTable
from fundoscope.photo.recipe import Prepared
from fundoscope.tables.columns import LESION_MASKS

KIND_OF_CLASS = {"haemorrhage_microaneurysm": 0, "hard_exudates": 1, "soft_exudates": 1}
"""Channel of each class of `boxes.csv`; other classes (the optic disc) are no lesions."""

KIND_OF_MASK = dict(zip(LESION_MASKS, (0, 0, 1, 1), strict=True))
"""Channel of each mask column of the manifest."""

BOX_COLUMNS = ("image", "class", "cx", "cy", "w", "h")

LesionMap = UInt8[np.ndarray, "side side 2"]
"""255 where a lesion of the channel's kind was marked, else 0."""


def read_boxes(path: Path | str) -> dict[Path, pd.DataFrame]:
    """Boxes of each picture, by its resolved path.

    The columns are image (relative to the table), class, and centre and size relative to the picture, in [0, 1].

    Raises:
        BadTable: If the file cannot be read or a column is missing.
    """
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise BadTable(f"{path}: expected a CSV table of lesion boxes: {error}") from error
    missing = [name for name in BOX_COLUMNS if name not in frame.columns]
    if missing:
        raise BadTable(f"{path}: expected the columns {', '.join(BOX_COLUMNS)}; {', '.join(missing)} is missing")
    folder = Path(path).parent
    return {(folder / str(image)).resolve(): boxes for image, boxes in frame.groupby("image")}


def boxes_map(boxes: pd.DataFrame, prepared: Prepared, size: tuple[int, int]) -> LesionMap:
    """Draw boxes (relative to a picture of `size` = (width, height)) on the prepared photograph."""
    side = prepared.canvas.shape[0]
    canvas = np.zeros((side, side, 2), np.uint8)
    width, height = size
    place = prepared.placement
    for _, name, cx, cy, w, h in boxes[list(BOX_COLUMNS)].itertuples(index=False, name=None):
        kind = KIND_OF_CLASS.get(str(name))
        if kind is None:
            continue
        top, left = place.to_canvas((cy - h / 2) * height, (cx - w / 2) * width)
        bottom, right = place.to_canvas((cy + h / 2) * height, (cx + w / 2) * width)
        channel = np.ascontiguousarray(canvas[..., kind])
        cv2.rectangle(channel, (round(left), round(top)), (round(right), round(bottom)), 255, thickness=-1)
        canvas[..., kind] = channel
    return canvas


def masks_map(paths: Mapping[str, Path], prepared: Prepared, size: tuple[int, int]) -> LesionMap:
    """Move lesion masks (column name to file) onto the prepared photograph.

    Raises:
        BadTable: If a mask cannot be read or its shape is not the photograph's.
    """
    side = prepared.canvas.shape[0]
    canvas = np.zeros((side, side, 2), np.uint8)
    place = prepared.placement
    for column, path in paths.items():
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
        if mask is None:
            raise BadTable(f"{path}: expected a mask picture for column {column}; it cannot be read")
        aspect = (mask.shape[1] / mask.shape[0]) / (size[0] / size[1])
        if not 0.98 < aspect < 1.02:
            raise BadTable(
                f"{path}: expected a mask of the photograph's shape {size[0]} x {size[1]}, "
                f"got {mask.shape[1]} x {mask.shape[0]}"
            )
        scale = place.scale * size[1] / mask.shape[0]
        matrix = np.array([[scale * place.stretch, 0, place.column_offset], [0, scale, place.row_offset]])
        # A microaneurysm is a few pixels: widen before shrinking, or nearest-neighbour loses it.
        widened = cv2.dilate(np.where(mask > 0, 255, 0).astype(np.uint8), np.ones((max(1, round(1 / scale)),) * 2))
        moved = cv2.warpAffine(widened, matrix, (side, side), flags=cv2.INTER_NEAREST)
        kind = KIND_OF_MASK[column]
        canvas[..., kind] = np.maximum(canvas[..., kind], moved)
    return canvas
