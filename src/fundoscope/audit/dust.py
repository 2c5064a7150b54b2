"""Fixed spots of a camera: dust on its sensor, which stands in all its photographs at one place of the frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from fundoscope.audit.findings import Finding
from fundoscope.errors import BadRequest
from fundoscope.photo.artefacts.dust_map import DustMap
from fundoscope.photo.artefacts.make import FEWEST, Shot, TooMuchDust, make_dust_map
from fundoscope.tables.patients import texts

LOOKED_AT: Final = 40
"""Photographs of each camera that are looked at: enough for what shows in single photographs."""

NAMED: Final = 5
"""Spots whose places the message names."""

CHECK: Final = "dust-on-sensor"


def dust_findings(
    frame: pd.DataFrame,
    paths: Sequence[Path],
    *,
    threads: int,
    advance: Callable[[int, int], object] | None = None,
) -> Iterator[Finding]:
    """Yield a finding for each camera, or source where no camera is named, whose photographs have fixed spots.

    Those with fewer than `FEWEST` photographs of different eyes, or in frames of many sizes, say nothing.

    Args:
        frame: A checked manifest.
        paths: File of each row.
        threads: Photographs read side by side.
        advance: Called with how many cameras were looked at, and of how many.
    """
    cameras = _cameras(frame, paths)
    for done, (camera, shots) in enumerate(cameras.items(), start=1):
        try:
            dust = make_dust_map(shots, threads=threads, most=LOOKED_AT)
        except TooMuchDust as problem:
            words = str(problem).partition(" got ")[2]
            yield Finding(CHECK, "warns", f"{camera}: the sensor is very dirty: {words}", (), {"camera": camera})
        except BadRequest:
            pass
        else:
            if dust.specks:
                yield Finding(CHECK, "warns", _words(camera, dust), (), {"camera": camera, "map": dust.to_dict()})
        if advance is not None:
            advance(done, len(cameras))


def _cameras(frame: pd.DataFrame, paths: Sequence[Path]) -> dict[str, list[Shot]]:
    """Group photographs by camera, else by source; groups too small for a map are left out."""
    columns = [texts(frame, name) for name in ("source", "camera", "patient", "eye", "taken")]
    groups: dict[str, list[Shot]] = defaultdict(list)
    for path, source, camera, patient, eye, taken in zip(paths, *columns, strict=True):
        name = " ".join(filter(None, (source, camera))) or "photographs of no named camera"
        groups[name].append(
            Shot(path=path, patient=None if patient is None else f"{source}/{patient}", eye=eye, taken=taken)
        )
    return {name: shots for name, shots in groups.items() if len(shots) >= FEWEST}


def _words(camera: str, dust: DustMap) -> str:
    deepest = sorted(dust.specks, key=lambda speck: -abs(speck.depth))[:NAMED]
    places = "; ".join(f"{speck.row * dust.height:.0f}, {speck.column * dust.width:.0f}" for speck in deepest)
    more = "; ..." if len(dust.specks) > NAMED else ""
    count = f"{len(dust.specks)} fixed spot{'' if len(dust.specks) == 1 else 's'}"
    return (
        f"{camera}: {count} at one place of the frame in {dust.photographs} photographs of {dust.width} x "
        f"{dust.height} px (row, column in px: {places}{more}), the deepest takes "
        f"{abs(deepest[0].depth):.0%} of the light: dust on the sensor or the lens. Networks take such spots for "
        "microaneurysms, or learn to overlook them on this camera alone. Clean it, and have them retouched (fundoscope "
        "commission, grade --site)."
    )
