"""Names for the arrays that pass between rooms: shape, type, range and order.

The names are checked by jaxtyping and beartype while testing and cost nothing otherwise.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, UInt8

Photo = UInt8[np.ndarray, "height width 3"]
"""An upright photograph, 8-bit RGB (not BGR), 0 to 255."""

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
