"""GDRNet's hybrid loss: two views' features drawn together at first, grades learnt from the disturbed view at last."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.errors import BadExperiment
from fundoscope.training.experiment.file import experiment_from_dict
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.experiment.schema import Experiment
from fundoscope.training.experiment.sections import Contrast
from fundoscope.training.networks.grading import GradingNetwork, Output
from fundoscope.training.objectives.losses import cross_entropy, nt_xent
from fundoscope.training.objectives.supervised import Supervised

GRADES = torch.tensor([0, 1, 2, 2])


class Plain(GradingNetwork):
    """Stands for a network: features are the means of three colours, raw output a linear function of them."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)
        torch.manual_seed(0)
        self.head = torch.nn.Linear(3, 5)

    def forward(self, pictures: torch.Tensor) -> Output:
        features = pictures.mean(dim=(2, 3))
        return Output(self.head(features), features, None)


@pytest.fixture
def gdrnet() -> Experiment:
    return experiment_from_dict(
        {
            "name": "gdrnet",
            "recipe": {"side": 16},
            "augment": {"halo": 0.5},
            "network": {"head": "softmax"},
            "loss": {"name": "cross_entropy", "class_weights": "grade_source"},
            "contrast": {"weight": 0.25, "temperature": 0.1},
        },
        where="the test",
    )


@pytest.fixture
def batch(rng: np.random.Generator) -> dict[str, torch.Tensor]:
    canvas, second_view = (torch.from_numpy(rng.integers(0, 255, (4, 16, 16, 3)).astype(np.uint8)) for _ in range(2))
    return {"canvas": canvas, "second_view": second_view, "grade": GRADES, "weight": torch.tensor([0.5, 1.0, 2.0, 0.5])}


@pytest.mark.parametrize("share", [0.0, 0.25, 0.99])
def test_the_loss_goes_from_contrast_to_grades_as_the_epochs_pass(gdrnet: Experiment, batch, share: float):
    """(1 - a) CE w_grade w_source + a SimCLR / 4 with a = 1 - epoch / epochs; CE is the spoilt second_view's."""
    objective = Supervised(gdrnet, Plain(), GRADES)

    losses = objective.losses(batch, share=share)

    plain, second_view = (objective.network(objective.normalise(batch[name])) for name in ("canvas", "second_view"))
    graded = (cross_entropy(second_view.raw, GRADES) * batch["weight"]).mean()
    drawn = nt_xent(plain.features, second_view.features, temperature=0.1).mean()
    torch.testing.assert_close(losses["loss"], share * graded + (1 - share) * drawn / 4)
    torch.testing.assert_close(losses["grade_loss"], graded.detach())
    torch.testing.assert_close(losses["contrast_loss"], drawn.detach())


def test_both_views_teach_the_features(gdrnet: Experiment, batch):
    """As in SimCLR neither view is held still."""
    seen = []

    class Watched(Plain):
        def forward(self, pictures: torch.Tensor) -> Output:
            output = super().forward(pictures)
            features = output.features.detach().requires_grad_(True)
            seen.append(features)
            return output._replace(features=features)

    Supervised(gdrnet, Watched(), GRADES).losses(batch, share=0.0)["loss"].backward()

    assert len(seen) == 2
    assert all(features.grad is not None and features.grad.abs().sum() > 0 for features in seen)


def test_without_contrast_there_is_no_second_view_and_the_loss_is_plain_cross_entropy(gdrnet: Experiment, batch):
    """ERM: empirical risk minimisation."""
    erm = dataclasses.replace(gdrnet, contrast=Contrast(), loss=dataclasses.replace(gdrnet.loss, class_weights="none"))
    objective = Supervised(erm, Plain(), GRADES)

    losses = objective.losses({"canvas": batch["canvas"], "grade": GRADES}, share=0.5)

    raw = objective.network(objective.normalise(batch["canvas"])).raw
    torch.testing.assert_close(losses["loss"], torch.nn.functional.cross_entropy(raw, GRADES))
    assert set(losses) == {"loss", "grade_loss"}


def test_weights_that_the_loss_asks_for_and_nobody_gives_are_not_made_up(gdrnet: Experiment, batch):
    del batch["weight"]

    with pytest.raises(KeyError, match="weight"):
        Supervised(gdrnet, Plain(), GRADES).losses(batch)


def test_a_mixture_of_two_photographs_is_a_view_of_neither():
    with pytest.raises(BadExperiment, match=r"contrast\.weight: expected augment\.mixup and augment\.cutmix to be 0"):
        Contrast(weight=0.25).check(Augment(halo=0.5, mixup=0.4))
    with pytest.raises(BadExperiment, match=r"expected one of augment\.sharpness, halo, hole, spot and blur above 0"):
        Contrast(weight=0.25).check(Augment())
    Contrast(weight=0.25).check(Augment(blur=0.5))
    Contrast().check(Augment(mixup=0.4))


def test_a_temperature_of_nought_is_refused():
    with pytest.raises(BadExperiment, match=r"expected a number of at least 0 and one above 0, got 0\.25 and 0"):
        Contrast(weight=0.25, temperature=0.0)
