"""100,000 steps in both floating point types, and float32 in general."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pymc_jaxdist.kernels import marginal_log_likelihood, smoothed_probs, stationary_distribution
from tests.kernels.comparisons import TOLERANCE, assert_close, value, value_and_gradient
from tests.reference import hidden_markov as reference
from tests.slow_cases import slow_except
from tests.strategies import Case, build_problem

STEPS = 100_000


@functools.cache
def long_problem(states):
    """A simulated series with persistent states, and its exact gradient."""
    rng = np.random.default_rng(states)
    matrix = 0.9 * np.eye(states) + 0.1 * rng.dirichlet(np.ones(states), size=states)
    start = np.full(states, 1 / states)
    path = [0]
    for uniform in rng.random(STEPS - 1):
        path.append(int(np.searchsorted(matrix[path[-1]].cumsum(), uniform)))
    y = np.minimum(path, states - 1) + rng.normal(size=STEPS)
    ll = -0.5 * (y[:, None] - np.arange(states)) ** 2 - 0.9
    # Rounded first, so that both types get the same numbers.
    arguments = tuple(x.astype(np.float32) for x in (ll, start, matrix))
    return arguments, reference.scaled_gradient(*(x.astype(float) for x in arguments))


@pytest.mark.parametrize("states", slow_except([2, 10], 2))
def test_float64_over_100_000_steps(states):
    arguments, (log_lik, gradient) = long_problem(states)
    arguments = [x.astype(float) for x in arguments]
    (_, actual), actual_gradient = value_and_gradient(*arguments, None, np.ones(()))
    # The reference sums 100,000 rounded terms too.
    assert_close(actual, log_lik, 1e-11)
    assert_close(value(*arguments, None), log_lik, 1e-11)
    for a, e in zip(actual_gradient, gradient, strict=True):
        assert_close(a, e, 1e-9)


@pytest.mark.parametrize("states", slow_except([2, 10], 10))
def test_float32_over_100_000_steps(states):
    arguments, (log_lik, gradient) = long_problem(states)
    weights = np.ones((), np.float32)
    (_, actual), actual_gradient = value_and_gradient(*arguments, None, weights)
    assert actual.dtype == np.float32
    assert abs(float(actual) - log_lik) < 1e-2
    assert abs(float(value(*arguments, None)) - log_lik) < 1e-2
    for a, e in zip(actual_gradient, gradient, strict=True):
        assert a.dtype == np.float32
        assert_close(a, e, TOLERANCE["float32"])


def test_float32_falls_back_within_its_own_range():
    ll = np.zeros((2000, 2), np.float32)
    ll[:1000, 0] = -1
    ll[1000:, 1] = -1.25
    start, matrix = np.full(2, 0.5, np.float32), np.eye(2, dtype=np.float32)
    truth = reference.log_likelihood(*(x.astype(float) for x in (ll, start, matrix)))
    (_, log_lik), gradient = value_and_gradient(ll, start, matrix, None, np.ones((), np.float32))
    assert_close(log_lik, truth, 1e-6)
    assert_close(value(ll, start, matrix, None), truth, 1e-6)
    assert_close(gradient[0][:, 0], np.ones(2000), 1e-6)
    for part in gradient:
        assert np.isfinite(part).all()


@pytest.mark.parametrize("case", [Case(30, 3, (2,)), Case(30, 10, (2,))])
@pytest.mark.parametrize("zeros", [0.0, 0.4])
def test_float32_agrees_with_float64(case, zeros):
    problem = build_problem(case, 1, zeros=zeros)[:3]
    single = [x.astype(np.float32) for x in problem]
    double = [x.astype(float) for x in single]
    (_, expected), expected_gradient = value_and_gradient(*double, None, np.ones(2))
    (_, actual), gradient = value_and_gradient(*single, None, np.ones(2, np.float32))
    assert_close(actual, expected, 1e-6)
    for a, e in zip(gradient, expected_gradient, strict=True):
        assert_close(a, e, TOLERANCE["float32"])


def test_float32_in_float32_out():
    arguments = [jnp.asarray(x, jnp.float32) for x in build_problem(Case(4, 3), 2)[:3]]
    for function in (marginal_log_likelihood, smoothed_probs):
        assert jax.eval_shape(function, *arguments).dtype == jnp.float32
    assert stationary_distribution(arguments[2]).dtype == jnp.float32
