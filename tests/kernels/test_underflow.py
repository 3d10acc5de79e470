"""Where scaling alone would fail: structural zeros, extreme evidence, tiny probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels import marginal_log_likelihood, smoothed_probs
from pymc_jaxdist.kernels.chain import Chain, flatten_batch
from pymc_jaxdist.kernels.extended import extended_counts, extended_log_likelihood
from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.native.hidden_markov_posterior import native_posterior
from pymc_jaxdist.kernels.posterior import scaled_posterior, weighted_counts
from pymc_jaxdist.kernels.scaled import scaled_log_likelihood
from pymc_jaxdist.kernels.underflow import may_have_lost_mass
from tests.kernels.comparisons import (
    assert_close,
    log_space_rounding,
    value,
    value_and_gradient,
)
from tests.reference import hidden_markov as reference
from tests.strategies import Case, build_problem, problems

INF = np.inf


def check(ll, start, matrix, expected=None):
    """Compare with the reference; the matrix constant, and written out for each transition."""
    ll, start, matrix = (np.asarray(x, dtype=float) for x in (ll, start, matrix))
    gradient = check_problem(ll, start, matrix, expected)
    if len(ll) > 2:
        check_problem(ll, start, np.broadcast_to(matrix, (len(ll) - 1, *matrix.shape)), expected)
    return gradient


def check_problem(ll, start, matrix, expected):
    """Value, value with gradient, and gradient against the reference and finite."""
    truth = reference.log_likelihood(ll, start, matrix)
    if expected is not None:
        assert_close(truth, expected, 1e-9)
    (_, log_lik), (d_ll, d_start, d_matrix) = value_and_gradient(
        ll, start, matrix, None, np.ones(())
    )
    assert_close(value(ll, start, matrix, None), truth)
    assert_close(log_lik, truth)
    assert np.isfinite(d_start).all()
    assert np.isfinite(d_matrix).all()
    if truth == -INF:
        for gradient in d_ll, d_start, d_matrix:
            assert (np.asarray(gradient) == 0).all()
        return d_ll, d_start, d_matrix
    with np.errstate(over="ignore", invalid="ignore"):
        e_ll, e_start, e_matrix = reference.gradient(ll, start, matrix)
        # Products with the probabilities: posterior counts.
        tolerance = log_space_rounding(ll)
        assert_close(d_ll, e_ll, tolerance)
        assert_close(start * d_start, np.where(start > 0, start * e_start, 0), tolerance)
        assert_close(matrix * d_matrix, np.where(matrix > 0, matrix * e_matrix, 0), tolerance)
    return d_ll, d_start, d_matrix


LEFT_RIGHT = np.array([[0.9, 0.1, 0.0], [0.0, 0.8, 0.2], [0.0, 0.0, 1.0]])


def test_left_right_chain_started_in_one_state():
    ll = np.random.default_rng(0).normal(size=(20, 3))
    check(ll, [1, 0, 0], LEFT_RIGHT)


@pytest.mark.parametrize("scale", [30, 300, 3000])
def test_left_right_chain_with_extreme_evidence(scale):
    ll = np.random.default_rng(1).normal(size=(20, 3), scale=scale)
    check(ll, [1, 0, 0], LEFT_RIGHT)


def test_unreachable_state_with_the_best_evidence():
    matrix = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    ll = np.zeros((10, 3))
    ll[:, 2] = 1e4
    check(ll, [0.5, 0.5, 0.0], matrix, 0.0)


def test_impossible_observation():
    check([[0, 0], [-INF, -INF], [0, 0]], [0.5, 0.5], np.full((2, 2), 0.5), -INF)


def test_impossible_path():
    check([[0, -INF], [-INF, 0]], [0.5, 0.5], np.eye(2), -INF)


def test_impossible_path_in_finite_but_extreme_evidence():
    ll = [[0, -2000], [-2000, 0], [-INF, 0], [0, -INF]]
    check(ll, [0.5, 0.5], np.eye(2), -INF)


def test_everything_impossible():
    check(np.full((4, 3), -INF), np.ones(3) / 3, np.full((3, 3), 1 / 3), -INF)


def test_no_initial_state():
    check(np.zeros((4, 2)), [0, 0], np.full((2, 2), 0.5), -INF)


@pytest.mark.parametrize("other", [-INF, -1000, -3000])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_path_of_probability_1e_200(times, other):
    states = times + 1
    matrix = np.eye(states) + np.diag(np.full(times, 1e-200), 1)
    ll = np.where(np.eye(states, dtype=bool), 0.0, other)
    check(ll, np.eye(states)[0], matrix, None if other == -1000 else times * np.log(1e-200))


@pytest.mark.parametrize("entry", [1e-100, 1e-103, 1e-110, 1e-150, 1e-200, 1e-300])
def test_tiny_entries_without_any_zero(entry):
    matrix = np.array([[1 - entry, entry], [entry, 1 - entry]])
    ll = np.array([[0, -5000], [-5000, 0], [0, -5000], [-900, 0]], dtype=float)
    check(ll, [1 - entry, entry], matrix)


@pytest.mark.parametrize("nats", [300, 500, 700, 760, 800, 1600, 1e5])
def test_reversal_of_evidence_in_an_absorbing_chain(nats):
    # Evidence for state 1 during the first half, for state 0 during the second.
    half = np.zeros((5, 2))
    half[:, 0] = -nats / 5
    ll = np.concatenate([half, 1.25 * half[:, ::-1]])
    check(ll, [0.5, 0.5], np.eye(2))
    check(ll, [0.3, 0.7], [[1.0, 0.0], [1e-9, 1 - 1e-9]])


def test_reversal_at_the_first_observation():
    check([[-800, 0], [0, -INF]], [1, 0], np.eye(2), -800.0)
    check([[-800, 0], [0, -900]], [0.5, 0.5], np.eye(2), np.log(0.5) - 800)


def test_derivative_at_a_structural_zero_is_exact_until_it_saturates():
    start = np.array([1.0, 0.0])
    for nats in (10.0, 100.0, 300.0):
        ll = np.array([[0.0, 0.0], [-nats, 0.0]])
        _, _, d_matrix = check(ll, start, np.eye(2), -nats)
        assert_close(d_matrix[0, 1], np.exp(nats))
    limit = np.sqrt(np.finfo(float).max)
    _, _, d_matrix = check([[0, 0], [-2000, 0]], start, np.eye(2), -2000.0)
    assert_close(d_matrix[0, 1] / limit, 1.0)


@pytest.mark.parametrize("matrix", [np.eye(2), np.tile(np.eye(2), (5, 1, 1))])
def test_one_impossible_sequence_does_not_disturb_the_others(matrix):
    good = build_problem(Case(6, 2, (3,)), 1).log_likelihoods
    ll = good.copy()
    ll[1, 3] = -INF
    ll[2, 2] = [0, -2000]
    ll[2, 3] = [-INF, 0]
    arguments = np.array([0.5, 0.5]), matrix
    (_, log_lik), gradient = value_and_gradient(ll, *arguments, None, np.ones(3))
    assert np.isneginf(log_lik[1])
    (_, alone), expected = value_and_gradient(ll[[0, 2]], *arguments, None, np.ones(2))
    assert_close(log_lik[np.array([0, 2])], alone)
    assert_close(gradient[0][np.array([0, 2])], expected[0])
    assert (np.asarray(gradient[0][1]) == 0).all()
    for a, e in zip(gradient[1:], expected[1:], strict=True):
        assert_close(a, e)


@given(problems(zeros=(0.5,), scales=(300.0, 2000.0)))
def test_no_nan_with_structural_zeros_and_extreme_evidence(problem):
    (_, log_lik), gradient = value_and_gradient(*problem, np.ones(problem.batch))
    assert not np.isnan(log_lik).any()
    assert not np.isnan(value(*problem)).any()
    for part in gradient:
        assert np.isfinite(part).all()


def test_hessian_with_underflow_and_structural_zeros_is_finite():
    hessian = jax.jit(jax.hessian(marginal_log_likelihood, (0, 1, 2)))
    for ll in ([[0, -800], [-900, 0], [0, 0]], [[0, -2000], [-2000, 0], [-3, -4000]]):
        for start in ([0.5, 0.5], [1.0, 0.0]):
            for row in hessian(np.array(ll, dtype=float), np.array(start), np.eye(2)):
                for part in row:
                    assert np.isfinite(part).all()


# The extended kernel as a twin of the scaled one, where both are exact.

TWIN_CASES = (
    Case(5, 3, (2,), padded=True),
    Case(4, 2, (2,), (2,), (2,), varying=True),
    Case(4, 9, (2,)),
)


POSTERIORS = {
    "XLA": jax.jit(scaled_posterior),
    "Numba": jax.jit(native_posterior),
}
twin_counts = jax.jit(weighted_counts)
twin_extended_value = jax.jit(extended_log_likelihood)
twin_extended_counts = jax.jit(extended_counts)


@pytest.mark.parametrize("compiler", POSTERIORS)
@given(st.sampled_from(TWIN_CASES), st.integers(0, 1000), st.sampled_from([0.0, 0.4]))
def test_extended_kernel_equals_scaled_kernel(compiler, case, seed, zeros):
    chain, _ = flatten_batch(*build_problem(case, seed, zeros=zeros))
    posterior = POSTERIORS[compiler](chain)
    exact = np.asarray(posterior.exact)
    log_lik = np.asarray(twin_extended_value(chain))
    assert_close(log_lik[exact], np.asarray(posterior.log_likelihood)[exact])
    assert np.all(exact | (log_lik == -np.inf))
    weights = np.random.default_rng(seed).normal(size=log_lik.shape)
    scaled = twin_counts(chain, posterior, weights)
    extended = twin_extended_counts(chain, posterior.exact, weights)
    for s, e in zip(scaled, extended, strict=True):
        assert_close(e, s, 1e-11)


@pytest.mark.parametrize("case", TWIN_CASES)
def test_derivatives_of_the_extended_gradient_equal_those_of_the_scaled(case):
    """Second derivatives, with structural zeros."""
    ll, start, matrix, lengths = build_problem(case, 3, zeros=0.4)
    if lengths is not None:
        ll = np.where(np.isfinite(ll), ll, 0)
    chain, _ = flatten_batch(ll, start, matrix, lengths)
    ones = jnp.ones(len(chain.log_likelihoods))

    def scaled(*arguments):
        given = Chain(*arguments, chain.active)
        return weighted_counts(given, native_posterior(given), ones)

    def extended(*arguments):
        return extended_counts(Chain(*arguments, chain.active), ones > 0, ones)

    rng = np.random.default_rng(4)
    arguments = chain[:3]
    direction = tuple(jnp.asarray(rng.normal(size=x.shape)) for x in arguments)
    first, second = (jax.jit(lambda *a, f=f: jax.jvp(f, *a)) for f in (scaled, extended))
    for s, e in zip(
        jax.tree.leaves(first(arguments, direction)),
        jax.tree.leaves(second(arguments, direction)),
        strict=True,
    ):
        assert_close(e, s, 1e-10)


@given(problems(scales=(1.0, 300.0)))
def test_scaling_is_exact_whenever_it_is_not_flagged(problem):
    chain, _ = flatten_batch(*problem)
    scaled, flagged = flags(chain)
    exact = np.ravel(value(*problem))
    trusted = ~np.asarray(flagged) & (exact > -np.inf)
    assert_close(np.asarray(scaled)[trusted], exact[trusted])


flags = jax.jit(lambda chain: (scaled_log_likelihood(chain), may_have_lost_mass(chain)))


# The fallback costs nothing where it is not needed.


def test_run_if_any_runs_once_and_only_if_asked_under_vmap():
    calls = []

    def compute(x):
        jax.debug.callback(lambda: calls.append(1))
        return x + 1

    def run(flag, x):
        return run_if_any(flag, compute, x)

    for flags_, expected_calls in ((np.zeros(3, bool), 0), (np.array([False, True, False]), 1)):
        calls.clear()
        result = jax.jit(jax.vmap(run))(flags_, np.zeros(3))
        jax.effects_barrier()
        assert (len(calls) > 0) == (expected_calls > 0)
        assert_close(result, flags_.astype(float))


def test_vmap_mixes_flagged_and_unflagged_chains():
    ll = np.array([[0.0, -800.0], [-900.0, 0.0]])
    matrices = np.stack([np.full((2, 2), 0.5), np.eye(2)])
    start = np.array([0.5, 0.5])
    batched = jax.jit(jax.vmap(jax.value_and_grad(marginal_log_likelihood, 2), (None, None, 0)))
    for matrix, log_lik, gradient in zip(matrices, *batched(ll, start, matrices), strict=True):
        (_, one), (_, _, expected) = value_and_gradient(ll, start, matrix, None, np.ones(()))
        assert_close(log_lik, one)
        assert_close(gradient, expected)


def test_smoothing_survives_a_reversal():
    ll = np.array([[0, -800], [0, 0], [-900, 0]], dtype=float)
    assert_close(jax.jit(smoothed_probs)(ll, np.ones(2) / 2, np.eye(2)), np.array([[0.0, 1.0]] * 3))
