from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from fundoscope.errors import BadExperiment, BadTable
from fundoscope.evaluation.signs import evaluate_signs
from fundoscope.grades import GRADE_NAMES
from fundoscope.runtime.tasks import CLASSES, DR_GRADE, SIGNS
from fundoscope.runtime.tasks.task import Task
from fundoscope.tables import join, read_table
from fundoscope.tables.pair import check_signs
from fundoscope.training.batches.targets import Target, target_of
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.photographs import Data
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.objectives.losses import binary_cross_entropy
from fundoscope.training.objectives.validation import figures
from fundoscope.training.train import train


@pytest.mark.parametrize(
    ("target", "task", "names", "columns"),
    [
        (Target(), DR_GRADE, GRADE_NAMES, ("grade",)),
        (Target("classes", "label", ("normal", "sign_amd")), CLASSES, ("normal", "sign_amd"), ("label",)),
        (Target("signs", "signs", ("sign_a", "b")), SIGNS, ("a", "b"), ("sign_a", "b")),
    ],
)
def test_what_is_learnt_is_a_task_with_names_and_columns(target: Target, task: Task, names: tuple, columns: tuple):
    assert target.task is task
    assert (target.names, target.columns, target.outputs) == (names, columns, len(names))
    assert task.outputs(task.heads[0], target.names) == len(names)


def test_classes_are_numbered_in_the_order_of_their_labels():
    frame = pd.DataFrame({"image": ["a", "b", "c"], "label": ["dme", "normal", "dme"], "dme": [2.0, 0.0, 1.0]})

    assert Target("classes", "label", ("normal", "dme")).values(frame).tolist() == [1, 0, 1]
    assert Target("classes", "dme", ("0", "1", "2")).values(frame).tolist() == [2, 0, 1]


def test_an_unknown_sign_is_neither_there_nor_absent():
    frame = pd.DataFrame({"image": ["a", "b"], "sign_drusen": [1, None], "sign_haemorrhage": pd.array([0, 1], "Int64")})

    values = Target("signs", "signs", ("sign_drusen", "sign_haemorrhage")).values(frame)

    assert np.array_equal(values, np.array([[1, 0], [np.nan, 1]], np.float32), equal_nan=True)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Target("classes", "label", ("normal", "amd")), "label: expected one of normal, amd .* got dme"),
        (Target("classes", "quality", ("good", "reject")), "quality: expected in the manifest"),
        (Target("signs", "signs", ("sign_x",)), "sign_x: expected in the manifest"),
        (Target(), "1 rows to be trained on have no grade, the first is b"),
    ],
)
def test_what_cannot_be_learnt_is_named(target: Target, message: str):
    frame = pd.DataFrame({"image": ["a", "b"], "label": ["normal", "dme"], "grade": [0, None]})

    with pytest.raises(BadTable, match=message):
        target.values(frame)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"target": "label"}, "data.labels: expected at least 2 with data.target 'label', got none"),
        ({"target": "signs"}, "data.labels: expected at least 1"),
        ({"labels": ("a", "b")}, "data.labels: expected none for the grade"),
        ({"target": "label", "labels": ("a", "a")}, "expected each only once"),
    ],
)
def test_labels_fit_the_target(values: dict, message: str):
    with pytest.raises(BadExperiment, match=message):
        Data(**values)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("network", {"head": "coral"}, "network.head: expected 'softmax' with data.target 'dme'"),
        ("release", {"neighbours": 3}, "release.neighbours: expected 0 with data.target 'dme'"),
        ("sampling", {"strategy": "weights"}, "sampling.strategy: expected 'none' or 'inverse'"),
    ],
)
def test_what_is_made_for_grades_is_refused_for_other_targets(section: str, values: dict, message: str):
    experiment = {
        "name": "dme",
        "data": {"target": "dme", "labels": ["0", "1", "2"]},
        "network": {"head": "softmax"},
        "loss": {"name": "cross_entropy"},
    }
    experiment[section] = experiment.get(section, {}) | values
    if values.get("head") == "coral":
        experiment["loss"] = {"name": "coral"}

    with pytest.raises(BadExperiment, match=message):
        experiment_from_dict(experiment, where="the test")


def test_an_unknown_sign_teaches_nothing():
    """Against the mean over known signs by a loop; all unknown gives 0 and no gradient."""
    raw = torch.tensor([[0.3, -2.0, 1.0], [0.1, 0.2, 0.3]], requires_grad=True)
    signs = torch.tensor([[1.0, float("nan"), 0.0], [float("nan")] * 3])

    losses = binary_cross_entropy(raw, signs)

    one = -torch.log(torch.sigmoid(raw[0, 0])), -torch.log(1 - torch.sigmoid(raw[0, 2]))
    assert losses[0].item() == pytest.approx((sum(one) / 2).item())
    assert losses[1].item() == 0
    losses.sum().backward()
    assert raw.grad[0, 1] == 0
    assert (raw.grad[1] == 0).all()


def test_the_validation_kappa_is_scikit_learns_and_0_where_it_is_undefined(rng: np.random.Generator):
    reference, raw = rng.integers(0, 3, 60), rng.normal(size=(60, 3))
    target = target_of(Data(target="classes", labels=("a", "b", "c")))

    agreement = figures(target, "classes", raw, reference)["val/kappa"]

    assert agreement == pytest.approx(cohen_kappa_score(reference, raw.argmax(axis=1)))
    same = np.full(60, 1)
    assert figures(target, "classes", np.eye(3)[same], same)["val/kappa"] == 0


def test_signs_are_watched_by_their_mean_auroc(rng: np.random.Generator):
    """Of two signs that are there and absent; a third is always there and has none."""
    known = rng.integers(0, 2, (40, 3)).astype(float)
    known[:, 2] = 1
    known[::7, 0] = np.nan
    raw = rng.normal(size=(40, 3))
    said = ~np.isnan(known[:, 0])

    found = figures(target_of(Data(target="signs", labels=("a", "b", "c"))), "signs", raw, known)

    each = roc_auc_score(known[said, 0], raw[said, 0]), roc_auc_score(known[:, 1], raw[:, 1])
    assert found["val/auroc"] == pytest.approx(np.mean(each))


@pytest.fixture
def with_signs(painted_manifest: Path, tmp_path: Path) -> Path:
    """The painted manifest with oedema and two signs that follow the grade."""
    frame = pd.read_csv(painted_manifest)
    frame["image"] = [str(painted_manifest.parent / name) for name in frame["image"]]
    frame["dme"] = (frame["grade"] >= 3).astype(int)
    frame["sign_haemorrhage"] = (frame["grade"] >= 2).astype(int)
    frame["sign_drusen"] = [None if at % 5 == 0 else at % 2 for at in range(len(frame))]
    frame.drop(columns=["boxes", "grade"]).to_csv(tmp_path / "signs.csv", index=False)
    return tmp_path / "signs.csv"


def learning(tiny: Experiment, manifest: Path, **data: object) -> Experiment:
    """An experiment on another target."""
    signs = data["target"] == "signs"
    return dataclasses.replace(
        tiny,
        data=dataclasses.replace(tiny.data, manifest=str(manifest), **data),
        network=dataclasses.replace(tiny.network, head="signs" if signs else "softmax"),
        loss=dataclasses.replace(tiny.loss, name="binary_cross_entropy" if signs else "cross_entropy"),
        fit=dataclasses.replace(tiny.fit, epochs=1, keep="best"),
    )


def test_a_column_of_classes_is_learnt_by_the_same_means(tiny: Experiment, with_signs: Path, tmp_path: Path):
    """No grade in the manifest at all: folds, answers and probabilities of each class."""
    experiment = learning(tiny, with_signs, target="dme", labels=("0", "1"), folds=2)

    train(experiment, tmp_path / "run")

    table = read_table(tmp_path / "run" / "out_of_fold.csv")
    assert len(table) == 20
    shares = table[["p_0", "p_1"]].astype(float).to_numpy()
    assert shares.sum(axis=1) == pytest.approx(np.ones(20))
    assert table["predicted_dme"].astype(int).tolist() == shares.argmax(axis=1).tolist()


def test_several_signs_are_learnt_at_once_and_evaluated_each_by_itself(
    tiny: Experiment, with_signs: Path, tmp_path: Path
):
    experiment = learning(tiny, with_signs, target="signs", labels=("sign_haemorrhage", "sign_drusen"))

    train(experiment, tmp_path / "run")

    path = tmp_path / "run" / "predictions.csv"
    table, manifest = read_table(path), pd.read_csv(with_signs)
    checked = check_signs(table, manifest.columns, path=path)
    rows = join(checked, manifest, predictions_path=path, manifest_path=with_signs).rows
    assert set(evaluate_signs(rows, resamples=100)) == {"haemorrhage", "drusen"}
