"""Hidden semi-Markov kernels against enumeration of every way to cut a sequence into stays."""

from typing import NamedTuple

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from pymc_jaxdist.kernels.semi_markov import semi_markov_log_likelihood, semi_markov_smoothed_probs
from pymc_jaxdist.kernels.semi_markov_counts import (
    semi_markov_expected_times_and_transitions,
    semi_markov_expected_transitions,
    semi_markov_pair_probs,
)
from pymc_jaxdist.kernels.semi_markov_paths import (
    semi_markov_log_filter,
    semi_markov_sample_paths,
    semi_markov_viterbi,
)
from tests.reference.hidden_semi_markov import marginals, segmentations

#: Times, states, longest stay. Few, because each compiles.
SHAPES = ((6, 2, 6), (5, 3, 3))
N = 2


class Problem(NamedTuple):
    log_likelihoods: np.ndarray
    initial_probs: np.ndarray
    transition_matrix: np.ndarray
    log_durations: np.ndarray
    log_survival: np.ndarray
    lengths: np.ndarray

    def sequences(self):
        """Give the arguments of the reference, padding cut off."""
        for n, length in enumerate(self.lengths):
            probs, survival = np.exp(self.log_durations[n]), np.exp(self.log_survival[n])
            # A stay that is longer than the longest one is impossible.
            wider = ((0, 0), (0, self.log_likelihoods.shape[1]))
            yield (
                self.log_likelihoods[n, :length],
                self.initial_probs,
                self.transition_matrix,
                np.pad(probs, wider),
                np.pad(survival, wider),
            )


def _thinned(rng, shape, zeros):
    """Draw probabilities of which some, but not all, are zero."""
    probs = rng.dirichlet(np.ones(shape[-1]), size=shape[:-1])
    probs = probs * (rng.random(shape) > zeros) + 1e-3 * np.eye(shape[-1])[0]
    return probs / probs.sum(axis=-1, keepdims=True)


@st.composite
def problems(draw):
    steps, states, longest = draw(st.sampled_from(SHAPES))
    zeros = draw(st.sampled_from([0.0, 0.0, 0.4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ll = rng.normal(scale=draw(st.sampled_from([0.1, 3.0, 30.0])), size=(N, steps, states))
    ll[rng.random(ll.shape) < zeros / 4] = -np.inf
    start = _thinned(rng, (states,), zeros)
    # Rows over the other states: one of them is always possible.
    matrix = np.zeros((states, states))
    matrix[~np.eye(states, dtype=bool)] = _thinned(rng, (states, states - 1), zeros).ravel()
    # Where they may go beyond the end of the sequence, a stay may outlast it.
    durations = _thinned(rng, (N, states, longest + (longest == steps)), zeros)
    survival = durations[..., ::-1].cumsum(axis=-1)[..., ::-1][..., :longest]
    with np.errstate(divide="ignore"):
        logs = np.log(durations[..., :longest]), np.log(survival)
    return Problem(ll, start, matrix, *logs, rng.integers(1, steps + 1, size=N))


@jax.jit
def given_everything(*problem):
    return (
        semi_markov_log_likelihood(*problem),
        semi_markov_smoothed_probs(*problem),
        semi_markov_pair_probs(*problem),
        (
            *semi_markov_expected_times_and_transitions(*problem),
            semi_markov_expected_transitions(*problem),
        ),
    )


most_probable = jax.jit(semi_markov_viterbi)
one_ahead = jax.jit(semi_markov_log_filter)
drawn = jax.jit(semi_markov_sample_paths)


@given(problems())
def test_what_is_known_given_the_whole_sequence(problem):
    log_lik, smoothed, pairs, (times, transitions, alone) = given_everything(*problem)
    assert_allclose(alone, transitions)
    for n, arguments in enumerate(problem.sequences()):
        steps = len(arguments[0])
        total, occupancies, of_pairs = marginals(*arguments)
        assert_allclose(log_lik[n], total, rtol=1e-12, atol=1e-12)
        assert_allclose(smoothed[n, :steps], occupancies, atol=1e-12)
        assert np.isnan(smoothed[n, steps:]).all()
        assert_allclose(pairs[n, : steps - 1], of_pairs, atol=1e-12)
        if total == -np.inf:
            continue
        assert (np.asarray(pairs)[n, steps - 1 :] == 0).all()
        assert_allclose(times[n], occupancies.sum(axis=0), atol=1e-11)
        assert_allclose(transitions[n], of_pairs.sum(axis=0), atol=1e-11)


def two_sequences(lengths):
    """Return arguments that say nothing of the states."""
    steps, states, longest = SHAPES[0]
    start, matrix = np.ones(states) / states, 1 - np.eye(states)
    durations = np.full((N, states, longest), np.log(1 / longest))
    survival = np.broadcast_to(np.log(np.arange(longest, 0, -1) / longest), durations.shape)
    ll = np.zeros((N, steps, states))
    return Problem(ll, start, matrix, durations, survival, np.array(lengths))


def test_nothing_is_known_of_impossible_sequences():
    """Beside one that is possible."""
    problem = two_sequences([6, 6])
    problem.log_likelihoods[0, 1] = -np.inf
    log_lik, *others = given_everything(*problem)
    assert log_lik[0] == -np.inf
    for found in jax.tree.leaves(others):
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_invalid_arguments_are_impossible(bad):
    problem = two_sequences([6, 6])
    problem.log_likelihoods[0, 1, 0] = bad
    log_lik, *others = given_everything(*problem)
    path, log_prob = most_probable(*problem)
    assert log_lik[0] == log_prob[0] == -np.inf
    assert (path[0] == -1).all()
    for found in (log_lik, log_prob, *jax.tree.leaves(others)):
        assert np.isfinite(found[1]).all()


def test_a_sequence_without_observations_is_certain():
    problem = two_sequences([0, 6])
    log_lik, smoothed, *counts = given_everything(*problem)
    path, log_prob = most_probable(*problem)
    assert log_lik[0] == log_prob[0] == 0
    assert np.isnan(smoothed[0]).all()
    assert (path[0] == -1).all()
    for found in jax.tree.leaves(counts):
        assert (found[0] == 0).all()


@given(problems())
def test_the_most_probable_of_all_paths(problem):
    path, log_prob = most_probable(*problem)
    for n, arguments in enumerate(problem.sequences()):
        steps = len(arguments[0])
        with np.errstate(divide="ignore"):
            joint = dict(segmentations(*arguments))
        best = max(joint.values())
        assert_allclose(log_prob[n], best, rtol=1e-12, atol=1e-12)
        assert (path[n, steps:] == -1).all()
        if best == -np.inf:
            assert (path[n] == -1).all()
        else:
            found = tuple(np.asarray(path)[n, :steps].tolist())
            assert_allclose(joint[found], best, rtol=1e-12, atol=1e-12)


@given(problems())
def test_what_is_known_as_the_sequence_goes_on(problem):
    """Of shorter sequences; of the next state, that of a sequence whose end is not observed."""
    found = one_ahead(*problem)
    for n, (ll, *rest) in enumerate(problem.sequences()):
        before = 0.0
        for t in range(len(ll)):
            total, occupancies, _ = marginals(ll[: t + 1], *rest)
            unseen = np.concatenate([ll[:t], np.zeros((1, ll.shape[1]))])
            if before == -np.inf:
                break
            _, next_states, _ = marginals(unseen, *rest)
            assert_allclose(np.exp(found.log_predicted[n, t]), next_states[-1], atol=1e-12)
            assert_allclose(found.log_density[n, t], total - before, rtol=1e-11, atol=1e-11)
            if total > -np.inf:
                assert_allclose(np.exp(found.log_filtered[n, t]), occupancies[-1], atol=1e-12)
            before = total
        assert np.isnan(found.log_density[n, len(ll) :]).all()


def test_nothing_is_predicted_of_invalid_arguments():
    """Of the sequence beside it, until it ends."""
    problem = two_sequences([6, 4])
    problem.log_likelihoods[0, 1, 0] = np.nan
    for found in one_ahead(*problem):
        assert np.isnan(found[0]).all()
        assert np.isfinite(found[1, :4]).all()
        assert np.isnan(found[1, 4:]).all()


def test_drawn_paths_have_the_probabilities_of_all_paths():
    """Of stays that differ in how long they last, also beyond the end; one sequence is shorter."""
    rng = np.random.default_rng(7)
    steps, states, longest = 4, 3, 3
    matrix = np.zeros((states, states))
    matrix[~np.eye(states, dtype=bool)] = rng.dirichlet(np.ones(2), size=states).ravel()
    durations = rng.dirichlet(np.ones(longest), size=(N, states))
    durations[0, 0] = [0.0, 0.3, 0.7]
    survival = durations[..., ::-1].cumsum(axis=-1)[..., ::-1]
    with np.errstate(divide="ignore"):
        logs = np.log(durations), np.log(survival)
    ll, start = rng.normal(size=(N, steps, states)), rng.dirichlet(np.ones(states))
    problem = Problem(ll, start, matrix, *logs, np.array([4, 3]))
    keys = jax.random.split(jax.random.key(2), 20_000)
    draws = np.asarray(jax.vmap(lambda key: drawn(key, *problem))(keys))
    assert (draws[:, 1, 3:] == -1).all()
    for n, arguments in enumerate(problem.sequences()):
        with np.errstate(divide="ignore"):
            joint = dict(segmentations(*arguments))
        weights = np.exp(list(joint.values()))
        codes = [tuple(path) for path in draws[:, n, : len(arguments[0])].tolist()]
        found = np.array([codes.count(path) for path in joint])
        assert found.sum() == len(codes)
        possible = weights > 0
        assert not found[~possible].any()
        expected = len(codes) * weights[possible] / weights.sum()
        assert stats.chisquare(found[possible], expected).pvalue > 1e-4


def test_there_is_no_path_to_draw_of_impossible_and_invalid_sequences():
    for bad in -np.inf, np.nan:
        problem = two_sequences([6, 6])
        problem.log_likelihoods[0, 1] = bad
        path = drawn(jax.random.key(0), *problem)
        assert (path[0] == -1).all()
        assert (path[1] >= 0).all()


SHARED = [(), (3,), (1, 3), (2, 3), (2, 1), (4, 2, 3), (4, 1, 1)]


@pytest.mark.parametrize(
    ("shape", "states", "longest"), [*((shape, 3, 5) for shape in SHARED), ((2, 4), 4, 2)]
)
def test_durations_are_broadcast(shape, states, longest):
    """Shared by states, by sequences, by some of them, or by all; also if they are few."""
    rng = np.random.default_rng(0)
    ll, start = rng.normal(size=(4, 2, 5, states)), np.ones(states) / states
    matrix = (1 - np.eye(states)) / (states - 1)
    probs = rng.dirichlet(np.ones(longest), size=shape)
    durations, survival = np.log(probs), np.log(probs[..., ::-1].cumsum(axis=-1)[..., ::-1])
    found = semi_markov_log_likelihood(ll, start, matrix, durations, survival)
    own = (np.broadcast_to(x, (4, 2, states, longest)) for x in (durations, survival))
    assert_allclose(found, semi_markov_log_likelihood(ll, start, matrix, *own), rtol=1e-12)
    assert found.shape == (4, 2)
