"""Numbers of an experiment lie within bounds and are finite, names are plain names; messages name what was typed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.file import experiment_from_dict, read_experiment, shipped_experiments
from fundoscope.training.experiment.schema import SECTIONS, Experiment

SMALL = 'name = "small"\n'


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "override",
    [
        "fit.epochs=0", "fit.epochs=-1", "fit.epochs=1000000000", "fit.batch=0", "fit.accumulate=0", "fit.snapshots=-1",
        "fit.rebalance_epochs=-1", "fit.validate_every=0", "fit.patience=-1", "fit.checkpoint_steps=0", "fit.ema=1.0",
        "fit.ema=nan", "fit.clip=-1", "fit.clip=inf", "fit.workers=-1", "fit.threads=-1", "fit.sides=[[2.0, 64]]",
        "fit.sides=[[0.5, 64], [0.0, 32]]", "fit.sides=[[0.0, 0]]", "optimiser.rate=0", "optimiser.rate=-1e-3",
        "optimiser.rate=nan", "optimiser.rate=inf", "optimiser.bias_rate=-1", "optimiser.layer_decay=0",
        "optimiser.layer_decay=1.5", "optimiser.weight_decay=-0.1", "optimiser.weight_decay=nan", "optimiser.warmup=2",
        "optimiser.warmup=-0.1", "optimiser.floor=2", "optimiser.momentum=1", "optimiser.milestone_factor=0",
        "network.dropout=nan", "network.hidden=-1", "network.projection=0", "network.fellow_dropout=1",
        "network.size.depth=nan", "lesions.weight=-1", "lesions.positive=nan", "loss.weight=0", "loss.weight=nan",
        "loss.label_smoothing=1", "loss.focal_gamma=inf", "contrast.weight=nan", "contrast.temperature=nan",
        "sampling.decay=nan", "sampling.weights=[1, 1, 1, 1, inf]", "augment.mixup=nan", "data.folds=-1", "seed=-1",
        "release.sensitivity=nan", "release.neighbours=-1", "recipe={side = 64, margin = nan}", "recipe.side=0",
    ],
)  # fmt: skip
def test_a_number_outside_its_bounds_is_refused_by_its_key_and_as_it_was_typed(small: str, override: str):
    key = override.partition("=")[0].removesuffix(".depth")
    with pytest.raises(BadExperiment, match=rf"{key}.*(expected|must be) .*got .*") as refused:
        read_experiment(small, ["recipe.side=64", override])
    assert override in str(refused.value)
    assert "small.toml" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    [
        "../../x",
        "..",
        "a/../b",
        "/absolute",
        "a//b",
        "",
        " ",
        "a\\\\b",
        ".hidden",
        "x" * 101,
        "a\\u0000b",
        "a\\nb",
        "c:d",
    ],
)
def test_a_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str):
    path = tmp_path / "file.toml"
    path.write_text(f'name = "{name}"\n', encoding="utf-8")

    with pytest.raises(BadExperiment, match="name: expected a name of 1 to 100 printable characters without / "):
        read_experiment(str(path))


@pytest.mark.parametrize("key", ["release.id", "release.version"])
def test_a_release_is_not_named_after_a_path(small: str, key: str):
    with pytest.raises(BadExperiment, match=f"{key}: expected a name of 1 to 100 printable characters"):
        read_experiment(small, [f"{key}=../x"])


@pytest.mark.parametrize(
    "key", ["data.manifest", "data.cache", "network.weights", "network.prototypes", "release.card"]
)
def test_a_path_with_a_zero_byte_is_refused(small: str, key: str):
    with pytest.raises(BadExperiment, match=rf"{key}: expected a path, got '\\x00', which no file can be called"):
        read_experiment(small, [f'{key}="\\u0000"'])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.batch=two", "command line, fit.batch=two: fit.batch: expected int, got 'two'"),
        ("fit.batsh=2", "command line, fit.batsh=2: unknown key fit.batsh; fit knows epochs, batch"),
        ("optimiser.name=lion", r"command line, optimiser.name=lion: optimiser.name: expected one of \('adamw'"),
        ("recipe.side=5", "command line, recipe.side=5: recipe: recipe.side must be a whole number from 16 to 4096"),
        ("network.head=corn", r"network.head = 'corn', got 'coral' \[command line, network.head=corn\]|loss.name: .*"),
    ],
)
def test_an_override_is_named_and_not_the_shipped_file(override: str, message: str):
    with pytest.raises(BadExperiment, match=message) as refused:
        read_experiment("plain", [override])
    assert "plain.toml" not in str(refused.value)


def test_a_value_of_the_file_is_named_by_the_file(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(SMALL + '[fit]\nbatch = "two"\n', encoding="utf-8")

    with pytest.raises(BadExperiment, match=r"mine\.toml: fit\.batch: expected int, got 'two'"):
        read_experiment(str(path), ["fit.epochs=2"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.validate=['train']"], "data.validate: expected other splits than data.train, got train in both"),
        (["data.folds=3", "data.only_folds=[0, 0]"], "data.only_folds: expected each fold once"),
        (["data.cache="], "data.cache: expected the path of a folder, got an empty one"),
    ],
)
def test_photographs_are_not_validated_on_what_was_learnt_nor_counted_twice(
    small: str, overrides: list[str], message: str
):
    with pytest.raises(BadExperiment, match=message):
        read_experiment(small, overrides)


def test_every_number_of_every_section_refuses_nan():
    """Also those of sections to come: a NaN passes every comparison but the one that it must."""
    plain = Experiment(name="x")
    for section in SECTIONS:
        values = getattr(plain, section)
        for item in dataclasses.fields(values):
            if isinstance(getattr(values, item.name), float):
                with pytest.raises((BadExperiment, ValueError), match=item.name):
                    dataclasses.replace(values, **{item.name: float("nan")})


@pytest.mark.parametrize("name", sorted(shipped_experiments()))
def test_shipped_experiments_stay_within_the_bounds(name: str):
    experiment = read_experiment(name)

    assert experiment_from_dict(json.loads(json.dumps(experiment.to_dict())), where="back") == experiment
