"""`release.json`: the description of a release, read with every key checked, and the seal that covers it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from fundoscope.errors import BadRelease
from fundoscope.records import is_number, is_whole_number, parse_record
from fundoscope.runtime.archive import is_plain

SCHEMA: Final = 1
"""The only schema of `release.json` that this version reads and writes."""


MODEL: Final = "model.onnx"


GOLDEN: Final = "golden.npz"


CARD: Final = "MODEL_CARD.md"


DESCRIPTION: Final = "release.json"


LARGEST_TOLERANCE: Final = 0.01
"""Largest `golden_tolerance`: what deviates by more computes another network. Exports write 0.001."""


OPTIONAL: Final = ("eyes", "neighbours", "descriptions", "conformal", "certificate", "column")
"""Keys of `release.json` that may be absent: releases from before there were any have none of what they say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What `release.json` says. Every field is plain JSON, so that nothing is lost on the way through a file."""

    id: str
    """Name of the release, as it stands in the column `release` (there followed by @ and twelve digits of its hash)."""
    version: str
    licence: str
    """Licence of the weights."""
    recipe: dict[str, Any]
    """How a photograph is prepared: `photo.recipe.Recipe.to_dict()`."""
    head: str
    """One of the task's heads."""
    labels: list[str]
    """What the probabilities are of, in order: the names of the grades, signs or classes."""
    calibration: dict[str, Any]
    """How raw output becomes probabilities. Task dr-grade: `temperature` (> 0), `grade_cuts` (rising, of the expected
    grade; none: the median is answered) and, only where there are such, the `referral_score` that gives the
    probability of referable disease (`decide.readout`) and the `calibrator` of what these give
    (`decide.calibrators.calibrator_from_dict`). Signs: `temperatures`, one for each. Classes: `temperature`."""
    operating_point: dict[str, Any]
    """How probabilities become a decision. Task dr-grade: when a photograph is referred
    (`decide.referral.OperatingPoint.to_dict()`). Signs: `name` and `thresholds`, one for each. Classes: empty."""
    gate: dict[str, Any]
    """What counts as gradable: `photo.quality.Gate.to_dict()`."""
    heatmap: str
    """One of `runnable.HEATMAPS`."""
    features: int
    """Length of a photograph's feature vector."""
    training: dict[str, Any]
    """Provenance: data, experiment, backbone, hashes; `training_sha256` lists the photographs it learned from."""
    evaluation: dict[str, Any]
    """Figures with their intervals."""
    intended_use: str
    limits: list[str]
    """Sentences: what the release cannot do and was not tested on."""
    schema: int = SCHEMA
    task: str = "dr-grade"
    """A name in `tasks.TASKS`."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of every file, by name (of `release.json`: its `seal`); filled in by `write_release`."""
    golden_tolerance: float = 1e-3
    """Largest deviation from the golden outputs, as a share of their largest value (at least of 1); at most
    `LARGEST_TOLERANCE`."""
    eyes: int = 1
    """2: the network takes each photograph together with the same patient's other eye, zeros where there is none."""
    neighbours: dict[str, Any] = field(default_factory=dict)
    """How the nearest of `neighbours.npz` vote on the grade: `decide.neighbours.Voting`; empty: the head grades."""
    descriptions: list[str] = field(default_factory=list)
    """Clinical description of each label, which the report shows beside it; empty: none."""
    conformal: dict[str, Any] = field(default_factory=dict)
    """Which grades cannot be excluded: `tasks.grade_sets.GradeSets.to_dict()`; empty: nothing is said of that."""
    certificate: dict[str, Any] = field(default_factory=dict)
    """What its heatmap was tested on: `certificate.Certificate.to_dict()`; empty: it was not tested."""
    column: str = ""
    """The manifest's column that it answers, where the task leaves it open (classes); else empty."""

    @property
    def grade_cuts(self) -> tuple[float, ...]:
        """Of the task dr-grade: expected grades at which the reported grade steps up; none: the median is reported."""
        return tuple(float(cut) for cut in self.calibration["grade_cuts"])

    def to_json(self) -> str:
        """Return the text of `release.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_release(text: bytes, path: Path) -> Release:
    """Read `release.json`, knowing every key and the kind of its value.

    Raises:
        BadRelease: If it is not JSON, of another schema, or has a key missing, unknown or of another kind.
    """
    try:
        stored = parse_record(text)
    except ValueError as problem:
        raise BadRelease(f"{path}: expected JSON in {DESCRIPTION}, got {problem}. Fetch the release again.") from None
    if not isinstance(stored, dict) or "schema" not in stored:
        raise BadRelease(f"{path}: expected an object with the key 'schema' in {DESCRIPTION}. Is this a release?")
    if stored["schema"] != SCHEMA:
        raise BadRelease(
            f"{path}: expected a release of schema {SCHEMA}, got {stored['schema']!r}. "
            "Install the version of fundoscope that it was made with, or export it again."
        )
    keys = {key.name for key in fields(Release)}
    for key, value in stored.items():
        if key not in keys:
            raise BadRelease(
                f"{path}: {DESCRIPTION} has the key {key!r}, which schema {SCHEMA} does not know. "
                "A newer version of fundoscope may read it."
            )
        _check_kind(key, value, path)
    missing = sorted(keys - set(stored) - set(OPTIONAL))
    if missing:
        raise BadRelease(f"{path}: {DESCRIPTION} lacks {', '.join(missing)}. Export the release again.")
    if stored["files"][DESCRIPTION] != seal(stored):
        raise BadRelease(f"{path}: {DESCRIPTION} has changed since the release was made. Fetch the release again.")
    return Release(**stored)


def seal(description: Mapping[str, Any]) -> str:
    """Return the SHA-256 of `release.json` without its own seal, by which a changed threshold is noticed."""
    # Through JSON and back first: in a file every key is a text, and texts sort otherwise than numbers.
    plain = json.loads(json.dumps(description))
    plain["files"].pop(DESCRIPTION, None)
    return _sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode())


_KINDS: Final[dict[str, tuple[str, Callable[[Any], bool]]]] = {
    "a text": ("id version licence head heatmap intended_use task column", lambda value: isinstance(value, str)),
    "an object": (
        "recipe calibration operating_point gate training evaluation files neighbours conformal certificate",
        lambda value: isinstance(value, dict),
    ),
    "a list of texts": (
        "labels limits descriptions",
        lambda value: isinstance(value, list) and all(isinstance(text, str) for text in value),
    ),
    f"a number above 0 and at most {LARGEST_TOLERANCE:g}": (
        "golden_tolerance",
        lambda value: is_number(value) and 0 < value <= LARGEST_TOLERANCE,
    ),
    "a whole number above 0": (
        "features schema eyes",
        lambda value: is_whole_number(value) and value > 0,
    ),
}


def _check_kind(key: str, value: object, path: Path) -> None:
    for kind, (keys, fits) in _KINDS.items():
        if key in keys.split() and not fits(value):
            raise BadRelease(f"{path}: {key} in {DESCRIPTION} must be {kind}, got {value!r:.80}.")
    if key == "files":
        _check_files(value, path)


def _check_files(files: object, path: Path) -> None:
    assert isinstance(files, dict)
    for name, digest in files.items():
        if not is_plain(name):
            raise BadRelease(f"{path}: files in {DESCRIPTION} names {name!r}, which leads out of the release.")
        if not (isinstance(digest, str) and len(digest) == 64):
            raise BadRelease(
                f"{path}: files.{name} in {DESCRIPTION} must be 64 hexadecimal digits, got {digest!r:.80}."
            )
    missing = sorted({MODEL, GOLDEN, CARD, DESCRIPTION} - set(files))
    if missing:
        raise BadRelease(f"{path}: files in {DESCRIPTION} must have the hash of {', '.join(missing)}.")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
