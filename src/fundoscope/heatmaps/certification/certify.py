"""From a release and manifests to a certificate: who may judge which photograph, every method measured, a copy written.

Where runs are given, networks of their folds judge, and the certificate says so: a release's own network learnt from
all of its photographs, and answers new ones as those of its folds do only in so far as they are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path, PurePath
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8

from fundoscope import __version__
from fundoscope.arrays import Canvases, Scores
from fundoscope.data.manifest import picture_paths, read_manifest
from fundoscope.decide.heads import expected_grade
from fundoscope.errors import BadRequest
from fundoscope.heatmaps.certification.criteria import NO_CHECKPOINT, TESTS, decide
from fundoscope.heatmaps.certification.leakage import LEARNT, Known, Seen, seen_by
from fundoscope.heatmaps.certification.measure import Judge, Photographed, Steps, measure
from fundoscope.heatmaps.certification.scenes import read_photographs, short_names, with_masks
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.backends.sessions import Network
from fundoscope.runtime.certificate import Certificate, Verdict
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.description import CARD, MODEL
from fundoscope.runtime.release import OpenRelease, head_probabilities

LESION_FREE_GRADE: Final = 0
"""Photographs of this grade have no lesion of retinopathy, by definition of the scale."""

OWN: Final = "the release's own network"

HEADING: Final = "\n\n## Heatmap\n\n"
"""Of the last section of a card, which tells the certificate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Photographs that a certificate may be made on."""

    frame: pd.DataFrame
    manifest: Path
    lesions: bool
    """Whether they have masks; False: they have no lesions."""

    @property
    def paths(self) -> list[Path]:
        """Their files."""
        return picture_paths(self.frame, self.manifest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Photographs with their judges, and those that nobody may judge."""

    photographs: tuple[Photographed, ...]
    left_out: tuple[dict[str, str], ...]
    """Of each its `image` and `why`."""

    def counts(self) -> dict[str, Any]:
        """As a certificate holds it."""
        lesions = [each.scene for each in self.photographs if each.scene.marked]
        return {
            "lesions": len(lesions),
            "patients": len({(each.source, each.patient or each.image) for each in lesions}),
            "lesion_free": len(self.photographs) - len(lesions),
            "left_out": [dict(each) for each in self.left_out],
        }


def asked_of(
    manifest: Path, *, lesions: bool, leave_out: Collection[str] = (), splits: Collection[str] = (), most: int = 0
) -> Asked:
    """The rows of a manifest that may be tested on: those with masks, or those of grade 0.

    Args:
        manifest: Table of photographs.
        lesions: With drawn lesions; False: without any.
        leave_out: Photographs by their name in the manifest, their file's name, or that without suffix.
        splits: Only rows of these; none: all.
        most: The first so many; 0: all.

    Raises:
        BadTable: If the manifest is not as it should be.
        BadRequest: If no row is left.
    """
    frame = read_manifest(manifest)
    if splits:
        frame = frame[frame["split"].isin(list(splits))] if "split" in frame else frame.iloc[:0]
    frame = frame[[not (names_of(image) & set(leave_out)) for image in frame["image"]]]
    if lesions:
        frame = frame[with_masks(frame)]
    elif "grade" in frame:
        frame = frame[(frame["grade"] == LESION_FREE_GRADE).fillna(False).astype(bool)]
    frame = (frame.head(most) if most else frame).reset_index(drop=True)
    if frame.empty:
        wanted = "rows with a mask of a lesion (mask_ma, mask_he, mask_ex, mask_se)" if lesions else "rows of grade 0"
        raise BadRequest(f"{manifest}: expected {wanted} to test heatmaps on, got none. Give another manifest.")
    return Asked(frame=frame, manifest=manifest, lesions=lesions)


def names_of(image: object) -> set[str]:
    """What a photograph may be called on the command line."""
    path = PurePath(str(image))
    return {str(image), path.name, path.stem}


def choose(
    asked: Sequence[Asked],
    recipe: Recipe,
    *,
    known: Known | None,
    learnt: Collection[str],
    folds: Sequence[int] = (),
    cache: Path,
    threads: int,
) -> Chosen:
    """Prepare the photographs that somebody may judge, and name the others.

    Args:
        asked: With lesions, and without.
        recipe: The release's.
        known: What was learnt from, to find copies of it by their pixels; None: its hashes alone are known.
        learnt: SHA-256 of what the release learnt from.
        folds: Of the networks that judge, whose place in this list is the judge's number; none: the release's own,
            which judges only what it did not learn from. With folds, what none of them saw is dealt out to them.
        cache: Folder for fingerprints.
        threads: Photographs worked on side by side.

    Raises:
        BadRequest: If nobody may judge any photograph with lesions.
    """
    together = pd.concat([each.frame for each in asked], ignore_index=True)
    paths = [path for each in asked for path in each.paths]
    seen = seen_by(together, paths, known, learnt=learnt, cache=cache, threads=threads)
    photographs: list[Photographed] = []
    left_out: list[dict[str, str]] = []
    start = 0
    for each in asked:
        judges = [_judge(told, at, folds) for at, told in enumerate(seen[start : start + len(each.frame)])]
        start += len(each.frame)
        names = short_names(each.frame)
        left_out += [
            {"image": name, "why": judge} for name, judge in zip(names, judges, strict=True) if isinstance(judge, str)
        ]
        kept = [at for at, judge in enumerate(judges) if isinstance(judge, int)]
        numbers = [judge for judge in judges if isinstance(judge, int)]
        rows = each.frame.iloc[kept].reset_index(drop=True)
        photographs += read_photographs(rows, each.manifest, recipe, numbers, lesions=each.lesions)
    if not any(photographed.scene.marked for photographed in photographs):
        raise BadRequest(
            "--lesions: expected photographs with lesions that the network did not learn from, got none: "
            f"{left_out[0]['image']}: {left_out[0]['why']}. Give others, or the runs with their folds (--checkpoint)."
        )
    return Chosen(photographs=tuple(photographs), left_out=tuple(left_out))


def _judge(told: Seen, at: int, folds: Sequence[int]) -> int | str:
    """The number of the judge, or why there is none."""
    if told.refused:
        return told.refused
    if not folds:
        return 0 if told.fold is None else LEARNT
    return at % len(folds) if told.fold is None else folds.index(told.fold)


def own_judge(opened: OpenRelease, network: Network) -> Judge:
    """A release as its own judge: the map that it shows, and the grade that it expects."""

    def given(canvases: Canvases) -> UInt8[np.ndarray, "photo *eyes side side 3"]:
        return canvases if opened.release.eyes == 1 else np.stack([canvases, np.zeros_like(canvases)], axis=1)

    def maps(canvases: Canvases) -> Float[np.ndarray, "photo map_row map_column"]:
        heatmap = network.run(given(canvases)).heatmap
        assert heatmap is not None, "a release without a heatmap is refused before"
        return np.maximum(heatmap.astype(np.float64), 0)

    def score(canvases: Canvases) -> Scores:
        return expected_grade(head_probabilities(opened, network.run(given(canvases)).raw.astype(np.float64)))

    return Judge(maps=maps, score=score)


def certify(
    methods: Mapping[str, Sequence[Judge]],
    chosen: Chosen,
    steps: Steps,
    *,
    not_run: Mapping[str, str] | None = None,
    told: Callable[[str], object] = lambda method: None,
) -> tuple[Verdict, ...]:
    """Measure and decide every method.

    Args:
        methods: By name, the judges that make its maps.
        chosen: Photographs.
        steps: How finely is measured.
        not_run: Tests that are not run, and why; None: those that need a checkpoint, for there is none.
        told: Called with each method before it is measured.
    """
    missing = (
        {name: NO_CHECKPOINT for name, test in TESTS.items() if test.needs_checkpoint}
        if not_run is None
        else dict(not_run)
    )
    verdicts = []
    for method, judges in methods.items():
        told(method)
        found = measure(method, chosen.photographs, judges, steps)
        verdicts.append(decide(method, found.table, not_run=missing, seed=steps.seed))
    return tuple(verdicts)


def certificate_of(
    opened: OpenRelease,
    verdicts: Sequence[Verdict],
    chosen: Chosen,
    *,
    own: str,
    judged_by: str,
    settings: Mapping[str, Any],
    day: date,
) -> Certificate:
    """The certificate of a release.

    Args:
        opened: The release.
        verdicts: Of its own method, and of others.
        chosen: What was tested on.
        own: Name of its own method among the verdicts.
        judged_by: Whose maps were scored, in words.
        settings: What else the figures depend on.
        day: Of the tests.
    """
    return Certificate(
        method=own,
        model_sha256=opened.release.files[MODEL],
        made_at=day.isoformat(),
        fundoscope=__version__,
        judged_by=judged_by,
        photographs=chosen.counts(),
        settings=dict(settings),
        verdicts=tuple(verdicts),
    )


def write_certified(opened: OpenRelease, certificate: Certificate, folder: Path) -> OpenRelease:
    """A copy of the release with the certificate in it; its card says what came of it, of an earlier one no more.

    Raises:
        BadRequest: If the folder is in use.
    """
    card, heading, said = opened.card.rstrip().rpartition(HEADING)
    if not heading or "\n#" in said:
        card = opened.card.rstrip()
    card = f"{card}{HEADING}{certificate.own.words()} ({certificate.made_at}).\n"
    description = replace(opened.release, certificate=certificate.to_dict())
    return copy_release(opened, folder, description, {CARD: card.encode()})


def own_method(opened: OpenRelease) -> str:
    """The release's way of explaining, as `--methods` names it.

    Raises:
        BadRequest: If it exports no heatmap.
    """
    if opened.release.heatmap == "none":
        raise BadRequest(
            f"{opened.path}: expected a release with a heatmap, got one that exports none. Export it anew."
        )
    layers = opened.release.training.get("experiment", {}).get("release", {}).get("heatmap_layers", ())
    return opened.release.heatmap + (f":{'+'.join(layers)}" if layers else "")
