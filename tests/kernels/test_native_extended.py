"""The recursions of extended range, called by their address, against the textbook in log space."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels.native.extended import LIMIT, LIMIT_AT_ZERO, _extended_posterior
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference

EXTENDED = ctypes.CFUNCTYPE(ctypes.c_double, *8 * [ctypes.c_int64])


def call(ll, start, matrix):
    """Return the log-likelihood, and its derivatives by all three."""
    given = [np.ascontiguousarray(x, dtype=float) for x in (ll, start, matrix)]
    # Expected transitions are added to what is there.
    results = [np.full(ll.shape, np.nan), np.full(start.shape, np.nan), np.zeros(matrix.shape)]
    of_given, of_results = ([x.ctypes.data for x in arrays] for arrays in (given, results))
    value = EXTENDED(_extended_posterior().address)(*of_given, *ll.shape, *of_results)
    return value, *results


def limited(derivative, probs):
    """Limit derivatives by probabilities, of which some are 0, to what floats can hold."""
    return np.minimum(derivative, np.where(probs > 0, LIMIT, LIMIT_AT_ZERO)).astype(float)


def draw(shape, seed, scale, zeros):
    states = shape[1]
    rng = np.random.default_rng(seed)
    start, matrix = rng.dirichlet(np.ones(states)), rng.dirichlet(np.ones(states), size=states)
    possible = (rng.random(matrix.shape) >= zeros) | np.eye(states, dtype=bool)
    ll = scale * rng.normal(size=shape)
    ll[rng.random(shape) < zeros / 4] = -np.inf
    return ll, np.where(rng.random(states) >= zeros, start, 0.0), np.where(possible, matrix, 0.0)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (6, 3), (5, 4)])
@pytest.mark.parametrize("scale", [1.0, 300.0, 1e5])
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.6]))
def test_every_derivative_at_any_scale(shape, scale, seed, zeros):
    ll, start, matrix = draw(shape, seed, scale, zeros)
    value, posterior, first, pairs = call(ll, start, matrix)
    expected = reference.log_likelihood(ll, start, matrix)
    if expected == -np.inf:
        assert value == -np.inf
        assert np.isnan(posterior).all()
        assert np.isnan(first).all()
        assert not pairs.any()
        return
    rounding = 10 * log_space_rounding(ll)
    assert_close(value, float(expected), rounding)
    # One matrix for each step: each derivative is limited before they are summed.
    matrices = np.broadcast_to(matrix, (len(ll) - 1, *matrix.shape))
    with np.errstate(over="ignore"):
        by_ll, by_start, by_matrix = reference.gradient(ll, start, matrices)
    assert_close(posterior, by_ll.astype(float), rounding)
    assert_close(first, limited(by_start, start), rounding)
    assert_close(pairs, limited(by_matrix, matrix).sum(axis=0), rounding)


@pytest.mark.parametrize("shared", [-5e17, 5e17])
def test_evidence_that_all_states_share_tells_nothing_of_them(shared):
    """However unlikely the observations are."""
    ll, start, matrix = draw((6, 3), 0, 0.0, 0.0)
    value, *derivatives = call(ll + shared, start, matrix)
    assert_close(value, 6 * shared)
    for found, expected in zip(derivatives, call(ll, start, matrix)[1:], strict=True):
        assert_close(found, expected)
