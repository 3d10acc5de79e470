import jax
import numpy as np
from hypothesis import given

from pymc_jaxdist.kernels import filtered_probs, smoothed_probs
from tests.kernels.comparisons import assert_close
from tests.reference import hidden_markov as reference
from tests.strategies import ENUMERABLE, Case, build_problem, problems

smoothed, filtered = jax.jit(smoothed_probs), jax.jit(filtered_probs)


def check(problem, actual, expected_of):
    """Possible sequences equal the reference; padding and impossible ones are NaN."""
    actual = np.asarray(actual).reshape(-1, *actual.shape[-2:])
    for probs, (ll, *rest) in zip(actual, problem.sequences(), strict=True):
        end = len(ll)
        assert np.isnan(probs[end:]).all()
        if end and reference.log_likelihood(ll, *rest) > -np.inf:
            assert_close(probs[:end], expected_of(ll, *rest), 1e-11)


@given(problems(ENUMERABLE))
def test_smoothed_probs_equal_enumeration(problem):
    check(problem, smoothed(*problem), lambda *sequence: reference.brute_force(*sequence)[1])


@given(problems())
def test_smoothed_probs_equal_log_space_smoothing(problem):
    check(problem, smoothed(*problem), reference.smoothed_probs)


@given(problems())
def test_filtered_probs_equal_forward_algorithm(problem):
    check(problem, filtered(*problem), reference.filtered_probs)


def test_impossible_sequences_are_nan():
    ll = np.zeros((2, 4, 2))
    ll[0, 2] = -np.inf
    arguments = np.ones(2) / 2, np.full((2, 2), 0.5)
    assert np.isnan(smoothed(ll, *arguments)[0]).all()
    probs = np.asarray(filtered(ll, *arguments))
    assert_close(probs[0, :2], np.full((2, 2), 0.5))
    assert np.isnan(probs[0, 2:]).all()
    assert_close(probs[1], np.full((4, 2), 0.5))


def test_nothing_is_said_of_padding():
    arguments = np.zeros((2, 4, 2)), np.ones(2) / 2, np.eye(2), np.array([2, 4])
    for function in smoothed, filtered:
        probs = np.asarray(function(*arguments))
        assert np.isnan(probs[0, 2:]).all()
        assert_close(probs[0, :2], np.full((2, 2), 0.5))
        assert_close(probs[1], np.full((4, 2), 0.5))


def test_invalid_sequences_are_nan():
    ll, start, matrix, _ = build_problem(Case(4, 3, (2,)), 1)
    ll[0, 3, 1] = np.nan
    for function in smoothed, filtered:
        probs = np.asarray(function(ll, start, matrix))
        assert np.isnan(probs[0]).all()
        assert np.isfinite(probs[1]).all()
    assert np.isnan(filtered(ll, -start, matrix)).all()


def test_filter_is_finite_where_an_unreachable_state_has_the_best_evidence():
    ll = np.array([[0, 900], [-800, 900], [0, 900]], dtype=float)
    matrix = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert_close(filtered(ll, np.array([1.0, 0.0]), matrix), np.array([[1.0, 0.0]] * 3))


def test_filter_is_exact_after_a_reversal_of_evidence():
    ll = np.array([[0, -800], [0, 0], [-900, 0], [-50, 0]], dtype=float)
    expected = reference.filtered_probs(ll, np.ones(2) / 2, np.eye(2))
    assert_close(filtered(ll, np.ones(2) / 2, np.eye(2)), expected)


def test_parameters_with_more_batch_dimensions_than_evidence():
    ll, start, matrix, _ = build_problem(Case(5, 3, (), (4, 1), (2,)), 2)
    for function, expected in (
        (smoothed, reference.smoothed_probs),
        (filtered, reference.filtered_probs),
    ):
        probs = function(ll, start, matrix)
        assert probs.shape == (4, 2, 5, 3)
        assert_close(probs[3, 1], expected(ll, start[3, 0], matrix[1]))


def test_smoothed_probs_have_forward_derivatives():
    ll, start, matrix, _ = build_problem(Case(5, 3), 3)
    tangent = np.random.default_rng(0).normal(size=ll.shape)
    _, actual = jax.jvp(lambda x: smoothed(x, start, matrix), (ll,), (tangent,))
    eps = 1e-6
    up = smoothed(ll + eps * tangent, start, matrix)
    down = smoothed(ll - eps * tangent, start, matrix)
    assert_close(actual, (up - down) / (2 * eps), 1e-7)
