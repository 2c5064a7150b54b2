"""From photographs to a release whose heatmap is certified or not, every step by its command."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from fundoscope.cli import app
from fundoscope.data.manifest import read_manifest
from fundoscope.heatmaps.certification import certify as auditing
from fundoscope.heatmaps.certification.criteria import NO_CHECKPOINT, TESTS
from fundoscope.heatmaps.certification.leakage import LEARNT, SEVERAL
from fundoscope.heatmaps.certification.scenes import read_photographs
from fundoscope.painting import Painted, RetinaSpec, paint_retina
from fundoscope.runtime.certificate import Certificate
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release

EXPERIMENT = """
name = "small"
[data]
manifest = "{manifest}"
cache = "{cache}"
folds = 2
[recipe]
side = 64
[network]
backbone = "cnn3"
head = "softmax"
dropout = 0.0
[loss]
name = "cross_entropy"
[optimiser]
rate = 0.01
[fit]
epochs = 1
batch = 2
precision = "32-true"
final = true
"""


def command(*words: object) -> Result:
    """Run the program; what it raises is not held back."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def retina(number: int, grade: int) -> Painted:
    return paint_retina(RetinaSpec(side_px=220, grade=grade), rng=np.random.default_rng(number))


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """What a clinic has that made its own release."""

    runs: tuple[Path, Path]
    release: Path
    learnt: Path
    """Manifest of what the release learnt from: 20 photographs of 10 patients."""
    lesions: Path
    """Manifest of photographs with masks: 10 new ones, and smaller copies of four that were learnt from."""
    lesion_free: Path
    folds: dict[str, int]
    """Of the lone copies, the fold that held the original out."""
    family: list[str]
    """Copies of one patient whose originals are of two folds."""


def write_learnt(folder: Path) -> Path:
    folder.mkdir()
    rows = []
    for number in range(20):
        grade = (number // 2) % 5
        Image.fromarray(retina(number, grade).photo).save(folder / f"{number:02}.png")
        rows.append({"image": f"{number:02}.png", "patient": f"p{number // 2}", "grade": grade, "split": "train"})
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def write_lesions(root: Path, out_of_fold: pd.DataFrame) -> tuple[dict[str, int], list[str]]:
    """IDRiD's lesions as they are published, and whose copies are among them."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    of_fold = [
        [int(Path(image).stem) for image in out_of_fold.loc[out_of_fold["fold"] == fold, "image"]] for fold in (0, 1)
    ]
    # Of grade 2 to 4: such have lesions of every kind.
    grave = [[number for number in numbers if number % 10 > 3] for numbers in of_fold]
    copies = {"IDRiD_11": grave[0][0], "IDRiD_12": grave[1][0], "IDRiD_13": grave[0][-1], "IDRiD_14": grave[1][-1]}
    rows = []
    for number in range(1, 15):
        name = f"IDRiD_{number:02}"
        seed = copies.get(name, 100 + number)
        grade = (seed // 2) % 5 if name in copies else 3
        painted, scale = retina(seed, grade), 0.8 if name in copies else 1.0
        photo = cv2.resize(painted.photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        Image.fromarray(photo).save(root / "images" / f"{name}.jpg", quality=90)
        mask = painted.lesion_mask.astype(np.uint8) * 255
        mask = cv2.resize(mask, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        Image.fromarray(mask).save(root / "masks" / f"{name}_HE.png")
        session = "family" if number > 12 else f"s{number}"
        rows.append({"image": f"images/{name}.jpg", "session": session, "grade": grade, "split": "train"})
    pd.DataFrame(rows).to_csv(root / "labels.csv", index=False)
    return {"IDRiD_11.jpg": 0, "IDRiD_12.jpg": 1}, ["IDRiD_13.jpg", "IDRiD_14.jpg"]


@pytest.fixture(scope="module")
def clinic(training_extra: None, tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    """Two cross-validated runs of one epoch, their release, and photographs with lesions."""
    folder = tmp_path_factory.mktemp("clinic")
    learnt = write_learnt(folder / "learnt")
    small = folder / "small.toml"
    small.write_text(EXPERIMENT.format(manifest=learnt, cache=folder / "cache"), encoding="utf-8")
    runs = folder / "s1", folder / "s2"
    for seed, run in enumerate(runs, start=1):
        command("train", small, f"seed={seed}", "--run", run, "--quiet")
    command("export", *runs, "--out", folder / "release")
    folds, family = write_lesions(folder / "idrid", pd.read_csv(runs[0] / "out_of_fold.csv"))
    command("data", "import", "idrid_lesions", folder / "idrid", "--out", folder / "lesions.csv")
    (folder / "free").mkdir()
    for number in range(2):
        Image.fromarray(retina(200 + number, 0).photo).save(folder / "free" / f"{number}.png")
    free = pd.DataFrame({"image": [f"{number}.png" for number in range(2)], "grade": 0})
    free.to_csv(folder / "free" / "manifest.csv", index=False)
    return Clinic(
        runs=runs,
        release=folder / "release",
        learnt=learnt,
        lesions=folder / "lesions.csv",
        lesion_free=folder / "free" / "manifest.csv",
        folds=folds,
        family=family,
    )


ExplainedCanvases = dict[str, set[bytes]]
"""Of the networks of each fold, the prepared photographs that they explained."""


@pytest.fixture(scope="module")
def asked(clinic: Clinic) -> Iterator[ExplainedCanvases]:
    """Listens to what every fold's networks are asked while heatmaps are certified."""
    from fundoscope.training.runs import randomised as certifying

    heard: ExplainedCanvases = defaultdict(set)
    load, explain = certifying.load_network, certifying.explain

    def loaded(experiment: Any, folder: Path) -> Any:
        network = load(experiment, folder)
        network.held_out = folder.name
        return network

    def explained(networks: Any, normalise: Any, canvases: Any, method: Any) -> Any:
        for name in {getattr(network, "held_out", "shuffled") for network in networks}:
            heard[name] |= {canvas.numpy().tobytes() for canvas in canvases}
        return explain(networks, normalise, canvases, method)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certifying, "load_network", loaded)
        patch.setattr(certifying, "explain", explained)
        yield heard


@dataclass(frozen=True, kw_only=True)
class Certified:
    """What `certify` answered."""

    status: int
    told: dict[str, Any]
    copy: Path

    def test(self, name: str) -> dict[str, Any]:
        (verdict,) = self.told["verdicts"]
        (found,) = (each for each in verdict["tests"] if each["name"] == name)
        return dict(found)


@pytest.fixture(scope="module")
def certified(clinic: Clinic, asked: ExplainedCanvases, tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """By the networks of the folds, with a network that learnt shuffled grades."""
    folder = tmp_path_factory.mktemp("certified")
    result = command(
        "certify", clinic.release, "--lesions", clinic.lesions, "--lesion-free", clinic.lesion_free,
        *(word for run in clinic.runs for word in ("--checkpoint", run)), "--label-randomisation", 1,
        "--out", folder / "copy", "--cache", folder / "fingerprints", "--threads", 1, "--json",
    )  # fmt: skip
    return Certified(status=result.exit_code, told=json.loads(result.stdout), copy=folder / "copy")


def test_the_copy_holds_the_certificate_that_was_printed_and_the_exit_status_says_whether_it_passed(
    clinic: Clinic, certified: Certified
):
    copy = open_release(certified.copy)

    assert verify_release(copy.path).passed
    assert copy.model == open_release(clinic.release).model
    assert copy.certificate is not None
    assert json.loads(json.dumps(copy.certificate.to_dict())) == certified.told
    own = copy.certificate.own
    assert certified.status == (0 if own.certified else 1)
    assert copy.heatmap_state == (own.certified, own.words())
    assert [each.name for each in own.tests] == list(TESTS)
    for each in own.tests:
        passes = each.low is not None and each.high is not None and TESTS[each.name].passes(each.low, each.high)
        assert each.result == ("passed" if passes else "failed"), each


def test_with_runs_and_a_budget_every_test_is_run(certified: Certified):
    assert certified.test("randomised")["photographs"] == 12
    # Of one fold alone there is a network that learnt shuffled grades: half of the new ones, and one copy.
    assert certified.test("shuffled")["photographs"] == 6
    assert certified.test("shuffled")["result"] in ("passed", "failed")
    assert certified.told["settings"]["label_randomisation_epochs"] == 1
    assert "2 folds of 2 runs (seeds 1, 2)" in certified.told["judged_by"]
    counted = {key: value for key, value in certified.told["photographs"].items() if key != "left_out"}
    assert counted == {"lesions": 12, "patients": 12, "lesion_free": 2}


def test_no_network_is_asked_about_a_copy_of_what_it_learnt_from(
    clinic: Clinic, certified: Certified, asked: ExplainedCanvases
):
    frame = read_manifest(clinic.lesions)
    found = read_photographs(frame, clinic.lesions, open_release(clinic.release).recipe, [0] * len(frame))
    canvases = {each.scene.image: each.canvas.tobytes() for each in found}
    knew = {name: {fold for fold in ("fold0", "fold1") if canvas in asked[fold]} for name, canvas in canvases.items()}

    assert {name: knew[name] for name in clinic.folds} == {name: {f"fold{fold}"} for name, fold in clinic.folds.items()}
    new = [name for name in canvases if name not in (*clinic.folds, *clinic.family)]
    assert all(len(knew[name]) == 1 for name in new)
    assert all(not knew[name] for name in clinic.family)
    assert {name for name, canvas in canvases.items() if canvas in asked["shuffled"]} == {
        name for name in knew if knew[name] == {"fold0"}
    }
    assert certified.told["photographs"]["left_out"] == [{"image": name, "why": SEVERAL} for name in clinic.family]


def test_without_runs_nothing_is_drawn_anew_and_copies_are_left_out(clinic: Clinic, tmp_path: Path):
    result = command(
        "certify", clinic.release, "--lesions", clinic.lesions, "--trained-on", clinic.learnt,
        "--cache", tmp_path / "fingerprints", "--threads", 1, "--json",
    )  # fmt: skip

    told = json.loads(result.stdout)
    tests = {each["name"]: each for each in told["verdicts"][0]["tests"]}
    for name, test in TESTS.items():
        assert (tests[name]["result"] == "not run", tests[name]["why"] == NO_CHECKPOINT) == (test.needs_checkpoint,) * 2
    copies = [*clinic.folds, *clinic.family]
    assert told["photographs"]["left_out"] == [{"image": name, "why": LEARNT} for name in copies]
    assert told["photographs"]["lesions"] == 10
    assert told["judged_by"] == auditing.OWN
    assert result.exit_code == (0 if told["verdicts"][0]["certified"] else 1)


def test_a_report_shows_the_heatmap_only_by_a_copy_that_is_certified(
    clinic: Clinic, certified: Certified, tmp_path: Path
):
    """By the copy as it came out, and by copies of which every test was passed or one failed."""
    opened = open_release(certified.copy)
    assert opened.certificate is not None
    releases = {"as it came": certified.copy}
    for name, failing in (("passed", ""), ("failed", "stable")):
        tests = tuple(
            replace(each, result="failed" if each.name == failing else "passed")
            for each in opened.certificate.own.tests
        )
        verdict = replace(opened.certificate.own, tests=tests)
        other: Certificate = replace(opened.certificate, verdicts=(verdict,))
        releases[name] = auditing.write_certified(open_release(clinic.release), other, tmp_path / name).path
    shown = {}

    for name, release in releases.items():
        page = tmp_path / f"report {name}"
        command("grade", clinic.lesion_free.parent / "0.png", "--release", release, "--report", page)
        text = (page / "index.html").read_text(encoding="utf-8")
        shown[name] = "Where the network looked" in text
        assert ("No heatmap is shown: not certified: tested and failed" in text) == (not shown[name])

    assert shown == {"as it came": opened.certificate.own.certified, "passed": True, "failed": False}
