"""`fundoscope certify`: may a release's heatmap be shown? Tested on drawn lesions, with the answer written in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import answers, say, troubles
from fundoscope.errors import BadRequest, MissingExtra

if TYPE_CHECKING:
    from fundoscope.heatmaps.certification.certify import Chosen
    from fundoscope.heatmaps.certification.leakage import Known
    from fundoscope.heatmaps.certification.measure import Judge, Steps
    from fundoscope.runtime.certificate import Certificate, Verdict
    from fundoscope.runtime.release import OpenRelease

NOT_CERTIFIED = 1
"""Exit status of an answer that no page will show the heatmap by."""


def certify(
    release: Annotated[Path, typer.Argument(help="Release, a folder or .zip, whose heatmap is tested.")],
    lesions: Annotated[Path, typer.Option(help="Manifest of photographs with masks of their lesions.")],
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Cross-validated run that the release was made of; again for each run of an ensemble."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="With --checkpoint, further methods, comma-separated: grad-cam,layer-cam:blocks.3")
    ] = "",
    lesion_free: Annotated[
        Path | None, typer.Option(help="Manifest whose photographs of grade 0 are shown too; nothing depends on them.")
    ] = None,
    lesion_free_most: Annotated[int, typer.Option(min=1, help="The first so many of them.")] = 20,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Photograph that is not looked at, by its file's name; again for others.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only photographs of this split, of both manifests; again for others.")
    ] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(help="Without --checkpoint: manifest of what the release learnt from, to find copies of it."),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="The release learnt from no copy of these photographs: do not seek any.")
    ] = False,
    label_randomisation: Annotated[
        int, typer.Option(min=0, help="Epochs of a network that learns shuffled grades, to compare with; 0: not run.")
    ] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for a copy with the certificate.")] = None,
    cache: Annotated[Path, typer.Option(help="Folder for fingerprints, by which copies are found.")] = Path(
        "runs/audit"
    ),
    threads: Annotated[int | None, typer.Option(min=1, help="Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything that is drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the certificate as JSON.")] = False,
) -> None:
    """Test a release's heatmap against lesions, by thresholds stated beforehand; a report shows only what passes.

    Exit status: 0 certified, 1 not certified, 2 something given is not usable.
    """
    from fundoscope.heatmaps.certification import certify as certifying
    from fundoscope.heatmaps.certification.measure import Steps
    from fundoscope.parallel import available_cores
    from fundoscope.runtime.copies import check_unused
    from fundoscope.runtime.release import open_release

    opened = open_release(release)
    own = certifying.own_method(opened)
    _check(opened, checkpoint, trained_on, held_out=held_out, methods=methods, epochs=label_randomisation)
    if out is not None:
        check_unused(out)
    wanted: dict[str, Any] = {"leave_out": leave_out or (), "splits": split or ()}
    asked = [certifying.asked_of(lesions, lesions=True, **wanted)]
    if lesion_free is not None:
        asked.append(certifying.asked_of(lesion_free, lesions=False, most=lesion_free_most, **wanted))
    steps = Steps(seed=seed, threads=threads or available_cores())
    runs = _Runs.read(opened, checkpoint) if checkpoint else None
    chosen = certifying.choose(
        asked,
        opened.recipe,
        known=_known(opened, trained_on) if runs is None else runs.known,
        learnt=set(opened.release.training.get("training_sha256", ())),
        folds=() if runs is None else runs.folded.folds,
        cache=cache,
        threads=steps.threads,
    )
    if runs is None:
        verdicts, judged = _by_release(opened, own, chosen, steps), {"judged_by": certifying.OWN, "settings": {}}
    else:
        names = [own, *(name for name in methods.split(",") if name and name != own)]
        verdicts, judged = runs.verdicts(names, chosen, steps, epochs=label_randomisation)
    certificate = _certificate(opened, verdicts, chosen, own, judged, steps)
    _answer(opened, certificate, out, as_json=as_json)
    if not certificate.own.certified:
        raise typer.Exit(NOT_CERTIFIED)


def _check(
    opened: OpenRelease,
    checkpoint: Sequence[Path] | None,
    trained_on: Path | None,
    *,
    held_out: bool,
    methods: str,
    epochs: int,
) -> None:
    """Refuse what contradicts itself."""
    if not checkpoint and (methods or epochs):
        raise BadRequest(
            "--methods and --label-randomisation: expected --checkpoint beside them, got none: a release holds one "
            "method and cannot be trained. Name the runs that it was made of."
        )
    learnt = opened.release.training.get("training_sha256", ())
    if learnt and not (checkpoint or trained_on or held_out):
        raise BadRequest(
            f"{opened.path}: it learnt from {len(learnt)} photographs, and copies of them may be among yours under "
            "another name; expected --checkpoint or --trained-on to seek them by, got neither. Name one, or say "
            "--held-out if you know that there are none."
        )


def _known(opened: OpenRelease, trained_on: Path | None) -> Known | None:
    """What a release learnt from, of the manifest that lists it."""
    from fundoscope.data.manifest import read_manifest, with_hashes
    from fundoscope.heatmaps.certification.leakage import Known

    if trained_on is None:
        return None
    learnt = set(opened.release.training.get("training_sha256", ()))
    frame = read_manifest(trained_on)
    frame = frame if "sha256" in frame else with_hashes(frame, trained_on.parent)
    frame = frame[frame["sha256"].isin(learnt)].reset_index(drop=True)
    if len(set(frame["sha256"])) < len(learnt):
        raise BadRequest(
            f"{trained_on}: expected all {len(learnt)} photographs that {opened.name} learnt from, got "
            f"{frame['sha256'].nunique()} of them. Give the manifest that it was trained on."
        )
    columns = frame.reindex(columns=["image", "sha256", "source", "patient"])
    return Known(frame=columns.assign(fold=None), manifest=trained_on)


def _by_release(opened: OpenRelease, own: str, chosen: Chosen, steps: Steps) -> tuple[Verdict, ...]:
    from fundoscope.heatmaps.certification.certify import certify as measured
    from fundoscope.heatmaps.certification.certify import own_judge
    from fundoscope.runtime.backends.network import open_network

    judge = own_judge(opened, open_network(opened))
    return measured({own: [judge]}, chosen, steps)


@dataclass(frozen=True, slots=True)
class _Runs:
    """Runs with their folds; of torch this module names nothing."""

    training: Any
    """`fundoscope.training.runs.randomised`."""
    folded: Any

    @classmethod
    def read(cls, opened: OpenRelease, runs: Sequence[Path]) -> _Runs:
        from importlib import import_module

        try:
            training = import_module("fundoscope.training.runs.randomised")
        except ModuleNotFoundError as error:
            if error.name and error.name.startswith("fundoscope"):
                raise
            raise MissingExtra("--checkpoint", "train") from error
        folded = training.read_folds(list(runs))
        release, experiment = opened.release, folded.experiment
        learnt, held = set(release.training.get("training_sha256", ())), set(folded.table["sha256"])
        same = release.head == experiment.network.head and release.recipe == experiment.recipe.to_dict()
        if learnt != held or not same:
            raise BadRequest(
                f"--checkpoint: expected runs that {opened.name} was made of, got others: another head or recipe, or "
                f"other photographs ({len(learnt & held)} of its {len(learnt)} are theirs). Name its own runs."
            )
        return cls(training, folded)

    @property
    def known(self) -> Known:
        from fundoscope.heatmaps.certification.leakage import Known

        return Known(frame=self.folded.table, manifest=self.folded.where)

    def verdicts(
        self, names: Sequence[str], chosen: Chosen, steps: Steps, *, epochs: int
    ) -> tuple[tuple[Verdict, ...], dict[str, Any]]:
        """Of every method, and who judged."""
        from fundoscope.heatmaps.certification.certify import certify as measured

        shuffled = None
        if epochs:
            _tell(f"training on shuffled grades for {epochs} epochs")
            shuffled = self.training.shuffled_network(self.folded, epochs=epochs, seed=steps.seed)
        held = self.training.Certifying(self.folded, seed=steps.seed, shuffled=shuffled)
        judges = {name: self._judges(held, name, chosen) for name in names}
        not_run = {} if epochs else {"shuffled": "a retraining: --label-randomisation EPOCHS"}
        found = measured(judges, chosen, steps, not_run=not_run, told=lambda name: _tell(f"measuring {name}"))
        seeds = [self.training.read_run(run).seed for run in self.folded.runs]
        words = (
            f"the networks of {len(self.folded.folds)} folds of {len(seeds)} runs (seeds {', '.join(map(str, seeds))}),"
            " each photograph by those that never saw its patient"
        )
        return found, {"judged_by": words, "settings": {"seeds": seeds, "label_randomisation_epochs": epochs}}

    def _judges(self, held: Any, name: str, chosen: Chosen) -> list[Judge]:
        import numpy as np

        from fundoscope.heatmaps.certification.measure import Judge

        method = self.training.read_method(name)
        canvases = np.stack([each.canvas for each in chosen.photographs[: self.training.SETTLING]])
        return [Judge(**held.judge(fold, method, canvases)) for fold in self.folded.folds]


def _certificate(
    opened: OpenRelease,
    verdicts: Sequence[Verdict],
    chosen: Chosen,
    own: str,
    judged: Mapping[str, Any],
    steps: Steps,
) -> Certificate:
    from datetime import UTC, datetime

    from fundoscope.heatmaps.certification.certify import certificate_of

    settings = {
        "level": 0.95,
        "resamples": 2000,
        "seed": steps.seed,
        "shifts": [list(shift) for shift in steps.shifts],
        "road_fractions": list(steps.road_fractions),
        **judged["settings"],
    }
    return certificate_of(
        opened,
        verdicts,
        chosen,
        own=own,
        judged_by=judged["judged_by"],
        settings=settings,
        day=datetime.now(UTC).date(),
    )


def _answer(opened: OpenRelease, certificate: Certificate, out: Path | None, *, as_json: bool) -> None:
    from fundoscope.heatmaps.certification.certify import write_certified

    if as_json:
        print(json.dumps(certificate.to_dict(), indent=2, allow_nan=False))
    else:
        _print(certificate)
    if out is not None:
        copy = write_certified(opened, certificate, out)
        troubles.print(f"written: {out} ({copy.name})", markup=False, soft_wrap=True)


def _print(certificate: Certificate) -> None:
    from rich.table import Table

    from fundoscope.heatmaps.certification.words import details, header, table_rows

    table = Table(*header(), box=None, pad_edge=False)
    for row in table_rows(certificate.verdicts):
        table.add_row(*row)
    answers.print(table)
    own = certificate.own
    say(f"{own.method}: {'certified' if own.certified else 'not certified'}", details(certificate))


def _tell(what: str) -> None:
    troubles.print(what, markup=False, soft_wrap=True)
