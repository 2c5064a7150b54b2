from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.file import (
    experiment_from_dict,
    first_comment,
    read_experiment,
    shipped_experiments,
)
from fundoscope.training.experiment.schema import OBJECTIVES, READERS, ObjectiveKind

SMALL = 'name = "small"\n[recipe]\nside = 64\n'


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_overrides_reach_their_section(tmp_path: Path):
    experiment = read_experiment(
        written(tmp_path, SMALL),
        [
            "fit.epochs=3",
            "network.head=softmax",
            "loss.name=cross_entropy",
            "fit.sides=[[0, 32], [0.5, 64]]",
            "optimiser.rate=1",
        ],
    )

    assert experiment.fit.epochs == 3
    assert experiment.fit.sides == ((0.0, 32), (0.5, 64))
    assert experiment.optimiser.rate == 1.0
    assert experiment.network.head == "softmax"


def test_the_resolved_file_reads_back_as_itself(tmp_path: Path):
    experiment = read_experiment(written(tmp_path, SMALL), ["data.folds=3", "network.freeze=['blocks.0']"])

    assert experiment_from_dict(json.loads(json.dumps(experiment.to_dict())), where="back") == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("fit.epoch=3", "unknown key fit.epoch; fit knows epochs,"),
        ("fits.epochs=3", "unknown key fits; an experiment knows name,"),
        ("fit.epochs=many", "fit.epochs: expected int, got 'many'"),
        ("fit.epochs=3.5", "fit.epochs: expected int, got 3.5"),
        ("fit.final=1", "fit.final: expected bool, got 1"),
        ("network.head=probit", "network.head: expected one of ('softmax', 'regression', 'coral', 'cumulative',"),
        ("loss.name=mse", "loss.name: expected coral for network.head = 'coral', got 'mse'"),
        ("network.head=corn", "loss.name: expected corn for network.head = 'corn', got 'coral'"),
        ("loss.second=focal", "loss.second: expected coral for network.head = 'coral', got 'focal'"),
        ("network.second_head=prototype", "loss.second: expected cross_entropy or focal or soft_kappa for"),
        ("network.prototypes=a.npz", "network.prototypes: expected network.head or network.second_head to be"),
        ("loss.label_smoothing=0.1", "loss.label_smoothing: expected loss.name or loss.second to be cross_entropy,"),
        ("loss.focal_alpha=[1.0]", "loss.focal_alpha: expected 5 weights of at least 0, or none, got (1.0,)"),
        ("loss.focal_gamma=-1", "loss.focal_gamma: expected a number of at least 0, got -1.0"),
        ("fit.sides=[[0.5]]", "fit.sides: expected 2 values, got [0.5]"),
        ("fit=3", "fit: expected a section, got 3"),
        ("epochs", "'epochs': expected section.key=value"),
        ("data.folds=1", "data.folds: expected 0 or at least 2, got 1"),
        ("fit.export=true data.validate=[]", "fit.export: expected data.folds with fit.final = true, or data.validate"),
        (
            "network.hidden_dropout=0.5",
            "network.hidden_dropout: expected network.hidden above 0, which alone reads it,",
        ),
        ("network.projection=64", "network.projection: expected a prototype head, which alone reads it, got 64"),
        ("network.fellow_dropout=0.5", "network.fellow_dropout: expected network.eyes = 2"),
        ("lesions.positive=2", "lesions.positive: expected lesions.weight above 0"),
        ("loss.focal_gamma=3", "loss.focal_gamma: expected a focal loss"),
        ("loss.second_weight=1", "loss.second_weight: expected a loss.second"),
        ("optimiser.milestones=[0.3]", "optimiser.milestones: expected optimiser.schedule = 'steps'"),
        ("optimiser.momentum=0.5", "optimiser.momentum: expected optimiser.name = 'sgd'"),
        ("optimiser.floor=0.1 optimiser.schedule=constant", "optimiser.floor: expected optimiser.schedule = 'cosine'"),
        ("fit.rebalance_rate=0.2", "fit.rebalance_rate: expected fit.rebalance_epochs above 0"),
        ("fit.keep=best data.validate=[]", "fit.keep: expected held-out photographs"),
        ("fit.patience=3 data.validate=[]", "fit.patience: expected held-out photographs"),
        ("release.neighbour_metric=cosine", "release.neighbour_metric: expected release.neighbours"),
        ("release.heatmap=none release.heatmap_layers=['a']", "release.heatmap_layers: expected a release.heatmap"),
        ("domains.targets=['a']", "domains.targets: expected a domains.protocol"),
        ("release.descriptions=['a']", "release.descriptions: expected a text for each of 5 grades, or none, got 1"),
        ("release.sensitivity=0", "release.sensitivity: expected a share above 0 and at most 1, got 0.0"),
        ("release.neighbours=-1", "release.neighbours: expected 0 or more, got -1"),
        ("recipe.side=-4", "recipe: "),
        ("recipe.colour=red", "recipe: "),
    ],
)
def test_what_is_wrong_is_named_by_its_key(tmp_path: Path, override: str, message: str):
    with pytest.raises(BadExperiment, match=re.escape(message)):
        read_experiment(written(tmp_path, SMALL), override.split())


TWO_HEADS = "network.second_head=prototype loss.second=focal"
OPTIONS = [
    # an option beside its default; where nothing reads it; where something does
    ("network.hidden_dropout=0.5", "", "network.hidden=32"),
    ("network.projection=64", "network.head=softmax loss.name=cross_entropy", TWO_HEADS),
    ("network.projection=64", "", "network.head=prototype loss.name=cross_entropy"),
    ("network.fellow_dropout=0.5", "", "network.eyes=2"),
    ("lesions.index=-1", "", "lesions.weight=0.5"),
    ("lesions.positive=2", "", "lesions.weight=0.5"),
    ("loss.focal_gamma=3", "network.head=softmax loss.name=cross_entropy", "network.head=softmax loss.name=focal"),
    ("loss.focal_gamma=3", "", TWO_HEADS),
    ("loss.second_weight=1", "", TWO_HEADS),
    ("contrast.temperature=0.2", "", "contrast.weight=0.5 augment.blur=0.5"),
    ("distil.weight=0.5", "", "distil.teachers=['a']"),
    ("distil.temperature=2", "", "distil.teachers=['a']"),
    ("distil.view=same", "", "distil.teachers=['a']"),
    ("optimiser.milestones=[0.3]", "optimiser.schedule=constant", "optimiser.schedule=steps"),
    ("optimiser.milestone_factor=0.2", "optimiser.schedule=constant", "optimiser.schedule=steps"),
    ("optimiser.momentum=0.5", "", "optimiser.name=sgd"),
    ("optimiser.floor=0.1", "optimiser.schedule=steps", ""),
    ("network.weights_licence=MIT", "", "network.weights=x.safetensors"),
    ("fit.rebalance_rate=0.2", "", "fit.rebalance_epochs=1"),
    ("fit.keep=best", "data.validate=[]", ""),
    ("fit.keep=best", "data.validate=[]", "data.validate=[] data.folds=2"),
    ("fit.keep=best", "data.validate=[]", "domains.protocol=leave_one_out"),
    ("fit.patience=3", "data.validate=[]", "data.validate=[] data.folds=2"),
    ("release.neighbour_metric=cosine", "", "release.neighbours=3"),
    ("release.neighbour_metric=cosine", "", "fit.compare_modes=true"),
    ("release.neighbour_weights=distance", "", "release.neighbours=3"),
    ("release.score=mean", "network.head=softmax loss.name=cross_entropy", "network.head=cumulative loss.name=coral"),
    ("release.score=mean", "release.neighbours=3", ""),
    ("release.heatmap_layers=['a']", "release.heatmap=none", "release.heatmap=layer-cam"),
    ("domains.targets=['a']", "", "domains.protocol=leave_one_out"),
    ("domains.never_train=['a']", "", "domains.protocol=leave_one_out"),
]


@pytest.mark.parametrize(("option", "unread", "read"), OPTIONS)
def test_an_option_is_taken_only_where_something_reads_it(tmp_path: Path, option: str, unread: str, read: str):
    key = option.partition("=")[0]

    with pytest.raises(BadExperiment, match=rf"^{re.escape(key)}: expected .*, which alone reads it, got"):
        read_experiment(written(tmp_path, SMALL), [option, *unread.split()])
    read_experiment(written(tmp_path, SMALL), [option, *read.split()])
    read_experiment(written(tmp_path, SMALL), unread.split())


def test_every_option_that_may_be_unread_is_tried():
    assert {option.partition("=")[0] for option, _, _ in OPTIONS} == set(READERS)


def test_two_heads_with_a_loss_each_and_two_losses_of_one_head_are_read(tmp_path: Path):
    """RetinaScan: binary cross-entropy over the cuts, and half of focal on the prototypes."""
    retinascan = read_experiment(
        written(tmp_path, SMALL),
        ["network.head=cumulative", "network.second_head=prototype", "loss.second=focal", "loss.cut_weights=sqrt"],
    )
    mixed = read_experiment(
        written(tmp_path, SMALL), ["network.head=softmax", "loss.name=cross_entropy", "loss.second=soft_kappa"]
    )

    assert (retinascan.loss.name, retinascan.loss.second, retinascan.loss.second_weight) == ("coral", "focal", 0.5)
    assert mixed.network.second_head == "none"
    assert experiment_from_dict(retinascan.to_dict(), where="back") == retinascan


def test_a_name_that_is_no_experiment_lists_those_that_are():
    known = r"nosuch: expected a shipped experiment \(aptos_transfer/cnn3, .*default_release, .*no such file"
    with pytest.raises(BadExperiment, match=known):
        read_experiment("nosuch")


def test_a_file_that_is_not_toml_is_said_to_be_none(tmp_path: Path):
    with pytest.raises(BadExperiment, match="expected a TOML file"):
        read_experiment(written(tmp_path, "[fit\nepochs"))


@pytest.mark.parametrize("name", sorted(shipped_experiments()))
def test_every_shipped_experiment_reads_and_says_what_it_is(name: str):
    experiment = read_experiment(name)

    assert experiment.name == name
    assert len(first_comment(shipped_experiments()[name])) > 20


def test_every_field_of_every_section_is_explained():
    """A field without its line of documentation is a field nobody can set with reason."""
    import ast
    import inspect

    from fundoscope.training.experiment import sections

    tree = ast.parse(inspect.getsource(sections))
    for section in (node.name for node in tree.body if isinstance(node, ast.ClassDef)):
        body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == section)
        fields = {f.name for f in dataclasses.fields(getattr(sections, section))}
        explained = {
            first.target.id
            for first, second in itertools.pairwise(body)
            if isinstance(first, ast.AnnAssign) and isinstance(second, ast.Expr) and isinstance(first.target, ast.Name)
        }
        plain = {"epochs", "id", "version", "name"}
        assert fields - explained <= plain, section


@pytest.fixture
def restoring(monkeypatch: pytest.MonkeyPatch) -> str:
    """An objective without head, loss and release."""
    kind = ObjectiveKind(
        check=lambda experiment: None,
        sections=frozenset({"data", "recipe", "augment", "network", "optimiser", "fit"}),
        unread=("network.head", "network.hidden", "network.size"),
    )
    monkeypatch.setitem(OBJECTIVES, "restoring", kind)
    return "restoring"


def test_an_objective_without_head_loss_and_release_has_no_such_sections(tmp_path: Path, restoring: str):
    """Nor does anything ask for them: fit.export needs held-out predictions of a grader only."""
    experiment = read_experiment(
        written(tmp_path, f'objective = "{restoring}"\n' + SMALL), ["data.validate=[]", "fit.export=true"]
    )

    resolved = experiment.to_dict()
    assert set(resolved) == {
        "name", "seed", "objective", "data", "recipe", "augment", "network", "optimiser", "fit"
    }  # fmt: skip
    assert experiment_from_dict(json.loads(json.dumps(resolved)), where="back") == experiment


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.name=mse", "loss: expected no such section with objective = 'restoring', which reads augment, data,"),
        ("release.id=mine", "release: expected no such section with objective = 'restoring'"),
        ("network.head=softmax", "network.head: expected no such key with objective = 'restoring', which does not"),
        ("network.size={depth = 2}", "network.size: expected no such key .* got {'depth': 2}"),
    ],
)
def test_what_the_objective_does_not_read_is_refused(tmp_path: Path, restoring: str, override: str, message: str):
    with pytest.raises(BadExperiment, match=message):
        read_experiment(written(tmp_path, f'objective = "{restoring}"\n' + SMALL), [override])


def test_an_objective_that_nobody_knows_is_refused_with_those_that_are(tmp_path: Path):
    with pytest.raises(BadExperiment, match="objective: expected one of supervised, got 'guessing'"):
        read_experiment(written(tmp_path, SMALL), ["objective=guessing"])


def test_experiments_of_before_objectives_are_supervised(tmp_path: Path):
    values = read_experiment(written(tmp_path, SMALL)).to_dict()
    del values["objective"]

    assert experiment_from_dict(values, where="back").objective == "supervised"
