from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.decide.heads import HEADS, outputs_of
from fundoscope.decide.kappa import kappa_of
from fundoscope.training.experiment.sections import LOSSES_OF, Loss
from fundoscope.training.experiment.weights import grade_source_weights
from fundoscope.training.objectives.losses import (
    LOSSES,
    class_weights,
    coral,
    corn,
    cross_entropy,
    cut_weights,
    focal,
    lesion_loss,
    mse,
    nt_xent,
    smooth_l1,
    soft_kappa,
)
from fundoscope.training.objectives.supervised import GradeLoss


def test_coral_gives_its_authors_golden_value():
    """The README example of coral-pytorch: 0.6920."""
    logits = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
    grades = torch.tensor([2, 1, 4])

    assert coral(logits, grades).mean().item() == pytest.approx(0.6920, abs=5e-5)


def test_coral_equals_the_papers_sum_written_with_loops():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(7, 4, generator=generator)
    grades = torch.randint(0, 5, (7,), generator=generator)

    for photo in range(7):
        total = 0.0
        for cut in range(4):
            p = torch.sigmoid(logits[photo, cut]).item()
            total -= torch.log(torch.tensor(p if grades[photo] > cut else 1 - p)).item()
        assert coral(logits, grades)[photo].item() == pytest.approx(total, rel=1e-5)


CORN_LOGITS = [
    [-0.3226347267627716, -0.47383785247802734, -0.06844209134578705, 0.32877615094184875],
    [0.3809959888458252, -0.451831579208374, 0.07845766097307205, 0.01094498485326767],
    [-0.06660297513008118, 0.08915339410305023, 0.24874353408813477, 0.17058029770851135],
    [0.1858489066362381, -0.42726224660873413, 0.1903223991394043, -0.002332448959350586],
    [-0.06768327951431274, -0.12009865045547485, 0.34011033177375793, 0.07730120420455933],
    [-0.12936033308506012, -0.38587167859077454, -0.05717567354440689, 0.2475617527961731],
    [0.030972860753536224, -0.3191126585006714, -0.17493751645088196, 0.17574340105056763],
    [0.1280914694070816, 0.024988368153572083, 0.03153723478317261, 0.37987691164016724],
]
"""torch 2.13: manual_seed(123), rand(8, 99), then Linear(99, 4) of it."""


def test_corn_gives_its_authors_golden_value():
    """The README example of coral-pytorch: 0.7127, over the pairs of photograph and cut that teach."""
    grades = torch.tensor([0, 1, 2, 2, 2, 3, 4, 4])
    pairs = (grades + 1).clamp(max=4).sum()

    assert (corn(torch.tensor(CORN_LOGITS), grades).sum() / pairs).item() == pytest.approx(0.7127, abs=5e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_corn_equals_the_papers_subsets_written_with_loops(weighted: bool):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(9, 4, generator=generator)
    grades = torch.tensor([0, 1, 2, 3, 4, 0, 2, 4, 1])
    positive = torch.tensor([0.5, 1.0, 2.0, 3.0]) if weighted else None
    totals = [0.0] * 9

    for cut in range(4):
        for photo in range(9):
            if grades[photo] > cut - 1:
                p = torch.sigmoid(logits[photo, cut])
                weight = 1.0 if positive is None else positive[cut].item()
                above = bool(grades[photo] > cut)
                totals[photo] -= weight * torch.log(p).item() if above else torch.log(1 - p).item()

    assert corn(logits, grades, positive=positive).tolist() == pytest.approx(totals, rel=1e-5)


def test_cuts_that_a_photograph_does_not_reach_learn_nothing_from_it():
    logits = torch.zeros(1, 4, requires_grad=True)

    corn(logits, torch.tensor([1])).sum().backward()

    assert logits.grad.tolist() == [[-0.5, 0.5, 0.0, 0.0]]


def some(photos: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    return torch.randn(photos, 5, generator=generator) * 2, torch.randint(0, 5, (photos,), generator=generator)


def test_focal_with_gamma_nought_is_cross_entropy():
    logits, grades = some()

    torch.testing.assert_close(focal(logits, grades, gamma=0.0), cross_entropy(logits, grades))


@pytest.mark.parametrize("gamma", [0.5, 2.0, 2.5])
def test_focal_equals_the_papers_formula_written_with_loops(gamma: float):
    logits, grades = some()
    alpha = torch.tensor([0.1, 1.0, 0.5, 3.0, 4.0])

    losses = focal(logits, grades, gamma=gamma, alpha=alpha)

    for photo in range(len(grades)):
        exponents = torch.exp(logits[photo].double())
        p = (exponents[grades[photo]] / exponents.sum()).item()
        expected = -alpha[grades[photo]].item() * (1 - p) ** gamma * math.log(p)
        assert losses[photo].item() == pytest.approx(expected, rel=1e-4)


def test_a_photograph_that_is_right_beyond_doubt_gives_focal_a_finite_slope():
    logits = torch.tensor([[200.0, 0, 0, 0, 0]], requires_grad=True)

    focal(logits, torch.tensor([0]), gamma=0.5).sum().backward()

    assert logits.grad.isfinite().all()


def test_soft_kappa_of_answers_without_doubt_is_the_kappa():
    _, grades = some(40)
    answers = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(5))
    confusion = np.zeros((5, 5))
    np.add.at(confusion, (grades.numpy(), answers.numpy()), 1)

    loss = soft_kappa(1e4 * torch.eye(5)[answers], grades).mean()

    assert 1 - loss.item() == pytest.approx(float(kappa_of(confusion)), abs=1e-6)
    assert soft_kappa(1e4 * torch.eye(5)[grades], grades).tolist() == [0.0] * 40


def test_soft_kappa_equals_the_expected_confusion_written_with_loops():
    logits, grades = some()
    shares = torch.softmax(logits.double(), dim=1)
    observed = expected = 0.0
    for i in range(5):
        for j in range(5):
            observed += (i - j) ** 2 * shares[grades == i, j].sum().item()
            expected += (i - j) ** 2 * (grades == i).sum().item() * shares[:, j].sum().item() / len(grades)

    assert soft_kappa(logits, grades).mean().item() == pytest.approx(observed / expected, rel=1e-5)


def test_a_batch_of_one_grade_teaches_soft_kappa_nothing():
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)

    loss = soft_kappa(logits, torch.full((6,), 2)).mean()
    loss.backward()

    assert loss.item() == pytest.approx(1.0)
    assert logits.grad.abs().max().item() < 1e-6


def test_following_its_slope_raises_kappa():
    logits, grades = some(40)
    logits.requires_grad_(True)
    before = soft_kappa(logits, grades).mean()
    (slope,) = torch.autograd.grad(before, logits)

    assert soft_kappa(logits - 5 * slope, grades).mean() < before


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"soft_kappa", "binary_cross_entropy"}))
def test_a_photographs_loss_does_not_depend_on_its_batch(name: str):
    head = next(head for head, losses in LOSSES_OF.items() if name in losses)
    raw = torch.randn(8, outputs_of(head), generator=torch.Generator().manual_seed(1))
    grades = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])

    together = LOSSES[name](raw, grades)

    for photo in range(8):
        alone = LOSSES[name](raw[[photo]], grades[[photo]])
        torch.testing.assert_close(together[[photo]], alone)


def test_every_loss_fits_some_head_and_every_head_has_one():
    assert {loss for losses in LOSSES_OF.values() for loss in losses} == set(LOSSES)
    assert set(LOSSES_OF) == {*HEADS, "signs"}  # signs are no grades: no clinic reads them


def test_retinascans_cut_weights_are_the_square_root_of_negatives_by_positives():
    """A thousand rows with the shares that its weights imply: [0.92, 1.08, 2.76, 3.66]."""
    grades = torch.tensor([0] * 458 + [1] * 80 + [2] * 346 + [3] * 46 + [4] * 70)

    weights = cut_weights(grades, "sqrt")

    for cut in range(4):
        above = (grades > cut).sum().item()
        assert weights[cut].item() == pytest.approx(math.sqrt((1000 - above) / above), rel=1e-6)
    assert weights.tolist() == pytest.approx([0.92, 1.08, 2.76, 3.66], abs=0.02)
    assert cut_weights(grades, "none").tolist() == [1.0] * 4


def test_corns_cut_weights_count_only_who_reached_the_cut():
    grades = torch.tensor([0] * 8 + [1] * 4 + [2] * 2 + [3] * 1 + [4] * 1)

    assert cut_weights(grades, "sqrt", conditional=True).tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0])
    assert cut_weights(grades, "sqrt").tolist() == pytest.approx([1.0, 3**0.5, 7**0.5, 15**0.5])


def test_a_cut_with_nobody_on_one_side_is_weighted_one():
    assert cut_weights(torch.tensor([1, 1, 2]), "sqrt").tolist() == pytest.approx([1.0, 2**0.5, 1.0, 1.0])


def test_a_loss_takes_the_options_of_the_experiment_that_it_reads():
    logits, grades = some()
    settings = Loss(name="focal", focal_gamma=1.5, focal_alpha=(0.1, 1.0, 0.5, 3.0, 4.0))
    smoothed = Loss(name="cross_entropy", label_smoothing=0.2)
    cuts = Loss(name="coral", cut_weights="sqrt")

    alpha = torch.tensor([0.1, 1, 0.5, 3, 4])
    given = GradeLoss("focal", settings, grades)(logits, grades)
    torch.testing.assert_close(given, focal(logits, grades, gamma=1.5, alpha=alpha))
    given = GradeLoss("cross_entropy", smoothed, grades)(logits, grades)
    torch.testing.assert_close(given, cross_entropy(logits, grades, label_smoothing=0.2))
    for name in ("coral", "corn"):
        given = GradeLoss(name, cuts, grades)(logits[:, :4], grades)
        weights = cut_weights(grades, "sqrt", conditional=name == "corn")
        torch.testing.assert_close(given, LOSSES[name](logits[:, :4], grades, positive=weights))
    assert GradeLoss("coral", cuts, grades).state_dict() == {}


def test_smoothing_of_nought_is_plain_cross_entropy():
    logits, grades = torch.tensor([[0.1, 2.0, -1.0, 0.0, 0.3]]), torch.tensor([1])

    plain = cross_entropy(logits, grades)

    assert torch.equal(plain, cross_entropy(logits, grades, label_smoothing=0.0))
    assert cross_entropy(logits, grades, label_smoothing=0.2).item() > plain.item()


def test_regression_losses_are_nought_on_the_grade_itself():
    grades = torch.arange(5)
    exact = grades[:, None].float()

    assert mse(exact, grades).sum() == 0
    assert smooth_l1(exact + 3, grades).tolist() == [2.5] * 5
    assert mse(exact + 3, grades).tolist() == [9.0] * 5


def test_unmarked_photographs_add_no_lesion_loss():
    logits, target = torch.zeros(2, 2, 3, 3), torch.ones(2, 2, 3, 3)

    loss = lesion_loss(logits, target, torch.tensor([1.0, 0.0]), positive=1.0)

    assert loss.tolist() == pytest.approx([0.6931, 0.0], abs=1e-4)


@pytest.mark.parametrize("kind", ["none", "inverse", "inverse_sqrt"])
def test_class_weights_average_one_over_the_training_rows(kind: str):
    grades = torch.tensor([0] * 6 + [1] + [2] * 3 + [4] * 2)

    weights = class_weights(grades, kind)

    assert weights[grades].mean().item() == pytest.approx(1.0)
    if kind == "inverse":
        assert (weights[1] / weights[0]).item() == pytest.approx(6.0)
        assert weights[3] == 0


def slow_nt_xent(views: np.ndarray, count: int, temperature: float) -> np.ndarray:
    """SimCLR's formula for all 2N views, one after the other; view k and view k + N are of one photograph."""
    cosine = np.array([[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in views] for a in views])
    losses = []
    for anchor in range(2 * count):
        partner = (anchor + count) % (2 * count)
        others = [math.exp(cosine[anchor, k] / temperature) for k in range(2 * count) if k != anchor]
        losses.append(-math.log(math.exp(cosine[anchor, partner] / temperature) / sum(others)))
    return (np.array(losses[:count]) + np.array(losses[count:])) / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_nt_xent_is_simclrs_formula_written_with_loops(count: int, temperature: float, rng: np.random.Generator):
    views = rng.normal(size=(2 * count, 6))

    ours = nt_xent(torch.tensor(views[:count]), torch.tensor(views[count:]), temperature=temperature)

    assert ours.numpy() == pytest.approx(slow_nt_xent(views, count, temperature))


def test_a_batch_of_one_photograph_has_nothing_to_tell_apart():
    first = torch.tensor([[1.0, 2.0]], requires_grad=True)
    loss = nt_xent(first, torch.tensor([[3.0, -1.0]]), temperature=0.01)
    loss.sum().backward()

    assert loss.item() == 0.0
    assert first.grad is not None
    assert first.grad.tolist() == [[0.0, 0.0]]


def test_views_that_agree_cost_less_than_views_that_do_not(rng: np.random.Generator):
    features = torch.tensor(rng.normal(size=(5, 8)))

    agreeing, swapped = (nt_xent(features, features.roll(by, dims=0), temperature=0.1) for by in (0, 1))

    assert (agreeing < swapped).all()


def test_grade_and_source_weights_are_gdrnets_written_with_loops():
    """1 / q for the grade times 1 / q for the source, q = p^0.5 / sum p^0.5, mean 1 over the training rows."""
    grades = np.array([0, 0, 0, 0, 0, 0, 2, 2, 4, 0])
    sources = np.array(["A", "A", "A", "A", "B", "B", "B", "A", "B", "C"])

    def inverse(labels, label):
        p = {each: sum(labels == each) / len(labels) for each in set(labels.tolist())}
        return sum(math.sqrt(share) for share in p.values()) / math.sqrt(p[label])

    product = [inverse(grades, g) * inverse(sources, s) for g, s in zip(grades, sources, strict=True)]
    expected = [each / (sum(product) / len(product)) for each in product]

    assert grade_source_weights(grades, sources) == pytest.approx(expected)


def test_what_is_rare_on_both_counts_weighs_most():
    weights = grade_source_weights(np.array([0] * 8 + [4, 4]), np.array(["A"] * 7 + ["B", "A", "B"]))

    assert weights.argmax() == 9
    assert weights.mean() == pytest.approx(1)
