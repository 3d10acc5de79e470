"""The stationary distribution that Numba compiles is the twin of that which XLA compiles."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels import stationary_distribution
from pymc_jaxdist.kernels.native.stationary import (
    compiled_pullback,
    compiled_stationary_distribution,
)
from tests.kernels.comparisons import assert_close
from tests.reference.differences import central_difference
from tests.strategies import reducible_matrix

SIZES = (1, 2, 3, 5, 8)
of_one, of_each = compiled_stationary_distribution(False), compiled_stationary_distribution(True)
pull_back = compiled_pullback()


@njit
def native(matrix, cotangent):
    return of_one(matrix), pull_back(matrix, cotangent)


@njit
def native_of_each(matrices, cotangents):
    return of_each(matrices), pull_back(matrices, cotangents)


@jax.jit
def twin(matrix, cotangent):
    probs, pullback = jax.vjp(stationary_distribution, matrix)
    return probs, *pullback(cotangent)


def assert_same(matrix, cotangent):
    probs, gradient = native(matrix, cotangent)
    expected, of_matrix = twin(matrix, cotangent)
    assert_allclose(probs, expected, rtol=1e-12)
    assert_allclose(gradient, of_matrix, rtol=1e-12, atol=1e-12 * np.abs(of_matrix).max())


def random_matrix(rng, states, zeros):
    kept = (rng.random((states, states)) >= zeros) | np.eye(states, dtype=bool)
    matrix = np.where(kept, rng.dirichlet(np.ones(states), size=states), 0.0)
    return matrix / matrix.sum(axis=1, keepdims=True)


@given(st.integers(0, 2**32 - 1), st.sampled_from(SIZES), st.sampled_from([0.0, 0.3, 0.7]))
def test_equals_its_twin(seed, states, zeros):
    """Also where some states are transient, or the distribution is not unique."""
    rng = np.random.default_rng(seed)
    assert_same(random_matrix(rng, states, zeros), rng.normal(size=states))


@given(st.integers(0, 2**32 - 1), st.sampled_from(SIZES[1:]))
def test_the_pullback_is_a_central_difference_along_stochastic_matrices(seed, states):
    rng = np.random.default_rng(seed)
    matrix, towards = rng.dirichlet(np.ones(states), size=(2, states))
    cotangent = rng.normal(size=states)

    def moved(step):
        return cotangent @ native(matrix + step * (towards - matrix), cotangent)[0]

    expected = central_difference(moved, np.array(0.01), 1e-4)
    at = matrix + 0.01 * (towards - matrix)
    found = np.sum(native(at, cotangent)[1] * (towards - matrix))
    assert_close(found, expected, 1e-6 * max(1.0, abs(expected)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 5]), st.integers(1, 2))
def test_transient_states(seed, states, transient):
    rng = np.random.default_rng(seed)
    matrix = reducible_matrix(rng, states, transient)
    assert_same(matrix, rng.normal(size=states))
    assert (native(matrix, np.ones(states))[0] == 0).sum() == transient


@pytest.mark.parametrize("rate", [1e-10, 1e-100, 1e-300])
def test_full_relative_accuracy(rate):
    matrix = np.array([[1 - rate, rate], [3 * rate, 1 - 3 * rate]])
    assert_close(native(matrix, np.ones(2))[0], np.array([0.75, 0.25]))


def test_probabilities_over_many_orders_of_magnitude():
    states, up, down = 60, 1e-9, 0.5
    matrix = np.diag(np.full(states - 1, up), 1) + np.diag(np.full(states - 1, down), -1)
    matrix += np.diag(1 - matrix.sum(axis=1))
    exact = (up / down) ** np.arange(states)
    probs, _ = native(matrix[::-1, ::-1].copy(), np.ones(states))
    possible = exact > 1e-290
    assert_allclose(probs[::-1][possible], exact[possible] / exact.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        np.kron(np.eye(2), np.full((2, 2), 0.5)),
        np.array([[0.5, np.nan], [0.5, 0.5]]),
        np.array([[0.5, np.inf], [0.5, 0.5]]),
        np.array([[1.1, -0.1], [0.5, 0.5]]),
    ],
    ids=["every state absorbs", "two classes", "nan", "inf", "negative"],
)
def test_where_there_is_none_it_is_nan_and_the_gradient_zero(matrix):
    probs, gradient = native(matrix, np.arange(1.0, 1 + len(matrix)))
    assert np.isnan(probs).all()
    assert not gradient.any()


def test_a_matrix_of_each_sequence():
    rng = np.random.default_rng(0)
    matrices, cotangents = rng.dirichlet(np.ones(3), size=(4, 1, 3)), rng.normal(size=(4, 3))
    matrices[2, 0] = np.eye(3)
    probs, gradients = native_of_each(matrices, cotangents)
    assert gradients.shape == matrices.shape
    for n in range(4):
        own = native(matrices[n, 0], cotangents[n])
        assert_array_equal(probs[n], own[0])
        assert_array_equal(gradients[n, 0], own[1])
