"""Raw outputs are read as probabilities, whose chance of referable disease is the score that was chosen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special

from fundoscope.decide.calibrate import fit_temperature
from fundoscope.decide.calibrators import Platt, calibrator_from_dict
from fundoscope.decide.heads import SEPARATION, exceedance, probabilities
from fundoscope.decide.readout import SCORES, Readout, fit_readout

raws = arrays(np.float64, (6, 4), elements=st.floats(-1e3, 1e3))


@pytest.fixture
def noisy(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut logits of 600 photographs whose noise is of each cut its own, and the grades."""
    grades = rng.integers(0, 5, size=600)
    return 1.5 * (grades[:, None] - np.arange(4) - 0.5) + 3 * rng.normal(size=(600, 4)), grades


@settings(deadline=None, max_examples=100)
@given(raw=raws, temperature=st.floats(0.05, 20), offset=st.floats(-10, 10))
def test_the_score_is_the_probability_of_referable_disease_whatever_the_cuts_say(raw, temperature, offset):
    shares = Readout(head="cumulative", temperature=temperature, referral=Platt(0.7, offset)).probabilities(raw)

    assert exceedance(shares, 2) == pytest.approx(special.expit(0.7 * raw.mean(axis=1) + offset), abs=1e-11)
    assert np.isfinite(np.log(shares)).all()
    assert shares.sum(axis=1) == pytest.approx(np.ones(6))
    # Every grade keeps a share of what is on its side.
    assert (shares[:, 1] >= 0.99 * SEPARATION * shares[:, :2].sum(axis=1) - 1e-11).all()


def test_cuts_that_agree_with_the_score_stay_where_they_are():
    raw = np.array([[3.0, 1.0, -1.0, -3.0]])  # their mean is 0

    shares = Readout(head="cumulative", temperature=1.0, referral=Platt(1.0, 1.0)).probabilities(raw)

    np.testing.assert_allclose(shares, probabilities("cumulative", raw), atol=1e-12)


def test_the_mean_is_fitted_as_logistic_regression_has_it_and_ranks_better_than_one_noisy_cut(noisy):
    # The program needs no scikit-learn: it is the independent reference here, and the clinic's install has none.
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn (the research extra)")
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn (the research extra)")
    raw, grades = noisy

    mean, cut = (fit_readout("cumulative", raw, grades, score=score) for score in ("mean", "cut"))

    fitted = linear_model.LogisticRegression(C=np.inf, tol=1e-10).fit(raw.mean(axis=1)[:, None], grades >= 2)
    expected = fitted.predict_proba(raw.mean(axis=1)[:, None])[:, 1]
    assert exceedance(mean.probabilities(raw), 2) == pytest.approx(expected, abs=0.01)  # Platt's targets are smoothed
    assert cut == Readout(head="cumulative", temperature=fit_temperature("cumulative", raw, grades))
    areas = [metrics.roc_auc_score(grades >= 2, exceedance(read.probabilities(raw), 2)) for read in (mean, cut)]
    assert areas[0] > areas[1] + 0.05
    assert (mean.score, cut.score) == ("mean", "cut")


def test_the_temperature_is_the_likeliest_beside_the_score(noisy):
    raw, grades = noisy
    fitted = fit_readout("cumulative", raw, grades, score="mean")

    def loss(temperature: float) -> float:
        read = Readout(head="cumulative", temperature=temperature, referral=fitted.referral)
        return -float(np.log(read.probabilities(raw)[np.arange(len(raw)), grades]).mean())

    assert all(loss(fitted.temperature) <= loss(fitted.temperature * factor) + 1e-9 for factor in (0.5, 0.9, 1.1, 2))


@pytest.mark.parametrize("score", SCORES)
def test_a_readout_comes_back_from_its_file(noisy, score):
    values = fit_readout("coral", *noisy, score=score).to_dict()

    if score == "cut":
        assert set(values) == {"temperature"}
    else:
        assert calibrator_from_dict(values["referral_score"]).to_dict() == values["referral_score"]


def test_what_cannot_be_read_so_is_refused(noisy):
    raw, grades = noisy
    with pytest.raises(ValueError, match="score must be one of cut, mean, got 'best'"):
        fit_readout("coral", raw, grades, score="best")
    with pytest.raises(ValueError, match=r"needs a head with cuts \(coral, cumulative\), got 'corn'"):
        fit_readout("corn", raw, grades, score="mean")
    with pytest.raises(ValueError, match="ranks these photographs worse than chance"):
        fit_readout("coral", -raw, grades, score="mean")
    with pytest.raises(ValueError, match="photographs of yes and of no are needed"):
        fit_readout("coral", raw, np.zeros(len(raw), np.int64), score="mean")
    with pytest.raises(ValueError, match=r"a referral score needs a head with cuts .*'softmax'"):
        probabilities("softmax", np.zeros((1, 5)), referral=np.zeros(1))


@pytest.mark.parametrize(
    ("head", "slope", "message"),
    [
        ("cumulative", 0.0, "slope of a referral score must be above 0, got 0.0"),
        ("corn", 1.0, r"needs a head with cuts \(coral, cumulative\), got 'corn'"),
    ],
)
def test_a_score_that_ranks_nothing_or_has_no_cuts_is_refused(head, slope, message):
    with pytest.raises(ValueError, match=message):
        Readout(head=head, temperature=1.0, referral=Platt(slope, 0.0))


def test_words_claim_a_cut_only_where_there_is_one():
    assert Readout(head="softmax", temperature=1.0).words == "the probabilities of the grades"
    assert Readout(head="coral", temperature=1.0).words == "the cut between grades 1 and 2"
    assert Readout(head="coral", temperature=1.0, referral=Platt(1.0, 0.0)).words == "the mean of the four cut logits"
