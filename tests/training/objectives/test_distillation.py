"""A student is drawn to the mean answer of its teachers, who stay as they are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.photo.recipe import Recipe
from fundoscope.training.experiment.distillation import Distil
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.networks.grading import GradingNetwork, Output
from fundoscope.training.networks.normalisation import Normalise
from fundoscope.training.objectives.distillation import Teacher, Teachers
from fundoscope.training.objectives.losses import coral
from fundoscope.training.objectives.supervised import Supervised

GRADES = torch.tensor([0, 1, 2, 4])
RECIPE = Recipe(side=32)


class Linear(GradingNetwork):
    """Stands for a network: a linear function of the mean colours; it keeps the sides that it was shown."""

    def __init__(self, seed: int, outputs: int = 4) -> None:
        torch.nn.Module.__init__(self)
        torch.manual_seed(seed)
        self.head = torch.nn.Linear(3, outputs)
        self.shown: list[int] = []

    def train(self, mode: bool = True) -> Linear:
        torch.nn.Module.train(self, mode)
        return self

    def forward(self, pictures: torch.Tensor) -> Output:
        self.shown.append(pictures.shape[-1])
        features = pictures.mean(dim=(2, 3))
        return Output(self.head(features), features, None)


@pytest.fixture
def canvases(rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.integers(0, 255, (4, 32, 32, 3)).astype(np.uint8))


def test_the_answer_is_that_of_the_mean_logits(canvases):
    networks = [Linear(1), Linear(2)]
    teachers = Teachers([Teacher(network, RECIPE) for network in networks], head="cumulative", temperature=2.0)

    answers = teachers.answers(canvases)

    pictures = Normalise(RECIPE)(canvases)
    mean = torch.stack([network(pictures).raw for network in networks]).mean(dim=0)
    torch.testing.assert_close(answers, torch.sigmoid(mean / 2.0))
    assert not answers.requires_grad
    assert not any(parameter.requires_grad for network in networks for parameter in network.parameters())


def test_a_teacher_sees_photographs_by_its_own_recipe(canvases):
    small, other = Linear(1), Recipe(side=16, mean=(0.1, 0.2, 0.3), std=(0.2, 0.2, 0.2))
    teachers = Teachers([Teacher(small, other)], head="softmax", temperature=1.0)

    answers = teachers.answers(canvases)

    assert small.shown == [16]
    expected = small(Normalise(other)(canvases, side=16)).raw.softmax(dim=1)
    torch.testing.assert_close(answers, expected)


@pytest.mark.parametrize("head", ["cumulative", "softmax"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_least_where_the_student_answers_as_the_teachers(head, temperature):
    teachers = Teachers([Teacher(Linear(1), RECIPE)], head=head, temperature=temperature)
    logits = torch.tensor([[1.0, -0.5, 0.25, -2.0]])
    answers = (logits / temperature).softmax(dim=1) if head == "softmax" else (logits / temperature).sigmoid()

    raw = logits.clone().requires_grad_(True)
    loss = teachers.loss(raw, answers).sum()
    loss.backward()

    assert raw.grad.abs().max() < 1e-6
    assert all(teachers.loss(logits + shift, answers).sum() > loss for shift in (torch.eye(4)[:1], -torch.eye(4)[2:3]))
    entropy = -(answers * answers.log()).sum()
    if head == "cumulative":
        entropy = entropy - ((1 - answers) * (1 - answers).log()).sum()
    torch.testing.assert_close(loss.detach(), entropy * temperature**2)


def test_hard_answers_are_the_loss_of_the_grade(canvases):
    """Teachers that are certain of the reference say nothing else than it does."""
    teachers = Teachers([Teacher(Linear(1), RECIPE)], head="cumulative", temperature=1.0)
    raw = torch.randn(4, 4)

    certain = (GRADES[:, None] > torch.arange(4)).float()

    torch.testing.assert_close(teachers.loss(raw, certain), coral(raw, GRADES))


@pytest.mark.parametrize("view", ["plain", "same"])
def test_the_student_learns_from_reference_and_teachers_by_their_weights(canvases, view):
    experiment = experiment_from_dict(
        {
            "name": "student",
            "recipe": {"side": 32},
            "network": {"head": "cumulative"},
            "distil": {"teachers": ["a"], "weight": 0.25, "view": view},
        },
        where="the test",
    )
    teachers = Teachers([Teacher(Linear(1), RECIPE)], head="cumulative", temperature=1.0)
    objective = Supervised(experiment, Linear(5), GRADES, teachers=teachers)
    batch = {"canvas": canvases, "plain_view": 255 - canvases, "grade": GRADES}

    losses = objective.losses(batch)

    shown = batch["plain_view"] if view == "plain" else canvases
    raw = objective.network(objective.normalise(canvases)).raw
    graded, taught = coral(raw, GRADES).mean(), teachers.loss(raw, teachers.answers(shown)).mean()
    torch.testing.assert_close(losses["loss"], 0.75 * graded + 0.25 * taught)
    torch.testing.assert_close(losses["distil_loss"], taught.detach())
    assert objective.views.plain_view == (view == "plain")
    assert not any("teachers" in name for name in objective.state_dict())
    alone = Supervised(dataclasses.replace(experiment, distil=Distil()), Linear(5), GRADES)
    assert "distil_loss" not in alone.losses(batch)
