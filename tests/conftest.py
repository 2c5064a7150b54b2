"""Fixtures every room uses: where the real photographs lie, a generator with a fixed seed, runs nobody trained."""

from __future__ import annotations

import os
import runpy
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fundoscope.arrays import Photo
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.disturbances.specks import Speck, paint_specks

# Test files cannot import one another; pytest finds fixtures by the names in this module.
_TINY = runpy.run_path(str(Path(__file__).with_name("tiny_release.py")))
tiny_release = _TINY["tiny_release"]
pair_release = _TINY["pair_release"]
save = runpy.run_path(str(Path(__file__).with_name("disguises.py")))["save"]

APART = "FUNDOSCOPE_TEST_OPENVINO"
"""Set in the process that `tests/runtime/test_openvino_apart.py` starts."""

DUST = (
    Speck(row=0.35, column=0.4, radius=0.008, depth=0.3),
    Speck(row=0.62, column=0.58, radius=0.006, depth=0.4),
    Speck(row=0.75, column=0.42, radius=0.01, depth=0.25),
)


"""Specks of a sensor; radii in shares of the picture's shorter side."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


NEEDS = {
    "service": (
        "alembic", "axe_playwright_python", "cleanlab", "fastapi", "highdicom", "httpx2", "playwright", "psycopg",
        "pwdlib", "pyarrow", "pynetdicom", "requests", "schemathesis", "sqlalchemy", "trustme",
    ),
    "cli/service": ("alembic", "cleanlab", "fastapi", "pwdlib", "pynetdicom", "sqlalchemy"),
    "cli/grading/test_dicom_out.py": ("highdicom",),
    "runtime/output/dicom": ("highdicom",),
    "runtime/output/fhir": ("fhir", "fhirpathpy"),
}  # fmt: skip
"""Packages that folders and files of tests need. The core install has none of them on purpose, the extra `dev` all."""


def absent(place: str) -> list[str]:
    """Packages that a place of `NEEDS` lacks here."""
    return [name for name in NEEDS[place] if find_spec(name) is None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out a place whose packages are not installed; `pytest_report_header` says so."""
    place = (
        collection_path.relative_to(Path(__file__).parent).as_posix()
        if collection_path.is_relative_to(Path(__file__).parent)
        else ""
    )
    return True if place in NEEDS and absent(place) else None


def pytest_report_header() -> list[str]:
    """Name the places that are left out."""
    return [f"left out: tests/{place} (needs {', '.join(absent(place))})" for place in NEEDS if absent(place)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked openvino run in a process of their own: beside training the whole process was seen to crash."""
    # Looked for, not imported: its import would call its makers, which only the program's own import prevents.
    reason = (
        "needs the openvino extra" if find_spec("openvino") is None else "run by tests/runtime/test_openvino_apart.py"
    )
    for item in items:
        if item.get_closest_marker("openvino") and (find_spec("openvino") is None or APART not in os.environ):
            # Not left out: test_openvino_apart.py runs them in a process of their own, where the extra is installed.
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def plain_surroundings() -> None:
    """Let no test depend on how they were started: in the background without Ctrl-C, or on a narrow screen."""
    os.environ.pop("COLUMNS", None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A handler of the parent is the default again in the programs that it starts; an ignored signal stays ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor write the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUNDOSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def write_tiny_release() -> Callable[..., Path]:
    """Writes a tiny release into a folder; every field can be changed."""
    return _TINY["write_tiny_release"]


@pytest.fixture(scope="session")
def retinas(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six painted retinas as JPEG files."""
    folder = tmp_path_factory.mktemp("retinas")
    rng = np.random.default_rng(11)
    paths = []
    for number in range(6):
        painted = paint_retina(RetinaSpec(side_px=320, grade=number % 5), rng=rng)
        paths.append(folder / f"painted_{number}.jpg")
        Image.fromarray(painted.photo).save(paths[-1], quality=92)
    return paths


@pytest.fixture(scope="session")
def dust() -> tuple[Speck, ...]:
    """Three specks of a sensor."""
    return DUST


@pytest.fixture(scope="session")
def clean_retinas() -> list[Photo]:
    """Twenty-four retinas of different eyes, of all grades, 384 x 288 px, none looking quite the same way."""
    rng = np.random.default_rng(5)
    retinas = []
    for at in range(24):
        spec = RetinaSpec(side_px=316, grade=at % 5, eye=("left", "right")[at % 2], notch=False, brightness=0.9)
        top, left = (int(place) for place in rng.integers(0, (28, 37)))
        retinas.append(np.ascontiguousarray(paint_retina(spec, rng=rng).photo[top : top + 288, left : left + 384]))
    return retinas


@pytest.fixture(scope="session")
def dusty_photographs(clean_retinas: list[Photo], dust: tuple[Speck, ...], tmp_path_factory) -> list[Path]:
    """The retinas as JPEG files of a camera with dust on its sensor."""
    folder = tmp_path_factory.mktemp("dusty")
    paths = [folder / f"{at:02d}.jpg" for at in range(len(clean_retinas))]
    for path, pixels in zip(paths, clean_retinas, strict=True):
        Image.fromarray(paint_specks(pixels, dust)).save(path, quality=95)
    return paths


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator that gives the same draws in every run."""
    return np.random.default_rng(20230917)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs beside the checkout; a test that needs it skips where it is absent."""
    folder = SHARED / "data"
    if not folder.is_dir():
        # They are not in the repository (others' licences, and their size): a checkout alone is tested on paintings.
        pytest.skip("needs the real photographs in ../shared/data, which are not here")
    return folder


@pytest.fixture(scope="session")
def shared_weights() -> Path:
    """The folder of pretrained weights beside the checkout; a test that needs it skips where it is absent."""
    folder = SHARED / "weights"
    if not folder.is_dir():
        # Nor are these, which are not ours to hand on; nothing is downloaded.
        pytest.skip("needs the pretrained weights in ../shared/weights, which are not here")
    return folder


@pytest.fixture(scope="session")
def training_extra() -> None:
    """For tests of verbs that train or read checkpoints."""
    # The suite also runs in the clinic's install, which has no torch on purpose: there these have nothing to test.
    # Looked for, not imported: open_clip imports torchvision, before which the guard has to come.
    for package in ("torch", "onnx", "open_clip"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package} (the train extra)")


@pytest.fixture(scope="session")
def untrained_run() -> Callable[..., Path]:
    """Writes the run folder of an experiment and a seed as training leaves it, of networks that nobody trained."""
    # The clinic is tested without torch: nothing of training is imported before a test asks for a run.
    pytest.importorskip("torch", reason="needs torch (the train extra)")
    return _untrained_run


def _untrained_run(experiment: Any, run: Path, *, seed: int = 1) -> Path:
    """Every network is there already, so that training has only to answer: seconds of learning are saved."""
    import torch

    from fundoscope.run_folder import WEIGHTS
    from fundoscope.training.loop.callbacks import write_weights
    from fundoscope.training.runs.fits import build_network
    from fundoscope.training.runs.folder import fold_networks
    from fundoscope.training.train import train

    experiment = replace(experiment, seed=seed)
    for number, folder in enumerate([*fold_networks(experiment, run), run / "final"]):
        torch.manual_seed(10 * seed + number)
        network = build_network(experiment).eval()
        with torch.no_grad():
            for weight in network.head.parameters():
                weight.add_(torch.randn_like(weight) * 0.3)  # a new head answers every photograph alike
        folder.mkdir(parents=True)
        write_weights(network, folder / WEIGHTS)
    train(experiment, run)
    return run
