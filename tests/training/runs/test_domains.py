"""Three invented sources: each is left out in turn, or trained on alone."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment, BadRequest
from fundoscope.painting.retina import RetinaSpec, paint_retina
from fundoscope.run_folder import WEIGHTS
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.verification import verify_release
from fundoscope.tables import read_table
from fundoscope.training.batches.rows import Rows, to_learn
from fundoscope.training.experiment.file import experiment_from_dict, read_experiment
from fundoscope.training.experiment.photographs import Data, Domains
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Fit
from fundoscope.training.export.release import export_run
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.runs import domains as domains_module
from fundoscope.training.runs import predict as predict_module
from fundoscope.training.runs.domains import divisions, everything
from fundoscope.training.runs.folder import claim_run
from fundoscope.training.runs.predict import Outputs
from fundoscope.training.train import train

SOURCES = ("A", "B", "C")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten photographs of five patients from each of three sources.

    A publishes train, val and test; B and C publish nothing. One photograph of A is also in B. One of C has no grade.
    """
    folder = tmp_path_factory.mktemp("sources")
    rng = np.random.default_rng(8)
    rows = []
    for source in SOURCES:
        for number in range(10):
            name = f"{source}{number}.png"
            Image.fromarray(rng.integers(60, 200, (48, 48, 3)).astype(np.uint8)).save(folder / name)
            split = ("train", "val", "test")[max(0, number - 5) // 2] if source == "A" else None
            own = {"image": name, "patient": f"p{number // 2}", "grade": number // 2, "domain": source, "split": split}
            rows.append(own | {"source": "benchmark", "duplicate_group": None})
    frame = pd.DataFrame(rows)
    frame["patient"] = frame["domain"] + frame["patient"]
    frame.loc[frame["image"].isin(["A0.png", "B3.png"]), "duplicate_group"] = "twice"
    frame["grade"] = frame["grade"].astype("Int64")
    frame.loc[frame["image"] == "C9.png", "grade"] = pd.NA
    frame.to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


@pytest.fixture
def frame(manifest: Path) -> pd.DataFrame:
    whole = read_table(manifest)
    return whole[whole["grade"].notna()].reset_index(drop=True)


@pytest.fixture
def bench(manifest: Path, tmp_path: Path) -> Experiment:
    return experiment_from_dict(
        {
            "name": "bench",
            "data": {"manifest": str(manifest), "cache": str(tmp_path / "cache"), "keep_ungradable": True},
            "domains": {"protocol": "leave_one_out", "by": "domain"},
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "mobilenetv2_035", "head": "softmax", "dropout": 0.0},
            "loss": {"name": "cross_entropy"},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "keep": "best"},
        },
        where="the test",
    )


class Fits:
    """Stands for `fit`: notes what each was given."""

    def __init__(self, die_at: int = -1) -> None:
        self.given: dict[str, tuple[Rows, Rows | None]] = {}
        self.die_at = die_at

    def __call__(self, experiment, train, validate, folder, *, progress=True):
        if len(self.given) == self.die_at:
            raise KeyboardInterrupt
        self.given[folder.name] = (train, validate)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / WEIGHTS).write_bytes(b"")
        network = GradingNetwork.__new__(GradingNetwork)
        torch.nn.Module.__init__(network)
        return network


def outputs(network: object, experiment: Experiment, rows: Rows) -> Outputs:
    """Answers that hang on the photograph alone."""
    raw = np.stack([np.random.default_rng(int(each.sha256[:8], 16)).normal(size=5) for each in rows.stored])
    return Outputs(raw.astype(np.float32), raw.astype(np.float32))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    fits = Fits()
    monkeypatch.setattr(domains_module, "fit_network", fits)
    monkeypatch.setattr(predict_module, "run_network", outputs)
    return fits


def images(rows: Rows | None) -> set[str]:
    return set() if rows is None else set(rows.frame["image"])


def with_(experiment: Experiment, section: str, **values: object) -> Experiment:
    changed = dataclasses.replace(getattr(experiment, section), **values)
    return dataclasses.replace(experiment, **{section: changed})


@pytest.mark.parametrize("protocol", ["leave_one_out", "single_source"])
def test_no_photograph_tested_on_and_none_of_its_patient_or_copies_is_trained_or_validated_on(
    bench: Experiment, fits: Fits, frame: pd.DataFrame, tmp_path: Path, protocol: str
):
    train(with_(bench, "domains", protocol=protocol), tmp_path / "run")

    assert set(fits.given) == set(SOURCES)
    for name, (learnt, watched) in fits.given.items():
        tested = read_table(tmp_path / "run" / name / "predictions.csv")
        handed = images(learnt) | images(watched)
        assert not images(learnt) & images(watched)
        of_it = frame[frame["image"].isin(tested["image"])]
        for column in ("image", "patient", "duplicate_group"):
            theirs = set(frame.loc[frame["image"].isin(handed), column].dropna())
            assert not theirs & set(of_it[column].dropna())
        left_out = {name} if protocol == "leave_one_out" else set(SOURCES) - {name}
        assert set(tested["source"]) == left_out
        assert {image[0] for image in handed} == set(SOURCES) - left_out


def test_left_out_in_turn_every_graded_photograph_is_tested_once_by_who_never_saw_its_source(
    bench: Experiment, fits: Fits, frame: pd.DataFrame, tmp_path: Path
):
    lines: list[str] = []
    train(bench, tmp_path / "run", say=lines.append)

    whole = read_table(tmp_path / "run" / "out_of_fold.csv")
    assert sorted(whole["image"]) == sorted(frame["image"])
    assert dict(zip(whole["source"], whole["fold"], strict=True)) == {"A": 0, "B": 1, "C": 2}
    assert set(whole["decision"]) <= {"refer", "rescreen"}
    table = read_table(tmp_path / "run" / "domains.csv")
    assert table["tested_on"].tolist() == ["A", "B", "C", "average"]
    assert table["grades_missing"].isna().all()
    assert json.loads((tmp_path / "run" / "domains.json").read_text())["rows"][3]["photographs"] == 29
    shown = (tmp_path / "run" / "domains.md").read_text()
    assert all(line in shown for line in lines if line.startswith("| "))
    assert "1 photographs without a grade are left out" in lines


def test_a_sources_own_test_side_is_neither_trained_nor_validated_on(bench: Experiment, fits: Fits, tmp_path: Path):
    train(bench, tmp_path / "run")

    learnt, watched = fits.given["C"]
    assert not {"A9.png"} & (images(learnt) | images(watched))
    assert {"A7.png", "A8.png"} <= images(watched)
    hashes = json.loads((tmp_path / "run" / "C" / "photographs.json").read_text())
    assert hashes == sorted(stored.sha256 for stored in learnt.stored)


def test_a_finished_source_is_not_done_again(
    bench: Experiment, fits: Fits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(domains_module, "fit_network", Fits(die_at=2))
    with pytest.raises(KeyboardInterrupt):
        train(bench, tmp_path / "run")
    assert (tmp_path / "run" / "B" / "predictions.csv").is_file()
    assert not (tmp_path / "run" / "domains.csv").exists()

    monkeypatch.setattr(domains_module, "fit_network", fits)
    train(bench, tmp_path / "run")
    assert set(fits.given) == {"C"}

    first = (tmp_path / "run" / "domains.json").read_text()
    train(bench, tmp_path / "run")
    assert set(fits.given) == {"C"}
    assert (tmp_path / "run" / "domains.json").read_text() == first


def test_a_source_that_is_never_trained_on_is_not_left_out_either_unless_asked_for(frame: pd.DataFrame):
    domains = Domains(protocol="leave_one_out", by="domain", never_train=("C", "a set nobody has"))

    parts = divisions(domains, frame)

    assert [part.name for part in parts] == ["A", "B"]
    of_c = frame["domain"] == "C"
    assert all(side is None for part in parts for side in part.sides[of_c])
    (asked,) = divisions(dataclasses.replace(domains, targets=("C",)), frame)
    assert set(asked.sides[of_c]) == {"test"}


def test_the_final_fit_learns_from_every_source_as_it_is_wherever_it_is_trained_on(frame: pd.DataFrame):
    domains = Domains(protocol="leave_one_out", by="domain")
    sides = everything(domains, frame)

    for part in divisions(domains, frame):
        trained = np.isin(part.sides.astype(str), ["train", "val"])
        assert (part.sides[trained] == sides[trained]).all()
    assert "test" not in sides.tolist()
    assert {name: set(sides[frame["domain"] == name]) - {None} for name in SOURCES} == {
        name: {"train", "val"} for name in SOURCES
    }
    assert sides[frame["image"] == "A9.png"].tolist() == [None]


def test_weights_by_source_are_those_of_the_sources_trained_on(bench: Experiment, fits: Fits, tmp_path: Path):
    train(with_(bench, "loss", class_weights="grade_source"), tmp_path / "run")

    learnt, _ = fits.given["A"]
    assert set(learnt.frame["source"]) == {"B", "C"}
    assert learnt.weights is not None
    assert learnt.weights.mean() == pytest.approx(1)
    unnamed = dataclasses.replace(learnt, frame=learnt.frame.assign(source=None))
    with pytest.raises(BadExperiment, match="expected a source for every training row of the manifest, got"):
        to_learn(with_(bench, "loss", class_weights="grade_source"), unnamed)


def train_changed(experiment: Experiment, changes: dict[str, dict], folder: Path) -> None:
    """Change sections, then train; either may refuse."""
    for section, values in changes.items():
        experiment = with_(experiment, section, **values)
    train(experiment, folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"folds": 3}}, r"data\.folds: expected 0 with domains\.protocol = 'leave_one_out'"),
        ({"data": {"train": ("train", "test")}}, r"data\.train, data\.validate: expected train and val"),
        ({"domains": {"protocol": "single_source"}, "fit": {"final": True}}, r"fit\.final, fit\.export: expected"),
        ({"domains": {"by": "country"}}, r"domains\.by: expected a column of .*manifest\.csv, got 'country'"),
    ],
)
def test_what_contradicts_the_protocol_is_refused_before_anything_is_trained(
    bench: Experiment, fits: Fits, tmp_path: Path, changes: dict, message: str
):
    with pytest.raises(BadExperiment, match=message):
        train_changed(bench, changes, tmp_path / "run")
    assert not fits.given


def test_a_source_that_is_not_there_or_cannot_name_a_folder_is_refused(frame: pd.DataFrame):
    with pytest.raises(BadRequest, match=r"expected at least two sources in the column domain, and D among them"):
        divisions(Domains(protocol="leave_one_out", by="domain", targets=("D",)), frame)
    for name in ("final", "../elsewhere"):
        renamed = frame.assign(domain=frame["domain"].replace("A", name))
        with pytest.raises(BadExperiment, match=r"domains\.by: expected names of letters, digits, spaces"):
            divisions(Domains(protocol="leave_one_out", by="domain"), renamed)
    with pytest.raises(BadExperiment, match=r"domains\.targets: expected, for single_source, .* got C, which"):
        Domains(protocol="single_source", targets=("A", "C"), never_train=("C",))


def test_without_a_protocol_nothing_is_checked():
    Domains().check(Data(folds=3), Fit(final=True))


@pytest.mark.parametrize("method", ["gdrbench_erm", "gdrbench_gdrnet"])
def test_the_shipped_experiments_read_and_are_compared_like_with_like(method: str):
    whole, other = read_experiment(method), read_experiment("gdrbench_erm")

    assert (whole.recipe, whole.optimiser, whole.fit) == (other.recipe, other.optimiser, other.fit)
    assert whole.domains == Domains(protocol="leave_one_out", by="domain", never_train=("DDR", "EYEPACS"))
    whole.domains.check(whole.data, whole.fit)
    whole.contrast.check(whole.augment)
    from fundoscope.data.sources.retinopathy.gdrbench import DOMAINS

    assert set(whole.domains.never_train) < set(DOMAINS)


def test_gdrnet_runs_from_three_sources_to_a_release_that_verifies_and_grades(
    bench: Experiment, manifest: Path, tmp_path: Path
):
    """Real training: one source left out, then all together."""
    gdrnet = with_(with_(bench, "augment", halo=0.5, blur=0.5), "contrast", weight=0.25)
    gdrnet = with_(with_(gdrnet, "domains", targets=("A",)), "fit", final=True)
    gdrnet = with_(with_(gdrnet, "loss", class_weights="grade_source"), "sampling", strategy="source")

    train(gdrnet, tmp_path / "run")
    export_run(tmp_path / "run")

    assert verify_release(tmp_path / "run" / "release").passed
    reading = Grader.open(tmp_path / "run" / "release").grade(manifest.parent / "A0.png")
    assert reading.status in ("graded", "ungradable")
    log = pd.read_csv(tmp_path / "run" / "A" / "log" / "metrics.csv")
    assert {"train/contrast_loss", "val/kappa"} <= set(log.columns)
    assert not [name for name in log.columns if "test" in name]
    assert (tmp_path / "run" / "A" / "checkpoints" / "best.ckpt").is_file()


def test_sources_without_gradable_photographs_are_refused_before_the_run_begins(bench: Experiment, tmp_path: Path):
    """Noise is no retina. What is refused may be put right in the same folder."""
    run = tmp_path / "run"
    with pytest.raises(BadExperiment, match=r"of which none is gradable .* set data\.keep_ungradable=true"):
        train(dataclasses.replace(bench, data=dataclasses.replace(bench.data, keep_ungradable=False)), run)
    assert not [path for path in run.iterdir() if path.name != "experiment.json"]

    claim_run(bench, run)


def test_a_source_that_is_left_out_without_a_gradable_photograph_is_named(
    bench: Experiment, manifest: Path, tmp_path: Path
):
    frame = read_table(manifest)
    for number, image in enumerate(frame["image"]):
        retina = RetinaSpec(side_px=260, grade=number % 4)
        if not image.startswith("B"):
            Image.fromarray(paint_retina(retina, rng=np.random.default_rng(number)).photo).save(tmp_path / image)
        else:
            (tmp_path / image).write_bytes((manifest.parent / image).read_bytes())
    frame.to_csv(tmp_path / "manifest.csv", index=False)
    data = dataclasses.replace(bench.data, manifest=str(tmp_path / "manifest.csv"), keep_ungradable=False)

    with pytest.raises(BadExperiment, match=r"B: expected gradable photographs to train and to test on, got \d+ and 0"):
        train(dataclasses.replace(bench, data=data), tmp_path / "run")
    assert not (tmp_path / "run" / "held_out_rows.csv").exists()
