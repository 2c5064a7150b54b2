from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fundoscope.errors import BadRequest
from fundoscope.evaluation.stress.measure import COLUMNS, RAW, StressCase, StressPlan, cases_from, measure
from fundoscope.evaluation.stress.stress_set import DISTURBANCES
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.tables.pair import read_reference


class Redness:
    """Grades by the mean of red; small pictures are refused."""

    name, decode_px = "redness@1", 64

    def __init__(self, folds: Mapping[str, int] | None = None) -> None:
        self.folds = folds
        self.graded: list[tuple[tuple[int, ...], int | None]] = []

    def grade(self, pixels: np.ndarray, fold: int | None) -> dict[str, Any]:
        self.graded.append((pixels.shape, fold))
        if min(pixels.shape[:2]) < 70:
            return {"status": "ungradable", "reason": "too small", "decision": "cannot grade", "release": self.name}
        score = float(pixels[..., 0].mean()) / 255
        decision = "refer" if score > 0.3 else "rescreen"
        answer = {"status": "graded", "p_referable": score, "grade": 2, "decision": decision, "release": self.name}
        return answer | {"raw0": 2 * score}


class Journal:
    """Keeps entries as the part file of a run does."""

    def __init__(self) -> None:
        self.finished: dict[str, dict[str, Any]] = {}

    def append(self, entry: dict[str, Any]) -> None:
        self.finished[entry["row"]["image"]] = entry


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = []
    for number in range(6):
        painted = paint_retina(RetinaSpec(side_px=96, grade=number % 5), rng=np.random.default_rng(number))
        Image.fromarray(painted.photo).save(tmp_path / f"{number}.png")
        rows.append({"image": f"{number}.png", "grade": number % 5, "patient": f"p{number // 2}"})
    rows.append({"image": "ungraded.png", "grade": None, "patient": "p9"})
    pd.DataFrame(rows).to_csv(tmp_path / "manifest.csv", index=False)
    return tmp_path / "manifest.csv"


def hashes(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cases_of(manifest: Path, **options: Any) -> list[StressCase]:
    return cases_from(read_reference(manifest), hashes, **options)


PLAN = StressPlan(disturbances=("gamma", "tight_crop"), doses=(1, 5))


def test_there_is_one_row_for_each_photograph_and_condition_in_order(manifest):
    frame = measure(Redness(), cases_of(manifest), PLAN)

    conditions = [("clean", 0), ("gamma", 1), ("gamma", 5), ("tight_crop", 1), ("tight_crop", 5)]
    assert list(frame.columns) == [*COLUMNS, *RAW]
    assert (frame["raw0"] == 2 * frame["p_referable"])[frame["status"] == "graded"].all()
    assert frame["raw1"].isna().all()
    assert list(zip(frame["image"], frame["disturbance"], frame["dose"], strict=True)) == [
        (f"{number}.png", *condition) for number in range(6) for condition in conditions
    ]
    assert frame["reference"].tolist() == [number % 5 for number in range(6) for _ in conditions]
    assert frame[frame["disturbance"] == "gamma"]["amount"].tolist() == [1.2, 2.6] * 6


def test_pictures_are_disturbed_before_the_system_sees_them_so_that_it_may_refuse_them(manifest):
    frame = measure(Redness(), cases_of(manifest), PLAN).set_index(["disturbance", "dose"])

    assert set(frame.loc[("clean", 0), "status"]) == {"graded"}
    assert set(frame.loc[("tight_crop", 5), "status"]) == {"ungradable"}
    assert (
        frame.loc[("gamma", 5), "p_referable"].to_numpy() != frame.loc[("clean", 0), "p_referable"].to_numpy()
    ).all()


def test_only_graded_rows_count_and_a_sample_is_seeded(manifest):
    first, again, other = ([case.image for case in cases_of(manifest, most=4, seed=seed)] for seed in (1, 1, 2))

    assert [case.image for case in cases_of(manifest)] == [f"{number}.png" for number in range(6)]
    assert first == again != other
    assert len(first) == 4
    assert sorted(first) == first


def test_each_photograph_is_graded_by_the_fold_that_never_saw_it(manifest):
    folds = {hashes(manifest.parent / f"{number}.png"): number % 2 for number in range(4)}
    system = Redness(folds)

    frame = measure(system, cases_of(manifest, folds=folds), StressPlan(disturbances=("jpeg",), doses=(1,)))

    assert [fold for _, fold in system.graded] == [0, 0, 1, 1, 0, 0, 1, 1]
    assert frame["fold"].tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert set(frame["image"]) == {"0.png", "1.png", "2.png", "3.png"}


def test_what_is_finished_is_not_graded_again_unless_the_file_or_its_grade_changed(manifest):
    journal, system = Journal(), Redness()
    whole = measure(system, cases_of(manifest), PLAN, journal=journal)
    del journal.finished["3.png"]
    for row in journal.finished["4.png"]["rows"]:
        row["reference"] = 0
    for row in journal.finished["5.png"]["rows"]:
        row["patient"] = "before it was put right"
    again = Redness()

    frame = measure(again, cases_of(manifest), PLAN, journal=journal)

    pd.testing.assert_frame_equal(frame, whole)
    assert len(system.graded) == 6 * 5
    assert len(again.graded) == 2 * 5


def test_a_photograph_that_cannot_be_read_costs_no_other(manifest):
    (manifest.parent / "2.png").write_bytes(b"no picture")
    (manifest.parent / "3.png").unlink()

    frame = measure(Redness(), cases_of(manifest), PLAN)

    lost = frame[frame["image"].isin(["2.png", "3.png"])]
    assert lost["status"].tolist() == ["unreadable", "unreadable"]
    assert all("expected" in reason for reason in lost["reason"])
    assert len(frame) == 2 + 4 * 5


def test_another_file_than_the_manifest_means_is_not_graded(manifest):
    frame = pd.read_csv(manifest).iloc[:2].assign(sha256=["0" * 64, hashes(manifest.parent / "1.png")])
    frame.to_csv(manifest, index=False)

    rows = measure(Redness(), cases_of(manifest), PLAN)

    assert rows["status"].tolist() == ["unreadable"] + ["graded"] * 3 + ["ungradable"] * 2
    assert rows["reason"][0] == "another file than the manifest means"


def test_the_number_of_threads_changes_nothing(manifest):
    one, three = (measure(Redness(), cases_of(manifest), PLAN, threads=threads) for threads in (1, 3))

    pd.testing.assert_frame_equal(one, three)


def test_manifests_without_a_graded_photograph_are_refused(manifest):
    with pytest.raises(BadRequest, match="expected graded photographs in a fold of the runs, got none"):
        cases_of(manifest, folds={})
    pd.read_csv(manifest).iloc[6:].to_csv(manifest, index=False)
    with pytest.raises(BadRequest, match=r"expected graded photographs, got none\. Name another manifest"):
        cases_of(manifest)


@pytest.mark.parametrize(("values", "message"), [
    ({"disturbances": ("glare",)}, "--disturbances: expected names among camera_specks, .*, got glare"),
    ({"disturbances": ()}, "--disturbances: expected names among .*, got none"),
    ({"doses": (0, 1)}, "--doses: expected numbers from 1 to 5, got 0 1"),
    ({"doses": ()}, "--doses: expected numbers from 1 to 5, got"),
])  # fmt: skip
def test_plans_of_what_is_not_in_the_set_are_refused(values, message):
    with pytest.raises(BadRequest, match=message):
        StressPlan(**values)


def test_only_the_whole_set_is_complete():
    assert StressPlan().is_complete
    assert len(StressPlan().conditions()) == 5 * len(DISTURBANCES)
    assert not StressPlan(doses=(1, 2, 3, 4)).is_complete
    assert not StressPlan(disturbances=("jpeg",)).is_complete
