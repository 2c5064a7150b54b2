"""Monitor a site, from the predictions of its commissioning and of the patients who came since."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fundoscope.clinic.commissioning.protocol import PROTOCOL, parse_protocol, read_protocol
from fundoscope.clinic.commissioning.provenance import held_against
from fundoscope.clinic.monitoring.dust import DustReport, monitor_dust
from fundoscope.clinic.monitoring.kernel import Vectors
from fundoscope.clinic.monitoring.watch import Comparison, MonitoringReport, Rules, watch
from fundoscope.clinic.monitoring.window import Window, features_of, window_of
from fundoscope.errors import BadRequest
from fundoscope.files import sha256_of
from fundoscope.photo.artefacts.dust_map import DustMap
from fundoscope.runtime.archive import reader
from fundoscope.runtime.batch import features_path
from fundoscope.runtime.description import DESCRIPTION
from fundoscope.runtime.release import OpenRelease, open_release
from fundoscope.tables import check_predictions, read_table

Features = tuple[Sequence[Vectors], Sequence[Vectors]]
"""Feature vectors of each patient of the reference, and of each patient who came since."""


@dataclass(frozen=True, slots=True)
class SiteProtocol:
    """The protocol of a commissioning, with the release that carries it."""

    protocol: dict[str, Any]
    release: OpenRelease | None
    """None where only the protocol itself was given."""

    @classmethod
    def read(cls, path: Path) -> SiteProtocol:
        """Read `protocol.json`, or the commissioned release (folder or .zip) that holds it.

        Raises:
            BadRelease: If the protocol or the release is damaged.
            BadRequest: If the release was not commissioned.
        """
        if path.suffix == ".json" and not path.is_dir():
            in_release = path.name == PROTOCOL and (path.parent / DESCRIPTION).is_file()
            return cls(read_protocol(path), open_release(path.parent) if in_release else None)
        release = open_release(path)
        if PROTOCOL not in release.release.files:
            raise BadRequest(
                f"{path}: expected a commissioned release, got one without {PROTOCOL}. Make one with fundoscope "
                "commission --release RELEASE --out COPY, or give the protocol itself."
            )
        return cls(parse_protocol(reader(release.path)(PROTOCOL), path / PROTOCOL), release)


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """A site's camera, whose dust is monitored."""

    dust: DustMap
    folder: Path | None = None
    """Where the photographs are that the table of those who came since names (`dust.monitor_dust`)."""
    threads: int = 1
    progress: Callable[[int, int], None] | None = None

    def monitor(self, now: Window) -> DustReport:
        """Compare the photographs of a window with the map."""
        return monitor_dust(
            self.dust, now.rows, now.path, folder=self.folder, threads=self.threads, progress=self.progress
        )


def monitor_tables(
    predictions: Path,
    reference: Path,
    rules: Rules,
    *,
    protocol: Path | None = None,
    features: tuple[Path | None, Path | None] = (None, None),
    camera: Camera | None = None,
    day: date,
) -> MonitoringReport:
    """Compare the patients of a table with those of the commissioning.

    Args:
        predictions: Table of predictions of the patients who came since.
        reference: Table of predictions of the patients of the commissioning.
        rules: What counts as an alarm.
        protocol: As `SiteProtocol.read`; None: compare with the reference only.
        features: Features of `predictions` and of `reference`; None: `NAME.features.npz` beside the table, where there
            is one.
        camera: The site's dust map and where the photographs are; None: dust is not looked for.
        day: Of the report.

    Raises:
        BadTable: If a table or features are not usable, or the tables cannot be compared.
        BadRequest: If both tables are one, or something is missing.
        BadRelease: If the protocol is damaged.
    """
    if sha256_of(predictions) == sha256_of(reference):
        raise BadRequest(
            f"{predictions}: expected a table of later patients, got the reference itself. "
            "Give the table of those who came since."
        )
    site = None if protocol is None else SiteProtocol.read(protocol)
    before, now = _read_window(reference, site), _read_window(predictions, site)
    vectors, notes = _read_features((before, now), (features[1], features[0]), rules.seed)
    if site is not None:
        notes += _protocol_notes(site.protocol, before)
    comparison = Comparison(
        protocol=None if site is None else site.protocol,
        releases=frozenset() if site is None else _release_names(site),
        features=vectors,
        notes=tuple(notes),
        dust=None if camera is None else camera.monitor(now),
    )
    return watch(before, now, rules, comparison, day=day)


def _read_window(path: Path, site: SiteProtocol | None) -> Window:
    """Read a table's patients; out-of-fold scores are brought to the release's scale, as its threshold is."""
    rows = check_predictions(read_table(path), path=path)
    of_release = site is not None and "release" in site.protocol["data"]
    if site is not None and of_release and "fold" in rows and rows["fold"].notna().any():
        if site.release is None:
            raise BadRequest(
                f"{path}: expected the commissioned release, to read out-of-fold scores on its scale, got only its "
                "protocol. Give --protocol the folder of the commissioned release."
            )
        rows, _ = held_against(rows, rows, site.release, path=path)
    return window_of(rows, path=path)


def _protocol_notes(protocol: dict[str, Any], reference: Window) -> list[str]:
    notes = []
    if not protocol["guaranteed"]:
        notes.append("The protocol guarantees nothing: its data could not.")
    if protocol["data"].get("predictions_sha256") not in (None, sha256_of(reference.path)):
        notes.append(
            f"The reference {reference.path.name} is another table than the one that was commissioned "
            f"({protocol['data']['predictions']})."
        )
    return notes


def _release_names(site: SiteProtocol) -> frozenset[str]:
    """Return the names by which the release may sign: the one that was commissioned, and its copy."""
    names = (site.protocol["data"].get("release"), None if site.release is None else site.release.name)
    return frozenset(name for name in names if name)


def _read_features(
    windows: tuple[Window, Window], stated_paths: tuple[Path | None, Path | None], seed: int
) -> tuple[Features | None, list[str]]:
    """Read the features of both tables' patients, or return None and a sentence that says why there are none."""
    paths = [stated or features_path(window.path) for stated, window in zip(stated_paths, windows, strict=True)]
    for stated, path in zip(stated_paths, paths, strict=True):
        if stated is not None and not path.is_file():
            raise BadRequest(f"{path}: expected features (.npz), got nothing: there is no such file. Check the path.")
    if absent := [path for path in paths if not path.is_file()]:
        if any(stated_paths):
            raise BadRequest(
                f"{absent[0]}: expected the features of both tables, got those of one. Give the other's as well "
                "(--features, --features-reference), or neither."
            )
        return None, [f"Features were not compared: there is no {' and no '.join(path.name for path in absent)}."]
    rng = np.random.default_rng(seed)
    read = [features_of(window, path, rng) for window, path in zip(windows, paths, strict=True)]
    lengths = {vector.shape[1] for vectors, _ in read for vector in vectors}
    if len(lengths) > 1:
        raise BadRequest(
            f"{paths[1]}: expected features as long as those of {paths[0]}, got {sorted(lengths)}. "
            "Give the features of one release."
        )
    notes = [
        f"{lacking} graded photographs of {window.path.name} have no features."
        for window, (_, lacking) in zip(windows, read, strict=True)
        if lacking
    ]
    if min(len(vectors) for vectors, _ in read) < 2:
        return None, [*notes, "Features were not compared: fewer than two patients have them."]
    return (read[0][0], read[1][0]), notes
