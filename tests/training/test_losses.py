from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

from fundoscope.training.losses import class_weights, coral, cross_entropy, lesion_loss, mse, smooth_l1


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
