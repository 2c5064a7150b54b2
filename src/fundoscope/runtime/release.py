"""A release: the folder, or the same folder zipped, that holds everything a grade depends on.

    release.json    what the network is, how its output is read, where it came from, hashes of the rest
    model.onnx      `canvases` (uint8, prepared, not normalised) -> `raw`, `features` and, mostly, `heatmap`
    golden.npz      `canvases` with the outputs they had when the release was made
    golden_photograph.jpg, golden_canvas.npz
                    a photograph, and what reading and preparing it gave when the release was made (absent in old ones)
    neighbours.npz  only where it grades by nearest neighbours: their features, grades and hashes
    MODEL_CARD.md   the same for people

Opening reads every byte and compares its hash; nothing is unpacked to disk and nothing in it is ever run
but the ONNX graph. Whether that graph fits is checked by `network.open_network`, where onnxruntime is;
`verification.verify_release` computes the golden outputs again.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from fundoscope.arrays import Array, Probabilities, RawOutput, arrays_from, check_finite
from fundoscope.decide.calibrators import Calibrator
from fundoscope.decide.conformal import GradeSets
from fundoscope.decide.neighbours import NEIGHBOURS, Neighbours, Voting, from_bytes, to_bytes
from fundoscope.decide.referral import OperatingPoint
from fundoscope.errors import BadRelease
from fundoscope.files import write_bytes, write_text
from fundoscope.photo.quality import Gate
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.archive import reader
from fundoscope.runtime.certificate import Certificate, heatmap_state
from fundoscope.runtime.description import CARD, DESCRIPTION, GOLDEN, MODEL, Release, _sha256, parse_release, seal
from fundoscope.runtime.golden_photograph import GoldenPhotograph, golden_photograph_from
from fundoscope.runtime.graph_file import check_self_contained
from fundoscope.runtime.runnable import runnable
from fundoscope.runtime.tasks import DR_GRADE
from fundoscope.runtime.tasks.dr_grade import GradeAnswerer
from fundoscope.runtime.tasks.task import Answerer, Task

MOST_GOLDEN: Final = 64
"""Golden canvases beyond which a release is refused: each is computed when it is first opened. Exports write 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRelease:
    """A release whose bytes are all here, agree with their hashes and can be run by this version."""

    release: Release
    model: bytes
    golden: dict[str, Array]
    golden_photograph: GoldenPhotograph | None = None
    """None: an old release without one."""
    card: str
    path: Path
    digest: str
    """SHA-256 of `release.json`, and through the hashes in it of the whole release."""
    recipe: Recipe
    gate: Gate
    task: Task
    """What it answers."""
    answerer: Answerer
    """How it answers: the task with its calibration and operating points."""
    neighbours: Neighbours | None = None
    """Graded photographs that vote on the grade, where the release grades so."""
    certificate: Certificate | None = None
    """What its heatmap was tested on; None: it was not."""

    @property
    def name(self) -> str:
        """What the column `release` holds: the id and the first twelve digits of the hash."""
        return f"{self.release.id}@{self.digest[:12]}"

    @property
    def grading(self) -> GradeAnswerer:
        """How it grades retinopathy.

        Raises:
            BadRelease: If it answers another task.
        """
        if not isinstance(self.answerer, GradeAnswerer):
            raise BadRelease(
                f"{self.path}: expected a release that grades retinopathy (task {DR_GRADE.name}), got one of the task "
                f"{self.task.name}. Name another release."
            )
        return self.answerer

    @property
    def operating_point(self) -> OperatingPoint:
        """From where a photograph is referred. Raises as `grading`."""
        return self.grading.operating_point

    @property
    def calibrator(self) -> Calibrator | None:
        """What corrects the probabilities of the grades; None: the head's temperature alone. Raises as `grading`."""
        return self.grading.calibrator

    @property
    def grade_sets(self) -> GradeSets | None:
        """Which grades cannot be excluded; None: the release has no such sets. Raises as `grading`."""
        return self.grading.grade_sets

    @property
    def heatmap_state(self) -> tuple[bool, str]:
        """Whether its heatmap may be shown to people, and why, or why not."""
        return heatmap_state(self.release.heatmap, self.certificate, self.release.files[MODEL])

    def shows_heatmap(self, decision: str) -> bool:
        """Return whether a heatmap may be shown beside a decision: it is certified, and the decision is explained."""
        return self.heatmap_state[0] and decision in self.task.words.explained


def head_probabilities(opened: OpenRelease, raw: RawOutput) -> Probabilities:
    """Return probabilities of the grades by a release's head, its temperature and its calibrator.

    Raises:
        BadRelease: As `OpenRelease.grading`.
    """
    return opened.grading.head_probabilities(raw)


def default_release() -> Path:
    """Return the folder of the release that ships inside the package."""
    return Path(__file__).resolve().parent.parent / "releases" / "default"


def write_release(
    folder: Path | str,
    release: Release,
    *,
    model: bytes,
    card: str,
    golden: Mapping[str, Array],
    golden_photograph: GoldenPhotograph | None = None,
    neighbours: Neighbours | None = None,
) -> Release:
    """Write a release.

    Args:
        folder: Made where absent; files of an earlier release in it are replaced.
        release: Everything but `files`, which is filled in here.
        model: Serialised ONNX graph.
        card: Text of the model card, Markdown.
        golden: `canvases` and the outputs for them: `raw`, `features` and `heatmap` (unless `none`).
        golden_photograph: As `make_golden_photograph` paints it for the recipe; None: decoding and preprocessing
            cannot be verified.
        neighbours: The photographs that vote, where `release.neighbours` says how.

    Returns:
        The release as written, with its hashes.

    Raises:
        BadRelease: If it could not be opened again: unknown head, recipe, missing golden output.
    """
    target = Path(folder)
    runnable(release, target)
    _check_golden(golden, release, target)
    buffer = io.BytesIO()
    # Of any type: to the stub a name among them might be an option of the function.
    arrays: dict[str, Any] = dict(golden)
    np.savez_compressed(buffer, **arrays)
    contents = {MODEL: model, GOLDEN: buffer.getvalue(), CARD: card.encode()}
    if golden_photograph is not None:
        contents |= golden_photograph.files()
    _check_neighbours(release, neighbours, target)
    if neighbours is not None:
        contents[NEIGHBOURS] = to_bytes(neighbours)
    return write_sealed(target, release, contents)


def write_sealed(folder: Path, release: Release, contents: Mapping[str, bytes]) -> Release:
    """Write files with the description that holds their hashes and its own seal, and return it.

    The description comes last, so that what was interrupted cannot be opened.

    Args:
        folder: Made where absent.
        release: Everything but `files`.
        contents: Every file but the description, by name.
    """
    hashed = replace(release, files={name: _sha256(data) for name, data in contents.items()})
    sealed = replace(hashed, files=hashed.files | {DESCRIPTION: seal(asdict(hashed))})
    for name, data in contents.items():
        write_bytes(folder / name, data)
    write_text(folder / DESCRIPTION, sealed.to_json())
    return sealed


def open_release(path: Path | str) -> OpenRelease:
    """Read a release, whole, and refuse it unless all of it is as `release.json` says.

    Args:
        path: A folder, or a `.zip` of it.

    Raises:
        BadRelease: If it is absent, damaged, of another schema, has keys, a head, a recipe or a heatmap that
            this version does not know, or holds a path that leads out of it.
    """
    place = Path(path)
    read = reader(place)
    description = read(DESCRIPTION)
    release = parse_release(description, place)
    contents = {name: read(name) for name in release.files if name != DESCRIPTION}
    for name, data in contents.items():
        _check_hash(name, data, release, place)
    check_self_contained(contents[MODEL], place)
    neighbours = from_bytes(contents[NEIGHBOURS], place / NEIGHBOURS) if NEIGHBOURS in contents else None
    parts = runnable(release, place, neighbours=neighbours)
    golden = _read_golden(contents[GOLDEN], place)
    _check_golden(golden, release, place)
    _check_neighbours(release, neighbours, place)
    return OpenRelease(
        release=release,
        model=contents[MODEL],
        golden=golden,
        golden_photograph=golden_photograph_from(contents, parts.recipe, place),
        card=contents[CARD].decode("utf-8", errors="replace"),
        path=place,
        digest=_sha256(description),
        recipe=parts.recipe,
        gate=parts.gate,
        task=parts.task,
        answerer=parts.answerer,
        neighbours=neighbours,
        certificate=parts.certificate,
    )


def _check_neighbours(release: Release, neighbours: Neighbours | None, path: Path) -> None:
    """Check that stored feature vectors and voting parameters, which k-NN grading needs both, are there and fit."""
    if bool(release.neighbours) != (neighbours is not None):
        raise BadRelease(f"{path}: neighbours in {DESCRIPTION} and {NEIGHBOURS} belong together. Export it again.")
    if neighbours is None:
        return
    try:
        voting = Voting.from_dict(release.neighbours)
    except (ValueError, TypeError) as problem:
        raise BadRelease(f"{path}: neighbours in {DESCRIPTION}: {problem}. Export the release again.") from None
    if voting.k > len(neighbours.grades) or release.features != neighbours.features.shape[1]:
        raise BadRelease(
            f"{path}: {NEIGHBOURS} must hold at least {voting.k} photographs of {release.features} features, "
            f"got {len(neighbours.grades)} of {neighbours.features.shape[1]}. Export the release again."
        )


def _check_hash(name: str, data: bytes, release: Release, path: Path) -> None:
    expected, got = release.files[name], _sha256(data)
    if got != expected:
        raise BadRelease(
            f"{path}: {name} has changed: expected SHA-256 {expected[:12]}..., got {got[:12]}.... "
            "Fetch the release again."
        )


def _read_golden(data: bytes, path: Path) -> dict[str, Array]:
    try:
        return arrays_from(data)
    except ValueError as problem:
        raise BadRelease(
            f"{path}: expected finite arrays without objects in {GOLDEN}, got {problem}. Fetch the release again."
        ) from None


def _check_golden(golden: Mapping[str, Array], release: Release, path: Path) -> None:
    expected = {"canvases", "raw", "features"} | ({"heatmap"} if release.heatmap != "none" else set())
    if set(golden) != expected:
        raise BadRelease(f"{path}: {GOLDEN} must hold {', '.join(sorted(expected))}, got {', '.join(sorted(golden))}.")
    try:
        check_finite(golden)
    except ValueError as problem:
        raise BadRelease(f"{path}: {GOLDEN} must hold finite numbers, got {problem}. Export it again.") from None
    if len({len(np.atleast_1d(outputs)) for outputs in golden.values()}) > 1:
        raise BadRelease(f"{path}: {GOLDEN} must hold outputs for each of its canvases. Export the release again.")
    side, canvases = release.recipe.get("side"), golden["canvases"]
    if len(canvases) > MOST_GOLDEN:
        raise BadRelease(
            f"{path}: {GOLDEN} must hold at most {MOST_GOLDEN} canvases, got {len(canvases)}. Export the release again."
        )
    shape = (side, side, 3) if release.eyes == 1 else (release.eyes, side, side, 3)
    if canvases.dtype != np.uint8 or canvases.shape[1:] != shape or not len(canvases):
        raise BadRelease(
            f"{path}: canvases in {GOLDEN} must be uint8 (photo, {', '.join(map(str, shape))}), "
            f"got {canvases.dtype} {canvases.shape}."
        )
