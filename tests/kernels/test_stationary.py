import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels import stationary_distribution
from tests.kernels.comparisons import assert_close
from tests.reference import hidden_markov as reference
from tests.reference.differences import central_difference
from tests.strategies import reducible_matrix

stationary = jax.jit(stationary_distribution)
jacobian = jax.jit(jax.jacrev(stationary_distribution))
seeds = st.integers(0, 2**32 - 1)
SIZES = (1, 2, 3, 5, 8)


def random_matrix(seed, states):
    return np.random.default_rng(seed).dirichlet(np.ones(states), size=states)


@given(seeds, st.sampled_from(SIZES))
def test_equals_the_eigenvector(seed, states):
    matrix = random_matrix(seed, states)
    probs = stationary(matrix)
    # Eigenvectors are themselves accurate to the condition of the problem only.
    assert_close(probs, reference.stationary_distribution(matrix), 1e-10)
    assert_close(probs @ matrix, probs)
    assert_close(probs.sum(), 1.0)


@given(seeds, st.sampled_from((2, 3, 5, 8)), st.data())
def test_transient_states_have_probability_zero(seed, states, data):
    transient = data.draw(st.integers(1, states - 1))
    matrix = reducible_matrix(np.random.default_rng(seed), states, transient)
    probs = np.asarray(stationary(matrix))
    assert (probs == 0).sum() == transient
    assert (probs >= 0).all()
    assert_close(probs @ matrix, probs)


def test_absorbing_state():
    matrix = np.array([[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]])
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        probs = stationary(matrix[np.ix_(order, order)])
        assert (np.asarray(probs) == (np.array(order) == 2)).all()


def test_periodic_chain():
    assert_close(stationary(np.eye(4)[[1, 2, 3, 0]]), np.full(4, 0.25))


@pytest.mark.parametrize("rate", [1e-10, 1e-100, 1e-300])
def test_nearly_uncoupled_states_have_full_relative_accuracy(rate):
    matrix = np.array([[1 - rate, rate], [3 * rate, 1 - 3 * rate]])
    assert_close(stationary(matrix), np.array([0.75, 0.25]))


def test_birth_death_chain_over_many_orders_of_magnitude():
    states, up, down = 30, 1e-6, 0.5
    matrix = np.diag(np.full(states - 1, up), 1) + np.diag(np.full(states - 1, down), -1)
    matrix += np.diag(1 - matrix.sum(axis=1))
    exact = (up / down) ** np.arange(states)
    probs = np.asarray(stationary(matrix))
    np.testing.assert_allclose(probs, exact / exact.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(2),
        np.eye(5),
        np.array([[1.0, 0, 0], [0.5, 0.0, 0.5], [0, 0, 1.0]]),
        np.kron(np.eye(2), np.full((2, 2), 0.5)),
        np.array([[0.5, np.nan], [0.5, 0.5]]),
        np.array([[0.5, np.inf], [0.5, 0.5]]),
        np.array([[1.1, -0.1], [0.5, 0.5]]),
    ],
)
def test_no_unique_distribution_is_nan_with_zero_gradient(matrix):
    assert np.isnan(stationary(matrix)).all()
    assert (np.asarray(jacobian(matrix)) == 0).all()


@pytest.mark.parametrize("states", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_derivatives_along_stochastic_matrices(states):
    logits = np.random.default_rng(states).normal(size=(states, states))

    def function(x):
        return stationary_distribution(jax.nn.softmax(x, axis=-1))

    def numpy_function(x):
        weights = np.exp(x)
        return reference.stationary_distribution(weights / weights.sum(axis=-1, keepdims=True))

    expected = np.moveaxis(central_difference(numpy_function, logits, 1e-3), -1, 0)
    with jax.numpy_rank_promotion("allow"):
        first = jax.jit(jax.jacrev(function))
        assert_close(first(logits), expected, 1e-10)
        assert_close(jax.jit(jax.jacfwd(function))(logits), expected, 1e-10)
        second = jax.jit(jax.jacfwd(jax.jacrev(function)))(logits)
        assert_close(second, jax.jit(jax.jacrev(jax.jacrev(function)))(logits), 1e-11)
        slope = central_difference(first, logits, 1e-3)
        assert_close(second, np.moveaxis(slope, (0, 1), (-2, -1)), 1e-10)


def test_gradient_at_structural_zeros_is_finite():
    matrix = np.array([[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]])
    gradient = jacobian(matrix)
    assert np.isfinite(gradient).all()
    # Leaving the absorbing state for state 0 with rate e: e * time spent there.
    eps = 1e-7
    left = matrix + eps * np.array([[0, 0, 0], [0, 0, 0], [1, 0, -1]])
    slope = (stationary(left) - stationary(matrix)) / eps
    assert_close(gradient[:, 2, 0] - gradient[:, 2, 2], slope, 1e-4)


@pytest.mark.parametrize("batch_shape", [(6,), (2, 3)])
def test_batches(batch_shape):
    matrices = np.stack([random_matrix(seed, 4) for seed in range(6)])
    batch = stationary(matrices.reshape(*batch_shape, 4, 4))
    assert batch.shape == (*batch_shape, 4)
    for probs, matrix in zip(batch.reshape(6, 4), matrices, strict=True):
        assert_close(probs, stationary(matrix))


def test_shape_error():
    with pytest.raises(ValueError, match="transition_matrix must have shape"):
        stationary_distribution(jnp.ones((2, 3)))
