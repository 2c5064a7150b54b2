"""A painted macular B-scan of optical coherence tomography: layers of known depth, and signs of known place.

Depths are micrometres above Bruch's membrane, as in histology and in normative tables: the retina of a healthy eye is
about 220 um thick in the centre of the fovea and 335 to 350 um a millimetre beside it, thickest towards the nose. Fluid
and deposits lift what is above.

Nothing here is meant to train or to judge a network that reads patients' scans; it is meant to look enough like a scan
that reading files, preparing, training and reporting can be tested without anybody's eye.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64

from fundoscope.arrays import Mask, Scan

SIGNS: Final = (
    "healthy",
    "foveal scan",
    "intraretinal fluid",
    "subretinal fluid",
    "drusen",
    "pigment epithelium detachment",
    "hyperreflective dots",
    "hyperreflective foci",
)
"""What can be painted. `healthy` excludes all others but `foveal scan`, which says where the scan lies."""

LAYERS: Final = (
    "nerve fibre layer",
    "ganglion cell layer",
    "inner plexiform layer",
    "inner nuclear layer",
    "outer plexiform layer",
    "outer nuclear layer",
    "inner segments",
    "ellipsoid zone",
    "outer segments",
    "pigment epithelium",
)
"""From the vitreous to Bruch's membrane; each is named by its upper boundary in `PaintedScan.boundaries`."""

BRUCH: Final = "Bruch's membrane"

REFLECTIVITY: Final = (0.72, 0.50, 0.56, 0.34, 0.52, 0.24, 0.36, 0.80, 0.44, 0.92)
"""Of `LAYERS`, on the scale of the finished picture."""

VITREOUS: Final = 0.05
CHOROID: Final = 0.62
FLUID: Final = 0.05
SUB_EPITHELIAL: Final = 0.30
"""What lies under a detached epithelium: serous or fibrous, not as dark as fluid under the retina."""

AXIAL_UM: Final = 3.87
LATERAL_UM: Final = 11.5
"""Size of a pixel of a 768 x 496 scan of 8.8 mm, as a Heidelberg Spectralis writes it."""

Heights = Float64[np.ndarray, " width"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSpec:
    """What to paint."""

    signs: frozenset[str] = frozenset({"healthy", "foveal scan"})
    """Some of `SIGNS`."""
    height_px: int = 496
    width_px: int = 768
    """Pixels are as large as `AXIAL_UM` and `LATERAL_UM` say at 768 x 496, and grow as the picture shrinks."""
    tilt: float = 0.0
    """Slope of the retina, rows per column."""
    brightness: float = 1.0
    """Factor on the signal; 1 is a good scan, below 0.2 little is left over the noise."""
    noise: float = 1.0
    """Factor on speckle and detector noise."""

    def __post_init__(self) -> None:
        unknown = sorted(self.signs - set(SIGNS))
        if unknown:
            raise ValueError(f"signs must be some of {', '.join(SIGNS)}, got {', '.join(unknown)}")
        if "healthy" in self.signs and self.signs - {"healthy", "foveal scan"}:
            raise ValueError(f"signs must not add to healthy, got {', '.join(sorted(self.signs))}")
        if self.height_px < 64 or self.width_px < 64:
            raise ValueError(f"a scan must be at least 64 x 64 px, got {self.width_px} x {self.height_px}")
        if self.brightness < 0 or self.noise < 0:
            raise ValueError(f"brightness and noise must not be negative, got {self.brightness} and {self.noise}")


@dataclass(frozen=True, slots=True)
class PaintedScan:
    """A painted scan and the truth about it."""

    scan: Scan
    """Grey values, the vitreous above."""
    boundaries: dict[str, Heights]
    """Row of the upper boundary of each layer, and of Bruch's membrane, by column."""
    masks: dict[str, Mask]
    """Where each sign lies; none for `healthy` and `foveal scan`."""
    signs: frozenset[str]


@dataclass(slots=True)
class _Retina:
    """A retina that is being built: micrometres above Bruch's membrane at each column, from the epithelium up."""

    x: Heights
    """Millimetres from the scan's middle."""
    distance: Heights
    """Millimetres from the fovea's centre."""
    lifts: dict[str, Heights] = field(default_factory=dict)
    """By sign, how far the epithelium or the retina is lifted."""

    def dome(self, centre: float, width: float, height: float) -> Heights:
        """A smooth dome of so many millimetres' width, in the units of its height."""
        inside = 1 - ((self.x - centre) / (width / 2)) ** 2
        return height * np.clip(inside, 0, None) ** 0.8


def paint_scan(spec: ScanSpec, *, rng: np.random.Generator) -> PaintedScan:
    """Paint a B-scan; the same generator state gives the same picture."""
    axial = AXIAL_UM * 496 / spec.height_px
    lateral = LATERAL_UM * 768 / spec.width_px
    x = (np.arange(spec.width_px) - (spec.width_px - 1) / 2) * lateral / 1000
    beside = rng.uniform(-0.5, 0.5) if "foveal scan" in spec.signs else rng.uniform(-1.5, 1.5)
    offset = 0.0 if "foveal scan" in spec.signs else rng.choice([-1, 1]) * rng.uniform(1.2, 2.5)
    retina = _Retina(x, np.hypot(x - beside, offset))
    for sign, lift in _LIFTS.items():
        if sign in spec.signs:
            retina.lifts[sign] = lift(retina, rng)
    heights = _heights(retina, x - beside)
    bend = 0.012 * x**2 * 1000 / axial + spec.tilt * (np.arange(spec.width_px) - spec.width_px / 2)
    bruch = spec.height_px * rng.uniform(0.62, 0.70) - bend
    boundaries = {name: bruch - height / axial for name, height in heights.items()} | {BRUCH: bruch}
    masks: dict[str, Mask] = {}
    picture = _layers(spec, boundaries, retina, masks, axial, rng)
    _paint_cysts(picture, boundaries, masks, spec.signs, lateral / axial, rng)
    _paint_spots(picture, boundaries, masks, spec.signs, (axial, lateral), rng)
    picture = _shadows(picture, boundaries, rng)
    return PaintedScan(_expose(picture, spec, rng), boundaries, masks, spec.signs)


def _drusen(retina: _Retina, rng: np.random.Generator) -> Heights:
    count = int(rng.integers(4, 9))
    centres = np.linspace(-2.4, 2.4, count) + rng.uniform(-0.15, 0.15, count)
    lift = np.zeros_like(retina.x)
    for centre in centres:
        lift = np.maximum(lift, retina.dome(centre, rng.uniform(0.15, 0.40), rng.uniform(35, 85)))
    return lift


def _detachment(retina: _Retina, rng: np.random.Generator) -> Heights:
    return retina.dome(rng.uniform(-1.2, 1.2), rng.uniform(1.2, 2.2), rng.uniform(180, 320))


def _fluid_under_retina(retina: _Retina, rng: np.random.Generator) -> Heights:
    return retina.dome(rng.uniform(-0.8, 0.8), rng.uniform(1.6, 3.0), rng.uniform(90, 200))


_LIFTS: Final[dict[str, Callable[[_Retina, np.random.Generator], Heights]]] = {
    "drusen": _drusen,
    "pigment epithelium detachment": _detachment,
    "subretinal fluid": _fluid_under_retina,
}
"""Signs that lift what lies above them: the first two the epithelium, the last the retina."""


def _heights(retina: _Retina, beside_fovea: Heights) -> dict[str, Heights]:
    """Return the height of each layer's upper boundary; the inner layers give way to the foveal pit."""
    zero = np.zeros_like(retina.x)
    under = np.maximum(retina.lifts.get("drusen", zero), retina.lifts.get("pigment epithelium detachment", zero))
    fluid = retina.lifts.get("subretinal fluid", zero)
    pit = 1 - np.exp(-((retina.distance / 0.45) ** 2))
    rim = pit * (0.45 + 0.55 * np.exp(-((np.maximum(retina.distance - 1.0, 0) / 2.2) ** 2)))
    nasal = 1 / (1 + np.exp(-1.5 * beside_fovea))
    thickness = {
        "pigment epithelium": zero + 22,
        "outer segments": zero + 26,
        "ellipsoid zone": zero + 16,
        "inner segments": zero + 24,
        "outer nuclear layer": 58 + 52 * (1 - pit),
        "outer plexiform layer": 6 + 22 * pit,
        "inner nuclear layer": 4 + 36 * rim,
        "inner plexiform layer": 4 + 40 * rim,
        "ganglion cell layer": 2 + 54 * rim,
        "nerve fibre layer": 5 + 12 * pit + 26 * pit * nasal,
    }
    heights, above = {}, under
    for name in reversed(LAYERS):
        above = above + thickness[name] + (fluid if name == "outer segments" else 0)
        heights[name] = above
    return {name: heights[name] for name in LAYERS}


def _layers(
    spec: ScanSpec,
    boundaries: dict[str, Heights],
    retina: _Retina,
    masks: dict[str, Mask],
    axial: float,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "height width"]:
    """Fill the layers, the choroid and what lies between them; note where fluid and deposits are."""
    rows = np.arange(spec.height_px)[:, None]
    picture = np.full((spec.height_px, spec.width_px), VITREOUS)
    lower = [*(boundaries[name] for name in LAYERS[1:]), boundaries[BRUCH]]
    for name, below, reflectivity in zip(LAYERS, lower, REFLECTIVITY, strict=True):
        picture[(rows >= boundaries[name]) & (rows < below)] = reflectivity
    depth = np.clip((rows - boundaries[BRUCH]) * axial, 0, None)
    vessels = cv2.GaussianBlur(rng.standard_normal(picture.shape), (0, 0), 5.0) * 5
    choroid = CHOROID * np.exp(-depth / 330) * (1 + 0.30 * np.tanh(vessels)) + VITREOUS
    is_below = rows >= boundaries[BRUCH]
    picture[is_below] = choroid[is_below]

    # The epithelium keeps its thickness; what it was lifted by lies between it and Bruch's membrane.
    epithelium = boundaries["pigment epithelium"]
    under = (rows >= epithelium + 22 / axial) & (rows < boundaries[BRUCH] - 1)
    for sign in ("drusen", "pigment epithelium detachment"):
        if sign in retina.lifts:
            mask = under & (retina.lifts[sign] > 4 * axial)
            picture[mask] = 0.55 if sign == "drusen" else SUB_EPITHELIAL
            masks[sign] = mask
    if "subretinal fluid" in retina.lifts:
        lifted = retina.lifts["subretinal fluid"] / axial
        mask = (rows >= epithelium - lifted) & (rows < epithelium - 1) & (lifted > 4)
        picture[mask] = FLUID
        masks["subretinal fluid"] = mask
    return picture


def _paint_cysts(
    picture: Float64[np.ndarray, "height width"],
    boundaries: dict[str, Heights],
    masks: dict[str, Mask],
    signs: frozenset[str],
    aspect: float,
    rng: np.random.Generator,
) -> None:
    """Paint cysts of intraretinal fluid between the ganglion cells and the outer limiting membrane."""
    if "intraretinal fluid" not in signs:
        return
    height, width = picture.shape
    mask = np.zeros((height, width), np.uint8)
    for column in np.linspace(0.25, 0.75, int(rng.integers(4, 8))) * width + rng.uniform(-0.02, 0.02) * width:
        at = int(np.clip(column, 0, width - 1))
        top, bottom = boundaries["ganglion cell layer"][at], boundaries["inner segments"][at]
        tall = 0.5 * (bottom - top) * rng.uniform(0.6, 0.85)
        wide = max(2.0, tall * rng.uniform(0.8, 1.4) / aspect)
        centre = (int(at), round((top + bottom) / 2))
        cv2.ellipse(mask, centre, (max(2, round(wide)), max(2, round(tall))), 0, 0, 360, 1, -1)
    inside = mask.astype(bool)
    picture[inside] = FLUID
    masks["intraretinal fluid"] = inside


def _paint_spots(
    picture: Float64[np.ndarray, "height width"],
    boundaries: dict[str, Heights],
    masks: dict[str, Mask],
    signs: frozenset[str],
    pixel_um: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    """Paint bright spots: dots of 20 to 30 um in the inner retina, foci of 45 to 80 um in the outer."""
    rows, columns = np.indices(picture.shape)
    for sign, upper, lower, diameters, counts in (
        ("hyperreflective dots", "ganglion cell layer", "outer plexiform layer", (20, 30), (10, 20)),
        ("hyperreflective foci", "outer plexiform layer", "inner segments", (45, 80), (4, 9)),
    ):
        if sign not in signs:
            continue
        mask = np.zeros(picture.shape, bool)
        for _ in range(int(rng.integers(*counts, endpoint=True))):
            at = int(rng.integers(picture.shape[1] // 10, 9 * picture.shape[1] // 10))
            row = rng.uniform(boundaries[upper][at], boundaries[lower][at])
            # A spot is never smaller than a pixel is, or a small picture would lose the sign.
            radii = [max(0.75, rng.uniform(*diameters) / 2 / size) for size in pixel_um]
            mask |= ((rows - row) / radii[0]) ** 2 + ((columns - at) / radii[1]) ** 2 <= 1
        picture[mask] = 1.0
        masks[sign] = mask


def _shadows(
    picture: Float64[np.ndarray, "height width"], boundaries: dict[str, Heights], rng: np.random.Generator
) -> Float64[np.ndarray, "height width"]:
    """Darken what lies under the vessels of the inner retina."""
    width = picture.shape[1]
    columns = np.arange(width)
    light = np.ones(width)
    for centre in rng.uniform(0, width, int(rng.integers(2, 6))):
        light -= rng.uniform(0.2, 0.45) * np.exp(-(((columns - centre) / (0.006 * width)) ** 2))
    below = np.arange(picture.shape[0])[:, None] > boundaries["inner plexiform layer"]
    return np.where(below, picture * np.clip(light, 0.3, 1), picture)


def _expose(picture: Float64[np.ndarray, "height width"], spec: ScanSpec, rng: np.random.Generator) -> Scan:
    """Add the device's part: its resolution, speckle (gamma-distributed intensity) and detector noise."""
    signal = spec.brightness * cv2.GaussianBlur(picture, (0, 0), 0.8)
    looks = 14 / max(spec.noise, 1e-6) ** 2
    speckle = rng.gamma(looks, 1 / looks, picture.shape) if spec.noise else np.ones(picture.shape)
    noisy = signal * speckle + 0.035 * spec.noise * np.abs(rng.standard_normal(picture.shape))
    return np.round(255 * np.clip(noisy, 0, 1)).astype(np.uint8)
