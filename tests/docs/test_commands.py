"""Every command of the README and of the guide is parsed by the program, and all but a few are run, page by page."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from PIL import Image

from fundoscope.cli import app, main
from fundoscope.painting import RetinaSpec, paint_retina

documented = runpy.run_path(str(Path(__file__).with_name("documented.py")))
commands_in, code_in = documented["commands_in"], documented["code_in"]

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not page.startswith("docs/results/")]

PLACEHOLDERS = {
    r"PHOTOGRAPHS(\.\.\.)?$": "photos/P000_OD.jpg photos/P000_OS.jpg",
    r"RELEASE$": "my-release",
    r"network\.weights=(?!$)\S+$": "network.weights= --smoke",
}
"""Words of documented commands, as regular expressions -> what stands for them here."""

STRESS = "--resamples 100 --photographs 36 --disturbances gamma --doses 3"
SMALL = {
    "compare": "compare --resamples 100",
    "evaluate": "evaluate --resamples 100",
    "grade --manifest mine.csv": "grade --manifest mine.csv --release my-release",
    "grade --manifest graded_here.csv": "grade --manifest graded_here.csv --release my-release",
    "grade --manifest patients.csv": "grade --manifest patients.csv --release my-release",
    "grade pacs_export": "grade pacs_export --release my-release",
    "stress my-release mine.csv --split test --disturbances camera_specks,gamma --doses 1,3,5": (
        f"stress my-release mine.csv {STRESS}"
    ),
    "stress my-release mine.csv --split test": f"stress my-release mine.csv {STRESS}",
    "stress one-seed mine.csv --split test": f"stress one-seed mine.csv {STRESS}",
    "train default_release data.manifest=mine.csv": (
        "train default_release data.manifest=mine.csv fit.final=false fit.export=false"
    ),
    "train mine.toml --smoke": "train mine.toml --smoke fit.final=false fit.export=false network.backbone=cnn3",
    "train plain data.manifest=mine.csv network.weights=": (
        "train plain data.manifest=mine.csv --run runs/plain fit.export=false network.backbone=cnn3 network.weights="
    ),
    "train plain --smoke data.manifest=mine.csv network.head=regression": (
        "train plain --smoke data.manifest=mine.csv fit.export=false data.folds=0 network.head=regression"
    ),
    "train plain --smoke data.manifest=mine.csv": (
        "train plain --smoke data.manifest=mine.csv --run runs/smoke/plain fit.export=false network.backbone=cnn3"
    ),
}
"""Beginnings of commands -> the same with less to do: fewer resamples, a small network, a part of a training."""

NOT_RUN = {
    "fundoscope certify": "takes minutes and needs masks; tests/cli/evaluation/test_certify_end_to_end.py runs it",
    "fundoscope stress runs/s1": "exports every fold's network; tests/cli/evaluation/test_stress.py runs it",
    "fundoscope prototypes": "needs CLIP's weights; tests/cli/training/test_prototypes.py runs it on a small network",
    "fundoscope serve": "runs until it is stopped; tests/service/test_kill.py runs it",
    "fundoscope service shadow": "needs a service in shadow mode; tests/service/work/test_shadow.py makes one",
    "fundoscope service look-back": "needs another release; tests/cli/service/test_releases.py makes one",
    "fundoscope service activate": "needs another release; tests/cli/service/test_releases.py makes one",
    "fundoscope service user add ann": "asks for a password; tests/cli/service/test_accounts.py gives one",
    "fundoscope data import gdrbench": "needs GDRBench; tests/data/sources has its layout",
    **{
        f"fundoscope train {name}": "needs its own data; tests/training/test_experiments.py runs its small form"
        for name in (
            "drstagenet",
            "drstagenet_leave_one_out",
            "densenet_study/densenet121",
            "densenet_study/resnet101",
            "densenet_study/vgg16",
            "retinascan",
            "aptos_transfer/cnn3",
            "aptos_transfer/resnet50",
            "aptos_transfer/vit_b16",
            "retfound_finetune",
            "eyepacs_huang",
            "gdrbench_erm",
            "gdrbench_gdrnet",
        )
    },
    "python3 -m venv": ".ci/run makes the environment",
    ".venv/bin/pip install": "needs a package index; .ci/run installs",
}
"""Beginnings of commands that are not run here, and why. Those of fundoscope are parsed all the same."""

OTHERS = {
    "curl": "tests/service/api sends the same requests",
    ".venv/bin/ruff": ".ci/run runs the checks",
    ".venv/bin/mypy": ".ci/run runs the checks",
    ".venv/bin/lint-imports": ".ci/run runs the checks",
    ".venv/bin/python -m pytest": ".ci/run runs the tests",
}
"""Other programs that the README names, and who runs them."""

DONE = {"commission": (0, 1), "monitor": (0, 1), "audit": (0, 1)}
"""Exit statuses of verbs that can answer with a finding; all others must end with 0."""

OUTPUTS = ("-o", "--out", "--report", "--run", "--show-augmentations", "--patients")


def commands_of(page: str) -> list[Any]:
    return commands_in((ROOT / page).read_text(encoding="utf-8"), page)


ALL = [command for page in PAGES for command in commands_of(page)]
OURS = [command for command in ALL if command.is_ours]


def begins(text: str, beginning: str) -> bool:
    return text.startswith(beginning) if beginning.endswith("=") else f"{text} ".startswith(f"{beginning} ")


def small(arguments: list[str]) -> list[str]:
    """Return arguments with less to do, and with something in place of each placeholder."""
    line = shlex.join(arguments)
    beginning = next((beginning for beginning in SMALL if begins(line, beginning)), None)
    if beginning is not None:
        line = SMALL[beginning] + line.removeprefix(beginning)
    words: list[str] = []
    for word in shlex.split(line):
        pattern = next((pattern for pattern in PLACEHOLDERS if re.match(pattern, word)), None)
        words += [word] if pattern is None else PLACEHOLDERS[pattern].split()
    return words


def verb_of(arguments: list[str]) -> tuple[Any, list[str]]:
    """Return the verb that arguments name, and the arguments that are left for it."""
    verb: Any = typer.main.get_command(app)
    while hasattr(verb, "commands") and arguments and not arguments[0].startswith("-"):
        assert arguments[0] in verb.commands, f"{arguments[0]}: no such verb"
        verb, arguments = verb.commands[arguments[0]], arguments[1:]
    return verb, arguments


@pytest.mark.parametrize("command", [one for one in OURS if one.place != "sentence"], ids=str)
def test_every_command_of_a_block_or_a_table_is_one_that_the_program_can_parse(command):
    verb, arguments = verb_of(small(command.arguments))

    context = verb.make_context("verb", arguments, resilient_parsing="--version" in arguments)

    assert not context.args, f"{context.args} is not read"


@pytest.mark.parametrize("command", [one for one in OURS if one.place == "sentence"], ids=str)
def test_every_command_in_a_sentence_names_a_verb_and_options_that_there_are(command):
    verb, arguments = verb_of(command.arguments)

    options = {name for parameter in verb.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word for word in arguments if word.startswith("--")} <= options


def test_what_stands_for_something_stands_for_something_that_is_documented():
    words = [word for command in OURS for word in command.arguments]
    ours = [shlex.join(command.arguments) for command in OURS]
    lines = [shlex.join(command.words) for command in ALL]

    assert [pattern for pattern in PLACEHOLDERS if not any(re.match(pattern, word) for word in words)] == []
    assert [beginning for beginning in SMALL if not any(begins(line, beginning) for line in ours)] == []
    assert [beginning for beginning in NOT_RUN if not any(begins(line, beginning) for line in lines)] == []


def test_every_other_program_is_run_by_somebody():
    others = [shlex.join(command.words) for command in ALL if not command.is_ours]
    known = (*NOT_RUN, *OTHERS)

    assert [line for line in others if not any(begins(line, beginning) for beginning in known)] == []


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory,
    write_tiny_release: Callable[..., Path],
    untrained_run: Callable[..., Path],
    training_extra: None,
) -> Path:
    """A folder with everything that the pages name before they make it."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "examples").symlink_to(ROOT / "examples")
    _paint(folder)
    write_tiny_release(folder / "my-release")
    with contextlib.chdir(folder):
        _tables()
        _runs(untrained_run)
    return folder


def _paint(folder: Path) -> None:
    """60 photographs of 30 patients, 24 of them referable, under the names that the pages use; 4 also as DICOM."""
    rng = np.random.default_rng(4)
    rows = []
    for place in ("photos", "other", "idrid/images", "pacs_export"):
        (folder / place).mkdir(parents=True)
    for patient in range(30):
        worst = (2, 3, 4, 1, 0, 2, 3, 4, 2, 3)[patient % 10]
        for eye, short in (("right", "OD"), ("left", "OS")):
            grade = worst if eye == "right" else min(worst, patient // 10)
            spec = RetinaSpec(side_px=220, grade=grade, eye=eye, notch=False)
            pixels = paint_retina(spec, rng=rng).photo
            name = f"P{patient:03}_{short}.jpg"
            Image.fromarray(pixels).save(folder / "photos" / name, quality=92)
            if patient < 12:
                pixels = paint_retina(spec, rng=rng).photo
                Image.fromarray(pixels).save(folder / "other" / f"Q{name[1:]}", quality=92)
                Image.fromarray(pixels).save(folder / "idrid" / "images" / f"{patient}{short}.jpg", quality=92)
            if patient < 2:
                _write_dicom(folder / "pacs_export" / f"IM{patient}{short}", pixels, f"P{patient:03}", eye)
            rows.append({"Photo": name, "Patient": f"P{patient:03}", "Eye": short, "Stage": f"R{min(grade, 3)}"})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", sep=";", index=False)


def _write_dicom(path: Path, pixels: np.ndarray, patient: str, eye: str) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography8BitImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[path.name])
    dataset.PatientID, dataset.ImageLaterality, dataset.Modality = patient, eye[0].upper(), "OP"
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[patient])
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[patient, "photographs"])
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = pixels.tobytes()
    dataset.save_as(path, enforce_file_format=True)


def _tables() -> None:
    """Manifests and predictions, made by the program itself where it can."""
    labels = "--image-column Photo --patient-column Patient --column eye=Eye --grade-column Stage"
    grades = "--grade-map R0=0,R1=1,R2=2,R3=3"
    _run_quietly(*shlex.split(f"data from labels.csv {labels} {grades} --pictures photos -o mine.csv"))
    _run_quietly("data", "split", "mine.csv", "--method", "stratified", "--shares", "0.6,0.2,0.2")
    mine = pd.read_csv("mine.csv")
    for name in ("graded_here", "patients"):
        mine.to_csv(f"{name}.csv", index=False)
    mine.assign(source=["aptos" if patient < "P015" else "idrid" for patient in mine["patient"]]).to_csv(
        "sources.csv", index=False
    )
    sheet = mine.assign(photo=[Path(image).name for image in mine["image"]])
    wide = sheet.pivot(index="patient", columns="eye", values=["photo", "grade"])
    short = {"right": "OD", "left": "OS"}
    wide.columns = [f"{short[eye]} {'image' if what == 'photo' else 'grade'}" for what, eye in wide.columns]
    wide.rename_axis("Study ID").reset_index().to_csv("both_eyes.csv", index=False)
    _run_quietly("data", "from", "other", "--patient-from", "(?P<patient>.+)_(?P<eye>OD|OS)", "-o", "other.csv")
    shutil.copy("other.csv", "july_patients.csv")
    header = "image,idrid_name,session,eye_inferred,grade,dme_risk,split,taken\n"
    images = sorted(Path("idrid/images").iterdir(), key=lambda path: (int(path.stem[:-2]), path.stem))
    rows = [
        f"images/{path.name},IDRiD_{at},s{at // 2},left,{at % 5},0,{'train' if at < 12 else 'test'},\n"
        for at, path in enumerate(images)
    ]
    Path("idrid/labels.csv").write_text(header + "".join(rows), encoding="utf-8")
    _run_quietly("grade", "--manifest", "mine.csv", "--release", "my-release", "--out", "results.csv")
    _run_quietly("grade", "--manifest", "other.csv", "--release", "my-release", "--out", "july.csv")
    results = pd.read_csv("results.csv")
    results[["image", "grade"]].assign(score=np.linspace(0.05, 0.95, len(results)).round(3)).to_csv(
        "other_system.csv", index=False
    )
    mine[["image", "grade"]].to_csv("third_system.csv", index=False)
    review = mine[["image", "grade"]].head(2).rename(columns={"grade": "given"})
    review.assign(suggested=1, why="", reader="A.B.", reviewed_grade=1, comment="").to_csv("review.csv", index=False)
    for eye, short in (("left", "OS"), ("right", "OD")):
        shutil.copy(f"photos/P001_{short}.jpg", f"{eye}.jpg")
    _run_quietly("service", "user", "add", "router", "--role", "submit", "--no-password")


def _runs(untrained_run: Callable[..., Path]) -> None:
    """Runs of three seeds, and under the names of experiments."""
    from fundoscope.training.experiment.file import experiment_from_dict

    experiment = experiment_from_dict(
        {
            "name": "tiny",
            "data": {"manifest": "mine.csv", "folds": 2, "keep_ungradable": True},
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "cnn3", "dropout": 0.0},
            "fit": {"epochs": 1, "batch": 8, "precision": "32-true", "final": True},
        },
        where="the test",
    )
    for seed in (1, 2, 3):
        untrained_run(experiment, Path(f"runs/s{seed}"), seed=seed)
    for name in ("plain", "regression"):
        shutil.copytree("runs/s1", f"runs/{name}")
    shutil.copytree("runs/s2", "runs/default_release")


def _run_quietly(*arguments: str) -> None:
    status, shown = _run(list(arguments))
    assert status == 0, shown


def _run(arguments: list[str]) -> tuple[int, str]:
    """Run the program in this process; its exit status and what it printed."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        patch.setattr(sys, "argv", ["fundoscope", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0), shown.getvalue()


@pytest.fixture
def scratch(prepared: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the prepared folder, as the working directory."""
    folder = tmp_path / "scratch"
    shutil.copytree(prepared, folder, symlinks=True)
    with contextlib.chdir(folder):
        yield folder


IN_BLOCKS = {command.words for command in ALL if command.place == "block"}


def _to_run(page: str) -> list[Any]:
    """Return the commands of a page that are run: what a table repeats from a block is run there."""
    return [
        command
        for command in commands_of(page)
        if command.is_ours
        and (command.place == "block" or (command.place == "table" and command.words not in IN_BLOCKS))
        and not any(begins(shlex.join(command.words), beginning) for beginning in NOT_RUN)
    ]


def _targets(arguments: list[str]) -> list[str]:
    """Return what a command writes, as far as its words say."""
    named = [value for option, value in itertools.pairwise(arguments) if option in OUTPUTS]
    if arguments[0] == "audit" and "--review" in arguments:
        named.append(arguments[arguments.index("--review") + 1])
    if arguments[0] == "train" and "--run" not in arguments and "--resume" not in arguments:
        named.append(f"runs/{'smoke/' if '--smoke' in arguments else ''}{Path(arguments[1]).stem}")
    return named


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("page", [page for page in PAGES if _to_run(page)])
def test_the_commands_of_a_page_do_what_they_are_shown_for(page: str, scratch: Path):
    made: set[str] = set()
    for command in _to_run(page):
        arguments = small(command.arguments)
        for target in _targets(arguments):
            if target not in made:
                _remove(Path(target))  # it stands for what another page makes
            made.add(target)

        status, shown = _run(arguments)

        assert status in DONE.get(arguments[0], (0,)), f"{command}\n(as {arguments})\nended with {status}:\n{shown}"
        if command.output:
            Path(command.output).write_text(shown, encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if code_in((ROOT / page).read_text("utf-8"), "python")])
def test_the_scripts_of_a_page_run(page: str, scratch: Path):
    for script in code_in((ROOT / page).read_text(encoding="utf-8"), "python"):
        names: dict[str, Any] = {"__name__": "documented"}
        exec(compile(script, page, "exec"), names)

        assert len(names) > len({"__name__", "__builtins__"}), f"{page}: a script that does nothing"
