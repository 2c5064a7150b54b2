"""The dust map of a camera: fixed spots of its sensor, as a sealed JSON record.

The seal shows that the record was changed by accident or by hand; it is no signature.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadRelease
from fundoscope.files import write_text
from fundoscope.photo.artefacts.frame import Frame, to_upright
from fundoscope.photo.artefacts.retouch import Spot
from fundoscope.photo.read import Photograph
from fundoscope.records import check_keys, is_number, is_whole_number, parse_record, seal_of

DUST_MAP: Final = "dust_map.json"
"""Name of the file in a site's folder."""

SCHEMA: Final = 1
KIND: Final = "dust map"

LEFT: Final = 0.015
"""Share of light that a speck may take where it is no longer retouched: less does not show beside a retina's texture.
Retouching no more than that spares what lies around it."""

RETOUCHED_MARGIN: Final = 0.0007
"""Added to the radius that is retouched, as a share of the frame's longer side: what a place may be wrong by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedSpeck:
    """A fixed spot of a sensor."""

    row: float
    """Centre, as a share of the frame's height from its upper edge."""
    column: float
    """Centre, as a share of the frame's width from its left edge."""
    radius: float
    """Distance at which half of the effect is left, as a share of the frame's longer side."""
    depth: float
    """Share of the light that is lost in the middle, on average; negative: by which it is brighter."""
    stability: float
    """Share of the time windows in which at least half of that depth was seen."""

    @property
    def retouched(self) -> float:
        """Radius that is retouched, as a share of the frame's longer side; of a Gaussian spot as far as `LEFT`."""
        radii = math.sqrt(max(0.0, math.log2(max(abs(self.depth), LEFT) / LEFT)))
        return radii * self.radius + RETOUCHED_MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class DustMap:
    """Fixed spots of one camera's sensor, found in its photographs."""

    width: int
    """Of the frame as the camera writes it, before it is turned upright, in px."""
    height: int
    """Likewise."""
    camera: str | None
    """Make and model as the files name it; None where they do not."""
    photographs: int
    """Photographs that it was made from, at most one of each eye."""
    windows: int
    """Time windows that they were divided into."""
    first: str | None
    """When the first was taken, ISO 8601; None where that is not known of all."""
    last: str | None
    """When the last was taken."""
    covered: float
    """Share of the field of view that is retouched."""
    control: int
    """Specks found when each photograph was moved by some pixels first: as many as chance finds."""
    made_from: str
    """SHA-256 of the photographs' SHA-256, sorted."""
    notes: tuple[str, ...]
    """Sentences about photographs that were left out."""
    specks: tuple[MappedSpeck, ...]
    """From top to bottom."""

    @property
    def frame(self) -> Frame:
        """Size of the camera's pictures."""
        return Frame(self.width, self.height)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON can store it, sealed."""
        # Through JSON and back, so that it equals what is read from a file.
        record = json.loads(json.dumps({"schema": SCHEMA, "kind": KIND, **asdict(self)}))
        return dict(record) | {"seal": seal_of(record)}

    @property
    def seal(self) -> str:
        """SHA-256 of the record, by which tables name the map."""
        return str(self.to_dict()["seal"])

    def to_json(self) -> str:
        """Return the text of `dust_map.json`."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> DustMap:
        """Read the record that `to_dict` wrote.

        Raises:
            ValueError: If it is of another schema, was changed, or has a key or value that it must not have.
        """
        if record.get("schema") != SCHEMA or record.get("kind") != KIND:
            raise ValueError(f"expected a {KIND} of schema {SCHEMA}, got another record")
        if record.get("seal") != seal_of(record):
            raise ValueError("expected the record as it was sealed, got a changed one")
        values = {key: value for key, value in record.items() if key not in ("schema", "kind", "seal")}
        check_keys(values, cls)
        _check_values(values)
        specks = tuple(_speck_from(speck) for speck in values["specks"])
        return cls(**{**values, "notes": tuple(values["notes"]), "specks": specks})


def read_dust_map(path: Path) -> DustMap:
    """Read a dust map.

    Raises:
        BadRelease: If it is absent, no JSON, of another schema, or changed since it was written.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise BadRelease(f"{path}: expected a dust map, got {problem.strerror or problem}. Check the path.") from None
    return parse_dust_map(content, path)


def parse_dust_map(content: bytes, path: Path) -> DustMap:
    """Parse the content of `dust_map.json`.

    Args:
        content: As it was written.
        path: Where it is from; named in messages.

    Raises:
        BadRelease: As `read_dust_map`.
    """
    try:
        record = parse_record(content)
        if not isinstance(record, dict):
            raise ValueError("expected an object, got another value")
        return DustMap.from_dict(record)
    except ValueError as problem:
        raise BadRelease(
            f"{path}: expected a sealed dust map, got another record: {problem}. Fetch it or commission again."
        ) from None


def write_dust_map(path: Path, dust: DustMap) -> None:
    """Write `dust_map.json`, in one step."""
    write_text(path, dust.to_json())


def why_not_mapped(dust: DustMap, photograph: Photograph) -> str | None:
    """Return why a map says nothing of a photograph, as a sentence; None where it does.

    Args:
        dust: A camera's map.
        photograph: With the size of its file's picture, whatever it was decoded at.
    """
    frame = Frame.of(photograph)
    if frame != dust.frame:
        return f"Dust was not retouched: the frame is {frame} px, the site's dust map is of {dust.frame} px."
    if dust.camera is not None and photograph.camera != dust.camera:
        camera = photograph.camera or "not named in the file"
        return f"Dust was not retouched: the camera is {camera}, the site's dust map is of {dust.camera}."
    return None


def spots_on(dust: DustMap, photograph: Photograph) -> tuple[Spot, ...]:
    """Return the places of a map's specks on a photograph, in pixels as it was decoded.

    Args:
        dust: A map that the photograph fits (`why_not_mapped`).
        photograph: Upright, perhaps decoded reduced.
    """
    height, width = photograph.pixels.shape[:2]
    spots = []
    for speck in dust.specks:
        row, column = to_upright(speck.row, speck.column, photograph.orientation)
        spots.append(Spot(row * height, column * width, speck.retouched * max(height, width)))
    return tuple(spots)


def _check_values(values: Mapping[str, Any]) -> None:
    for name in ("width", "height", "photographs", "windows"):
        _check(is_whole_number(values[name]) and values[name] > 0, name, "a whole number above 0", values[name])
    _check(is_whole_number(values["control"]) and values["control"] >= 0, "control", "a count", values["control"])
    _check(_is_share(values["covered"]), "covered", "a number from 0 to 1", values["covered"])
    for name in ("camera", "first", "last"):
        _check(values[name] is None or isinstance(values[name], str), name, "a text or null", values[name])
    _check(isinstance(values["made_from"], str), "made_from", "a text", values["made_from"])
    notes = values["notes"]
    _check(isinstance(notes, list) and all(isinstance(note, str) for note in notes), "notes", "texts", notes)
    _check(isinstance(values["specks"], list), "specks", "a list", values["specks"])


def _speck_from(record: object) -> MappedSpeck:
    _check(isinstance(record, dict), "specks", "a list of objects", record)
    assert isinstance(record, dict)
    check_keys(record, MappedSpeck)
    for field in fields(MappedSpeck):
        value = record[field.name]
        sound = is_number(value) and -1 <= value <= 1 if field.name == "depth" else _is_share(value)
        _check(sound, f"{field.name} of a speck", "a share", value)
    return MappedSpeck(**{name: float(value) for name, value in record.items()})


def _is_share(value: object) -> bool:
    return is_number(value) and 0 <= value <= 1


def _check(sound: bool, name: str, expected: str, value: object) -> None:
    if not sound:
        raise ValueError(f"{name} must be {expected}, got {value!r:.60}")
