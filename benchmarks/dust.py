"""Dust on a camera's sensor: what it does to a grader, what a map of it repairs, and what the repair costs.

    python benchmarks/dust.py RUN MANIFEST [--lesions FOLDER] [--count N] [--out TABLE.csv] [--seed 0]

RUN is a run folder with fold networks, MANIFEST the manifest that it was trained on; each photograph is graded by the
network that did not learn from it. Three patterns of dust are painted on the files as the camera wrote them
(`photo.disturbances.specks`). A map is made from MAPPED unlabelled photographs of the same pattern, as `commission`
does. Printed: what is found from how many photographs; AUROC of referable disease, sensitivity and specificity without
dust, with it, with the map, and with the map mirrored left to right as a control; and what a map does to clean
photographs: the dust that the camera had itself, microaneurysms that lie under specks (--lesions: IDRiD's part A), and
the sensitivity. The threshold is fitted on the clean photographs. Intervals are bootstrapped by patient, 95 %.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import fundoscope.training.torchvision_shim

import cv2
import numpy as np
import pandas as pd
import torch
from rich.progress import track

from fundoscope.arrays import Photo
from fundoscope.data.manifest import picture_paths, read_manifest
from fundoscope.decide.heads import exceedance, probabilities
from fundoscope.decide.referral import fit_threshold
from fundoscope.evaluation.statistics.detection import auroc
from fundoscope.evaluation.statistics.interval import Statistic, patient_interval
from fundoscope.files import sha256_of
from fundoscope.grades import REFERABLE
from fundoscope.photo.artefacts.dust_map import DustMap, spots_on
from fundoscope.photo.artefacts.find import find_specks
from fundoscope.photo.artefacts.make import MOST, FrameView, Shot, dust_map_of, see, windows_of
from fundoscope.photo.disturbances.specks import Speck, draw_specks, paint_specks
from fundoscope.photo.fov import Field, find_field
from fundoscope.photo.read import Photograph, read_photo
from fundoscope.photo.recipe import prepare
from fundoscope.run_folder import RunFolder
from fundoscope.tables import read_table
from fundoscope.tables.patients import patient_keys
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.runs.fits import load_network
from fundoscope.training.runs.folder import read_run

MAPPED = 20
"""Photographs that each map is made from."""

NUMBERS = (10, 20, 40)
"""Photographs, for the table of what is found from how many."""

DRAWS = 3
"""Draws of photographs for each number."""

NEAR_PX = 3.0
"""Distance at which a mapped speck is a painted one, in px of a frame 1024 px wide."""

CLEAN, OWN = "clean", "camera's own"


@dataclass(frozen=True)
class Site:
    """A pattern of dust and the map that was made of it."""

    specks: tuple[Speck, ...]
    dust: DustMap


def patterns(seed: int) -> dict[str, tuple[Speck, ...]]:
    """Draw three cameras: few large soft specks, many small ones, and clusters; radii in diameters of the field."""
    rng = np.random.default_rng(seed)
    drawn = draw_specks(rng, count=(8, 8), radius=(0.005, 0.009), depth=(0.1, 0.3))
    few = moved(drawn, rng.uniform((0.2, 0.25), (0.8, 0.75), size=(len(drawn), 2)))
    many = draw_specks(rng, count=(60, 60), radius=(0.0015, 0.003), depth=(0.2, 0.5))
    drawn = draw_specks(rng, count=(45, 45), radius=(0.0015, 0.004), depth=(0.2, 0.5))
    centres = rng.uniform(0.3, 0.7, size=(3, 2))
    places = centres[rng.integers(3, size=len(drawn))] + rng.normal(0, 0.05, size=(len(drawn), 2))
    return {"few large": few, "many small": many, "clustered": moved(drawn, np.clip(places, 0, 1))}


def moved(specks: Sequence[Speck], places: np.ndarray) -> tuple[Speck, ...]:
    """Return specks at other places (speck, row and column)."""
    return tuple(
        replace(speck, row=float(row), column=float(column))
        for speck, (row, column) in zip(specks, places, strict=True)
    )


def mirrored(dust: DustMap) -> DustMap:
    """Return a map with every speck at the mirrored place: as many and as large, where there is no dust."""
    return replace(dust, specks=tuple(replace(speck, column=1 - speck.column) for speck in dust.specks))


def with_dust(photograph: Photograph, field: Field, specks: Sequence[Speck]) -> Photograph:
    """Return the photograph as a camera with that dust would have taken it."""
    return replace(photograph, pixels=paint_specks(photograph.pixels, specks, field))


@dataclass(frozen=True)
class Data:
    """Photographs that a run's networks can be asked about, each by the network that never saw it."""

    rows: pd.DataFrame
    paths: list[Path]

    @classmethod
    def read(cls, run: Path, manifest: Path, count: int | None, seed: int) -> Data:
        """Read the rows of a manifest that the run has out-of-fold predictions of; `count` of them, drawn."""
        frame = read_manifest(manifest)
        table = read_table(RunFolder(run).out_of_fold)
        frame = frame.assign(path=[str(path) for path in picture_paths(frame, manifest)])
        frame["sha256"] = [
            sha256 or sha256_of(path) for sha256, path in zip(frame["sha256"], frame["path"], strict=True)
        ]
        folds = dict(zip(table["sha256"], table["fold"], strict=True))
        frame = frame[frame["sha256"].isin(folds)].reset_index(drop=True)
        if count is not None and count < len(frame):
            chosen = np.sort(np.random.default_rng(seed).choice(len(frame), count, replace=False))
            frame = frame.iloc[chosen].reset_index(drop=True)
        frame["fold"] = [int(folds[sha256]) for sha256 in frame["sha256"]]
        frame["unit"] = [str(key) for key in patient_keys(frame)]
        return cls(frame, [Path(path) for path in frame["path"]])

    def shot(self, at: int) -> Shot:
        """Return what a map is told of a photograph."""
        row = self.rows.iloc[at]
        details = {name: row.get(name) for name in ("eye", "taken")}
        texts = {name: None if pd.isna(value) else str(value) for name, value in details.items()}
        return Shot(path=self.paths[at], patient=str(row["unit"]), **texts)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--lesions", type=Path, help="folder of IDRiD's part A: labels.csv, extras.csv and masks")
    parser.add_argument("--count", type=int, help="photographs, drawn by the seed; default: all")
    parser.add_argument("--out", type=Path, help="table of the scores of every photograph under every condition")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    data = Data.read(options.run, options.manifest, options.count, options.seed)
    print(f"{options.run.name}: {len(data.rows)} photographs of {options.manifest.name}, seed {options.seed}\n")
    stacks = look_at_all(data, patterns(options.seed))
    print_numbers(stacks, options.seed)
    sites = map_sites(stacks, options.seed)
    print_maps(sites)
    scores = score(data, options.run, sites)
    if options.out is not None:
        pd.concat([data.rows[["image", "sha256", "unit", "grade", "fold"]], scores], axis=1).to_csv(
            options.out, index=False
        )
    print_scores(data, scores, read_run(options.run), sites, options.seed)
    if options.lesions is not None:
        print_lesions(options.lesions, sites, options.seed)


@dataclass(frozen=True)
class Stacks:
    """What maps are made from: photographs as they are, and with each pattern of dust."""

    clean: list[FrameView]
    dusty: dict[str, list[FrameView]]
    specks: dict[str, tuple[Speck, ...]]
    field: Field
    """Of the last photograph, in px."""


def look_at_all(data: Data, dust: dict[str, tuple[Speck, ...]]) -> Stacks:
    """Return what maps may be made from: at most `MOST` photographs, spread over the table."""
    chosen = np.unique(np.linspace(0, len(data.rows) - 1, MOST).astype(int))
    chosen = np.random.default_rng(0).permutation(chosen)
    clean: list[FrameView] = []
    dusty: dict[str, list[FrameView]] = {name: [] for name in dust}
    field = None
    for at in track(chosen, "looking at the frames", transient=True):
        photograph, shot = read_photo(data.paths[at]), data.shot(int(at))
        circle = find_field(photograph.pixels)
        item = see(photograph, shot)
        if circle is None or item is None:
            continue
        field = circle
        clean.append(item)
        for name, specks in dust.items():
            if len(dusty[name]) < DRAWS * max(NUMBERS) // 2:
                painted = see(with_dust(photograph, circle, specks), shot)
                dusty[name] += [] if painted is None else [painted]
    assert field is not None
    return Stacks(clean, dusty, dust, field)


def map_sites(stacks: Stacks, seed: int) -> dict[str, Site]:
    """Map each pattern from `MAPPED` photographs, drawn by the seed, and the camera's own dust from all."""
    sites = {OWN: Site((), dust_map_of(stacks.clean))}
    for name, items in stacks.dusty.items():
        drawn = np.random.default_rng(seed).choice(len(items), MAPPED, replace=False)
        sites[name] = Site(stacks.specks[name], dust_map_of([items[at] for at in drawn]))
    return sites


def apart_px(specks: Sequence[Speck], row: float, column: float, height_share: float) -> float:
    """Return the distance of a place to the nearest speck, in px of a frame 1024 px wide."""
    distances = [np.hypot((speck.row - row) * 1024 * height_share, (speck.column - column) * 1024) for speck in specks]
    return float(min(distances, default=np.inf))


def print_numbers(stacks: Stacks, seed: int) -> None:
    """Print the share of the painted specks that is found from how many photographs, and how many others are."""
    own = dust_map_of(stacks.clean).specks
    frame = stacks.clean[0].frame
    share = frame.height / frame.width
    print("Found from how many photographs (mean over draws): painted specks found / others, not the camera's own\n")
    print("| pattern | painted in the field | " + " | ".join(f"{number} photographs" for number in NUMBERS) + " |")
    print("|---|---|" + "---|" * len(NUMBERS))
    for name, items in stacks.dusty.items():
        inside = in_field(stacks.specks[name], stacks.field, frame.height, frame.width)
        cells = []
        for number in NUMBERS:
            rng = np.random.default_rng(seed)
            results = []
            for _ in range(DRAWS):
                drawn = sorted(rng.choice(len(items), min(number, len(items)), replace=False))
                stack = np.stack([items[at].plane for at in drawn])
                height, width = stack.shape[1:]
                places = [
                    (speck.row / height, speck.column / width) for speck in find_specks(stack, windows_of(len(drawn)))
                ]
                hit = [
                    min((np.hypot((s.row - r) * 1024 * share, (s.column - c) * 1024) for r, c in places), default=99)
                    < NEAR_PX
                    for s in inside
                ]
                others = [
                    place
                    for place in places
                    if apart_px(stacks.specks[name], *place, share) >= NEAR_PX
                    and all(np.hypot((o.row - place[0]) * 1024 * share, (o.column - place[1]) * 1024) > 6 for o in own)
                ]
                results.append((np.mean(hit), len(others)))
            cells.append(f"{np.mean([r[0] for r in results]):.0%} / {np.mean([r[1] for r in results]):.1f}")
        print(f"| {name} | {len(inside)} | " + " | ".join(cells) + " |")
    print()


def in_field(specks: Sequence[Speck], field: Field, height: int, width: int) -> list[Speck]:
    """Return the specks that lie in the field and not in its outermost twentieth."""
    factor = width / 1024
    return [
        speck
        for speck in specks
        if np.hypot(speck.row * height / factor - field.row, speck.column * width / factor - field.column)
        < 0.95 * field.radius
    ]


def print_maps(sites: dict[str, Site]) -> None:
    """Print what each map has."""
    print("Maps\n\n| dust | photographs | specks | largest depth | share of the field retouched | by chance |")
    print("|---|---|---|---|---|---|")
    for name, site in sites.items():
        dust = site.dust
        depth = max((abs(speck.depth) for speck in dust.specks), default=0.0)
        print(
            f"| {name} | {dust.photographs} | {len(dust.specks)} | {depth:.3f} | {dust.covered:.2%} | {dust.control} |"
        )
    own = sites[OWN].dust
    print(f"\nThe camera's own specks, {own.first} to {own.last}")
    print("(row, column, radius in px of the frame; depth; stability):")
    for speck in own.specks:
        place = f"{speck.row * own.height:.0f}, {speck.column * own.width:.0f}"
        print(
            f"- {place}; {speck.radius * max(own.width, own.height):.1f} px; {speck.depth:.3f}; {speck.stability:.2f}"
        )
    print()


def conditions(sites: dict[str, Site]) -> Iterator[tuple[str, tuple[Speck, ...], DustMap | None]]:
    """Yield the name of each condition, the dust that is painted and the map that is used."""
    yield CLEAN, (), None
    for name, site in sites.items():
        yield f"{CLEAN}, map of {name}", (), site.dust
        if site.specks:
            yield f"{name}", site.specks, None
            yield f"{name}, map", site.specks, site.dust
            yield f"{name}, mirrored map", site.specks, mirrored(site.dust)


def score(data: Data, run: Path, sites: dict[str, Site]) -> pd.DataFrame:
    """Return P(referable), uncalibrated, of every photograph under every condition."""
    experiment = read_run(run)
    networks = {
        fold: load_network(experiment, RunFolder(run).fold(fold).path).eval() for fold in sorted(set(data.rows["fold"]))
    }
    normalise = Normalise(experiment.recipe)
    listed = list(conditions(sites))
    scores = np.full((len(data.rows), len(listed)), np.nan)
    for at in track(range(len(data.rows)), "grading", transient=True):
        photograph = read_photo(data.paths[at], target_px=experiment.recipe.decode_px)
        field = find_field(photograph.pixels)
        canvases = np.stack([canvas_of(photograph, field, experiment, specks, dust) for _, specks, dust in listed])
        network = networks[int(data.rows["fold"].iloc[at])]
        scores[at] = referable(network, normalise, canvases, experiment)
    return pd.DataFrame(scores, columns=[name for name, _, _ in listed])


def canvas_of(
    photograph: Photograph, field: Field | None, experiment: Experiment, specks: Sequence[Speck], dust: DustMap | None
) -> Photo:
    """Return the canvas of a photograph with dust painted on it and retouched by a map."""
    pixels = paint_specks(photograph.pixels, specks, field) if specks else photograph.pixels
    spots = () if dust is None else spots_on(dust, photograph)
    return prepare(pixels, experiment.recipe, field=field, specks=spots).canvas


def referable(
    network: GradingNetwork, normalise: Normalise, canvases: np.ndarray, experiment: Experiment
) -> np.ndarray:
    """Return P(referable) of canvases, at temperature 1."""
    with torch.inference_mode():
        raw = network.grade(normalise(torch.from_numpy(canvases)))[0].double().numpy()
    return np.asarray(exceedance(probabilities(experiment.network.head, raw, temperature=1.0), REFERABLE))


def print_scores(data: Data, scores: pd.DataFrame, experiment: Experiment, sites: dict[str, Site], seed: int) -> None:
    """Print AUROC, sensitivity and specificity under every condition, and how far they are from another one."""
    grades = data.rows["grade"].to_numpy(dtype=int)
    units = data.rows["unit"].to_numpy()
    positive = grades >= REFERABLE
    threshold = fit_threshold(scores[CLEAN].to_numpy(), positive, sensitivity=experiment.release.sensitivity)
    print(
        f"Referable disease: {positive.sum()} of {len(grades)} photographs, {len(set(units))} patients; threshold "
        f"{threshold:.4f} (sensitivity {experiment.release.sensitivity} on the clean photographs)\n"
    )
    print("| condition | AUROC | less clean | less the same without a map | sensitivity | specificity |")
    print("|---|---|---|---|---|---|")
    for name in scores:
        base = name.partition(",")[0]
        values = scores[name].to_numpy()
        cells = [interval_of(area_of, grades, values, units, seed)]
        for other, is_same in ((CLEAN, name == CLEAN), (base, base in (CLEAN, name))):
            pair = np.stack([values, scores[other].to_numpy()], axis=1)
            cells.append("" if is_same else interval_of(gain, grades, pair, units, seed, "+.3f"))
        referred = values >= threshold
        cells += [f"{referred[positive].mean():.3f}", f"{1 - referred[~positive].mean():.3f}"]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nClean photographs retouched as if there were dust: what lesions lose\n")
    print("| map | change of the sensitivity | mean change of P(referable), grades 2 to 4 | the same, grade 1 |")
    print("|---|---|---|---|")
    for name in sites:
        values, before = scores[f"{CLEAN}, map of {name}"].to_numpy(), scores[CLEAN].to_numpy()
        pair = np.stack([values >= threshold, before >= threshold], axis=1)
        changed = np.stack([values, before], axis=1)
        cells = []
        for columns, chosen in ((pair, positive), (changed, positive), (changed, grades == 1)):
            inside = grades[chosen], columns[chosen].astype(float), units[chosen]
            cells.append(interval_of(mean_difference, *inside, seed, "+.4f"))
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def interval_of(
    statistic: Statistic, grades: np.ndarray, values: np.ndarray, units: np.ndarray, seed: int, style: str = ".3f"
) -> str:
    """Return a statistic with its interval, as a cell; one that never varies has no interval."""
    rng = np.random.default_rng(seed)
    try:
        interval = patient_interval(statistic, grades, values, units, rng=rng, resamples=1000)
    except ValueError:
        return f"{statistic(grades, values):{style}} (no interval)"
    return f"{interval.estimate:{style}} ({interval.low:{style}} to {interval.high:{style}})"


def area_of(grades: np.ndarray, scores: np.ndarray) -> float:
    """AUROC of referable disease."""
    return auroc(grades >= REFERABLE, scores)


def gain(grades: np.ndarray, scores: np.ndarray) -> float:
    """AUROC of the first column less that of the second."""
    return area_of(grades, scores[:, 0]) - area_of(grades, scores[:, 1])


def mean_difference(_grades: np.ndarray, values: np.ndarray) -> float:
    """Mean of the first column less that of the second."""
    return float((values[:, 0] - values[:, 1]).mean())


def ratio_of(_grades: np.ndarray, counts: np.ndarray) -> float:
    """First column's sum over the second's."""
    return float(counts[:, 0].sum() / counts[:, 1].sum())


def print_lesions(folder: Path, sites: dict[str, Site], seed: int) -> None:
    """Print the share of the microaneurysms that lie under a map's specks."""
    labels = pd.read_csv(folder / "labels.csv")
    units = labels["session"].fillna(labels["image"]).astype(str).to_numpy()
    centres = [lesion_centres(folder, Path(image).stem) for image in labels["image"]]
    total = sum(map(len, centres))
    print(f"Microaneurysms that lie under retouched specks ({total} in {len(labels)} photographs of the same camera)\n")
    print("| map | of its specks retouched | share of the microaneurysms |\n|---|---|---|")
    for name, site in sites.items():
        for words, dust in (("", site.dust), (", mirrored", mirrored(site.dust))):
            hits = [sum(covered(dust, place) for place in places) for places in centres]
            counts = np.array([(hit, len(places)) for hit, places in zip(hits, centres, strict=True)], dtype=float)
            kept = counts[:, 1] > 0
            share = interval_of(ratio_of, np.zeros(int(kept.sum()), int), counts[kept], units[kept], seed, ".2%")
            print(f"| {name}{words} | {dust.covered:.2%} | {share} |")
    print()


def lesion_centres(folder: Path, name: str) -> list[tuple[float, float]]:
    """Return the centres of microaneurysms as shares of the frame; of a full-size mask where there is one."""
    full = sorted((folder / "originals").glob(f"{name}_MA.*"))
    mask = cv2.imread(str(full[0] if full else folder / "masks" / f"{name}_MA.png"), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        return []
    count, _, _, places = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8))
    height, width = mask.shape
    return [((places[part, 1] + 0.5) / height, (places[part, 0] + 0.5) / width) for part in range(1, count)]


def covered(dust: DustMap, place: tuple[float, float]) -> bool:
    """Return whether a place of the frame is retouched."""
    longer = max(dust.height, dust.width)
    return any(
        np.hypot((speck.row - place[0]) * dust.height, (speck.column - place[1]) * dust.width)
        <= speck.retouched * longer
        for speck in dust.specks
    )


if __name__ == "__main__":
    main()
