"""For which layers and methods does a heatmap find lesions better than chance, a centre blob and a vessel map?

    python benchmarks/heatmaps.py RUN [RUN ...] --lesions MANIFEST [--lesion-free MANIFEST] --out FOLDER

Cross-validated runs of one experiment that differ in their seed: the mean of each fold's networks is explained on the
photographs whose patients that fold held out. Every method is measured by `heatmaps.certification.measure` and
written as a part of its own, so that what was interrupted goes on; then FOLDER holds scores.csv and differences.csv
(means over photographs with 95 % intervals, bootstrapped by patient), results.md, auroc.png, and a
figure of all methods for the first photographs.

Coarser than `fundoscope certify`, for the time it takes: photographs are moved by two shifts, ROAD takes a tenth and
three tenths of the field, and weights are randomised all at once; deletion and insertion only with --deletion-steps,
shuffled grades only with --label-randomisation. The slow references (integrated gradients, occlusion) still coarser:
one shift, no network alone, only photographs with lesions.
On 22 photographs of 384 px, three runs of three folds, two methods took some three minutes on two busy cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from fundoscope.heatmaps.baselines import best_on_grid
from fundoscope.heatmaps.certification.criteria import CENTRE, TESTS, VESSELS, decide
from fundoscope.heatmaps.certification.leakage import TrainingSet
from fundoscope.heatmaps.certification.measure import PreparedPhotograph, Steps, baseline_maps, measure
from fundoscope.heatmaps.certification.selection import Selection, candidates_of, select_photographs
from fundoscope.heatmaps.certification.words import MARKS
from fundoscope.heatmaps.lesions import SIZES, cell_summary, lesion_cells
from fundoscope.heatmaps.scores import upsample
from fundoscope.heatmaps.table import ANY, CHANCE, differences, map_table, summarise
from fundoscope.pages import interval_words
from fundoscope.training.attribution.capture import LAST, default_layer
from fundoscope.training.attribution.explain import SLOW
from fundoscope.training.runs.randomised import (
    CrossValidatedRuns,
    FoldNetworks,
    read_cross_validated_runs,
    read_method,
    shuffled_network,
    stage_layers,
)

STEPS = Steps(shifts=((0, 8), (8, 0)), road_fractions=(0.1, 0.3))

STRIDES = (32, 16, 8, 4)
"""Pixels of the canvas to a cell of the grids whose best possible map is told."""

ERASING = ("deletion", "insertion")
MAIN = ("auroc", "energy", "pointing", "rank", "average_precision", "road_gap", "shift_pearson")
BESIDES = ("randomised_spearman", "shuffled_spearman", "seed_agreement", "outside", "disc", "found", *ERASING)
SHOWN = 4
"""Photographs with lesions that figures are drawn of: the first ones, so that nobody chose them."""

COLUMNS = 6


@dataclass(frozen=True)
class Setup:
    """What the parts must have in common."""

    runs: list[str]
    lesions: str
    lesion_free: str
    leave_out: list[str]
    split: list[str]
    most: int
    deletion_steps: int
    label_randomisation: int


def main() -> None:
    """Measure what is not measured yet, then write the page."""
    arguments = _arguments()
    setup = Setup(
        [str(run) for run in arguments.runs],
        str(arguments.lesions),
        str(arguments.lesion_free or ""),
        arguments.leave_out,
        arguments.split,
        arguments.lesion_free_most,
        arguments.deletion_steps,
        arguments.label_randomisation,
    )
    out: Path = arguments.out
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    _claim(setup, out / "setup.json")
    runs = read_cross_validated_runs(arguments.runs)
    selection = _chosen(setup, runs, arguments.cache, arguments.jobs)
    methods = arguments.methods or default_methods(runs)
    if not (parts / "baselines.csv").is_file():
        _baselines(selection).to_csv(parts / "baselines.csv", index=False)
    missing = [name for name in methods if not (parts / f"{_slug(name)}.csv").is_file()]
    if setup.label_randomisation and missing:
        shuffled_network(runs, epochs=setup.label_randomisation)
    steps = replace(STEPS, deletion_steps=setup.deletion_steps)
    given = (arguments.runs, selection, parts, steps, setup.label_randomisation)
    # Each process has one thread: torch's own would share the work of one photograph less evenly.
    os.environ |= {"OMP_NUM_THREADS": "1"}
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn"), initializer=_begin, initargs=given) as pool:
        for name in pool.map(_measure, missing):
            print(f"measured {name}", flush=True)
    write_results(out, methods, selection, runs)
    print(f"written: {out / 'results.md'}")


def default_methods(runs: CrossValidatedRuns) -> list[str]:
    """Grad-CAM and Layer-CAM of the network's stages (of a transformer three of its blocks), and every other method."""
    network = runs.networks(runs.folds[0])[0]
    stages = stage_layers(network)[:-1]
    slow = list(SLOW)
    if default_layer(network.backbone) == LAST:
        inner = [f"{name}:{stage}" for name in ("grad-cam", "layer-cam") for stage in stages]
        fused = f"layer-cam:{'+'.join(stages)}" if stages else "layer-cam"
        return ["grad-cam", *inner, fused, "grad-cam++", "hires-cam", "eigen-cam", *slow]
    some = [stages[len(stages) * quarter // 4 - 1] for quarter in (1, 2, 3)]
    inner = [f"grad-cam:{stage}" for stage in some]
    fused = f"layer-cam:{'+'.join(some)}"
    cams = ["grad-cam", *inner, "layer-cam", fused, "grad-cam++", "hires-cam", "eigen-cam"]
    return ["rollout", "grad-rollout", "last-attention", *cams, *slow]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--lesions", type=Path, required=True)
    parser.add_argument("--lesion-free", type=Path)
    parser.add_argument("--lesion-free-most", type=int, default=20)
    parser.add_argument("--leave-out", nargs="*", default=[])
    parser.add_argument("--split", nargs="*", default=[])
    parser.add_argument("--methods", nargs="*", default=[], help="as `fundoscope certify` names them")
    parser.add_argument("--deletion-steps", type=int, default=0, help="of deletion and insertion; 0: not measured")
    parser.add_argument("--label-randomisation", type=int, default=0, help="epochs; 0: not run")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("runs/audit"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _claim(setup: Setup, path: Path) -> None:
    """A folder holds parts of one setup."""
    told = json.dumps(asdict(setup), indent=2)
    if path.is_file() and path.read_text(encoding="utf-8") != told:
        raise SystemExit(f"{path}: the folder holds parts of other runs or photographs; give another --out")
    path.write_text(told, encoding="utf-8")


def _chosen(setup: Setup, runs: CrossValidatedRuns, cache: Path, threads: int) -> Selection:
    options: dict[str, Any] = {"leave_out": setup.leave_out, "splits": setup.split}
    candidates = [candidates_of(Path(setup.lesions), lesions=True, **options)]
    if setup.lesion_free:
        candidates.append(candidates_of(Path(setup.lesion_free), lesions=False, most=setup.most, **options))
    return select_photographs(
        candidates,
        runs.recipe,
        training_set=TrainingSet(frame=runs.table, manifest=runs.manifest),
        learnt=set(runs.table["sha256"]),
        folds=runs.folds,
        cache=cache,
        threads=threads,
    )


_WORKER: dict[str, Any] = {}
"""What a process was given once."""


def _begin(runs: list[Path], selection: Selection, parts: Path, steps: Steps, epochs: int) -> None:
    import torch

    torch.set_num_threads(1)
    runs = read_cross_validated_runs(runs)
    shuffled = shuffled_network(runs, epochs=epochs) if epochs else None
    networks = FoldNetworks(runs, shuffled=shuffled, every_stage=False, each_seed=len(runs) > 1)
    _WORKER.update(networks=networks, selection=selection, parts=parts, steps=steps)


def _measure(name: str) -> str:
    """Measure a method and write its part; the table last, for it says that the part is whole."""
    networks, selection, parts = _WORKER["networks"], _WORKER["selection"], _WORKER["parts"]
    method = read_method(name)
    canvases = [photograph.canvas for photograph in selection.photographs]
    evaluators = [networks.evaluator(fold, name, canvases) for fold in networks.runs.folds]
    photographs, steps = selection.photographs, _WORKER["steps"]
    if method.name in SLOW:
        photographs = [each for each in photographs if each.scene.marked]
        evaluators = [replace(evaluator, seeds=()) for evaluator in evaluators]
        steps = replace(steps, shifts=STEPS.shifts[:1])
    found = measure(name, photographs, evaluators, steps, baselines=False)
    at_all = [at for at, each in enumerate(selection.photographs) if method.name not in SLOW or each.scene.marked]
    maps: dict[str, Any] = {str(at): given.astype(np.float32) for at, given in zip(at_all, found.maps, strict=True)}
    np.savez_compressed(parts / f"{_slug(name)}.npz", **maps)
    rows, columns = found.maps[0].shape
    table = found.table[found.table["method"] == name].assign(grid_rows=rows, grid_columns=columns)
    temporary = parts / f"{_slug(name)}.csv.partial"
    table.to_csv(temporary, index=False)
    temporary.replace(parts / f"{_slug(name)}.csv")
    return name


def _slug(name: str) -> str:
    return re.sub(r"[^\w.+-]", "_", name)


def _baselines(selection: Selection) -> pd.DataFrame:
    """Chance, maps that know nothing of the network, and maps that know the lesions but have only a grid."""
    tables = []
    for each in selection.photographs:
        visible, side = each.scene.field, each.canvas.shape[0]
        maps = baseline_maps(each)
        if each.scene.marked:
            every = np.any(list(each.scene.marked.values()), axis=0)
            for stride in STRIDES:
                grid = side // stride, side // stride
                maps[knowing(side, stride)] = upsample(best_on_grid(every, visible, grid), side, side) * visible
        tables.append(map_table(each.scene, maps))
    return pd.concat(tables, ignore_index=True)


def knowing(side: int, stride: int) -> str:
    """Name of the map that knows the lesions."""
    return f"the lesions on {side // stride} x {side // stride} cells"


def write_results(out: Path, methods: Sequence[str], selection: Selection, runs: CrossValidatedRuns) -> None:
    """Tables, figures and the page."""
    parts = out / "parts"
    measured = {name: pd.read_csv(parts / f"{_slug(name)}.csv") for name in methods}
    grids = {
        name: f"{int(part['grid_rows'].iloc[0])} x {int(part['grid_columns'].iloc[0])}"
        for name, part in measured.items()
    }
    ours = [part.drop(columns=["grid_rows", "grid_columns"]) for part in measured.values()]
    table = pd.concat([pd.read_csv(parts / "baselines.csv"), *ours], ignore_index=True)
    scores = summarise(table)
    against = pd.concat([differences(table, baseline) for baseline in (CHANCE, CENTRE, VESSELS)], ignore_index=True)
    table.to_csv(out / "photographs.csv", index=False)
    scores.to_csv(out / "scores.csv", index=False)
    against.to_csv(out / "differences.csv", index=False)
    _forest(scores, out / "auroc.png")
    figures = list(_figures(out, methods, selection))
    lines = [
        f"{selection.counts()['lesions']} photographs with lesions of {selection.counts()['patients']} patients, "
        f"{selection.counts()['lesion_free']} without; {len(runs.folders)} runs of {len(runs.folds)} folds. Each "
        "photograph by the networks that never saw its patient. Means with 95 % intervals, patients drawn.",
        "",
        *(f"- left out: {each['image']}: {each['why']}" for each in selection.left_out),
        "",
        "## All lesions together",
        "",
        *_main(scores, against, methods, grids),
        "",
        "## What else is asked of a map",
        "",
        *_besides(scores, methods),
        "",
        "## AUROC minus the vessel map's, by type and size of lesion",
        "",
        *_by_kind(against, methods),
        "",
        "## The tests of `fundoscope certify`, measured more coarsely",
        "",
        *_tests(table, methods),
        "",
        "## How much of a map's cell a lesion fills",
        "",
        *_cells(selection),
        "",
        "![AUROC](auroc.png)",
        *(f"![{name}]({name})" for name in figures),
    ]
    (out / "results.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _main(scores: pd.DataFrame, against: pd.DataFrame, methods: Sequence[str], grids: dict[str, str]) -> Iterator[str]:
    known = [name for name in scores["method"].unique() if name not in methods]
    baselines = (CHANCE, CENTRE, VESSELS)
    yield from _head("map", "grid", *MAIN[:5], *(f"AUROC minus {name}" for name in baselines))
    for name in [*methods, *known]:
        found = [_cell(scores, method=name, lesions=ANY, score=score) for score in MAIN[:5]]
        apart = [_cell(against, method=name, lesions=ANY, score="auroc", baseline=each) for each in baselines]
        yield _row(name, grids.get(name, ""), *found, *apart)


def _besides(scores: pd.DataFrame, methods: Sequence[str]) -> Iterator[str]:
    columns = [name for name in (*MAIN[5:], *BESIDES) if name in set(scores["score"])]
    yield from _head("map", *(name.replace("_", " ") for name in columns))
    for name in methods:
        yield _row(name, *(_cell(scores, method=name, lesions=ANY, score=score) for score in columns))


def _by_kind(against: pd.DataFrame, methods: Sequence[str]) -> Iterator[str]:
    kinds = [kind for kind in against["lesions"].unique() if kind not in (ANY, "none")]
    kinds.sort(key=lambda kind: list(SIZES).index(kind) if kind in SIZES else -1)
    yield from _head("map", *kinds)
    for name in methods:
        cells = [_cell(against, method=name, lesions=kind, score="auroc", baseline=VESSELS) for kind in kinds]
        yield _row(name, *cells)


def _tests(table: pd.DataFrame, methods: Sequence[str]) -> Iterator[str]:
    asked = [] if "shuffled_spearman" not in table else table[table["shuffled_spearman"].notna()]["method"].unique()
    yield from _head("map", *TESTS, "certified")
    for name in methods:
        verdict = decide(name, table, not_run={} if name in asked else {"shuffled": "a retraining"})
        marks = [MARKS[each.result] for each in verdict.tests]
        yield _row(name, *marks, "yes" if verdict.certified else "no")
    yield ""
    yield (
        ", ".join(f"{mark} {result}" for result, mark in MARKS.items())
        + ". Needed: "
        + "; ".join(f"{name}: {test.says}, {test.needed}" for name, test in TESTS.items())
    )


def _cells(selection: Selection) -> Iterator[str]:
    scenes = [each.scene for each in selection.photographs if each.scene.marked]
    side = scenes[0].field.shape[0]
    grids = [(side // stride, side // stride) for stride in STRIDES]
    found = cell_summary(
        pd.concat([lesion_cells(scene.marked, scene.field, grids=grids) for scene in scenes], ignore_index=True)
    )
    yield from _head("grid", "type", "lesions", "share of the field, %", "of it in one cell, %", "of that cell, %")
    for row in found.to_dict("records"):
        shares = [
            f"{100 * row[name]:.3g} ({100 * row[f'{name}_low']:.3g} to {100 * row[f'{name}_high']:.3g})"
            for name in ("share", "in_cell", "of_cell")
        ]
        yield _row(row["grid"], row["type"], row["lesions"], *shares)
    yield ""
    yield "Medians with quartiles, over lesions."


def _cell(frame: pd.DataFrame, **wanted: str) -> str:
    selection = np.ones(len(frame), dtype=bool)
    for name, value in wanted.items():
        selection &= (frame[name] == value).to_numpy()
    if not selection.any():
        return ""
    row = frame[selection].iloc[0]
    return interval_words(float(row["mean"]), float(row["low"]), float(row["high"]), style=".3f").replace("n/a", "")


def _head(*names: object) -> Iterator[str]:
    yield _row(*names)
    yield _row(*["---"] * len(names))


def _row(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _forest(scores: pd.DataFrame, path: Path) -> None:
    """AUROC of every map with its interval; those that know nothing of the network as lines."""
    from matplotlib.figure import Figure

    from fundoscope.evaluation.report.drawing import ACCENT, INK, SOFT, plain, png

    rows = scores[(scores["lesions"] == ANY) & (scores["score"] == "auroc")].reset_index(drop=True)
    order = rows[~rows["method"].isin([CHANCE])].iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(8, 1.2 + 0.3 * len(order)), layout="constrained")
    axes = figure.subplots()
    for at, row in order.iterrows():
        shade = SOFT if row["method"] in (CENTRE, VESSELS) or row["method"].startswith("the lesions") else ACCENT
        axes.plot((row["low"], row["high"]), (at, at), color=shade, lw=1.6)
        axes.plot(row["mean"], at, "o", ms=5, color=shade)
    axes.set_yticks(range(len(order)), order["method"])
    axes.axvline(0.5, color=INK, lw=0.8)
    for name, dash in ((CENTRE, "--"), (VESSELS, ":")):
        mean = float(rows.loc[rows["method"] == name, "mean"].iloc[0])
        axes.axvline(mean, color=SOFT, lw=1, ls=dash)
    plain(axes, "AUROC within the field (line: chance; dashed: centre; dotted: vessels)")
    path.write_bytes(png(figure))


def _figures(out: Path, methods: Sequence[str], selection: Selection) -> Iterator[str]:
    """A figure for each of the first photographs with lesions, and of the first without; their names."""
    marked = [at for at, each in enumerate(selection.photographs) if each.scene.marked][:SHOWN]
    free = [at for at, each in enumerate(selection.photographs) if not each.scene.marked][:1]
    stored = {name: np.load(out / "parts" / f"{_slug(name)}.npz") for name in methods}
    for at in [*marked, *free]:
        each = selection.photographs[at]
        maps = {name: held[str(at)].astype(np.float64) for name, held in stored.items() if str(at) in held}
        pictures = {"photograph": each.canvas, "lesions": _drawn(each)}
        pictures |= {name: _overlaid(each, given) for name, given in (baseline_maps(each) | maps).items()}
        path = out / f"{Path(each.scene.image).stem}.png"
        path.write_bytes(_sheet(pictures))
        yield path.name


def _drawn(each: PreparedPhotograph) -> np.ndarray:
    """The photograph with its lesions filled in."""
    shown = each.canvas.copy()
    colours = ((255, 255, 0), (0, 255, 255), (255, 255, 255), (255, 0, 255))
    for mask, colour in zip(each.scene.marked.values(), colours, strict=False):
        shown[mask] = colour
    return shown


def _overlaid(each: PreparedPhotograph, given: np.ndarray) -> np.ndarray:
    """The map in viridis over the photograph, clear outside the field."""
    laid = upsample(given, *each.scene.field.shape) * each.scene.field
    laid = laid / max(float(laid.max()), 1e-12)
    colours = cv2.applyColorMap(np.rint(255 * laid).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    opacity = 0.7 * np.sqrt(laid)[..., None]
    return np.rint(each.canvas * (1 - opacity) + colours * opacity).astype(np.uint8)


def _sheet(pictures: dict[str, np.ndarray]) -> bytes:
    from matplotlib.figure import Figure

    from fundoscope.evaluation.report.drawing import INK, png

    rows = -(-len(pictures) // COLUMNS)
    figure = Figure(figsize=(2.3 * COLUMNS, 2.5 * rows), layout="constrained")
    for at, axes in enumerate(figure.subplots(rows, COLUMNS, squeeze=False).flat):
        axes.axis("off")
        if at < len(pictures):
            name, picture = list(pictures.items())[at]
            axes.imshow(picture)
            axes.set_title(name if len(name) < 34 else f"{name[:15]}...{name[-15:]}", fontsize=8, color=INK)
    return png(figure)


if __name__ == "__main__":
    main()
