"""What referable disease is best read from: the second cut or the mean of all cut logits, clean and under stress.

    fundoscope stress runs/s1 idrid.csv --split train --out stress/s1     (and so for each seed)
    python benchmarks/referral_score.py stress/s1/stress.csv stress/s2/stress.csv stress/s3/stress.csv

The tables hold the raw outputs of one recipe's seeds. Printed are the AUROCs of referable disease by either score, and
the mean's minus the cut's with a paired interval over patients, the seeds averaged within each draw. A score's
calibration changes no ranking, so none is fitted here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from fundoscope.evaluation.stress.compare import compare_stress
from fundoscope.evaluation.stress.table import StressTable, read_stress
from fundoscope.grades import GRADES, REFERABLE
from fundoscope.tables import read_table

CUTS = [f"raw{cut}" for cut in range(GRADES - 1)]


def scored(frame: pd.DataFrame, score: str) -> StressTable:
    """The table with the probability of referable disease by a score."""
    raw = frame[CUTS].astype("float64")
    logits = raw[CUTS[REFERABLE - 1]] if score == "cut" else raw.mean(axis=1)
    values = pd.Series(np.where(frame["p_referable"].notna(), expit(logits), np.nan), index=frame.index)
    return read_stress(frame.assign(p_referable=values))


def main() -> None:
    """Read the tables and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--resamples", type=int, default=2000)
    arguments = parser.parse_args()
    frames = [read_table(path) for path in arguments.tables]
    by_mean, by_cut = ([scored(frame, score) for frame in frames] for score in ("mean", "cut"))
    compared = compare_stress(by_mean, by_cut, resamples=arguments.resamples)
    print(f"{compared.photographs} photographs, {len(frames)} tables, {compared.resamples} draws of patients, seed 0")
    print("| AUROC referable | mean of the cuts | second cut | difference |\n|---|---|---|---|")
    for name, (mean, cut) in compared.values.items():
        if name.startswith("auroc "):
            difference = compared.differences[name]
            print(f"| {name.removeprefix('auroc ')} | {mean:.3f} | {cut:.3f} | {difference:+.3f} |")
    for name, difference in compared.differences.items():
        if name.startswith("auroc ") and name not in compared.values:
            print(f"| {name.removeprefix('auroc ')} | | | {difference:+.3f} |")


if __name__ == "__main__":
    main()
