"""Recipes compared over folds and seeds: each head's own way of grading, and its features by their nearest neighbours.

    python benchmarks/recipes_compared.py idrid.csv runs/softmax_s0 runs/softmax_s1 runs/coral_s0 ... --neighbours

Runs that differ in `seed` only are one recipe; the first run's recipe is what the others are compared with. Every
run needs the same folds. A head grades as its literature says, with nothing fitted: softmax and prototypes by the
likeliest grade, regression by rounding, cut logits by counting those above 0. `--neighbours` adds, for every recipe,
10-NN on what its fold networks report of the fold's training photographs (Euclidean, one vote each; RetinaScan's).

`--split test` asks the mean of each run's fold networks about a split that none of them learnt from. Of a test split
that is a look, to be written down in docs/results/test_looks.md.

Of each recipe: the mean over its seeds, the standard deviation over them (how far one run may be off), and the
difference from the first recipe with a 95 % interval that draws patients in pairs (2,000 draws, seed 0; how far these
photographs may be off). The two are not one another.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from fundoscope.data.split import fold_by_patient
from fundoscope.decide.cut_thresholds import count_passed
from fundoscope.decide.heads import probabilities
from fundoscope.decide.neighbours import Voting, neighbour_probabilities
from fundoscope.evaluation.statistics.agreement import (
    agreement_statistics,
    class_statistics,
    confusions,
    grade_statistics,
)
from fundoscope.evaluation.statistics.detection import aurocs
from fundoscope.evaluation.statistics.interval import patient_intervals
from fundoscope.grades import CUTS, GRADES
from fundoscope.tables import patient_keys, read_table
from fundoscope.training.batches.rows import training_rows
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.folder import read_run
from fundoscope.training.runs.predict import neighbours_of, run_network

SHOWN = {
    "quadratic_kappa": "kappa",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "any": "AUROC any",
    "referable": "AUROC referable",
    "sight_threatening": "AUROC sight-thr.",
    "recall_3": "recall 3",
    "recall_4": "recall 4",
}


def native(head: str, raw: np.ndarray) -> np.ndarray:
    """Grades as the head's literature has them."""
    if head in ("softmax", "prototype"):
        return raw.argmax(axis=1)
    if head == "regression":
        return np.clip(np.rint(raw[:, 0]), 0, GRADES - 1).astype(np.int64)
    return count_passed(raw, np.zeros(raw.shape[1]))


def graded(run: Path, manifest: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Grades and probabilities of the manifest's rows by a run's own out-of-fold raw output."""
    head = read_run(run).network.head
    table = read_table(run / "out_of_fold.csv").set_index("image").loc[manifest["image"]]
    raw = table[sorted(name for name in table if str(name).startswith("raw"))].to_numpy(np.float64)
    return native(head, raw), probabilities(head, raw)


def voted(run: Path, manifest: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """The same by 10-NN on what each fold's network reports of its training photographs."""
    experiment = read_run(run)
    rows = training_rows(experiment, experiment.data.train, lambda line: None)
    fold = fold_by_patient(rows.frame, folds=experiment.data.folds, salt=experiment.data.fold_salt)["fold"].to_numpy(
        int
    )
    shares = np.zeros((len(rows), GRADES))
    for number in range(experiment.data.folds):
        network = load_network(experiment, run / f"fold{number}")
        asked, train = rows.take(np.flatnonzero(fold == number)), rows.take(np.flatnonzero(fold != number))
        known = neighbours_of(network, experiment, train)
        features = run_network(network, experiment, asked).features
        shares[fold == number] = neighbour_probabilities(features, known, Voting(k=10))
    at = pd.Series(np.arange(len(rows)), index=rows.frame["image"]).loc[manifest["image"]].to_numpy()
    return shares[at].argmax(axis=1), shares[at]


def asked_of_all_folds(run: Path, split: str, manifest: pd.DataFrame, *, vote: bool) -> tuple[np.ndarray, np.ndarray]:
    """Grades and probabilities of a split's rows by the mean of the fold networks' raw output, or of their votes."""
    experiment = read_run(run)
    rows = training_rows(experiment, (split,), lambda line: None)
    train = training_rows(experiment, experiment.data.train, lambda line: None)
    fold = fold_by_patient(train.frame, folds=experiment.data.folds, salt=experiment.data.fold_salt)["fold"].to_numpy(
        int
    )
    each = []
    for number in range(experiment.data.folds):
        network = load_network(experiment, run / f"fold{number}")
        outputs = run_network(network, experiment, rows)
        if vote:
            known = neighbours_of(network, experiment, train.take(np.flatnonzero(fold != number)))
            each.append(neighbour_probabilities(outputs.features, known, Voting(k=10)))
        else:
            each.append(outputs.raw.astype(np.float64))
    mean = np.mean(each, axis=0)
    at = pd.Series(np.arange(len(rows)), index=rows.frame["image"]).loc[manifest["image"]].to_numpy()
    if vote:
        return mean[at].argmax(axis=1), mean[at]
    head = experiment.network.head
    return native(head, mean[at]), probabilities(head, mean[at])


def statistics_of(
    seeds: list[tuple[np.ndarray, np.ndarray]], grades: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Each statistic of each draw, (seed, draw)."""
    found = defaultdict(list)
    for answered, shares in seeds:
        counts = confusions(weights, grades, answered)
        agreed = agreement_statistics(counts) | class_statistics(counts)
        for name in ("quadratic_kappa", "accuracy", "macro_f1"):
            found[name].append(agreed[name])
        for cut, least in CUTS.items():
            found[cut].append(aurocs(weights, grades >= least, shares[:, least:].sum(axis=1)))
        for grade in (3, 4):
            found[f"recall_{grade}"].append(grade_statistics(counts, grade)["sensitivity"])
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    """Print two Markdown tables: the recipes, and their differences from the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument(
        "--split", help="ask the fold networks about this split instead of taking out-of-fold predictions"
    )
    parser.add_argument("--neighbours", action="store_true", help="also grade by 10-NN on each run's features")
    given = parser.parse_args()
    listed = read_table(given.manifest)
    first = read_table(given.runs[0] / "out_of_fold.csv")
    manifest = listed.set_index("image").loc[first["image"]].reset_index()
    if given.split:
        manifest = listed[listed["split"] == given.split].reset_index(drop=True)
    grades = manifest["grade"].astype(int).to_numpy()
    patients = pd.factorize(pd.Series(patient_keys(manifest), dtype=object))[0]

    recipes: dict[str, list[Path]] = defaultdict(list)
    known: dict[str, str] = {}
    for run in given.runs:
        key = repr(replace(read_run(run), seed=0))
        recipes[known.setdefault(key, run.name.rpartition("_s")[0] or run.name)].append(run)

    def ask(run: Path, *, vote: bool) -> tuple[np.ndarray, np.ndarray]:
        if given.split:
            return asked_of_all_folds(run, given.split, manifest, vote=vote)
        return voted(run, manifest) if vote else graded(run, manifest)

    seeds = {name: [ask(run, vote=False) for run in runs] for name, runs in recipes.items()}
    if given.neighbours:
        seeds |= {f"{name}, 10-NN": [ask(run, vote=True) for run in runs] for name, runs in recipes.items()}

    print(f"{len(manifest)} photographs of {len(np.unique(patients))} patients\n")
    print("| recipe | seeds | " + " | ".join(SHOWN.values()) + " |")
    print("|---" * (len(SHOWN) + 2) + "|")
    ones = np.ones((1, len(grades)))
    for name, each in seeds.items():
        values = statistics_of(each, grades, ones)
        cells = [spread(values[key][:, 0]) for key in SHOWN]
        print(f"| {name} | {len(each)} | " + " | ".join(cells) + " |")
    (reference, against), *others = seeds.items()
    print(f"\n| minus {reference} | " + " | ".join(SHOWN.values()) + " |")
    print("|---" * (len(SHOWN) + 1) + "|")
    for name, each in others:

        def differences(weights: np.ndarray, each: list = each) -> Mapping[str, np.ndarray]:
            mine, theirs = (statistics_of(side, grades, weights) for side in (each, against))
            return {key: mine[key].mean(axis=0) - theirs[key].mean(axis=0) for key in SHOWN}

        found = patient_intervals(differences, patients, rng=np.random.default_rng(0))
        cells = [f"{found[key].estimate:+.3f} ({found[key].low:+.3f} to {found[key].high:+.3f})" for key in SHOWN]
        print(f"| {name} | " + " | ".join(cells) + " |")


def spread(values: np.ndarray) -> str:
    """Mean over seeds and, of two or more, their standard deviation."""
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
