"""An audit from manifests to findings: fingerprints, overlap, and every check in its turn."""

from __future__ import annotations

import atexit
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pandas as pd

from fundoscope.audit import agreement, labels, leaks, pictures
from fundoscope.audit.dust import dust_findings
from fundoscope.audit.embedder import ReleaseEmbedder
from fundoscope.audit.findings import Finding
from fundoscope.audit.laterality import eye_findings, see_eyes
from fundoscope.audit.repeats import overlap_findings
from fundoscope.data.manifest import picture_paths, read_manifest, write_manifest
from fundoscope.duplicates.fingerprint import Fingerprint, Fingerprints, collected, take_fingerprints
from fundoscope.duplicates.groups import with_groups
from fundoscope.duplicates.search import CORRELATED_UP_TO, Overlap, find_overlap
from fundoscope.files import user_cache
from fundoscope.runtime.release import OpenRelease
from fundoscope.tables import join, patient_keys
from fundoscope.tables.patients import texts
from fundoscope.version import __version__

SCHEMA: Final = "fundoscope.audit/1"

Progress = Callable[[str, int, int], object]
"""Called as `progress(what, done, all)`."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Several manifests as one table."""

    manifests: tuple[Path, ...]
    frame: pd.DataFrame
    """One row per photograph; `image` is the name used in findings, `image_written` the manifest's own, and `manifest`
    the number of the manifest."""
    paths: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit found."""

    listing: Listing
    """Its frame has `duplicate_group` and `eye_group` filled."""
    fingerprints: Fingerprints
    overlap: Overlap
    findings: tuple[Finding, ...]
    suspects: tuple[labels.Suspect, ...]
    """Labels that out-of-fold predictions doubt, most doubtful first; empty where no predictions were given."""
    release: str | None
    """Name of the release whose training photographs were sought."""

    @property
    def blocks(self) -> bool:
        """Whether something must be mended before anyone trains or evaluates on these manifests."""
        return any(finding.severity == "blocks" for finding in self.findings)

    def short(self, image: str) -> str:
        """Return a photograph's name without the folders that all of them are in."""
        # Paths of a manifest that lies elsewhere hold "..", which would hide what they have in common.
        folders = {posixpath.dirname(posixpath.normpath(str(name))) for name in self.listing.frame["image"]}
        if "" in folders or len({folder.startswith("/") for folder in folders}) > 1:
            return image
        return posixpath.normpath(image).removeprefix(f"{posixpath.commonpath(sorted(folders))}/")

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold; `schema` names this layout."""
        frame, names = self.listing.frame, [str(image) for image in self.listing.frame["image"]]
        groups = frame["duplicate_group"].dropna()
        return {
            "schema": SCHEMA,
            "fundoscope": __version__,
            "release": self.release,
            "blocks": self.blocks,
            "manifests": [
                {"manifest": path.name, "photographs": int((frame["manifest"] == number).sum())}
                for number, path in enumerate(self.listing.manifests)
            ],
            "counts": {
                "photographs": len(frame),
                "unreadable": int((~self.fingerprints.read).sum()),
                "without_field": int((self.fingerprints.read & ~self.fingerprints.field).sum()),
                "pairs_compared": self.overlap.compared,
                "copies": len(self.overlap.copies()),
                "same_eye": len(self.overlap.same_eye()),
                "duplicate_groups": int(groups.nunique()),
                "repeated_photographs": len(groups),
                "suspects": len(self.suspects),
            },
            "findings": [finding.to_dict() for finding in self.findings],
            "pairs": [pair.to_dict(names) for pair in self.overlap.pairs],
            "suspects": [suspect.to_dict() for suspect in self.suspects],
        }


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a network said of the photographs, to doubt labels by."""

    table: pd.DataFrame
    """Checked (`tables.check_predictions`)."""
    held_out: bool = False
    """All of them are known to be of photographs that the network never saw, though they have no fold."""


def listed(manifests: Sequence[Path]) -> Listing:
    """Read manifests and lay them end to end; several name their photographs relative to the folder that all share.

    Raises:
        BadTable: If a manifest is not as it should be.
    """
    folders = [os.path.realpath(path.parent) for path in manifests]
    base = Path(os.path.commonpath(folders))
    frames, paths = [], []
    for number, path in enumerate(manifests):
        frame = read_manifest(path)
        places = [Path(os.path.realpath(place)) for place in picture_paths(frame, path)]
        names = [Path(os.path.relpath(place, base)).as_posix() for place in places]
        if len(manifests) == 1:
            names = frame["image"].tolist()
        frames.append(frame.assign(image_written=frame["image"], image=names, manifest=number))
        paths.extend(places)
    joined = pd.concat(frames, ignore_index=True)
    repeated = joined["image"].duplicated(keep=False)
    joined.loc[repeated, "image"] = [
        f"{name} ({manifests[number].name})"
        for name, number in zip(joined.loc[repeated, "image"], joined.loc[repeated, "manifest"], strict=True)
    ]
    return Listing(tuple(manifests), joined, tuple(paths))


def audit(
    listing: Listing,
    *,
    cache: Path,
    release: OpenRelease | None,
    predictions: Predictions | None = None,
    pretrained: Sequence[str] = (),
    threads: int,
    progress: Progress | None = None,
) -> Audit:
    """Look at every photograph and every label, and say what should not be trusted.

    Args:
        listing: The manifests.
        cache: Folder for fingerprints; an interrupted audit goes on from it (`own_cache`).
        release: Gives the photographs it was trained on and, for more than `CORRELATED_UP_TO` photographs, features for
            the search of repeats; None: neither.
        predictions: Out-of-fold or otherwise held out, for label suspects; None: none are sought.
        pretrained: Names of published networks (`data.known`) whose pretraining must not meet the evaluation.
        threads: Photographs and pairs worked on side by side.
        progress: Called as work goes on.

    Raises:
        BadTable: If predictions cannot be used.
        BadRequest: If a published network is unknown, or a needed extra is missing.
    """

    def report_to(what: str) -> Callable[[int, int], object] | None:
        return None if progress is None else lambda done, all_: progress(what, done, all_)

    # Up to so many photographs details bring pairs together that a network's features would, and cost less.
    few = len(listing.paths) <= CORRELATED_UP_TO
    embedder = None if release is None or few else ReleaseEmbedder.open(release)
    trained = set() if release is None else set(release.release.training["training_sha256"])
    taken = take_fingerprints(listing.paths, cache, embedder=embedder, threads=threads)
    fingerprints = collected(_counted(taken, len(listing.paths), report_to("reading")), cache, embedder)
    overlap = find_overlap(
        fingerprints,
        threads=threads,
        patients=[key if key[0] == "patient" else None for key in patient_keys(listing.frame)],
        searched=report_to("searching"),
        advance=report_to("comparing"),
    )
    frame = _with_hashes(with_groups(listing.frame, fingerprints, overlap), fingerprints)
    sightings = see_eyes(frame, fingerprints, threads=threads, advance=report_to("finding discs"))
    rows, suspects = _doubted(frame, predictions, listing, trained)
    findings = [
        *_other_files(listing.frame, fingerprints),
        *pictures.picture_findings(frame, fingerprints),
        *dust_findings(frame, listing.paths, threads=threads, advance=report_to("looking for dust")),
        *overlap_findings(frame, overlap),
        *leaks.leak_findings(frame, pretrained=pretrained),
        *leaks.trained_on(frame, trained),
        *labels.label_findings(frame),
        *(() if rows is None else agreement.model_agreement(rows)),
        *eye_findings(frame, sightings),
        *pictures.balance_findings(frame),
    ]
    grave = {"blocks": 0, "warns": 1, "notes": 2}
    findings.sort(key=lambda finding: grave[finding.severity])
    return Audit(
        listing=Listing(listing.manifests, frame, listing.paths),
        fingerprints=fingerprints,
        overlap=overlap,
        findings=tuple(findings),
        suspects=suspects,
        release=None if release is None else release.name,
    )


@dataclass(frozen=True, slots=True)
class Cache:
    """Where an audit puts its fingerprints."""

    folder: Path
    kept: bool = True
    """Whether they are still there when the program has ended."""


def own_cache(*, keep: bool = True) -> Cache:
    """Return a folder in the user's cache that nobody else can read; a temporary one where that cannot be written.

    Args:
        keep: Use the user's cache; if not, always a temporary folder, which is removed when the program ends.
    """
    if keep:
        try:
            folder = user_cache() / "audit"
            folder.mkdir(parents=True, exist_ok=True)
            # Fingerprints are small pictures of patients' eyes. Fails on a folder of somebody else's.
            folder.chmod(0o700)
            with tempfile.TemporaryFile(dir=folder):
                return Cache(folder)
        except (OSError, RuntimeError):
            pass
    temporary = Path(tempfile.mkdtemp(prefix="fundoscope-"))
    atexit.register(shutil.rmtree, temporary, ignore_errors=True)
    return Cache(temporary, kept=False)


def write_groups(audit: Audit) -> tuple[Path, ...]:
    """Write `duplicate_group`, `eye_group` and missing `sha256` into the manifests that were audited.

    Returns:
        The manifests, all of them rewritten whole.
    """
    frame = audit.listing.frame
    for number, path in enumerate(audit.listing.manifests):
        mine = frame[frame["manifest"] == number].reset_index(drop=True)
        mine = mine.assign(image=mine["image_written"]).drop(columns=["image_written", "manifest"])
        # Columns that only another manifest has came in blank when they were laid end to end.
        own = read_manifest(path).columns
        added = [name for name in ("sha256", "duplicate_group", "eye_group") if mine[name].notna().any()]
        write_manifest(mine[[name for name in mine.columns if name in own or name in added]], path)
    return audit.listing.manifests


def _counted(
    taken: Iterable[Fingerprint | str], count: int, advance: Callable[[int, int], object] | None
) -> Iterator[Fingerprint | str]:
    for done, item in enumerate(taken, start=1):
        if advance is not None:
            advance(done, count)
        yield item


def _other_files(frame: pd.DataFrame, fingerprints: Fingerprints) -> Iterator[Finding]:
    """Yield a finding if files are not those that their manifest means by its hashes: it speaks of other pictures."""
    meant = texts(frame, "sha256")
    images = tuple(
        str(image)
        for image, sha256, name in zip(frame["image"], meant, fingerprints.sha256, strict=True)
        if sha256 is not None and name and sha256 != name
    )
    if images:
        yield Finding(
            "other-file",
            "blocks",
            f"{len(images)} of {len(frame)} files are not those that the manifest means by its column sha256: its "
            "labels are of other pictures. Copy the files again, or correct the column.",
            images,
        )


def _with_hashes(frame: pd.DataFrame, fingerprints: Fingerprints) -> pd.DataFrame:
    """Hash the files: what a manifest says may be of another file."""
    return frame.assign(
        sha256=pd.Series([name or None for name in fingerprints.sha256], index=frame.index, dtype=object)
    )


def _doubted(
    frame: pd.DataFrame, predictions: Predictions | None, listing: Listing, trained: Collection[str]
) -> tuple[pd.DataFrame | None, tuple[labels.Suspect, ...]]:
    """Join predictions with their photographs, and find the labels that they contradict."""
    if predictions is None:
        return None, ()
    rows = _joined(frame, predictions.table, listing)
    return rows, labels.suspects(rows, trained_on=trained, held_out=predictions.held_out)


def _joined(frame: pd.DataFrame, predictions: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    """Join predictions with photographs by hash, else by the manifest's own name."""
    # The manifest's own folds say nothing about what the predictions were held out of.
    written = frame.drop(columns="fold", errors="ignore").assign(name=frame["image"], image=frame["image_written"])
    parts = [
        join(predictions, written[written["manifest"] == number], manifest_path=path).rows
        for number, path in enumerate(listing.manifests)
    ]
    rows = pd.concat(parts, ignore_index=True)
    return rows.assign(image=rows["name"]).drop(columns="name")
