"""`fundoscope compare`: two systems' predictions for the same photographs, and the interval of their difference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers
from fundoscope.errors import BadTable

if TYPE_CHECKING:
    from fundoscope.evaluation.cases import Cases
    from fundoscope.evaluation.interval import Interval


def compare(
    first: Annotated[Path, typer.Argument(help="Table of predictions.")],
    second: Annotated[Path, typer.Argument(help="Table of predictions for the same photographs.")],
    manifest: Annotated[Path, typer.Argument(help="Table with the reference grades.")],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
) -> None:
    """Compare two systems on the photographs that both graded: first minus second, drawing patients in pairs."""
    cases = _paired(first, second, manifest, split)
    found = _differences(cases, resamples=resamples, seed=seed)
    photographs, patients = len(cases[0].reference), len(set(cases[0].patients.tolist()))
    if as_json:
        entries = {
            name: {"first": a, "second": b, "difference": d.estimate, "low": d.low, "high": d.high}
            for name, (a, b, d) in found.items()
        }
        about = {"photographs": photographs, "patients": patients, "resamples": resamples, "seed": seed}
        print(json.dumps({"first": first.name, "second": second.name, **about, "statistics": entries}, indent=2))
        return
    table = Table("", str(first), str(second), "first minus second (95 % CI)", box=None)
    for name, (a, b, d) in found.items():
        table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{d.estimate:+.3f} ({d.low:+.3f} to {d.high:+.3f})")
    answers.print(table)
    answers.print(
        f"{photographs} photographs of {patients} patients that both graded; "
        f"{resamples} draws of patients, seed {seed}."
    )


def _paired(first: Path, second: Path, manifest: Path, split: str | None) -> tuple[Cases, Cases]:
    """Both systems' cases, on the photographs that both gave probabilities for, in the manifest's order."""
    from fundoscope.evaluation.cases import cases_of
    from fundoscope.tables import PROBABILITIES, check_manifest, check_predictions, join, read_table

    listed = check_manifest(read_table(manifest), path=manifest)
    if split is not None:
        listed = listed[listed["split"] == split].reset_index(drop=True) if "split" in listed else listed.iloc[:0]
        if listed.empty:
            raise BadTable(f"{manifest}: expected rows of split {split}, got none. Give another --split, or none.")
    sides = []
    for path in (first, second):
        given = check_predictions(read_table(path), path=path)
        missing = [name for name in PROBABILITIES if name not in given]
        if missing:
            raise BadTable(f"{path}: expected p0 to p4, {missing[0]} is missing. Compare tables with probabilities.")
        rows = join(given, listed, predictions_path=path, manifest_path=manifest).rows
        sides.append(rows[rows["p0"].notna() & rows["grade"].notna()])
    shared = set(sides[0]["image"]) & set(sides[1]["image"])
    if len(shared) < 2:
        raise BadTable(f"{first} and {second}: expected photographs that both graded, got {len(shared)}.")
    one, other = (cases_of(side[side["image"].isin(shared)].reset_index(drop=True)) for side in sides)
    return one, other


def _differences(cases: tuple[Cases, Cases], *, resamples: int, seed: int) -> dict[str, tuple[float, float, Interval]]:
    import numpy as np

    from fundoscope.evaluation.agreement import accuracy, quadratic_kappa
    from fundoscope.evaluation.compare import paired_interval
    from fundoscope.evaluation.detection import auroc
    from fundoscope.grades import CUTS

    grades, patients = cases[0].reference, cases[0].patients
    answered = tuple(each.answered for each in cases)
    measures: dict[str, tuple[Any, Any]] = {
        "quadratic kappa": (quadratic_kappa, answered),
        "accuracy": (accuracy, answered),
    }
    for name, cut in CUTS.items():
        scores = tuple(each.score(name) for each in cases)
        measures[f"AUROC {name.replace('_', '-')}"] = (lambda g, s, cut=cut: auroc(g >= cut, s), scores)
    found = {}
    for name, (statistic, (a, b)) in measures.items():
        rng = np.random.default_rng(seed)
        interval = paired_interval(statistic, grades, (a, b), patients, rng=rng, resamples=resamples)
        found[name] = (float(statistic(grades, a)), float(statistic(grades, b)), interval)
    return found
