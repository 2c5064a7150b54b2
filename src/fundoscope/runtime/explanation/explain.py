"""Heatmaps of any origin as pictures: laid over the photograph, and side by side beside its lesions.

A map comes from a release's own network (`by_release`) or from a checkpoint (`training.runs.explainer`); what is drawn
and measured here does not ask which. Maps stay in the units of their method; only pictures stretch them to [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from fundoscope.arrays import Mask, Photo
from fundoscope.photo.illustration import Overlay, colour, lay_on_photograph
from fundoscope.photo.recipe import shown_retina
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.reading import Reading
from fundoscope.tables.columns import DISC_MASK, LESION_MASKS

OVERLAY_PX: Final = 800
"""Longer side of an overlay."""

PANEL_PX: Final = 480
"""Longer side of a photograph in a figure."""

SHOWN_FULL: Final = 0.005
"""Share of a map's cells that is drawn as its highest: the gradient of a few pixels must not darken all others."""

TEXT_PX, LINE_PX, MARGIN_PX = 15, 20, 10

BAR_PX: Final = 160
"""Width of the colour bar."""

BAR_WORDS: Final = ("relevance: 0", "highest of each map")
"""What stands left and right of the colour bar."""

LESION_COLOURS: Final = {
    "mask_ma": (0, 158, 255),
    "mask_he": (86, 230, 233),
    "mask_ex": (240, 228, 66),
    "mask_se": (255, 160, 220),
    DISC_MASK: (255, 255, 255),
}
"""Colour of a mask's outline (RGB), by its column in the manifest: none of them is a retina's."""

Relevance = Float[np.ndarray, "_ _"]
"""Of every cell of a grid that covers the prepared photograph; >= 0, in the units of its method."""

Picture = UInt8[np.ndarray, "_ _ 3"]
"""RGB of any size: of what goes into a drawing and what comes out, sizes differ."""

Lesions = Mapping[str, Bool[np.ndarray, "_ _"]]
"""Masks by column, each of the photograph's shape at any resolution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One photograph, what was answered, and the maps of it."""

    reading: Reading
    pixels: Photo | None
    """As they were decoded; None where there is no picture."""
    answer: str
    """In words; empty where there is none."""
    maps: Mapping[str, Relevance] = field(default_factory=dict)
    """By the name of the method; empty where it was not explained."""
    residuals: Mapping[str, float] = field(default_factory=dict)
    """Of a method that accounts for its whole score: what it missed of it."""
    readings: Mapping[str, Reading] = field(default_factory=dict)
    """Of maps of other networks, which may take the photograph otherwise: by what their maps are laid on it."""

    def reading_of(self, name: str) -> Reading:
        """Return the reading by which a map is laid on the photograph."""
        return self.readings.get(name, self.reading)


def by_release(grader: Grader, photo: Path | str, fellow: Path | str | None = None) -> Explained:
    """Explain a photograph by a release's own heatmap, in one run of its graph."""
    reading, pixels = grader.examine(photo, fellow)
    if reading.status != "graded" or reading.heatmap is None:
        return Explained(reading=reading, pixels=pixels, answer="")
    name = grader.opened.release.heatmap
    return Explained(
        reading=reading, pixels=pixels, answer=reading.answer.words(), maps={name: reading.heatmap.astype(np.float64)}
    )


def field_on_grid(reading: Reading, rows: int, columns: int) -> Mask:
    """Return cells of a grid over the prepared photograph whose centres show retina.

    Raises:
        ValueError: If no field was found, or the photograph was not prepared.
    """
    if reading.field is None or reading.placement is None or reading.decoded is None or reading.side is None:
        raise ValueError(f"{reading.image}: reading must hold field, placement, decoded and side of a photograph")
    return shown_retina(reading.placement, reading.field, size=reading.decoded, side=reading.side, grid=(rows, columns))


def share_outside(reading: Reading, relevance: Relevance) -> float:
    """Return the share of the relevance outside the field of view before anything is masked; NaN of an empty map.

    Measured on the prepared photograph, the map laid on it as its overlay is.
    """
    side = reading.side or 0
    inside = field_on_grid(reading, side, side)
    laid = np.clip(cv2.resize(relevance.astype(np.float64), (side, side), interpolation=cv2.INTER_CUBIC), 0, None)
    total = float(laid.sum())
    return float(laid[~inside].sum()) / total if total > 0 else float("nan")


def overlay(reading: Reading, relevance: Relevance, *, longer_px: int = OVERLAY_PX) -> Overlay:
    """Colour a map by viridis in the proportions of the photograph; more opaque the more relevant, 0 outside.

    Raises:
        ValueError: If no field was found, or the photograph was not prepared.
    """
    top = np.quantile(relevance, 1 - SHOWN_FULL, method="higher") or relevance.max()
    scaled = np.clip(relevance / top, 0, 1) if top > 0 else np.zeros(relevance.shape)
    laid = lay_on_photograph(replace(reading, heatmap=scaled.astype(np.float32)), longer_px=longer_px)
    if laid is None:
        raise ValueError(f"{reading.image}: reading must hold field, placement, decoded and side of a photograph")
    return colour(laid, reading)


def outlined(picture: Photo, lesions: Lesions) -> Photo:
    """Draw an outline around every lesion of a photograph, however small."""
    drawn = np.ascontiguousarray(picture)
    height, width = drawn.shape[:2]
    for column, mask in lesions.items():
        # Any part of a pixel counts: at this size a microaneurysm fills none.
        covered = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
        edges, _ = cv2.findContours(covered.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, edges, -1, LESION_COLOURS[column], 1)
    return drawn


def figure(explained: Explained, *, target: str, lesions: Lesions | None = None) -> Picture:
    """Draw the photograph, its lesions where they are known, and every map over it, side by side and titled."""
    if explained.pixels is None:
        raise ValueError("explained must hold the photograph's pixels")
    picture = _shrunk(explained.pixels, PANEL_PX)
    # One network's answer stands under the photograph; of several, each under its own maps.
    shown = [(picture, Path(explained.reading.image).name, "" if explained.readings else explained.answer)]
    if lesions is not None:
        present = [column for column in lesions if lesions[column].any()]
        shown.append((outlined(picture.copy(), lesions), "Lesions" if present else "No lesions marked", ""))
    for name, relevance in explained.maps.items():
        over = overlay(explained.reading_of(name), relevance, longer_px=PANEL_PX)
        rows, columns = relevance.shape
        own = explained.readings.get(name)
        brief = f"{own.answer.brief()}; " if own is not None and own.answer.brief() else ""
        shown.append((_blended(picture, over), name, f"{brief}of {target}, {rows} x {columns} cells"))
    page = _side_by_side(shown)
    if explained.maps:
        page = _with_colour_bar(page)
    return page if not lesions else _with_legend(page, [column for column in lesions if lesions[column].any()])


def _shrunk(pixels: Picture, longer_px: int) -> Picture:
    factor = min(1.0, longer_px / max(pixels.shape[:2]))
    height, width = (max(1, round(length * factor)) for length in pixels.shape[:2])
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))


def _blended(picture: Picture, over: UInt8[np.ndarray, "_ _ 4"]) -> Picture:
    if over.shape[:2] != picture.shape[:2]:
        over = cv2.resize(over, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
    opacity = over[..., 3:].astype(np.float64) / 255
    return np.asarray(np.rint(picture * (1 - opacity) + over[..., :3] * opacity).astype(np.uint8))


def _side_by_side(shown: Sequence[tuple[Picture, str, str]]) -> Picture:
    height, width = shown[0][0].shape[:2]
    step = max(width, 200) + MARGIN_PX
    page = Image.new("RGB", (step * len(shown) + MARGIN_PX, height + 2 * LINE_PX + 2 * MARGIN_PX), "white")
    pen = ImageDraw.Draw(page)
    for at, (picture, title, below) in enumerate(shown):
        left = MARGIN_PX + at * step
        pen.text((left, MARGIN_PX), _fit(title, step), fill=(23, 33, 43), font=_font())
        pen.text((left, MARGIN_PX + LINE_PX), _fit(below, step), fill=(82, 96, 112), font=_font())
        page.paste(Image.fromarray(picture), (left, MARGIN_PX + 2 * LINE_PX))
    return np.asarray(page)


def _with_colour_bar(page: Picture) -> Picture:
    """Add the scale of the maps below a figure: each map's own, as their units differ."""
    extended = Image.new("RGB", (page.shape[1], page.shape[0] + LINE_PX + MARGIN_PX), "white")
    extended.paste(Image.fromarray(page))
    pen, top, left = ImageDraw.Draw(extended), page.shape[0], float(MARGIN_PX)
    ramp = np.repeat(np.linspace(0, 255, BAR_PX).astype(np.uint8)[None], TEXT_PX, axis=0)
    bar = Image.fromarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[..., ::-1])
    for words in (f"{BAR_WORDS[0]} ", None, f" {BAR_WORDS[1]}"):
        if words is None:
            extended.paste(bar, (round(left), top))
            left += BAR_PX
        else:
            pen.text((left, top - 2), words, fill=(82, 96, 112), font=_font())
            left += pen.textlength(words, font=_font())
    return np.asarray(extended)


def _with_legend(page: Picture, columns: Sequence[str]) -> Picture:
    figure_with_legend = Image.new("RGB", (page.shape[1], page.shape[0] + LINE_PX + MARGIN_PX), "white")
    figure_with_legend.paste(Image.fromarray(page))
    pen, left = ImageDraw.Draw(figure_with_legend), float(MARGIN_PX)
    for column in columns:
        words, colour = LESION_MASKS.get(column, "optic disc"), LESION_COLOURS[column]
        top = page.shape[0]
        pen.rectangle((left, top, left + LINE_PX, top + TEXT_PX), fill=(110, 50, 20), outline=colour, width=3)
        pen.text((left + LINE_PX + 5, top - 2), words, fill=(82, 96, 112), font=_font())
        left += LINE_PX + 25 + pen.textlength(words, font=_font())
    return np.asarray(figure_with_legend)


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(TEXT_PX)


def _fit(words: str, width_px: int) -> str:
    """As much of a line as there is room for."""
    font = _font()
    while words and font.getlength(words) > width_px - MARGIN_PX:
        words = words[: -4 if words.endswith("...") else -3].rstrip() + "..." if len(words) > 6 else ""
    return words
