"""The recursions that Numba compiles are the twins of those that XLA compiles."""

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pymc_jaxdist.kernels import marginal_log_likelihood
from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.forward_backward import expected_counts, forward_rule
from pymc_jaxdist.kernels.native.hidden_markov_posterior import (
    native_factors,
    native_posterior,
    serves,
)
from pymc_jaxdist.kernels.posterior import (
    scaled_posterior,
    settled_posterior,
    weighted_counts,
    with_transitions,
)
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference
from tests.slow_cases import slow_except

native = jax.jit(native_posterior)
TWINS = {
    True: jax.jit(settled_posterior),
    False: jax.jit(lambda chain: with_transitions(chain, scaled_posterior(chain))),
}

# N, T, K and the leading shape of the transition matrices: loops unrolled or not, lanes filled or
# not, products tiled or not, matrices shared or not, constant or varying; long sequences.
SHAPES = {
    "one step": (3, 1, 3, ()),
    "one state": (2, 5, 1, ()),
    "unrolled": (11, 7, 3, ()),
    "general": (5, 6, 6, ()),
    "tiled": (9, 5, 26, ()),
    "own matrices": (10, 6, 3, (10, 1)),
    "varying matrices": (9, 6, 3, (5,)),
    "own varying matrices": (3, 6, 2, (3, 5)),
    "long": (2, 300, 3, ()),
    "long, own matrices": (2, 300, 5, (2, 1)),
}


def draw_chain(shape, seed, *, zeros=0.0, scale=2.0, ragged=False, mass=1.0):
    sequences, times, states, leading = shape
    rng = np.random.default_rng(seed)
    ll = scale * rng.normal(size=(sequences, times, states))
    matrix = rng.dirichlet(np.ones(states), size=(*leading, states))
    possible = (rng.random(matrix.shape) >= zeros) | np.eye(states, dtype=bool)
    matrix = mass * np.where(possible, matrix, 0)
    start = rng.dirichlet(np.ones(states))
    lengths = rng.integers(0, times + 1, size=sequences) if ragged else None
    return flatten_batch(ll, start, matrix, lengths)[0]


def assert_equal(chain, by_impossible_transitions=True):
    assert serves(chain)
    ours, twin = native(chain), TWINS[chain.static](chain)
    if not by_impossible_transitions:
        possible = chain.transition_matrix > 0
        ours, twin = (x._replace(pairs=np.where(possible, x.pairs, 0)) for x in (ours, twin))
    rounding = log_space_rounding(np.asarray(chain.log_likelihoods))
    assert_close(ours.log_likelihood, twin.log_likelihood, rounding)
    names = ["states", "first", "pairs", "before", "evidence"]
    if np.all(twin.exact):
        names.append("total")
    for name in names:
        a, b = getattr(ours, name), getattr(twin, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a, b, 10 * rounding)


def test_it_serves_up_to_64_states_in_double_precision_on_a_processor(monkeypatch):
    def chain(states, dtype="float64"):
        ll, start = np.zeros((2, 3, states), dtype), np.full(states, 1 / states, dtype)
        return flatten_batch(ll, start, np.eye(states, dtype=dtype), None)[0]

    assert serves(chain(64))
    assert not serves(chain(65))
    assert not serves(chain(2, "float32"))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert not serves(chain(2))


@pytest.mark.parametrize(
    "name", slow_except(SHAPES, *(set(SHAPES) - {"long, own matrices", "own varying matrices"}))
)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5]), st.booleans())
def test_equals_its_twin(name, seed, zeros, ragged):
    assert_equal(draw_chain(SHAPES[name], seed, zeros=zeros, ragged=ragged))


@given(st.integers(0, 10_000), st.booleans())
def test_factors_of_transitions_equal_those_of_their_twin(seed, ragged):
    chain = draw_chain(SHAPES["varying matrices"], seed, zeros=0.5, ragged=ragged)
    twin = jax.jit(scaled_posterior)(chain)
    np.testing.assert_array_equal(native(chain).exact, twin.exact)
    rounding = log_space_rounding(np.asarray(chain.log_likelihoods))
    for ours, theirs in zip(
        jax.jit(native_factors)(chain), (twin.before, twin.evidence), strict=True
    ):
        assert_close(ours, theirs, 10 * rounding)


@given(st.integers(0, 10_000), st.booleans(), st.booleans())
def test_sequences_that_share_varying_matrices_may_count_unequally(seed, unequal, some_impossible):
    """Their expected transitions are summed together only where that is the same."""
    chain = draw_chain(SHAPES["varying matrices"], seed)
    rng = np.random.default_rng(seed)
    ll = np.array(chain.log_likelihoods)
    if some_impossible:
        ll[rng.integers(len(ll)), 2] = -np.inf
    weights = rng.normal(size=len(ll)) if unequal else np.full(len(ll), 0.3)
    log_lik, residuals = jax.jit(forward_rule)(*chain._replace(log_likelihoods=ll))
    weights = np.where(np.isfinite(log_lik), weights, 0.0)
    total = jax.jit(expected_counts)(residuals, weights)
    each = [
        jax.jit(expected_counts)(
            jax.jit(forward_rule)(*chain._replace(log_likelihoods=ll[[n]]))[1], weights[[n]]
        )
        for n in range(len(ll))
    ]
    for field in ("initial_probs", "transition_matrix"):
        assert_close(getattr(total, field), sum(getattr(x, field) for x in each), 1e-12)


@pytest.mark.parametrize("name", ["unrolled", "general", "own matrices", "long"])
@given(st.integers(0, 10_000))
@example(197)
def test_extended_range_equals_its_twin(name, seed):
    """Evidence that reverses itself by hundreds of nats where many transitions are impossible.

    Scaling may lose a state that no possible transition brings back. What an impossible one would
    have brought back is a derivative that nobody can use, and depends on rounding.
    """
    chain = draw_chain(SHAPES[name], seed, zeros=0.7, scale=500.0)
    assert_equal(chain, by_impossible_transitions=False)


@pytest.mark.parametrize("name", ["unrolled", "long"])
def test_rows_need_not_sum_to_one(name):
    assert_equal(draw_chain(SHAPES[name], 0, mass=0.7))


@pytest.mark.parametrize("times", [255, 256, 257, 263, 1000])
def test_a_long_sequence_is_cut_where_it_does_not_show(times):
    chain = draw_chain((1, times, 4, ()), times)
    ll, start, matrix = (np.asarray(x) for x in chain[:3])
    expected = reference.log_likelihood(ll[0], start[0], matrix[0, 0])
    assert_close(native(chain).log_likelihood[0], expected)
    assert_equal(chain)


@pytest.mark.parametrize("scale", [2.0, 500.0])
def test_gradient_with_more_states_than_it_serves_equals_it(scale):
    chain = draw_chain((4, 5, 66, ()), 3, zeros=0.9, scale=scale)
    assert not serves(chain)
    ours = native(chain)
    log_lik, residuals = jax.jit(forward_rule)(*chain)
    rounding = log_space_rounding(np.asarray(chain.log_likelihoods))
    assert_close(log_lik, ours.log_likelihood, rounding)
    weights = np.arange(1.0, 5.0)
    expected = weighted_counts(chain, ours, weights)
    for a, b in zip(jax.jit(expected_counts)(residuals, weights), expected, strict=True):
        assert_close(a, b, 10 * rounding)


def test_impossible_and_invalid_sequences_leave_others_alone():
    chain = draw_chain((9, 5, 3, ()), 1)
    ll = np.array(chain.log_likelihoods)
    whole = native(chain)
    ll[2, 3] = -np.inf
    ll[4, 0, 1] = np.nan
    ll[5, 2, 0] = np.inf
    spoilt = native(chain._replace(log_likelihoods=ll))
    bad = [2, 4, 5]
    assert np.asarray(spoilt.impossible).nonzero()[0].tolist() == bad
    assert np.all(np.asarray(spoilt.log_likelihood)[bad] == -np.inf)
    assert not np.any(np.asarray(spoilt.states)[bad])
    good = np.setdiff1d(np.arange(9), bad)
    for name in ("log_likelihood", "states", "first", "pairs"):
        np.testing.assert_array_equal(
            np.asarray(getattr(spoilt, name))[good], np.asarray(getattr(whole, name))[good]
        )


@pytest.mark.parametrize("leading", [(), (4,)], ids=["constant", "varying"])
def test_no_sequences_have_no_gradient(leading):
    matrix = np.random.default_rng(0).dirichlet(np.ones(2), size=(*leading, 2))
    gradient = jax.grad(
        lambda matrix: marginal_log_likelihood(np.zeros((0, 5, 2)), np.full(2, 0.5), matrix).sum()
    )(matrix)
    np.testing.assert_array_equal(gradient, np.zeros_like(matrix))


def test_vmap_maps_over_chains():
    """As the vectorised chains of JAX samplers do."""
    chain = draw_chain((4, 6, 3, ()), 2)

    def value(matrix):
        return marginal_log_likelihood(chain.log_likelihoods, chain.initial_probs[0], matrix).sum()

    matrices = np.random.default_rng(3).dirichlet(np.ones(3), size=(5, 3))
    value_and_grad = jax.value_and_grad(value)
    values, gradients = jax.jit(jax.vmap(value_and_grad))(matrices)
    for matrix, v, g in zip(matrices, values, gradients, strict=True):
        expected, slope = value_and_grad(matrix)
        assert_close(v, expected)
        assert_close(g, slope)
