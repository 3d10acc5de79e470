"""R-hat and effective sample sizes against those of known processes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.posterior.convergence import effective_sample_size, r_hat


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9, -0.5])
def test_autoregressive_chains(correlation):
    """The effective size of n draws with autocorrelation r^t is n (1 - r) / (1 + r)."""
    rng = np.random.default_rng(0)
    draws = np.empty((4, 4000, 5))
    draws[:, 0] = rng.normal(size=(4, 5))
    for t in range(1, 4000):
        noise = np.sqrt(1 - correlation**2) * rng.normal(size=(4, 5))
        draws[:, t] = correlation * draws[:, t - 1] + noise
    expected = 16000 * (1 - correlation) / (1 + correlation)
    assert_allclose(effective_sample_size(draws).mean(), expected, rtol=0.15)
    assert_allclose(r_hat(draws), 1.0, atol=0.02)


def test_chains_that_disagree():
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(2, 500, 2)) + np.array([[[0.0, 0.0]], [[0.0, 10.0]]])
    first, second = r_hat(draws)
    assert first < 1.02
    assert second > 5
    assert effective_sample_size(draws)[1] < 5


def test_a_chain_that_drifts():
    """Halves of one chain disagree, which whole chains would not show."""
    draws = np.linspace(0, 1, 400) + 0.01 * np.random.default_rng(0).normal(size=(2, 400))
    assert r_hat(draws) > 1.5


def test_what_does_not_vary_agrees():
    assert r_hat(np.ones((2, 10, 3))).tolist() == [1.0] * 3
    assert effective_sample_size(np.ones((2, 10))) == 20


def test_too_few_draws_to_tell():
    assert np.isnan(r_hat(np.ones((1, 2))))
    assert np.isnan(effective_sample_size(np.ones((1, 4))))
