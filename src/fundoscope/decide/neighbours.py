"""Grade a photograph like the photographs whose features lie nearest, and keep those in a file.

RetinaScan grades so (ten neighbours, Euclidean distance, projected features). `neighbours.npz` holds three
arrays and no objects: `features` (photo, feature; float16 or float32), `grades` (photo; uint8, 0 to 4) and
`sha256` (photo; 64 hexadecimal digits of each photograph's file).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial.distance import cdist

from fundoscope.arrays import Probabilities, arrays_from
from fundoscope.errors import BadRelease, BadRequest
from fundoscope.files import write_bytes
from fundoscope.grades import GRADES
from fundoscope.records import check_keys, is_whole_number

NEIGHBOURS: Final = "neighbours.npz"
"""Name of the file inside a release."""

BLOCK: Final = 256
"""Photographs whose distances to all known ones are held in memory at once."""

CONTRACT: Final = {"features": (("f2", "f4"), 2), "grades": (("u1",), 1), "sha256": (("U64",), 1)}
"""The arrays of the file: NumPy's names of the types allowed, and the number of axes."""

Features = Float[np.ndarray, "photo feature"]
Hashes = Shaped[np.ndarray, " _"]
"""Texts of 64 hexadecimal digits."""


METRICS: Final = ("euclidean", "cosine")
VOTES: Final = ("uniform", "distance")


@dataclass(frozen=True, slots=True)
class Voting:
    """How the nearest graded photographs vote."""

    k: int = 10
    """How many of them."""
    metric: str = "euclidean"
    """`euclidean`, or `cosine` (1 - cosine of the angle)."""
    weights: str = "uniform"
    """`uniform`: one vote each. `distance`: a vote of 1 / distance; where some lie at 0, those alone vote."""

    def __post_init__(self) -> None:
        if not is_whole_number(self.k) or self.k < 1:
            raise ValueError(f"k must be a whole number above 0, got {self.k!r}")
        for name, allowed in (("metric", METRICS), ("weights", VOTES)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def to_dict(self) -> dict[str, Any]:
        """Convert to values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, mapping: Mapping[str, Any]) -> Voting:
        """Read back what `to_dict` wrote.

        Raises:
            ValueError: If a key is missing or unknown, or a value is not allowed.
        """
        check_keys(mapping, cls)
        return cls(**mapping)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Graded photographs that others are compared with; row by row the same photograph."""

    features: Float[np.ndarray, "_ _"]
    """As the network gives them, (photo, feature); float16 or float32."""
    grades: Int[np.ndarray, " _"]
    """Reference grades, 0 to 4."""
    sha256: Hashes
    """Hash of each photograph's file: 64 hexadecimal digits. Copies of one file share it."""


def neighbour_probabilities(
    features: Features,
    reference_set: Neighbours,
    voting: Voting,
    *,
    without: Hashes | None = None,
) -> Probabilities:
    """Compute the share of each grade among the k nearest photographs of the reference set.

    Distances are computed photograph by photograph in double precision, so that an answer does not depend on
    which others are asked for at the same time. Of equally near ones the earlier row counts.

    Args:
        features: Of the photographs to be graded, from the same network and layer as the known ones.
        reference_set: The graded photographs.
        voting: How many, by which distance, with which weights.
        without: SHA-256 of each photograph to be graded. Known rows with that hash do not vote on it: with the known
            photographs themselves as `features`, this is leave-one-out.

    Raises:
        ValueError: If the features' lengths differ, a value is not finite, or by cosine a row is all zeros.
        BadRequest: If fewer than k known photographs are left for some photograph.

    Example:
        >>> reference_set = Neighbours(np.eye(3, dtype=np.float32), np.array([0, 2, 4]), np.array(["a" * 64] * 3))
        >>> neighbour_probabilities(np.array([[0.0, 0.9, 0.1]]), reference_set, Voting(k=1))
        array([[0., 0., 1., 0., 0.]])
    """
    if features.shape[1] != reference_set.features.shape[1]:
        raise ValueError(f"features must have {reference_set.features.shape[1]} columns, got {features.shape[1]}")
    if without is not None and len(without) != len(features):
        raise ValueError(f"without must name {len(features)} photographs, got {len(without)}")
    rows, columns = _comparable(features, voting.metric), _comparable(reference_set.features, voting.metric)
    votes = np.empty((len(features), GRADES))
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        distances = _distances(rows[block], columns, voting.metric)
        if without is not None:
            distances[without[block, None] == reference_set.sha256] = np.inf
        _check_enough(distances, voting.k)
        nearest = np.argsort(distances, axis=1, kind="stable")[:, : voting.k]
        shares = _shares(np.take_along_axis(distances, nearest, axis=1), voting.weights)
        votes[block] = _count(reference_set.grades[nearest], shares)
    return votes


def to_bytes(reference_set: Neighbours) -> bytes:
    """Return the contents of `neighbours.npz`; the same photographs give the same bytes.

    Raises:
        BadRelease: If it could not be read again: shapes or types that the contract does not know.
    """
    _check(reference_set, NEIGHBOURS)
    buffer = io.BytesIO()
    digests = np.asarray(reference_set.sha256, dtype="U64")
    np.savez(buffer, features=reference_set.features, grades=reference_set.grades.astype(np.uint8), sha256=digests)
    return buffer.getvalue()


def from_bytes(data: bytes, where: Path | str) -> Neighbours:
    """Read the contents of `neighbours.npz`; `where` names the file in messages.

    Raises:
        BadRelease: If it is damaged, holds objects, or is not as the contract says.
    """
    try:
        arrays = arrays_from(data)
    except ValueError as problem:
        raise _refusal(where, "an NPZ file of arrays without objects", str(problem)) from None
    if set(arrays) != set(CONTRACT):
        raise _refusal(where, f"the arrays {', '.join(CONTRACT)}", ", ".join(sorted(arrays)) or "none")
    for name, (kinds, axes) in CONTRACT.items():
        kind, shape = arrays[name].dtype, arrays[name].shape
        if kind.str[1:] not in kinds or len(shape) != axes:
            raise _refusal(where, f"{name} of type {' or '.join(kinds)} with {axes} axes", f"{kind.str[1:]} {shape}")
    reference_set = Neighbours(arrays["features"], arrays["grades"].astype(np.int64), arrays["sha256"])
    _check(reference_set, where)
    return reference_set


def write_neighbours(path: Path | str, reference_set: Neighbours) -> None:
    """Write `neighbours.npz`, whole or not at all.

    Raises:
        BadRelease: As `to_bytes`.
    """
    write_bytes(path, to_bytes(reference_set))


def read_neighbours(path: Path | str) -> Neighbours:
    """Read `neighbours.npz`.

    Raises:
        BadRelease: If there is no such file, and as `from_bytes`.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise _refusal(path, "a file", str(problem)) from None
    return from_bytes(data, path)


def _comparable(features: Features, metric: str) -> Float[np.ndarray, "photo feature"]:
    """Return features in double precision; for the cosine metric, of length 1."""
    rows = features.astype(np.float64)
    if not np.isfinite(rows).all():
        raise ValueError(f"features must be finite, row {np.flatnonzero(~np.isfinite(rows).all(axis=1))[0]} is not")
    if metric == "euclidean":
        return rows
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"features must not be all zeros for the cosine, row {np.flatnonzero(lengths == 0)[0]} is")
    return np.asarray(rows / lengths)


def _distances(
    rows: Features, columns: Float[np.ndarray, "known feature"], metric: str
) -> Float[np.ndarray, "photo known"]:
    if metric == "euclidean":
        return np.asarray(cdist(rows, columns))
    # |a - b|^2 / 2 = 1 - cos on the unit sphere, and exactly 0 for equal rows.
    return np.asarray(cdist(rows, columns, "sqeuclidean") / 2)


def _check_enough(distances: Float[np.ndarray, "photo known"], k: int) -> None:
    left = int(np.isfinite(distances).sum(axis=1).min())
    if not 1 <= k <= left:
        raise BadRequest(
            f"neighbours: expected k from 1 to {left} (known photographs that may vote), got {k}. "
            "Ask for fewer neighbours or give more graded photographs."
        )


def _shares(distances: Float[np.ndarray, "photo k"], weights: str) -> Float[np.ndarray, "photo k"]:
    """Compute the weight of each neighbour's vote; every row sums to 1."""
    if weights == "uniform":
        return np.full(distances.shape, 1 / distances.shape[1])
    same = distances == 0
    nearest = np.where(same, 1.0, distances).min(axis=1, keepdims=True)
    # Relative to the nearest one, so that no distance is so small that its reciprocal overflows.
    votes = np.where(same.any(axis=1, keepdims=True), same, nearest / np.where(same, 1.0, distances))
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def _count(grades: Int[np.ndarray, "photo k"], shares: Float[np.ndarray, "photo k"]) -> Probabilities:
    return np.stack([np.where(grades == grade, shares, 0.0).sum(axis=1) for grade in range(GRADES)], axis=1)


def _check(reference_set: Neighbours, where: Path | str) -> None:
    features, grades, hashes = reference_set.features, reference_set.grades, reference_set.sha256
    if not len(grades) == len(hashes) == len(features) or features.size == 0:
        got = f"{len(features)}, {len(grades)} and {len(hashes)}, {features.shape[1]} features each"
        raise _refusal(where, "as many features, grades and sha256, at least one", got)
    if features.dtype.str[1:] not in CONTRACT["features"][0]:
        raise _refusal(where, "features to be float16 or float32", str(features.dtype))
    if not np.isfinite(features).all():
        row = np.flatnonzero(~np.isfinite(features).all(axis=1))[0]
        raise _refusal(where, "features to be finite", f"{features[row].tolist()!r:.80} in row {row}")
    if not ((grades >= 0) & (grades < GRADES)).all():
        raise _refusal(where, f"grades from 0 to {GRADES - 1}", str(sorted({int(grade) for grade in grades})))
    broken = [str(sha256) for sha256 in hashes if not re.fullmatch(r"[0-9a-f]{64}", str(sha256))]
    if broken:
        raise _refusal(where, "sha256 of 64 hexadecimal digits", repr(broken[0])[:80])


def _refusal(where: Path | str, expected: str, got: str) -> BadRelease:
    return BadRelease(f"{where}: expected {expected}, got {got}. Export the release again or fetch it anew.")
