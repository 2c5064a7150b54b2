"""The same picture again, in whatever disguise: candidates by hash, details or features, judged pixel by pixel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice
from typing import Any, Final

import numpy as np

from fundoscope.duplicates.alignment import Comparison, Relation, View, compare_views, view_of
from fundoscope.duplicates.candidates import close_pairs, nearest
from fundoscope.duplicates.correlation import most_alike, planes_of
from fundoscope.duplicates.fingerprint import MIRRORS, Fingerprints
from fundoscope.parallel import in_order
from fundoscope.tables.grouping import connected

HASH_RADIUS: Final = 44
"""Bits of 256 in which a copy's hash may differ. On IDRiD copies differ in at most 24, others in at least 60."""

NEIGHBOURS: Final = 6
"""Nearest photographs by details or features that are compared with each."""

CORRELATED_UP_TO: Final = 4000
"""Photographs up to which the details of all pairs are correlated; beyond it a network's features bring pairs together,
whose time grows with the number of photographs and not with its square."""

FELLOW_PAIRS: Final = 400
"""Pairs of photographs of two such patients that are compared at most."""

MOST_LINKED: Final = 40
"""Photographs of one eye that are compared with one another at most."""

FRAMES_KEPT: Final = 128
"""Frames that stay in memory while pairs are compared."""

Advance = Callable[[int, int], object]
"""Called as `advance(done, all)`."""

ALL_MIRRORS: Final = tuple(range(len(MIRRORS)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two photographs that show the same picture, or the same eye."""

    first: int
    """Number of the photograph, in the order given."""
    second: int
    relation: Relation
    found_by: str
    """The same file, hash, details, features, or fellow eye."""
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
    patients: Sequence[Hashable | None] | None = None,
    by_details: bool = True,
    searched: Advance | None = None,
    advance: Advance | None = None,
) -> Overlap:
    """Find the photographs that repeat one another, and those that show one eye again.

    The same file is known by its hash. Other pairs are candidates if their perceptual hashes differ in few bits, in
    any mirroring, or if one is among the other's nearest by details or features; every candidate is laid on its partner
    and judged by its pixels (`alignment`). What none of these brings together is not found, unless one of two patients'
    eyes was: then all their photographs are compared, for where one eye was exchanged the other may be, too.

    Args:
        fingerprints: Fingerprints; photographs that could not be read take no part.
        threads: Pairs compared side by side.
        patients: Whose each photograph is by its row, None where that is not known; None: nobody's fellow eyes are
            looked at.
        by_details: Whether the details of all pairs are correlated, up to `CORRELATED_UP_TO` photographs.
        searched: Called with the number of photographs correlated with all others, and of all.
        advance: Called with the number of pairs done and of all.
    """
    same = _same_files(fingerprints)

    @lru_cache(maxsize=FRAMES_KEPT)
    def view(at: int, fields: bool) -> View:
        return view_of(fingerprints.frame(at), fields=fields)

    wanted = _candidates(fingerprints, skip={(pair.first, pair.second) for pair in same})
    if by_details and len(fingerprints.sha256) <= CORRELATED_UP_TO:
        _add_alike(wanted, fingerprints, same, threads=threads, searched=searched)
    pairs = [*same, *_compared(wanted, fingerprints, view, threads=threads, advance=advance)]
    linked = _linked(pairs, skip=wanted)
    pairs += _compared(linked, fingerprints, view, threads=threads, advance=None)
    compared = len(wanted) + len(linked)
    if patients is not None:
        fellows = _fellows(pairs, patients, fingerprints)
        pairs += _compared(fellows, fingerprints, view, threads=threads, advance=None, expected=True)
        compared += len(fellows.keys() - wanted.keys() - linked.keys())
    return Overlap(tuple(sorted(pairs, key=lambda pair: (pair.first, pair.second))), compared)


def _compared(
    wanted: Mapping[tuple[int, int], _Candidate],
    fingerprints: Fingerprints,
    view: Callable[[int, bool], View],
    *,
    threads: int,
    advance: Advance | None,
    expected: bool = False,
) -> list[Pair]:
    """Lay the candidates on one another and return those that show one picture or one eye."""
    order = sorted(wanted)

    def compare(pair: tuple[int, int]) -> Comparison:
        first, second = pair
        fields = bool(fingerprints.field[first] and fingerprints.field[second])
        views = view(first, fields), view(second, fields)
        return compare_views(*views, fields=fields, mirrors=wanted[pair].mirrors, expected=expected)

    pairs = []
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
    return pairs


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


def _add_alike(
    candidates: dict[tuple[int, int], _Candidate],
    fingerprints: Fingerprints,
    same: Sequence[Pair],
    *,
    threads: int,
    searched: Advance | None,
) -> None:
    """Add each photograph's nearest by details, in the mirroring in which they agree best."""
    skip = {(pair.first, pair.second) for pair in same}
    frames = [
        (fingerprints.frame(at), bool(field)) if read else None
        for at, (read, field) in enumerate(zip(fingerprints.read, fingerprints.field, strict=True))
    ]
    neighbours, mirrors = most_alike(planes_of(frames, threads=threads), NEIGHBOURS, threads=threads, advance=searched)
    for query, (row, ways) in enumerate(zip(neighbours.tolist(), mirrors.tolist(), strict=True)):
        for hit, way in zip(row, ways, strict=True):
            pair = min(query, hit), max(query, hit)
            if hit >= 0 and pair not in candidates and pair not in skip:
                candidates[pair] = _Candidate((way,), "details")


def _linked(pairs: Sequence[Pair], skip: Collection[tuple[int, int]]) -> dict[tuple[int, int], _Candidate]:
    """Return pairs of photographs that both show the eye of a third one, and were not compared."""
    partners: dict[int, dict[int, Pair]] = defaultdict(dict)
    for pair in pairs:
        partners[pair.first][pair.second] = partners[pair.second][pair.first] = pair
    linked: dict[tuple[int, int], _Candidate] = {}
    for of_one in partners.values():
        for one, other in combinations(sorted(of_one)[:MOST_LINKED], 2):
            by_eye = "same eye" in (of_one[one].relation, of_one[other].relation)
            if by_eye and other not in partners[one] and (one, other) not in skip:
                linked[one, other] = _Candidate(ALL_MIRRORS, "details")
    return linked


def _fellows(
    pairs: Sequence[Pair], patients: Sequence[Hashable | None], fingerprints: Fingerprints
) -> dict[tuple[int, int], _Candidate]:
    """Return the other pairs of photographs of two patients of whom one pair shows one picture or one eye."""
    rows_of: dict[Hashable, list[int]] = defaultdict(list)
    for at, patient in enumerate(patients):
        if patient is not None and fingerprints.read[at] and fingerprints.field[at]:
            rows_of[patient].append(at)
    paired = {(pair.first, pair.second) for pair in pairs}
    implicated = dict.fromkeys(
        frozenset((patients[pair.first], patients[pair.second])) for pair in pairs if fingerprints.field[pair.first]
    )
    fellows: dict[tuple[int, int], _Candidate] = {}
    for both in implicated:
        if len(both) < 2 or None in both:
            continue
        one, other = (rows_of[patient] for patient in sorted(both, key=str))
        crossed = ((min(a, b), max(a, b)) for a in one for b in other)
        for pair in islice((pair for pair in crossed if pair not in paired), FELLOW_PAIRS):
            fellows[pair] = _Candidate((0,), "fellow eye")
    return fellows
