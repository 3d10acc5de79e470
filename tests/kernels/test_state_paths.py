"""Paths, pairs and predictions of the hidden states against enumeration of all paths."""

import math

import jax
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from pymc_jaxdist.kernels import (
    log_predictive_densities,
    pair_probs,
    predicted_probs,
    sample_paths,
    viterbi,
)
from pymc_jaxdist.kernels.transition_counts import (
    expected_times_and_transitions,
    expected_transitions,
)
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference
from tests.strategies import ENUMERABLE, Case, build_problem, problems

most_probable, pairs = jax.jit(viterbi), jax.jit(pair_probs)
one_ahead, densities = jax.jit(predicted_probs), jax.jit(log_predictive_densities)
drawn = jax.jit(sample_paths)
counts = jax.jit(expected_times_and_transitions)


def rows(problem, array, event_ndim):
    array = np.asarray(array)
    flat = array.reshape(math.prod(problem.batch), *array.shape[array.ndim - event_ndim :])
    return zip(flat, problem.sequences(), strict=True)


@given(problems(ENUMERABLE))
def test_viterbi_finds_the_most_probable_of_all_paths(problem):
    path, log_prob = most_probable(*problem)
    best = np.asarray(log_prob).ravel()
    for (found, (ll, start, matrix)), value in zip(rows(problem, path, 1), best, strict=True):
        end = len(ll)
        assert (found[end:] == -1).all()
        joint = dict(reference.enumerate_paths(ll, start, matrix)) if end else {(): 0.0}
        expected = max(joint.values())
        assert_close(value, expected, log_space_rounding(problem.log_likelihoods))
        if expected > -np.inf:
            tolerance = 1e-12 * max(1, abs(expected))
            assert abs(joint[tuple(found[:end].tolist())] - expected) <= tolerance
        else:
            assert (found == -1).all()


@given(problems(ENUMERABLE))
def test_counts_equal_enumeration(problem):
    times, transitions = counts(*problem)
    both = zip(rows(problem, times, 1), rows(problem, transitions, 2), strict=True)
    for (in_states, (ll, start, matrix)), (between, _) in both:
        if len(ll) == 0:
            assert (in_states == 0).all()
            assert (between == 0).all()
            continue
        total, occupancies, pairs_of_each = reference.brute_force(ll, start, matrix)
        if total == -np.inf:
            assert np.isnan(in_states).all()
            assert np.isnan(between).all()
        else:
            assert_close(in_states, occupancies.sum(axis=0), 1e-11)
            assert_close(between, pairs_of_each.sum(axis=0), 1e-11)


@given(problems(ENUMERABLE))
def test_pairs_equal_enumeration(problem):
    for found, (ll, start, matrix) in rows(problem, pairs(*problem), 3):
        assert len(found) == problem.log_likelihoods.shape[-2] - 1
        if len(ll) == 0:
            assert (found == 0).all()
            continue
        total, _, expected = reference.brute_force(ll, start, matrix)
        if total == -np.inf:
            assert np.isnan(found).all()
        else:
            assert_close(found[: len(ll) - 1], expected, 1e-11)
            assert (found[len(ll) - 1 :] == 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_pairs_of_all_times_are_as_many_as_transitions(steps):
    problem = build_problem(Case(steps, 3, (2,)), 0)
    of_each = pairs(*problem)
    assert of_each.shape == (2, steps - 1, 3, 3)
    assert_close(of_each.sum(axis=1), expected_transitions(*problem))
    assert_close(of_each.sum(axis=(1, 2, 3)), np.full(2, steps - 1.0))


def test_nothing_is_known_of_impossible_sequences():
    """Beside one that is possible, with padding."""
    ll = np.zeros((2, 3, 2))
    ll[0, 1] = -np.inf
    arguments = ll, np.ones(2) / 2, np.full((2, 2), 0.5), np.array([3, 2])
    for found in (pairs(*arguments), *counts(*arguments)):
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()


@given(problems())
def test_predictions_are_those_of_the_forward_algorithm(problem):
    both = zip(
        rows(problem, one_ahead(*problem), 2), rows(problem, densities(*problem), 1), strict=True
    )
    for (probs, (ll, start, matrix)), (log_density, _) in both:
        end = len(ll)
        assert np.isnan(probs[end:]).all()
        assert np.isnan(log_density[end:]).all()
        if not end or reference.log_likelihood(ll, start, matrix) == -np.inf:
            continue
        assert_close(probs[0], start)
        filtered = reference.filtered_probs(ll, start, matrix)
        for t in range(1, end):
            own = matrix if matrix.ndim == 2 else matrix[0 if len(matrix) == 1 else t - 1]
            assert_close(probs[t], filtered[t - 1] @ own, 1e-11)
        cumulative = [reference.log_likelihood(ll[: t + 1], start, matrix) for t in range(end)]
        tolerance = 10 * log_space_rounding(problem.log_likelihoods)
        assert_close(np.cumsum(log_density[:end]), cumulative, tolerance)


def test_drawn_paths_have_the_probabilities_of_all_paths():
    ll = np.random.default_rng(5).normal(size=(2, 4, 2))
    start, matrix, lengths = np.array([0.6, 0.4]), np.array([[0.7, 0.3], [0, 1]]), np.array([4, 2])
    draws = np.asarray(
        jax.vmap(lambda key: drawn(key, ll, start, matrix, lengths))(
            jax.random.split(jax.random.key(1), 20_000)
        )
    )
    assert (draws[:, 1, 2:] == -1).all()
    for n, end in enumerate(lengths):
        paths, joint = zip(*reference.enumerate_paths(ll[n, :end], start, matrix), strict=True)
        expected = np.exp(np.array(joint) - reference.logsumexp(joint)).astype(float)
        codes = [tuple(path) for path in draws[:, n, :end].tolist()]
        counts = np.array([codes.count(path) for path in paths])
        assert counts.sum() == len(codes)
        assert (counts[expected == 0] == 0).all()
        possible = expected > 0
        share = expected[possible] / expected[possible].sum()
        assert stats.chisquare(counts[possible], len(codes) * share).pvalue > 1e-4


def test_a_sequence_without_observations_has_a_path_of_probability_one():
    path, log_prob = most_probable(np.zeros((1, 3, 2)), np.ones(2) / 2, np.eye(2), np.array([0]))
    assert (np.asarray(path) == -1).all()
    assert log_prob[0] == 0


@pytest.mark.parametrize("changes", [{"ll": np.nan}, {"ll": np.inf}, {"start": -1.0}])
def test_invalid_arguments_have_no_path(changes):
    ll, start = np.zeros((2, 3, 2)), np.ones(2) / 2
    ll[0, 1, 1] = changes.get("ll", 0.0)
    start[0] = changes.get("start", start[0])
    path, log_prob = most_probable(ll, start, np.eye(2))
    alone = list(changes) == ["ll"]
    assert (np.asarray(path)[0] == -1).all()
    assert log_prob[0] == -np.inf
    assert (np.asarray(path)[1] >= 0).all() == alone


def test_drawn_paths_of_impossible_sequences_are_marked():
    ll = np.zeros((2, 3, 2))
    ll[0, 1] = -np.inf
    path = np.asarray(drawn(jax.random.key(0), ll, np.ones(2) / 2, np.eye(2)))
    assert (path[0] == -1).all()
    assert (path[1] >= 0).all()


def test_densities_far_beyond_the_range_of_floats():
    ll = np.array([[0.0, -800.0], [-900.0, 0.0]])
    found = densities(ll, np.ones(2) / 2, np.eye(2))
    assert_close(found, [np.log(0.5), -800.0])
