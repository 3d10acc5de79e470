"""Recursions that cannot underflow, called directly, against the formulas of the textbook."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.extended import (
    extended_counts,
    extended_forward,
    extended_log_likelihood,
)
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference
from tests.strategies import Case, Problem, build_problem

#: Shared and own probabilities, constant and varying matrices, with and without padding.
CASES = {
    "shared": Case(5, 3, (3,), padded=True),
    "own": Case(4, 2, (2,), (2,), (2,), padded=True),
    "varying": Case(4, 3, (2,), varying=True),
    "own varying": Case(4, 2, (3,), (3,), (3,), varying=True, padded=True),
}
cases = st.sampled_from(list(CASES.values()))
seeds = st.integers(0, 10_000)
zeros = st.sampled_from([0.0, 0.4])
scales = st.sampled_from([2.0, 2000.0])


@jax.jit
def forward(chain):
    filtered, log_scale = extended_forward(chain)
    return filtered.log(), log_scale


log_likelihood = jax.jit(extended_log_likelihood)
counts = jax.jit(extended_counts)


@given(cases, seeds, zeros, scales)
def test_what_is_filtered_times_its_scale_is_the_joint_density(case, seed, zeros, scale):
    """The largest state is 1 after each step; nothing changes on padding."""
    problem = build_problem(case, seed, zeros=zeros, scale=scale)
    filtered, log_scale = map(np.asarray, forward(flatten_batch(*problem)[0]))
    rounding = log_space_rounding(problem.log_likelihoods)
    for n, (ll, start, matrix) in enumerate(problem.sequences()):
        assert not log_scale[max(len(ll), 1) :, n].any()
        steps = filtered[..., n]
        assert (steps[len(ll) :] == steps[max(len(ll) - 1, 0)]).all()
        if len(ll) == 0:
            assert_close(np.exp(steps[0] + log_scale[0, n]), start)
            continue
        expected = reference.log_forward(ll, start, matrix)
        joint = steps[: len(ll)] + np.cumsum(log_scale[: len(ll), n])[:, None]
        assert_close(joint, expected, rounding)
        possible = expected.max(axis=1) > -np.inf
        assert_close(steps[: len(ll)].max(axis=1)[possible], np.zeros(possible.sum()))


@given(cases, seeds, zeros, scales)
def test_the_log_likelihood_is_that_of_the_forward_algorithm(case, seed, zeros, scale):
    problem = build_problem(case, seed, zeros=zeros, scale=scale)
    expected = [
        reference.log_likelihood(*own) if len(own[0]) else 0.0 for own in problem.sequences()
    ]
    rounding = log_space_rounding(problem.log_likelihoods)
    assert_close(log_likelihood(flatten_batch(*problem)[0]), expected, rounding)


def textbook_counts(problem, chain, use, weights):
    """Sum the gradients of sequences that count, in the shapes of the chain."""
    by_ll, by_start, by_matrix = (np.zeros(x.shape) for x in chain[:3])
    for n, (ll, start, matrix) in enumerate(problem.sequences()):
        if not use[n] or len(ll) == 0:
            continue
        d_ll, d_start, d_matrix = (weights[n] * x for x in reference.gradient(ll, start, matrix))
        by_ll[n, : len(ll)] = d_ll
        by_start[n if len(by_start) > 1 else 0] += d_start
        own = by_matrix[n if len(by_matrix) > 1 else 0]
        own[: len(own) if len(own) == 1 else len(ll) - 1] += d_matrix
    return by_ll, by_start, by_matrix


@given(cases, seeds, zeros, scales)
def test_counts_are_the_weighted_gradients_of_the_sequences_that_count(case, seed, zeros, scale):
    problem = build_problem(case, seed, zeros=zeros, scale=scale)
    chain, _ = flatten_batch(*problem)
    rng = np.random.default_rng(seed)
    possible = np.asarray(log_likelihood(chain)) > -np.inf
    use, weights = possible & (rng.random(len(possible)) < 0.8), rng.normal(size=len(possible))
    found = counts(chain, use, weights)
    with np.errstate(over="ignore", invalid="ignore"):
        expected = textbook_counts(problem, chain, use, weights)
        rounding = 10 * log_space_rounding(problem.log_likelihoods)
        assert_close(found[0], expected[0], rounding)
        # What an impossible transition would have brought may be beyond the range of floats.
        for probs, mine, own in zip(chain[1:3], found[1:], expected[1:], strict=True):
            assert np.isfinite(mine).all()
            assert_close(probs * mine, np.where(probs > 0, probs * own, 0.0), rounding)


def of_one(ll, start, matrix):
    """Return the counts of a single sequence."""
    problem = Problem(*(np.array(x, dtype=float) for x in (ll, start, matrix)), None)
    chain, _ = flatten_batch(*problem)
    return counts(chain, np.array([True]), np.ones(1))


@pytest.mark.parametrize("nats", [10.0, 300.0])
def test_the_derivative_by_a_probability_of_zero_is_that_of_the_formula(nats):
    _, by_start, by_matrix = of_one([[0, 0], [-nats, 0]], [1, 0], np.eye(2))
    assert_close(by_matrix[0, 0, 0, 1], np.exp(nats))
    assert_close(by_start[0, 1], np.exp(nats))


def test_beyond_the_range_of_floats_it_is_the_root_of_the_largest():
    _, by_start, by_matrix = of_one([[0, 0], [-2000, 0]], [1, 0], np.eye(2))
    limit = np.sqrt(np.finfo(float).max)
    assert_close(by_matrix[0, 0, 0, 1] / limit, 1.0)
    assert_close(by_start[0, 1] / limit, 1.0)


@pytest.mark.parametrize("rate", [1e-200, 1e-290])
def test_the_derivative_by_a_small_probability_is_its_inverse(rate):
    """That is larger than the limit for a probability of zero."""
    _, _, by_matrix = of_one([[0, -1e5], [-1e5, 0]], [1, 0], [[1 - rate, rate], [rate, 1 - rate]])
    assert_close(rate * by_matrix[0, 0, 0, 1], 1.0)
