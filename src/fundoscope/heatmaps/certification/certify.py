"""Test a release's heatmap on photographs with known lesions, and write the certificate into a copy.

With cross-validated runs the networks of their folds are evaluated, and the certificate says so: a release's own
network was trained on all photographs, and resembles those of its folds only so far as they generalise alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from fundoscope.data.manifest import read_manifest, with_hashes
from fundoscope.errors import BadRequest
from fundoscope.heatmaps.certification.criteria import NO_CHECKPOINT, TESTS, decide
from fundoscope.heatmaps.certification.evaluators import CrossValidation, Evaluator, release_evaluator
from fundoscope.heatmaps.certification.leakage import TrainingSet
from fundoscope.heatmaps.certification.measure import Steps, measure
from fundoscope.heatmaps.certification.selection import Candidates, Selection, select_photographs
from fundoscope.runtime.backends.network import open_network
from fundoscope.runtime.certificate import Certificate, Verdict
from fundoscope.runtime.copies import copy_release
from fundoscope.runtime.description import CARD, MODEL
from fundoscope.runtime.release import OpenRelease
from fundoscope.version import __version__

OWN: Final = "the release's own network"

HEADING: Final = "\n\n## Heatmap\n\n"
"""Of the last section of a model card, which reports the certificate."""

LEVEL: Final = 0.95
"""Of the intervals that decide."""

RESAMPLES: Final = 2000


def _silent(message: str) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificationOptions:
    """What a release's heatmap is tested with."""

    trained_on: Path | None = None
    """Without runs: manifest of the photographs that the release was trained on, to find copies of them."""
    held_out: bool = False
    """Without runs: the release was trained on no copy of these photographs; none is searched for."""
    methods: tuple[str, ...] = ()
    """With runs: further attribution methods, as `training.runs.randomised.read_method` reads them."""
    label_randomisation_epochs: int = 0
    """With runs: epochs of a network that is trained on shuffled grades, to compare with; 0: none is trained."""
    cache: Path = Path("runs/audit")
    """Folder for fingerprints, by which copies are found."""


def certify_release(
    opened: OpenRelease,
    candidates: Sequence[Candidates],
    steps: Steps,
    options: CertificationOptions,
    *,
    runs: CrossValidation | None = None,
    day: date,
    progress: Callable[[str], object] = _silent,
) -> Certificate:
    """Test the heatmap of a release on photographs with known lesions.

    Args:
        opened: The release.
        candidates: Photographs with lesions, and photographs without, of `selection.candidates_of`.
        steps: How finely heatmaps are measured.
        options: What else is needed.
        runs: Cross-validated runs that the release was made from: the networks of their folds are evaluated on what
            they never saw. None: the release's own network, on what it was not trained on.
        day: Of the tests.
        progress: Called with a sentence before each long step.

    Raises:
        BadRequest: If options contradict one another, the runs are not the release's, the release exports no heatmap,
            or no photograph with lesions is left.
    """
    own = own_method(opened)
    check_options(opened, options, with_runs=runs is not None)
    if runs is not None:
        check_runs(opened, runs)
    selection = select_photographs(
        candidates,
        opened.recipe,
        training_set=_training_set(opened, options.trained_on) if runs is None else training_set_of(runs),
        learnt=_trained_on(opened),
        folds=() if runs is None else runs.folds,
        cache=options.cache,
        threads=steps.threads,
    )
    settings: dict[str, Any] = {
        "level": LEVEL,
        "resamples": RESAMPLES,
        "seed": steps.seed,
        "shifts": [list(shift) for shift in steps.shifts],
        "road_fractions": list(steps.road_fractions),
    }
    if runs is None:
        evaluated = OWN
        verdicts = evaluate_methods({own: [release_evaluator(opened, open_network(opened))]}, selection, steps)
    else:
        evaluated = _runs_in_words(runs)
        settings |= {"seeds": list(runs.seeds), "label_randomisation_epochs": options.label_randomisation_epochs}
        verdicts = _evaluate_runs(runs, [own, *options.methods], selection, steps, options, progress)
    return certificate_of(
        opened, verdicts, selection, own=own, judged_by=evaluated, settings=settings, day=day
    )  # fmt: skip


def check_options(opened: OpenRelease, options: CertificationOptions, *, with_runs: bool) -> None:
    """Refuse options that contradict one another; to be called before runs are read.

    Raises:
        BadRequest: If something needs runs and there are none, or nothing says which photographs are new.
    """
    if not with_runs and (options.methods or options.label_randomisation_epochs):
        raise BadRequest(
            "--method and --label-randomisation: expected --checkpoint beside them, got none: a release holds one "
            "method and cannot be trained. Name the runs that it was made of."
        )
    learnt = _trained_on(opened)
    if learnt and not (with_runs or options.trained_on or options.held_out):
        raise BadRequest(
            f"{opened.path}: it learnt from {len(learnt)} photographs, and copies of them may be among yours under "
            "another name; expected --checkpoint or --trained-on to seek them by, got neither. Name one, or say "
            "--held-out if you know that there are none."
        )


def check_runs(opened: OpenRelease, runs: CrossValidation) -> None:
    """Refuse runs that a release was not made from.

    Raises:
        BadRequest: If head, recipe or photographs differ.
    """
    learnt, of_runs = _trained_on(opened), set(runs.table["sha256"])
    same = opened.release.head == runs.head and opened.release.recipe == runs.recipe.to_dict()
    if learnt != of_runs or not same:
        raise BadRequest(
            f"--checkpoint: expected runs that {opened.name} was made of, got others: another head or recipe, or "
            f"other photographs ({len(learnt & of_runs)} of its {len(learnt)} are theirs). Name its own runs."
        )


def training_set_of(runs: CrossValidation) -> TrainingSet:
    """Return what the networks of the folds were trained on."""
    return TrainingSet(frame=runs.table, manifest=runs.manifest)


def evaluate_methods(
    methods: Mapping[str, Sequence[Evaluator]],
    selection: Selection,
    steps: Steps,
    *,
    not_run: Mapping[str, str] | None = None,
    progress: Callable[[str], object] = _silent,
) -> tuple[Verdict, ...]:
    """Measure the heatmaps of every method and decide its tests.

    Args:
        methods: By name, the evaluators that make its heatmaps.
        selection: Photographs.
        steps: How finely heatmaps are measured.
        not_run: Tests that are not run, and why; None: those that need a checkpoint, for there is none.
        progress: Called with a sentence before each method.
    """
    missing = (
        {name: NO_CHECKPOINT for name, test in TESTS.items() if test.needs_checkpoint}
        if not_run is None
        else dict(not_run)
    )
    verdicts = []
    for method, evaluators in methods.items():
        progress(f"measuring {method}")
        measured = measure(method, selection.photographs, evaluators, steps)
        verdicts.append(decide(method, measured.table, not_run=missing, resamples=RESAMPLES, seed=steps.seed))
    return tuple(verdicts)


def certificate_of(
    opened: OpenRelease,
    verdicts: Sequence[Verdict],
    selection: Selection,
    *,
    own: str,
    judged_by: str,
    settings: Mapping[str, Any],
    day: date,
) -> Certificate:
    """Return the certificate of a release.

    Args:
        opened: The release.
        verdicts: Of its own method, and of others.
        selection: Photographs that were tested on.
        own: Name of its own method among the verdicts.
        judged_by: Which networks were evaluated, in words.
        settings: What else the figures depend on.
        day: Of the tests.
    """
    return Certificate(
        method=own,
        model_sha256=opened.release.files[MODEL],
        made_at=day.isoformat(),
        fundoscope=__version__,
        judged_by=judged_by,
        photographs=selection.counts(),
        settings=dict(settings),
        verdicts=tuple(verdicts),
    )


def write_certified(opened: OpenRelease, certificate: Certificate, folder: Path) -> OpenRelease:
    """Write a copy of the release with the certificate; its card reports the result instead of an earlier one.

    Raises:
        BadRequest: If the folder is in use.
    """
    card, heading, section = opened.card.rstrip().rpartition(HEADING)
    # The section of an earlier certificate is the card's last; a heading further up is the author's own.
    if not heading or "\n#" in section:
        card = opened.card.rstrip()
    card = f"{card}{HEADING}{certificate.own.words()} ({certificate.made_at}).\n"
    description = replace(opened.release, certificate=certificate.to_dict())
    return copy_release(opened, folder, description, {CARD: card.encode()})


def own_method(opened: OpenRelease) -> str:
    """Return the attribution method that a release exports, as `certify --method` names it.

    Raises:
        BadRequest: If it exports no heatmap.
    """
    if opened.release.heatmap == "none":
        raise BadRequest(
            f"{opened.path}: expected a release with a heatmap, got one that exports none. Export it anew."
        )
    layers = opened.release.training.get("experiment", {}).get("release", {}).get("heatmap_layers", ())
    return opened.release.heatmap + (f":{'+'.join(layers)}" if layers else "")


def _evaluate_runs(
    runs: CrossValidation,
    methods: Sequence[str],
    selection: Selection,
    steps: Steps,
    options: CertificationOptions,
    progress: Callable[[str], object],
) -> tuple[Verdict, ...]:
    epochs = options.label_randomisation_epochs
    if epochs:
        progress(f"training on shuffled grades for {epochs} epochs")
    networks = runs.evaluators(seed=steps.seed, shuffled_epochs=epochs)
    canvases = [photograph.canvas for photograph in selection.photographs]
    evaluators = {
        method: [networks.evaluator(fold, method, canvases) for fold in runs.folds] for method in dict.fromkeys(methods)
    }
    not_run = {} if epochs else {"shuffled": "a retraining: --label-randomisation EPOCHS"}
    return evaluate_methods(evaluators, selection, steps, not_run=not_run, progress=progress)


def _runs_in_words(runs: CrossValidation) -> str:
    return (
        f"the networks of {len(runs.folds)} folds of {len(runs.seeds)} runs (seeds "
        f"{', '.join(map(str, runs.seeds))}), each photograph by those that never saw its patient"
    )


def _training_set(opened: OpenRelease, manifest: Path | None) -> TrainingSet | None:
    """Read what a release was trained on from the manifest that lists it; no network held any of it out."""
    if manifest is None:
        return None
    learnt = _trained_on(opened)
    frame = read_manifest(manifest)
    frame = frame if "sha256" in frame else with_hashes(frame, manifest.parent)
    frame = frame[frame["sha256"].isin(learnt)].reset_index(drop=True)
    if len(set(frame["sha256"])) < len(learnt):
        raise BadRequest(
            f"{manifest}: expected all {len(learnt)} photographs that {opened.name} learnt from, got "
            f"{frame['sha256'].nunique()} of them. Give the manifest that it was trained on."
        )
    columns = frame.reindex(columns=["image", "sha256", "source", "patient"])
    return TrainingSet(frame=columns.assign(fold=None), manifest=manifest)


def _trained_on(opened: OpenRelease) -> set[str]:
    """Return the SHA-256 of the photographs that a release was trained on, as far as it says."""
    return set(opened.release.training.get("training_sha256", ()))
