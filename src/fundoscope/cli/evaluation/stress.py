"""`fundoscope stress`: how a release, or a run's networks, answer photographs that are disturbed more and more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fundoscope.cli.console import interruptible, needs_extra, print_json, print_text, say_written, troubles
from fundoscope.cli.evaluation.options import Level, Resamples
from fundoscope.cli.progress import progress
from fundoscope.errors import BadRequest

if TYPE_CHECKING:
    import pandas as pd

    from fundoscope.arrays import Photo
    from fundoscope.evaluation.stress.compare import StressComparison
    from fundoscope.evaluation.stress.measure import StressCase, StressPlan, System
    from fundoscope.evaluation.stress.summary import StressSummary
    from fundoscope.runtime.grader import Grader
    from fundoscope.runtime.release import OpenRelease
    from fundoscope.training.export.out_of_fold import OutOfFoldSystem


def stress(
    systems: Annotated[
        list[Path],
        typer.Argument(
            metavar="SYSTEM [MANIFEST]",
            help="A release or runs, then the manifest. Of runs the networks of the folds grade out of fold; "
            "runs that differ in their seed are averaged. Or folders of finished stress tests: one to "
            "show again, or one of each seed to compare.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for stress.csv, stress.json and index.html.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Use only this split: train, val or test.")] = None,
    photographs: Annotated[
        int | None, typer.Option(min=20, help="Use a seeded sample of so many. Default: all photographs.")
    ] = None,
    disturbances: Annotated[str, typer.Option(help="Only these disturbances, comma-separated. Default: all.")] = "",
    doses: Annotated[str, typer.Option(help="Only these doses, such as 1,3,5. Default: all five.")] = "",
    against: Annotated[
        list[Path] | None,
        typer.Option(
            help="Another system's finished stress test. Its folder: paired differences, this system minus "
            "that. Repeatable: one of each seed."
        ),
    ] = None,
    release: Annotated[Path | None, typer.Option(help="The release exported from the runs, for --copy.")] = None,
    copy: Annotated[
        Path | None, typer.Option(help="Folder for a copy with these figures in its card. Of the release.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Photographs side by side. Default: all cores.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the sample and of the resamples.")] = 0,
    resamples: Resamples = 1000,
    level: Level = 0.95,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Put a system under stress: dust, other light, blur, noise, other framing, each in five doses, applied to the
    photographs before the field of view is looked for.

    Systems are chosen by the mean of their AUROC on clean and on disturbed photographs.

    Exit status: 0 measured, 2 a system or table is not usable, 130 interrupted (the same command goes on).
    """
    from fundoscope.evaluation.stress.compare import check_same_set, compare_stress
    from fundoscope.evaluation.stress.stress_set import set_name
    from fundoscope.evaluation.stress.summary import summarise_stress
    from fundoscope.evaluation.stress.table import read_stress
    from fundoscope.runtime.copies import check_unused

    if copy is not None:
        check_unused(copy)
    others = [read_stress(_read_table(path)) for path in against or ()]
    if all((path / "stress.csv").is_file() for path in systems):
        _refuse_options({
            "--out": out, "--copy": copy, "--photographs": photographs, "--split": split, "--release": release,
            "--disturbances": disturbances or None, "--doses": doses or None,
        })  # fmt: skip
        finished = [_read_table(path) for path in systems]
        tested = Tested(finished[0], {"from": ", ".join(path.name for path in systems)}, None)
    else:
        for other in others:
            check_same_set(set_name(), other.stress_set)  # now, not after hours of grading
        options = Options(out, split, photographs, seed, threads, _plan(disturbances, doses), release, copy)
        tested = _test(systems, options)
        finished = [tested.frame]
    tables = [read_stress(frame) for frame in finished]
    summary = summarise_stress(tables[0], resamples=resamples, seed=seed, level=level)
    comparison = None
    if others:
        comparison = compare_stress(tables, others, resamples=resamples, seed=seed, level=level)
    if out is not None:
        _write_pages(out, summary, tested.about, comparison)
    if copy is not None and tested.carrier is not None:
        _write_copy(tested.carrier, copy, summary, tested.about)
    _answer(summary if len(tables) == 1 else None, tested.about, comparison, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Options:
    """What is run."""

    out: Path | None
    split: str | None
    photographs: int | None
    seed: int
    threads: int | None
    plan: StressPlan
    release: Path | None
    copy: Path | None


@dataclass(frozen=True, slots=True)
class Tested:
    """The rows of a stress test, and what they are of."""

    frame: pd.DataFrame
    about: Mapping[str, Any]
    carrier: OpenRelease | None
    """The release whose copy is to carry the figures."""


@dataclass(frozen=True, slots=True)
class ReleaseSystem:
    """A release as a system under stress (`evaluation.stress.measure.System`)."""

    grader: Grader
    folds: Mapping[str, int] | None = None

    @property
    def name(self) -> str:
        """Id and hash of the release."""
        return self.grader.opened.name

    @property
    def decode_px(self) -> int:
        """Shortest side that photographs are decoded with at least."""
        return self.grader.opened.recipe.decode_px

    def grade(self, pixels: Photo, fold: int | None) -> Mapping[str, Any]:
        """Grade a picture; there are no folds."""
        return self.grader.grade(pixels).row()


def _test(paths: Sequence[Path], options: Options) -> Tested:
    """Open the system, list the photographs, and grade them under every condition."""
    from fundoscope.evaluation.stress.measure import cases_from
    from fundoscope.evaluation.stress.table import check_enough
    from fundoscope.files import sha256_of
    from fundoscope.parallel import available_cores
    from fundoscope.tables.pair import read_reference

    threads = options.threads or available_cores()
    runs = [path for path in paths if (path / "experiment.json").is_file()]
    named = [path for path in paths if path not in runs]
    carrier: OpenRelease | None = None
    system: System
    if runs:
        if options.copy is not None and options.release is None:
            raise BadRequest("--copy: expected --release beside it, got none. Name the release exported from the runs.")
        system = out_of_fold = _open_runs(runs, threads)
        manifest = named[0] if named else out_of_fold.manifest
        if options.copy is not None and options.release is not None:
            carrier = _release_of(out_of_fold, options.release)
    else:
        if len(named) != 2:
            raise BadRequest(f"stress: expected a release and a manifest, got {len(named)} paths. Name both.")
        manifest = named[1]
        system = opened_system = _open_release(named[0], threads)
        carrier = opened_system.grader.opened
    reference = read_reference(manifest, split=options.split)
    cases = cases_from(reference, sha256_of, folds=system.folds, most=options.photographs, seed=options.seed)
    check_enough(manifest, [case.reference for case in cases])
    about = _about(manifest, options, cases, carrier if not runs else None, runs)
    for line in _warnings(about):
        print_text(line, style="yellow", to=troubles)
    return Tested(_measure(system, cases, options, threads), about, carrier)


def _open_release(path: Path, threads: int) -> ReleaseSystem:
    from fundoscope.runtime.grader import Grader

    grader = Grader.open(path, threads=threads)
    if grader.opened.grading.release.eyes != 1:  # a release of another task grades nothing and is refused
        raise BadRequest(f"{path}: expected a release that grades single eyes, got one of both. It cannot be stressed.")
    return ReleaseSystem(grader)


def _open_runs(runs: Sequence[Path], threads: int) -> OutOfFoldSystem:
    with needs_extra("stress of a run"):
        from fundoscope.training.export.out_of_fold import open_out_of_fold
    print_text("exporting the networks of the folds", to=troubles)
    return open_out_of_fold(runs, threads=threads)


def _release_of(system: OutOfFoldSystem, path: Path) -> OpenRelease:
    """Open the release that was exported from the runs.

    Raises:
        BadRequest: If it was not.
    """
    from fundoscope.runtime.release import open_release

    opened = open_release(path)
    if others := system.differences(opened.release):
        raise BadRequest(
            f"{path}: expected the release that was exported from these runs, got one with other "
            f"{' and '.join(others)}. Name theirs."
        )
    return opened


def _about(
    manifest: Path, options: Options, cases: Sequence[StressCase], opened: OpenRelease | None, runs: Sequence[Path]
) -> dict[str, Any]:
    """Say what is measured on which photographs; names, not folders, for it travels with a release."""
    sample = f"{options.photographs} drawn with seed {options.seed}" if options.photographs is not None else "all"
    learnt = set() if opened is None else set(opened.release.training.get("training_sha256", ()))
    repeated = sum(case.sha256 in learnt for case in cases)
    split = options.split or ("all photographs of the folds" if runs else "all")
    about: dict[str, Any] = {"manifest": manifest.name, "split": split, "sample": sample}
    if runs:
        names = ", ".join(run.name for run in runs)
        about["graded by"] = f"the networks of the folds of {names}, each photograph by those that never saw it"
    elif repeated:
        about["graded by"] = f"the release, which learnt from {repeated} of these photographs: the figures flatter it"
    else:
        about["graded by"] = (
            "the release, which learnt from none of these files (copies under other names were not looked for)"
        )
    if not options.plan.is_complete:
        about["conditions"] = "a part of the stress set: its mean is not that of the whole"
    return about


def _warnings(about: Mapping[str, Any]) -> list[str]:
    lines = []
    if "flatter" in str(about["graded by"]):
        lines.append(f"Warning: graded by {about['graded by']}. Use photographs that it never saw, or its runs.")
    if "conditions" in about:
        lines.append(f"Note: {about['conditions']}.")
    return lines


def _measure(system: System, cases: Sequence[StressCase], options: Options, threads: int) -> pd.DataFrame:
    """Grade, with a progress bar and, where a folder is named, so that an interrupted run goes on."""
    from fundoscope.evaluation.stress.measure import measure
    from fundoscope.evaluation.stress.stress_set import set_name
    from fundoscope.runtime.batch import part_path
    from fundoscope.runtime.destinations import NOTHING_REPLACED, try_folder
    from fundoscope.runtime.part_file import open_part
    from fundoscope.tables import write_table

    advice = "Nothing is kept without --out."
    if options.out is not None:
        advice = f"What is done is kept in {options.out}: give the same command again to continue."
    with ExitStack() as stack:
        part = None
        if options.out is not None:
            try_folder(options.out, "--out")
            table = options.out / "stress.csv"
            for name in ("stress.csv", "stress.json", "index.html"):
                NOTHING_REPLACED.check_file(options.out / name, "--out")
            part = stack.enter_context(open_part(part_path(table), table))
            part.begin({"part": 1, "stress_set": set_name(), "system": system.name, "plan": options.plan.to_dict()})
        stack.enter_context(interruptible(advice))
        show = stack.enter_context(progress())
        frame = measure(
            system,
            cases,
            options.plan,
            journal=part,
            threads=threads,
            progress=lambda done: show("grading", done, len(cases)),
        )
        if options.out is not None and part is not None:
            NOTHING_REPLACED.check_file(options.out / "stress.csv", "--out")
            write_table(frame, options.out / "stress.csv")
            part.remove()
    return frame


def _plan(disturbances: str, doses: str) -> StressPlan:
    from fundoscope.evaluation.stress.measure import StressPlan

    plan: dict[str, Any] = {}
    if disturbances:
        plan["disturbances"] = tuple(name.strip().replace("-", "_") for name in disturbances.split(","))
    if doses:
        numbers = [text.strip() for text in doses.split(",")]
        plan["doses"] = tuple(int(text) if text.isdigit() else 0 for text in numbers)
    return StressPlan(**plan)


def _read_table(place: Path) -> pd.DataFrame:
    from fundoscope.evaluation.stress.measure import COLUMNS
    from fundoscope.tables import PROBABILITIES, read_table

    path = place / "stress.csv" if place.is_dir() else place
    if not path.is_file():
        raise BadRequest(f"{place}: expected the folder of a finished stress test, got none. Run fundoscope stress.")
    frame = read_table(path)
    if missing := [name for name in COLUMNS if name not in (*PROBABILITIES, *frame.columns)]:
        raise BadRequest(f"{path}: expected a table of fundoscope stress, got none of {', '.join(missing)}.")
    return frame


def _refuse_options(options: Mapping[str, object]) -> None:
    for option, value in options.items():
        if value is not None:
            raise BadRequest(f"{option}: expected none with a finished stress test, got one. Leave it out.")


def _write_pages(
    out: Path, summary: StressSummary, about: Mapping[str, Any], comparison: StressComparison | None
) -> None:
    from fundoscope.evaluation.report.stress import write_stress_page, write_summary

    written = [out / "stress.csv", write_summary(out, summary, about, comparison)]
    if find_spec("matplotlib") is None:
        print_text("No page: its figure needs the research extra (pip install 'fundoscope[research]').", to=troubles)
    else:
        written.append(write_stress_page(out, summary, about, comparison))
    say_written(*written)


def _write_copy(opened: OpenRelease, folder: Path, summary: StressSummary, about: Mapping[str, Any]) -> None:
    from fundoscope.evaluation.report.stress import card_section
    from fundoscope.evaluation.stress.summary import record_for_release
    from fundoscope.runtime.copies import copy_with_stress

    copied = copy_with_stress(opened, folder, record_for_release(summary, about), card_section(summary, about))
    say_written(folder, note=copied.name)


def _answer(
    summary: StressSummary | None, about: Mapping[str, Any], comparison: StressComparison | None, *, as_json: bool
) -> None:
    """Print the figures of a system, and of its comparison with another; of several seeds only that.

    Raises:
        BadRequest: If there are several and nothing to compare them with.
    """
    from fundoscope.cli.evaluation.stress_words import print_stress
    from fundoscope.evaluation.report.stress import to_json

    if summary is None and comparison is None:
        raise BadRequest("stress: expected --against beside several finished stress tests, got none. Name one alone.")
    if as_json and summary is not None:
        print(to_json(summary, about, comparison), end="")
    elif as_json and comparison is not None:
        print_json(comparison.to_dict())
    else:
        print_stress(summary, about, comparison)
