from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch (the train extra)")

import torch.nn.functional as F

from fundoscope.training.augmentation.mixing import Mixture, box_px, draw_mixture, mix, mixed_loss, own_share
from fundoscope.training.experiment.ranges import Augment
from fundoscope.training.objectives.losses import coral, mse

BOTH = dataclasses.replace(Augment.plain(), mixup=0.4, cutmix=1.0)


def pictures(rng: np.random.Generator, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = rng.integers(0, 256, (2, *shape)).astype(np.uint8)
    return first, second


@pytest.mark.parametrize("cut", [True, False])
def test_a_photograph_with_all_the_share_is_as_it_was(rng, cut):
    own, partner = pictures(rng, 21, 21, 3)
    mixture = Mixture(share=1.0, cut=cut, right=0.3, down=0.9)

    assert np.array_equal(mix(own, partner, mixture), own)
    assert own_share(mixture, 21) == 1.0


@pytest.mark.parametrize("cut", [True, False])
def test_a_photograph_mixed_with_itself_is_as_it_was(rng, cut):
    own, _ = pictures(rng, 20, 20, 3)

    assert np.array_equal(mix(own, own, Mixture(share=0.37, cut=cut)), own)


def test_mixup_is_the_papers_weighted_mean(rng):
    own, partner = pictures(rng, 8, 8, 3)

    mixed = mix(own, partner, Mixture(share=0.3))

    for place in np.ndindex(8, 8, 3):
        assert mixed[place] == pytest.approx(0.3 * own[place] + 0.7 * partner[place], abs=0.5001)


def test_swapping_the_two_and_their_shares_gives_the_same_mixup(rng):
    own, partner = pictures(rng, 8, 8, 3)

    swapped = mix(partner, own, Mixture(share=0.75)).astype(int)

    assert np.abs(mix(own, partner, Mixture(share=0.25)) - swapped).max() <= 1


def test_cutmix_pastes_one_box_and_says_what_is_left(rng):
    own, partner = np.zeros((40, 40, 3), np.uint8), np.full((40, 40, 3), 255, np.uint8)
    for _ in range(200):
        mixture = dataclasses.replace(draw_mixture(rng, dataclasses.replace(BOTH, mixup=0.0)))
        mixed = mix(own, partner, mixture)
        top, bottom, left, right = box_px(mixture, 40)

        assert 0 <= top <= bottom <= 40
        assert 0 <= left <= right <= 40
        assert own_share(mixture, 40) == pytest.approx((mixed == 0).mean())
        assert own_share(mixture, 40) >= mixture.share - 0.06  # the box is cut at the frame, never larger


def test_a_cutmix_box_in_the_middle_has_the_area_asked_for():
    assert box_px(Mixture(share=0.75, cut=True), 64) == (16, 48, 16, 48)
    assert own_share(Mixture(share=0.75, cut=True), 64) == 0.75


def test_a_batch_is_mixed_as_its_photographs_are(rng):
    own, partner = pictures(rng, 3, 16, 16, 3)
    for mixture in (Mixture(share=0.6), Mixture(share=0.6, cut=True, right=0.2, down=0.7)):
        one_by_one = [mix(a, b, mixture) for a, b in zip(own, partner, strict=True)]

        assert np.array_equal(mix(own, partner, mixture), np.stack(one_by_one))


def test_pasted_lesions_lie_where_the_pasted_photograph_has_them(rng):
    """A photograph that is bright where it has lesions, and its lesion map, are mixed alike."""
    masks = [(rng.random((32, 32, 2)) < 0.2).astype(np.uint8) * 255 for _ in range(2)]
    mixture = Mixture(share=0.5, cut=True, right=0.8, down=0.1)

    assert set(np.unique(mix(*masks, mixture))) <= {0, 255}
    assert np.array_equal(mix(*(mask[..., :1].repeat(3, axis=2) for mask in masks), mixture)[..., :1],
                          mix(*(mask[..., :1] for mask in masks), mixture))  # fmt: skip


def test_shares_are_drawn_from_the_beta_distribution(rng):
    """Mean 1/2, variance 1 / (4 (2 alpha + 1))."""
    shares = np.array([draw_mixture(rng, dataclasses.replace(BOTH, cutmix=0.0)).share for _ in range(2000)])

    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.var() == pytest.approx(1 / (4 * 1.8), abs=0.01)


def test_with_both_on_half_of_the_mixed_get_either(rng):
    drawn = [draw_mixture(rng, dataclasses.replace(BOTH, mix_probability=0.5)) for _ in range(1000)]

    assert sum(mixture == Mixture() for mixture in drawn) == pytest.approx(500, abs=60)
    assert sum(mixture.cut for mixture in drawn) == pytest.approx(250, abs=55)


def test_nothing_is_mixed_where_nothing_is_asked_for(rng):
    assert draw_mixture(rng, Augment.plain()) == Mixture()
    assert not Augment.plain().mixes
    assert not dataclasses.replace(BOTH, mix_probability=0.0).mixes


def test_the_mixed_cross_entropy_is_that_of_the_mixed_target():
    raw, grades, partners = torch.randn(4, 5), torch.tensor([0, 1, 4, 2]), torch.tensor([3, 1, 0, 2])
    share = torch.tensor([0.2, 0.5, 0.9, 1.0])
    soft = share[:, None] * F.one_hot(grades, 5) + (1 - share[:, None]) * F.one_hot(partners, 5)

    mixed = mixed_loss(
        F.cross_entropy(raw, grades, reduction="none"), F.cross_entropy(raw, partners, reduction="none"), share
    )

    assert mixed.allclose(-(soft * raw.log_softmax(dim=1)).sum(dim=1), atol=1e-6)


def test_the_mixed_coral_loss_is_that_of_the_mixed_levels_but_squares_are_not():
    """Why the loader hands out pairs: a squared distance from a mean grade is not the mean squared distance."""
    raw, grades, partners, share = (
        torch.randn(3, 4),
        torch.tensor([0, 4, 2]),
        torch.tensor([4, 1, 2]),
        torch.full((3,), 0.3),
    )
    cuts = torch.arange(4)
    levels = 0.3 * (grades[:, None] > cuts).float() + 0.7 * (partners[:, None] > cuts).float()
    soft = F.binary_cross_entropy_with_logits(raw, levels, reduction="none").sum(dim=1)
    mean_grade = share * grades + (1 - share) * partners

    squares = mixed_loss(mse(raw[:, :1], grades), mse(raw[:, :1], partners), share)

    assert mixed_loss(coral(raw, grades), coral(raw, partners), share).allclose(soft, atol=1e-6)
    assert not squares.allclose((raw[:, 0] - mean_grade) ** 2)
