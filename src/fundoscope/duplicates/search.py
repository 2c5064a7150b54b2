"""The same picture again, in whatever disguise: candidates by hash and by features, judged pixel by pixel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fundoscope.duplicates.alignment import Comparison, Relation, compare_frames
from fundoscope.duplicates.candidates import close_pairs, nearest
from fundoscope.duplicates.fingerprint import MIRRORS, Fingerprints
from fundoscope.parallel import in_order
from fundoscope.tables.grouping import connected

HASH_RADIUS: Final = 44
"""Bits of 256 in which a copy's hash may differ. On IDRiD copies differ in at most 24, others in at least 60."""

NEIGHBOURS: Final = 6
"""Nearest photographs by features that are compared with each."""

ALL_MIRRORS: Final = tuple(range(len(MIRRORS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two photographs that show the same picture, or the same eye."""

    first: int
    """Number of the photograph, in the order given."""
    second: int
    relation: Relation
    found_by: str
    """The same file, hash, or features."""
    correlation: float
    """Of the details once the second lies on the first, -1 to 1."""
    mirror: int
    """How the second was flipped: a number in `MIRRORS`."""

    def to_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Convert to values that JSON can hold, photographs by name."""
        return {
            "first": names[self.first],
            "second": names[self.second],
            "relation": self.relation,
            "found_by": self.found_by,
            "correlation": round(self.correlation, 4),
            "mirror": MIRRORS[self.mirror],
        }


@dataclass(frozen=True, slots=True)
class Overlap:
    """What was found among the photographs."""

    pairs: tuple[Pair, ...]
    """Copies and photographs of the same eye, each pair once, `first` before `second`."""
    compared: int
    """Pairs that were laid on one another."""

    def copies(self) -> tuple[Pair, ...]:
        """Return the pairs that are one picture."""
        return tuple(pair for pair in self.pairs if pair.relation == "copy")

    def same_eye(self) -> tuple[Pair, ...]:
        """Return the pairs that show one eye in two photographs."""
        return tuple(pair for pair in self.pairs if pair.relation == "same eye")


def find_overlap(
    fingerprints: Fingerprints,
    *,
    threads: int,
    advance: Callable[[int, int], object] | None = None,
) -> Overlap:
    """Find the photographs that repeat one another, and those that show one eye again.

    The same file is known by its hash. Other pairs are candidates if their perceptual hashes differ in few bits, in
    any mirroring, or if one is among the other's nearest by features; every candidate is laid on its partner and
    judged by its pixels (`alignment`). What neither hash nor features bring together is not found.

    Args:
        fingerprints: Fingerprints; photographs that could not be read take no part.
        threads: Pairs compared side by side.
        advance: Called with the number of pairs done and of all.
    """
    same = _same_files(fingerprints)
    wanted = _candidates(fingerprints, skip={(pair.first, pair.second) for pair in same})
    order = sorted(wanted)

    def compare(pair: tuple[int, int]) -> Comparison:
        first, second = pair
        fields = bool(fingerprints.field[first] and fingerprints.field[second])
        return compare_frames(
            fingerprints.frame(first), fingerprints.frame(second), fields=fields, mirrors=wanted[pair].mirrors
        )

    pairs = list(same)
    for done, ((first, second), match) in enumerate(zip(order, in_order(compare, order, threads=threads), strict=True)):
        if match.relation != "different":
            pairs.append(
                Pair(
                    first=first,
                    second=second,
                    relation=match.relation,
                    found_by=wanted[first, second].found_by,
                    correlation=match.correlation,
                    mirror=match.mirror,
                )
            )
        if advance is not None:
            advance(done + 1, len(order))
    return Overlap(tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second))), len(order))


def groups_of(pairs: Iterable[Pair], photographs: int) -> list[int]:
    """Return, for each photograph, the number of the first one of its connected component."""
    return connected(photographs, ((pair.first, pair.second) for pair in pairs))


def group_names(roots: Sequence[int], fingerprints: Fingerprints, prefix: str) -> list[str | None]:
    """Return a name for each photograph's group, made of its smallest file hash; None for a photograph that is alone.

    The name does not depend on the order of the photographs.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for at, root in enumerate(roots):
        members[root].append(at)
    names = {
        root: f"{prefix}-{min(fingerprints.sha256[at] for at in held)[:12]}"
        for root, held in members.items()
        if len(held) > 1
    }
    return [names.get(root) for root in roots]


@dataclass(frozen=True, slots=True)
class _Candidate:
    mirrors: tuple[int, ...]
    found_by: str


def _same_files(fingerprints: Fingerprints) -> list[Pair]:
    """Pair each further photograph of one file hash with the first."""
    first: dict[str, int] = {}
    pairs = []
    for at, sha256 in enumerate(fingerprints.sha256):
        if not sha256:
            continue
        if sha256 in first:
            pairs.append(
                Pair(
                    first=first[sha256],
                    second=at,
                    relation="copy",
                    found_by="the same file",
                    correlation=1.0,
                    mirror=0,
                )
            )
        else:
            first[sha256] = at
    return pairs


def _candidates(fingerprints: Fingerprints, skip: set[tuple[int, int]]) -> dict[tuple[int, int], _Candidate]:
    readable = np.flatnonzero(fingerprints.read)
    mirrors: dict[tuple[int, int], set[int]] = defaultdict(set)
    for mirror in ALL_MIRRORS:
        # A mirrored on B is B mirrored on A, so each unordered pair is met from either side.
        near = close_pairs(fingerprints.hashes[readable, mirror], fingerprints.hashes[readable, 0], radius=HASH_RADIUS)
        for query, hit in readable[near[:, :2]].tolist():
            if query != hit:
                mirrors[min(query, hit), max(query, hit)].add(mirror)
    candidates = {pair: _Candidate(tuple(sorted(ways)), "hash") for pair, ways in mirrors.items() if pair not in skip}
    for query, row in enumerate(nearest(fingerprints.features, NEIGHBOURS).tolist()):
        for hit in row:
            pair = min(query, hit), max(query, hit)
            if hit >= 0 and pair not in candidates and pair not in skip:
                candidates[pair] = _Candidate(ALL_MIRRORS, "features")
    return candidates
