"""Both eyes of a patient: pairs from the loader, the network that joins them, and the release it becomes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")
pytest.importorskip("onnx", reason="needs the train extra")

from fundoscope.data.manifest import read_manifest
from fundoscope.errors import BadExperiment, BadTable
from fundoscope.painting import RetinaSpec, paint_retina
from fundoscope.photo.recipe import Recipe
from fundoscope.runtime.grader import Grader
from fundoscope.runtime.listing.inputs import list_photographs
from fundoscope.runtime.release import open_release
from fundoscope.runtime.verification import verify_release
from fundoscope.training.batches.items import Shown, SupervisedViews, TrainingDataset
from fundoscope.training.batches.loader import evaluation_loader
from fundoscope.training.batches.rows import Rows, check_fellows, load_rows
from fundoscope.training.experiment.file import experiment_from_dict, read_experiment
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.sections import Network
from fundoscope.training.export.graph import ReleaseGraph, check_parity, release_graph, run_onnx, to_onnx
from fundoscope.training.networks.grading import GradingNetwork
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.objectives.supervised import Supervised
from fundoscope.training.train import train

RECIPE = Recipe(side=64, crop="square")
SMALL = {"layers": [1, 1, 1, 1], "channels": [16, 16, 16, 16]}
STRONG = Augment(turn_degrees=90.0, brightness=0.3, shift=0.1)


@pytest.fixture
def rows(painted_manifest: Path, tmp_path: Path) -> Rows:
    """Two photographs of each of 12 patients, one of each eye; the last patient's left eye is missing."""
    frame = read_manifest(painted_manifest).assign(eye=["left", "right"] * 12).drop(index=22).reset_index(drop=True)
    loaded = load_rows(frame, painted_manifest.parent, RECIPE, cache=tmp_path / "cache")
    return replace(loaded, eyes=2)


def augmented(rows: Rows, augment: Augment, seed: int, *, fellow_dropout: float = 0.0) -> TrainingDataset:
    return TrainingDataset(rows, SupervisedViews(augment, seed, fellow_dropout=fellow_dropout))


@pytest.fixture
def normalise() -> Normalise:
    return Normalise(RECIPE)


@pytest.fixture
def pairs(rng: np.random.Generator) -> np.ndarray:
    """Three pairs of canvases; the second has no fellow."""
    canvases = rng.integers(1, 255, (3, 2, 64, 64, 3)).astype(np.uint8)
    canvases[1, 1] = 0
    return canvases


def build(**settings: object) -> GradingNetwork:
    torch.manual_seed(0)
    chosen = {"backbone": "resnet18", "size": SMALL, "head": "regression", "dropout": 0.0, "eyes": 2} | settings
    return GradingNetwork(Network(**chosen), side=64)


def canvases_of(rows: Rows) -> np.ndarray:
    return np.concatenate([batch["canvas"].numpy() for batch in evaluation_loader(rows, batch=5)])


def test_a_fellow_is_the_same_patients_other_eye(rows: Rows):
    shown = canvases_of(rows)

    assert shown.shape == (23, 2, 64, 64, 3)
    for number, (patient, eye) in enumerate(zip(rows.frame["patient"], rows.frame["eye"], strict=True)):
        np.testing.assert_array_equal(shown[number, 0], rows.stored[number].canvas())
        others = np.flatnonzero((rows.frame["patient"] == patient) & (rows.frame["eye"] != eye))
        expected = rows.stored[others[0]].canvas() if len(others) else np.zeros((64, 64, 3))
        np.testing.assert_array_equal(shown[number, 1], expected)


def test_rows_taken_in_another_order_keep_their_fellows(rows: Rows, rng: np.random.Generator):
    order = rng.permutation(len(rows))

    np.testing.assert_array_equal(canvases_of(rows.take(order)), canvases_of(rows)[order])


def test_the_graded_eye_is_augmented_as_if_it_were_alone(rows: Rows):
    both, alone = augmented(rows, STRONG, 7), augmented(replace(rows, eyes=1), STRONG, 7)

    for shown in (Shown(0, 3), Shown(2, 5), Shown(2, 5, repeat=1)):
        np.testing.assert_array_equal(both[shown]["canvas"][0], alone[shown]["canvas"])
        assert both[shown]["grade"] == alone[shown]["grade"]


def test_the_two_eyes_are_augmented_by_draws_of_their_own_that_repeat(rows: Rows):
    same = replace(rows.take(np.array([0, 1])), stored=[rows.stored[0]] * 2)

    pair = augmented(same, STRONG, 7)[Shown(0, 0)]["canvas"]

    assert not np.array_equal(pair[0], pair[1])
    np.testing.assert_array_equal(pair, augmented(same, STRONG, 7)[Shown(0, 0)]["canvas"])
    assert not np.array_equal(pair[1], augmented(same, STRONG, 7)[Shown(1, 0)]["canvas"][1])


def test_the_share_asked_for_is_shown_without_the_other_eye(rows: Rows):
    data = augmented(rows, Augment.plain(), 7, fellow_dropout=0.3)

    hidden = [not data[Shown(epoch, row)]["canvas"][1].any() for epoch in range(12) for row in range(22)]

    assert np.mean(hidden) == pytest.approx(0.3, abs=0.06)
    assert hidden[:22] != hidden[22:44]


def test_rows_that_never_show_both_eyes_are_refused(rows: Rows):
    alone = replace(rows, frame=rows.frame.assign(eye=None))

    with pytest.raises(BadTable, match=r"network\.eyes 2: expected .* patient and eye .* got none of 23"):
        check_fellows(alone)


def test_a_network_that_gives_the_fellow_no_weight_is_the_network_of_one_eye(normalise, pairs):
    one, two = build(eyes=1), build()
    two.backbone.load_state_dict(one.backbone.state_dict())
    with torch.no_grad():
        weight = one.head.linear.weight
        two.head.linear.weight.copy_(torch.cat([weight, torch.zeros_like(weight)], dim=1))
        two.head.linear.bias.copy_(one.head.linear.bias)

    raw, features = two.eval().grade(normalise(torch.from_numpy(pairs)))
    expected, alone = one.eval().grade(normalise(torch.from_numpy(pairs[:, 0])))

    torch.testing.assert_close(raw, expected)
    torch.testing.assert_close(features, alone)
    assert two.reported_width == one.reported_width == features.shape[1]


def test_in_place_of_a_missing_fellow_stands_the_learnt_vector_whatever_lies_beside_it(normalise, pairs):
    network = build().eval()
    torch.nn.init.normal_(network.fusion.stand_in)

    together, features = network.grade(normalise(torch.from_numpy(pairs)))
    alone, _ = network.grade(normalise(torch.from_numpy(pairs[1:2])))

    torch.testing.assert_close(together[1:2], alone)
    torch.testing.assert_close(alone[0], network.head(torch.cat([features[1], network.fusion.stand_in])[None])[0])
    assert not torch.allclose(together[0], network.head(torch.cat([features[0], network.fusion.stand_in])[None])[0])


def test_the_learnt_vector_learns_from_photographs_without_a_fellow_alone(normalise, pairs):
    network = build().train()

    def gradient(canvases: np.ndarray) -> float:
        network.zero_grad()
        network(normalise(torch.from_numpy(canvases))).raw.sum().backward()
        return float(network.fusion.stand_in.grad.abs().sum())

    assert gradient(pairs) > 0
    assert gradient(pairs[[0, 2]]) == 0


def test_no_batch_statistic_counts_the_black_picture_of_a_missing_fellow(normalise, pairs):
    one, two = build(eyes=1).train(), build().train()
    two.backbone.load_state_dict(one.backbone.state_dict())
    pairs[:, 1] = 0

    two(normalise(torch.from_numpy(pairs)))
    one(normalise(torch.from_numpy(pairs[:, 0])))

    torch.testing.assert_close(dict(two.backbone.named_buffers()), dict(one.backbone.named_buffers()))


def test_training_and_grading_see_the_same(normalise, pairs):
    """Where nothing is drawn and there are no batch statistics: the two ways through the fusion are one."""
    network = build(backbone="vit_tiny_patch16_224", size={"depth": 1, "embed_dim": 24, "num_heads": 2}, hidden=8)
    torch.nn.init.normal_(network.fusion.stand_in)
    pictures = normalise(torch.from_numpy(pairs))

    torch.testing.assert_close(network.train()(pictures).raw, network.eval()(pictures).raw)


def test_normalised_pairs_are_their_photographs_normalised_and_a_missing_one_stays_black(normalise, pairs):
    canvases = torch.from_numpy(pairs)

    for side in (None, 32):
        normal = normalise(canvases, side=side)
        assert not normal[1, 1].any()
        torch.testing.assert_close(normal[:, 0], normalise(canvases[:, 0], side=side))
        torch.testing.assert_close(normal[[0, 2], 1], normalise(canvases[[0, 2], 1], side=side))


def test_the_lesions_are_the_graded_eyes(normalise, pairs):
    torch.manual_seed(0)
    lesions = experiment_from_dict({"name": "x", "lesions": {"weight": 0.5}}, where="the test").lesions
    network = GradingNetwork(Network(backbone="resnet18", size=SMALL, eyes=2), lesions, side=64).eval()
    swapped = pairs.copy()
    swapped[:, 1] = pairs[::-1, 1]

    first, second = (network(normalise(torch.from_numpy(each))).lesions for each in (pairs, swapped))

    assert first.shape[0] == 3
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("hidden", "flip_average"), [(0, False), (8, False), (8, True)])
def test_the_exported_graph_is_the_network_and_its_heatmap_the_graded_eyes_grad_cam(
    normalise, pairs, hidden: int, flip_average: bool
):
    network = build(hidden=hidden, flip_average=flip_average).eval()
    torch.nn.init.normal_(network.fusion.stand_in)
    torch.nn.init.normal_(network.head.linear.weight)
    graph = release_graph(network, normalise, pairs[:1])
    assert isinstance(graph, ReleaseGraph)

    model = to_onnx(graph, 64)
    check_parity(graph, model, pairs, "regression")
    given = run_onnx(model, pairs)

    raw, features = network.grade(normalise(torch.from_numpy(pairs)))
    np.testing.assert_allclose(given["raw"], raw.detach().numpy(), atol=1e-4)
    np.testing.assert_allclose(given["features"], features.detach().numpy(), atol=1e-4)
    assert run_onnx(model, pairs[:1])["raw"] == pytest.approx(given["raw"][:1], abs=1e-4)
    if not flip_average:
        for at in range(3):
            np.testing.assert_allclose(given["heatmap"][at], grad_cam(network, normalise, pairs[at]), atol=1e-3)


def grad_cam(network: GradingNetwork, normalise: Normalise, pair: np.ndarray) -> np.ndarray:
    """Of the graded photograph's last map, by torch's own gradient."""
    own, fellow = normalise(torch.from_numpy(pair[None]))[0].split(1)
    maps = network.maps(own).detach().requires_grad_()
    seen = network.pool(network.maps(fellow)) if pair[1].any() else network.fusion.stand_in[None]
    network.head(torch.cat([network.pool(maps), seen], dim=1)).sum().backward()
    heat = (maps * maps.grad.mean(dim=(2, 3), keepdim=True)).sum(dim=1).relu()[0].detach()
    return (heat / heat.max().clamp_min(1e-12)).numpy()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": {"mixup": 0.2}}, r"augment\.mixup and augment\.cutmix to be 0 with network\.eyes 2"),
        ({"network": {"head": "prototype"}, "loss": {"name": "focal"}}, r"another head than 'prototype'"),
        ({"release": {"neighbours": 5}}, r"release\.neighbours: expected 0 with network\.eyes 2"),
        (
            {"contrast": {"weight": 0.25}, "augment": {"blur": 0.5}},
            r"contrast\.weight: expected 0 with network\.eyes 2",
        ),
        (
            {"network": {"fellow_dropout": 1.5}},
            r"network\.fellow_dropout: expected a share from 0 to below 1, got 1\.5",
        ),
    ],
)
def test_what_two_eyes_do_not_go_together_with_is_refused(changes: dict, message: str):
    network = {"eyes": 2} | changes.get("network", {})

    with pytest.raises(BadExperiment, match=message):
        experiment_from_dict({"name": "x"} | changes | {"network": network}, where="the test")


def test_a_training_step_takes_pairs(rows: Rows):
    experiment = experiment_from_dict(
        {
            "name": "x",
            "recipe": {"side": 64, "crop": "square"},
            "network": {"backbone": "resnet18", "size": SMALL, "eyes": 2, "head": "regression"},
            "loss": {"name": "mse"},
        },
        where="the test",
    )
    objective = Supervised(experiment, GradingNetwork(experiment.network, side=64), torch.tensor(rows.targets))
    batch = next(iter(evaluation_loader(rows, batch=4)))

    losses = objective.train().losses(batch, side=32)
    losses["loss"].backward()

    assert torch.isfinite(losses["loss"])
    assert objective.eval().grade(batch["canvas"])[0].shape == (4, 1)


@pytest.fixture(scope="module")
def painted_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both eyes of ten patients, two of each grade: one to train on, one to validate on."""
    folder = tmp_path_factory.mktemp("pairs")
    rows = []
    for patient in range(10):
        for eye in ("left", "right"):
            photo = paint_retina(
                RetinaSpec(side_px=256, grade=patient % 5, eye=eye), rng=np.random.default_rng([patient, len(rows)])
            ).photo
            Image.fromarray(photo).save(folder / f"{patient}_{eye}.png")
            rows.append(
                {"image": f"{patient}_{eye}.png", "patient": f"p{patient}", "eye": eye, "grade": patient % 5,
                 "split": "train" if patient < 5 else "val"}
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "manifest.csv", index=False)
    return folder / "manifest.csv"


def test_huangs_experiment_becomes_a_release_that_grades_pairs_and_says_when_it_cannot(painted_pairs, tmp_path):
    overrides = [f"data.manifest={painted_pairs}", f"data.cache={tmp_path / 'cache'}"]
    train(read_experiment("eyepacs_huang", overrides, smoke=True), tmp_path / "run")
    release = tmp_path / "run" / "release"

    assert verify_release(release).passed
    opened = open_release(release)
    assert opened.release.eyes == 2
    assert [bool(pair[1].any()) for pair in opened.golden["canvases"]] == [True, False]
    assert any("other eye" in limit for limit in opened.release.limits)
    grader = Grader.open(release, threads=1)
    listed = list_photographs([painted_pairs.parent]).photographs[-2:]
    paired = list(grader.grade_many([each.path for each in listed], [each.fellow for each in listed]))
    alone = grader.grade(listed[0].path)
    assert [reading.status for reading in (*paired, alone)] == ["graded"] * 3
    assert [reading.fellow for reading in (*paired, alone)] == ["used", "used", "missing"]
    assert alone.raw != paired[0].raw
    np.testing.assert_allclose(alone.features, paired[0].features, atol=1e-4)
    predicted = pd.read_csv(tmp_path / "run" / "predictions.csv").set_index("image")
    assert predicted.loc[listed[0].image, "raw0"] == pytest.approx(paired[0].raw[0], abs=1e-3)
