"""`fundoscope compare`: several systems' predictions for the same photographs, and the intervals of the differences."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fundoscope.cli.console import answers
from fundoscope.cli.evaluate import METHOD_WORDS, IntervalMethod
from fundoscope.errors import BadRequest, BadTable

if TYPE_CHECKING:
    from fundoscope.evaluation.cases import Cases
    from fundoscope.evaluation.systems import Against, Comparison

MCNEMAR_UNIT = "one case for each patient: the worst grade"


def compare(
    tables: Annotated[
        list[Path],
        typer.Argument(metavar="FIRST SECOND [MORE...] MANIFEST", help="Tables of predictions, then the reference."),
    ],
    split: Annotated[str | None, typer.Option(help="Only this split of the manifest: train, val or test.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    resamples: Annotated[int, typer.Option(min=100, help="Draws of patients.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Share of draws inside an interval.")] = 0.95,
    interval: Annotated[
        IntervalMethod, typer.Option(help="Bounds as percentiles of the draws, or corrected for bias and skewness.")
    ] = IntervalMethod.PERCENTILE,
    margin: Annotated[
        list[str] | None,
        typer.Option(help="METRIC=VALUE: is either system worse by less than this? E.g. quadratic_kappa=0.05."),
    ] = None,
) -> None:
    """Compare systems on the photographs that all graded: the first minus each other, drawing patients in pairs."""
    import numpy as np

    from fundoscope.evaluation.systems import compare_systems

    if len(tables) < 3:
        raise BadRequest(
            f"compare: expected two or more tables of predictions and a manifest, got {len(tables)} tables. "
            "Name the manifest last."
        )
    *given, manifest = tables
    margins = _margins(margin or [])
    systems = _shared(given, manifest, split)
    found = compare_systems(
        systems, rng=np.random.default_rng(seed), resamples=resamples, level=level, method=interval.value
    )
    about = {
        "photographs": len(systems[0].reference),
        "patients": len(set(systems[0].patients.tolist())),
        "without_patient": systems[0].without_patient,
        "resamples": resamples,
        "seed": seed,
        "level": level,
    }
    if as_json:
        print(json.dumps(_answer(given, found, about, margins, interval.value), indent=2, allow_nan=False))
        return
    for at, against in enumerate(found.against):
        _print(given[0], given[at + 1], against, found.holm[at], about)
        _print_margins(given[0], given[at + 1], against, margins)
    _print_basis(found, about, METHOD_WORDS[interval.value])


def _margins(given: list[str]) -> dict[str, float]:
    """Margins by the name of the statistic."""
    from fundoscope.evaluation.systems import STATISTICS

    names = {name.lower().replace(" ", "_").replace("-", "_"): name for name in STATISTICS}
    margins = {}
    for text in given:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if key not in names or not 0 < number < math.inf:
            raise BadRequest(
                f"--margin {text}: expected METRIC=VALUE with a value above 0, got {key!r} and {value!r}. "
                f"Use one of {', '.join(names)}."
            )
        margins[names[key]] = number
    return margins


def _shared(given: list[Path], manifest: Path, split: str | None) -> list[Cases]:
    """Every system's cases, on the photographs that all gave probabilities for, in the manifest's order."""
    from fundoscope.evaluation.cases import cases_of
    from fundoscope.tables import PROBABILITIES, check_manifest, check_predictions, join, read_table

    listed = check_manifest(read_table(manifest), path=manifest)
    if split is not None:
        listed = listed[listed["split"] == split].reset_index(drop=True) if "split" in listed else listed.iloc[:0]
        if listed.empty:
            raise BadTable(f"{manifest}: expected rows of split {split}, got none. Give another --split, or none.")
    sides = []
    for path in given:
        said = check_predictions(read_table(path), path=path)
        missing = [name for name in PROBABILITIES if name not in said]
        if missing:
            raise BadTable(f"{path}: expected p0 to p4, {missing[0]} is missing. Compare tables with probabilities.")
        rows = join(said, listed, predictions_path=path, manifest_path=manifest).rows
        sides.append(rows[rows["p0"].notna() & rows["grade"].notna()] if "grade" in rows else rows.iloc[:0])
    shared = set.intersection(*(set(side["image"]) for side in sides))
    if len(shared) < 2:
        raise BadTable(
            f"{' and '.join(map(str, given))}: expected photographs that all graded, got {len(shared)}. "
            "Write image as the manifest does, in every table."
        )
    return [cases_of(side[side["image"].isin(shared)].reset_index(drop=True)) for side in sides]


def _answer(
    given: list[Path], found: Comparison, about: dict[str, Any], margins: dict[str, float], method: str
) -> dict[str, Any]:
    """As JSON can hold it; `second` and `statistics` are of the first comparison."""
    from fundoscope.evaluation.interval import INTERVALS

    comparisons = [
        {
            "first": given[0].name,
            "second": given[at + 1].name,
            "statistics": _statistics(against, found.holm[at]),
            "mcnemar": {
                name: {**asdict(test), "p_holm": found.holm[at][name]} for name, test in against.mcnemar.items()
            },
            "not_worse": {name: asdict(verdict) for name, verdict in _verdicts(against, margins).items()},
        }
        for at, against in enumerate(found.against)
    ]
    return {
        "first": given[0].name,
        "second": given[1].name,
        **about,
        "statistics": comparisons[0]["statistics"],
        "systems": [path.name for path in given],
        "interval": INTERVALS[method],
        "delong": found.delong_method,
        "mcnemar_unit": MCNEMAR_UNIT,
        "holm_family": found.family,
        "comparisons": comparisons,
    }


def _statistics(against: Against, corrected: dict[str, float]) -> dict[str, dict[str, Any]]:
    entries = {}
    for name, difference in against.differences.items():
        first, second = against.values[name]
        entry: dict[str, Any] = {"first": first, "second": second, "difference": difference.estimate}
        entry |= {"low": difference.low, "high": difference.high, "undefined": difference.undefined}
        if name in against.delong:
            test = against.delong[name]
            entry |= {"delong_low": test.low, "delong_high": test.high, "delong_z": test.z, "delong_p": test.p}
            entry["p_holm"] = corrected[name]
        entries[name] = {
            key: None if isinstance(value, float) and math.isnan(value) else value for key, value in entry.items()
        }
    return entries


def _verdicts(against: Against, margins: dict[str, float]) -> dict[str, Any]:
    from fundoscope.evaluation.significance import not_worse
    from fundoscope.evaluation.systems import LOWER_IS_BETTER

    return {
        name: not_worse(against.differences[name], margin, lower_is_better=name in LOWER_IS_BETTER)
        for name, margin in margins.items()
    }


def _print(first: Path, second: Path, against: Against, corrected: dict[str, float], about: dict[str, Any]) -> None:
    table = Table(
        "", str(first), str(second), f"first minus second ({about['level'] * 100:g} % CI)", "p (Holm)", box=None
    )
    for name, d in against.differences.items():
        bounds = f"({d.low:+.3f} to {d.high:+.3f})" if d.low == d.low else "(no interval)"
        tested = f"{against.delong[name].p:.3g} ({corrected[name]:.3g})" if name in against.delong else ""
        a, b = against.values[name]
        table.add_row(name, f"{a:.3f}", f"{b:.3f}", f"{d.estimate:+.3f} {bounds}", tested)
    answers.print(table)
    for name, test in against.mcnemar.items():
        answers.print(
            f"McNemar, {name} ({MCNEMAR_UNIT}): only the first {test.only_first}, only the second {test.only_second}; "
            f"exact p {test.p_exact:.3g} (Holm {corrected[name]:.3g}), mid-p {test.p_mid:.3g}.",
            markup=False,
        )


def _print_margins(first: Path, second: Path, against: Against, margins: dict[str, float]) -> None:
    words = {True: "yes", False: "not shown", None: "cannot be said: no interval"}
    for name, verdict in _verdicts(against, margins).items():
        answers.print(
            f"Worse by less than {verdict.margin:g} in {name}: {first} {words[verdict.first]}; "
            f"{second} {words[verdict.second]}.",
            markup=False,
            soft_wrap=True,
        )


def _print_basis(found: Comparison, about: dict[str, Any], method: str) -> None:
    every = "both" if len(found.against) == 1 else "all"
    answers.print(
        f"{about['photographs']} photographs of {about['patients']} patients that {every} graded; "
        f"{about['resamples']} draws of patients, seed {about['seed']}."
    )
    answers.print(
        f"Intervals: {method} bootstrap. p of AUROCs: {found.delong_method}. "
        f"Holm: over all {found.family} tests shown; intervals and margins are not corrected.",
        markup=False,
    )
    if about["without_patient"]:
        answers.print(
            f"{about['without_patient']} photographs have no patient and are taken as independent: where they are of "
            "the same person, intervals are too narrow and p-values too small.",
            markup=False,
        )
