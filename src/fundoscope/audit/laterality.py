"""Whether a photograph shows the eye that its row names: the optic disc lies nasally of the macula.

In a photograph centred on the macula the disc of a right eye is on the right-hand side, that of a left eye on the
left. Nothing is said where the disc is near the middle, or is not surely found. A photograph of the nasal retina,
whose disc lies on the other side, is misread (157 of 157 that were cut so from IDRiD's); those of screening
programmes are centred on the macula or on the disc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from fundoscope.audit.findings import Finding
from fundoscope.duplicates.fingerprint import Fingerprints
from fundoscope.parallel import in_order
from fundoscope.photo.disc import Disc, find_disc

CHECK: Final = "wrong-eye"
"""The check's name in its findings."""

LISTED: Final = 200
"""Photographs written out in one finding's evidence; `images` names all."""

LEAST_CONFIDENCE: Final = 0.5
"""Confidence of the disc from which its side is believed."""

LEAST_OFFSET: Final = 0.12
"""The disc's distance from the vertical middle, as a share of the field's diameter, from which it has a side.

On the 329 photographs of IDRiD that had no part in fitting, 317 discs were sure and far enough off the middle, and
all of them where their eye has it (Clopper-Pearson 0.988 to 1)."""

REVERSED_SHARE: Final = 0.9
"""Share of a source's judged photographs from which all of it is reversed rather than some of its photographs."""

LEAST_REVERSED: Final = 10
"""Judged photographs that a source must have for that."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a photograph shows of its side."""

    eye: str | None
    """left or right; None: not told."""
    disc: Disc | None
    """None: none found, or not looked for."""


def eye_of(disc: Disc | None) -> str | None:
    """Infer the eye from the position of the disc; None where that is not possible."""
    if disc is None or disc.confidence < LEAST_CONFIDENCE or abs(disc.column - 0.5) < LEAST_OFFSET:
        return None
    return "right" if disc.column > 0.5 else "left"


def see_eyes(
    frame: pd.DataFrame,
    fingerprints: Fingerprints,
    *,
    threads: int,
    advance: Callable[[int, int], object] | None = None,
) -> list[Sighting]:
    """Look for the disc in every photograph of a retina whose field of view was found.

    Args:
        frame: Manifest rows.
        fingerprints: Their fingerprints, in the same order.
        threads: Photographs worked on side by side.
        advance: Called with the number of photographs done and of all.
    """
    fundus = fingerprints.read & fingerprints.field
    if "modality" in frame:
        fundus = fundus & ~frame["modality"].eq("oct").fillna(False).to_numpy(dtype=bool)

    def one(at: int) -> Sighting:
        disc = find_disc(fingerprints.frame(at)) if fundus[at] else None
        return Sighting(eye_of(disc), disc)

    sightings = []
    for sighting in in_order(one, range(len(frame)), threads=threads):
        sightings.append(sighting)
        if advance is not None:
            advance(len(sightings), len(frame))
    return sightings


def eye_findings(frame: pd.DataFrame, sightings: Sequence[Sighting]) -> Iterator[Finding]:
    """Find photographs whose recorded eye contradicts the position of the disc.

    Args:
        frame: Manifest rows; `eye` is what was recorded.
        sightings: What `see_eyes` saw, in the same order.

    Yields:
        At most one warning for each source, and one note on all; nothing where no row names an eye.
    """
    if "eye" not in frame or not frame["eye"].notna().any():
        return
    recorded = [None if pd.isna(eye) else str(eye) for eye in frame["eye"]]
    judged = np.array(
        [eye is not None and sighting.eye is not None for eye, sighting in zip(recorded, sightings, strict=True)]
    )
    wrong = judged & np.array([eye != sighting.eye for eye, sighting in zip(recorded, sightings, strict=True)])
    for source, places in _by_source(frame):
        bad = places[wrong[places]]
        if len(bad):
            yield _disagreement(frame, sightings, source, bad, int(judged[places].sum()))
    yield _told(frame, judged, wrong, recorded)


def _by_source(frame: pd.DataFrame) -> list[tuple[str, Int[np.ndarray, " row"]]]:
    """Return each source by name, blank where none is given, with the numbers of its rows."""
    names = frame["source"].fillna("").astype(str) if "source" in frame else pd.Series([""] * len(frame))
    held = names.to_numpy()
    return [(source, np.flatnonzero(held == source)) for source in sorted(set(held.tolist()))]


def _disagreement(
    frame: pd.DataFrame,
    sightings: Sequence[Sighting],
    source: str,
    bad: Int[np.ndarray, " row"],
    judged: int,
) -> Finding:
    rows = []
    for at in sorted(bad.tolist(), key=lambda at: -_confidence(sightings[at])):
        disc = sightings[at].disc
        rows.append(
            {
                "image": str(frame["image"].iloc[at]),
                "recorded": str(frame["eye"].iloc[at]),
                "seen": sightings[at].eye,
                "disc_column": None if disc is None else round(disc.column, 3),
                "confidence": round(_confidence(sightings[at]), 3),
            }
        )
    of = f" of {source}" if source else ""
    if judged >= LEAST_REVERSED and len(rows) >= REVERSED_SHARE * judged:
        why = "Left and right are reversed throughout: all photographs are mirrored, or the column is."
    else:
        why = (
            "They are mirrored, or the eye is recorded wrongly, or the field lies nasally of the disc. Look at each, "
            "and correct the row or the picture."
        )
    inferred = f" {_INFERRED}" if _is_inferred(frame) else ""
    return Finding(
        check=CHECK,
        severity="warns",
        message=f"Photographs{of} that show the other eye than their row names: {len(rows)} of {judged}. "
        f"{why}{inferred}",
        images=tuple(str(row["image"]) for row in rows),
        evidence={"source": source, "judged": judged, "photographs": rows[:LISTED]},
    )


_INFERRED: Final = "The recorded eye was itself inferred from the picture, so two readings of one picture are compared."


def _is_inferred(frame: pd.DataFrame) -> bool:
    """Return whether every recorded eye is the one that was read off the picture."""
    if "eye_inferred" not in frame:
        return False
    recorded = frame["eye"].notna()
    return bool(frame.loc[recorded, "eye"].eq(frame.loc[recorded, "eye_inferred"]).fillna(False).all())


def _told(
    frame: pd.DataFrame,
    judged: Bool[np.ndarray, " row"],
    wrong: Bool[np.ndarray, " row"],
    recorded: Sequence[str | None],
) -> Finding:
    named = sum(eye is not None for eye in recorded)
    judged_count, agreed, inferred = int(judged.sum()), int((judged & ~wrong).sum()), _is_inferred(frame)
    return Finding(
        check=CHECK,
        severity="notes",
        message=(
            f"The disc tells the eye of {judged_count} of {named} photographs whose row names one, and agrees with "
            f"{agreed}; in the others it was not surely found, or lies near the middle."
            f"{' ' + _INFERRED if inferred else ''}"
        ),
        images=(),
        evidence={"named": named, "judged": judged_count, "agreed": agreed, "eye_is_inferred": inferred},
    )


def _confidence(sighting: Sighting) -> float:
    return 0.0 if sighting.disc is None else sighting.disc.confidence
