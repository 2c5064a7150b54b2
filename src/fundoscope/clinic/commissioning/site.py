"""A site's folder: the dust map of its camera and the protocol of its commissioning, made there and used when grading.

The folder is the one that `commission` writes its protocol into, or the copy of a release that it makes; of the copy
both files are part, and covered by its hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.clinic.commissioning.protocol import PROTOCOL, parse_protocol, read_protocol
from fundoscope.errors import BadRequest, BadTable
from fundoscope.photo.artefacts.dust_map import DUST_MAP, DustMap, parse_dust_map, read_dust_map, write_dust_map
from fundoscope.photo.artefacts.make import Shot, make_dust_map
from fundoscope.runtime.archive import reader
from fundoscope.runtime.description import DESCRIPTION
from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.tables.patients import texts
from fundoscope.tables.places import Places

SHOWN: Final = 12
"""Digits of a map's seal that sentences show."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a site's folder says."""

    folder: Path
    dust: DustMap
    protocol: dict[str, Any] | None
    """None where there is none yet."""
    release: OpenRelease | None
    """The commissioned copy, where the folder is one."""


@dataclass(frozen=True, slots=True)
class SiteDust:
    """What a commissioning has to say of dust."""

    dust: DustMap | None
    """The site's map; None where there is none."""
    used: str | None
    """Seal of the map that the predictions were made with; None: with none."""
    sentences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the predictions were made with the site's map, so that it belongs to their threshold."""
        return self.dust is not None and self.used == self.dust.seal


def open_site(folder: Path) -> Site:
    """Open a site's folder, to grade with its dust map.

    Raises:
        BadRequest: If it is no such folder, or has no dust map.
        BadRelease: If one of its files is damaged or was changed.
    """
    if folder.is_file() or (folder / DESCRIPTION).is_file():
        release = open_release(folder)
        dust = map_in_release(release)
        if dust is None:
            raise BadRequest(_without_map(folder))
        return Site(folder, dust, _protocol_in_release(release), release)
    if not folder.is_dir():
        raise BadRequest(f"{folder}: expected a site's folder, got nothing: there is no such folder. Check the path.")
    if not (folder / DUST_MAP).is_file():
        raise BadRequest(_without_map(folder))
    protocol = read_protocol(folder / PROTOCOL) if (folder / PROTOCOL).is_file() else None
    return Site(folder, read_dust_map(folder / DUST_MAP), protocol, None)


def map_in_release(opened: OpenRelease) -> DustMap | None:
    """Return the dust map in a commissioned copy of a release; None where there is none.

    Raises:
        BadRelease: If it is damaged.
    """
    if DUST_MAP not in opened.release.files:
        return None
    return parse_dust_map(reader(opened.path)(DUST_MAP), opened.path / DUST_MAP)


def _protocol_in_release(opened: OpenRelease) -> dict[str, Any] | None:
    if PROTOCOL not in opened.release.files:
        return None
    return parse_protocol(reader(opened.path)(PROTOCOL), opened.path / PROTOCOL)


def check_site_folder(folder: Path) -> None:
    """Refuse a folder that a site's files must not be written into.

    Raises:
        BadRequest: If it is a release, whose hashes another protocol would contradict, or no folder.
    """
    if (folder / DESCRIPTION).is_file():
        raise BadRequest(
            f"{folder}: expected a site's folder to write into, got a release, whose files are sealed. Name another "
            "folder; the dust map of a commissioned copy is taken from --release."
        )
    if folder.exists() and not folder.is_dir():
        raise BadRequest(f"{folder}: expected a site's folder to write into, got a file. Name a folder.")


def _without_map(folder: Path) -> str:
    return (
        f"{folder}: expected a site's folder with {DUST_MAP}, got one without. Make it with fundoscope commission "
        "PREDICTIONS MANIFEST --report FOLDER."
    )


def check_site(site: Site, opened: OpenRelease) -> Iterator[str]:
    """Refuse a site that was commissioned with another release; yield what is to be known of its protocol.

    Args:
        site: Of `open_site`.
        opened: The release that is to grade.

    Raises:
        BadRequest: If the site's protocol is of another release.
    """
    protocol = site.protocol
    if protocol is None:
        yield f"{site.folder} has no {PROTOCOL}: no threshold was commissioned for this site."
        return
    own = _protocol_in_release(opened)
    is_copy = own is not None and own["seal"] == protocol["seal"]
    commissioned = protocol["data"].get("release")
    if commissioned is not None and not is_copy and commissioned != opened.name:
        raise BadRequest(
            f"{site.folder}: expected a site of {opened.name}, got one that was commissioned with {commissioned}. Give "
            "--release that release or its commissioned copy, or commission again."
        )
    if commissioned is None and not is_copy:
        yield (
            f"The protocol of {site.folder} does not name its release, so that it may be of another than "
            f"{opened.name}. Commission with --release to have it named."
        )
    used = protocol["data"].get("dust_map")
    if used != site.dust.seal:
        how = "without a dust map" if used is None else f"with another dust map ({used[:SHOWN]})"
        yield (
            f"The protocol of {site.folder} is of predictions {how}: what it guarantees does not hold for photographs "
            f"retouched by {site.dust.seal[:SHOWN]}. Grade the site's patients with --site and commission again."
        )
    elif protocol["guaranteed"] and not is_copy:
        yield (
            f"The site's threshold {protocol['threshold']:.6g} is in the commissioned copy of the release; "
            f"{opened.name} refers from {opened.operating_point.threshold:.6g}. Give --release that copy to use it."
        )


def used_dust_map(predictions: pd.DataFrame, path: Path) -> str | None:
    """Return the seal of the dust map that predictions were made with; None where they were made without.

    Args:
        predictions: A checked table.
        path: Where it lies; named in messages.

    Raises:
        BadTable: If they were made with several.
    """
    seals = sorted({seal for seal in texts(predictions, "dust_map") if seal is not None})
    if len(seals) > 1:
        raise BadTable(
            f"{path}: expected predictions made with one dust map, got {len(seals)} "
            f"({', '.join(seal[:SHOWN] for seal in seals[:3])}). Grade all photographs with the site's map in force."
        )
    return seals[0] if seals else None


def dust_of_site(
    folder: Path | None,
    shots: Callable[[], list[Shot]],
    used: str | None,
    *,
    threads: int,
    carried: DustMap | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> SiteDust:
    """Return the site's dust map; make it and write it into the folder where the site has none.

    A map that lies there is never written over.

    Args:
        folder: The site's folder; None: nothing is made.
        shots: Returns the site's photographs, from which a map may be made.
        used: Of `used_dust_map`.
        threads: Photographs read side by side.
        carried: Map in the release that answered (`map_in_release`). Predictions that were made with it are of this
            map; it is written into the folder where that has none.
        progress: As of `make_dust_map`.

    Raises:
        BadRequest: If the predictions were made with a map that is neither in the folder nor in the release.
        BadRelease: If the map in the folder is damaged.
    """
    if carried is not None and carried.seal != used:
        carried = None
    if folder is None:
        if carried is not None:
            return SiteDust(carried, used, (f"Dust map {carried.seal[:SHOWN]}: {dust_words(carried)}",))
        said = "No dust map was made: give --report the site's folder." if used is None else ""
        return SiteDust(None, used, (said,) if said else ())
    path = folder / DUST_MAP
    kept = path.is_file()
    if kept:
        dust = read_dust_map(path)
    elif carried is not None:
        dust = carried
        write_dust_map(path, dust)
    elif used is not None:
        raise BadRequest(
            f"{folder}: expected the dust map that the predictions were made with ({used[:SHOWN]}), got no {DUST_MAP}. "
            "Give --report the folder that grade --site was given or, where that was a commissioned copy, --release it."
        )
    else:
        try:
            dust = make_dust_map(shots(), threads=threads, progress=progress)
        except BadRequest as problem:
            return SiteDust(None, None, (f"No dust map was made. {str(problem)[:1].upper()}{str(problem)[1:]}",))
        write_dust_map(path, dust)
    if used is not None and used != dust.seal:
        raise BadRequest(
            f"{path}: expected the dust map that the predictions were made with ({used[:SHOWN]}), got another "
            f"({dust.seal[:SHOWN]}). Give --report the folder that grade --site was given, or grade again."
        )
    return SiteDust(dust, used, tuple(_said(dust, used, folder, kept=kept)))


def _said(dust: DustMap, used: str | None, folder: Path, *, kept: bool) -> Iterator[str]:
    yield f"Dust map {dust.seal[:SHOWN]}: {dust_words(dust)}"
    if kept and used is None:
        yield f"It was in {folder} already and was kept; name another folder for a new one."
    if used is None and dust.specks:
        yield (
            "These predictions were made without it, and the protocol is of them. To have the specks retouched, grade "
            f"again with --site {folder} and commission that table."
        )


def dust_words(dust: DustMap) -> str:
    """Describe a dust map in a sentence."""
    camera = f" of {dust.camera}" if dust.camera else ""
    specks = f"{len(dust.specks)} speck{'' if len(dust.specks) == 1 else 's'}"
    return (
        f"{specks} on the sensor{camera} in {dust.photographs} photographs of {dust.width} x {dust.height} px, "
        f"{dust.covered:.2%} of the retina ({dust.control} by chance)."
    )


def shots_of(listed: pd.DataFrame, manifest: Path) -> list[Shot]:
    """Return the photographs of a manifest, graded or not, that a dust map may be made from.

    Args:
        listed: A checked manifest.
        manifest: Its path: images are named relative to it.
    """
    places = Places(manifest.parent)
    columns = [texts(listed, name) for name in ("image", "source", "patient", "eye", "taken", "camera")]
    return [
        Shot(
            path=places.find(str(image)),
            patient=None if patient is None else f"{source or ''}/{patient}",
            eye=eye,
            taken=taken,
            camera=camera,
        )
        for image, source, patient, eye, taken, camera in zip(*columns, strict=True)
    ]
