"""Random draws follow the distribution whose log-density is computed."""

import numpy as np
import pymc as pm
import pytest
from numpy.testing import assert_allclose

import pymc_jaxdist as pmj
from tests.distributions.compiled import evaluate, logp_of

MATRIX = np.array([[0.9, 0.1], [0.3, 0.7]])
START = np.array([0.2, 0.8])
DRAWS = 20_000
REVEALED = pm.Categorical.dist(p=np.eye(2))  # an observation is the state


@pytest.mark.slow
def test_frequencies_of_whole_paths_are_their_probabilities():
    """With emissions that reveal the state every path has a frequency and a log-density."""
    hmm = pmj.MarginalHMM.dist(REVEALED, MATRIX, START, steps=3)
    draws = pm.draw(hmm, draws=DRAWS, random_seed=1)
    paths, counts = np.unique(draws, axis=0, return_counts=True)
    batch = pmj.MarginalHMM.dist(REVEALED, MATRIX, START, shape=(len(paths), 3))
    probs = np.exp(logp_of(batch, paths))
    assert_allclose(probs.sum(), 1.0, rtol=1e-12)
    assert_allclose(counts / DRAWS, probs, atol=4 * np.sqrt(0.25 / DRAWS))


def test_a_matrix_that_varies_in_time_is_followed():
    flip, stay = np.array([[0.0, 1.0], [1.0, 0.0]]), np.eye(2)
    hmm = pmj.MarginalHMM.dist(REVEALED, np.stack([flip, stay, flip]), [1.0, 0.0])
    assert evaluate(hmm).tolist() == [0, 1, 1, 0]


def test_sequences_with_parameters_of_their_own():
    matrices = np.stack([np.eye(2), np.array([[0.0, 1.0], [1.0, 0.0]])])[:, None]
    starts = np.array([[1.0, 0.0], [0.0, 1.0]])
    hmm = pmj.MarginalHMM.dist(REVEALED, matrices, starts, steps=4)
    assert evaluate(hmm).tolist() == [[0, 0, 0, 0], [1, 0, 1, 0]]


@pytest.mark.slow
def test_the_first_state_is_stationary_by_default():
    hmm = pmj.MarginalHMM.dist(REVEALED, MATRIX, steps=3)
    draws = pm.draw(hmm, draws=DRAWS, random_seed=2)
    assert_allclose(draws.mean(axis=0), 0.25, atol=0.015)


def test_moments_of_vector_emissions():
    mu = np.array([[0.0, 0.0], [4.0, -4.0]])
    hmm = pmj.MarginalHMM.dist(
        pm.MvNormal.dist(mu, cov=np.eye(2)), MATRIX, START, shape=(500, 8, 2)
    )
    draws = pm.draw(hmm, random_seed=3)
    occupancy = np.array([START @ np.linalg.matrix_power(MATRIX, t) for t in range(8)])
    assert_allclose(draws.mean(axis=0), occupancy @ mu, atol=0.5)


@pytest.mark.slow
def test_mean_log_density_of_draws_is_highest_at_the_truth():
    draws = pm.draw(
        pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 3.0], 1.0), MATRIX, START, shape=(400, 20)),
        random_seed=4,
    )

    def mean_logp(mu, matrix):
        hmm = pmj.MarginalHMM.dist(pm.Normal.dist(mu, 1.0), matrix, START, shape=(400, 20))
        return logp_of(hmm, draws).mean()

    truth = mean_logp([0.0, 3.0], MATRIX)
    assert truth > mean_logp([0.3, 3.0], MATRIX)
    assert truth > mean_logp([0.0, 2.7], MATRIX)
    assert truth > mean_logp([0.0, 3.0], np.array([[0.8, 0.2], [0.3, 0.7]]))


def test_same_seed_same_draws():
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 3.0], 1.0), MATRIX, shape=(2, 5))
    first, second, other = (pm.draw(hmm, random_seed=seed) for seed in (7, 7, 8))
    assert (first == second).all()
    assert (first != other).any()


@pytest.mark.parametrize("shape", [5, (5,), (2, 5), (2, 3, 5)])
def test_shape(shape):
    hmm = pmj.MarginalHMM.dist(pm.Normal.dist([0.0, 3.0], 1.0), MATRIX, shape=shape)
    assert evaluate(hmm).shape == (shape if isinstance(shape, tuple) else (shape,))
