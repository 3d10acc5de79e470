"""The compiled recursions, called by their address, against the formulas of the textbook."""

import ctypes

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llvmlite.binding import address_of_symbol

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.native.chains import posterior_function
from pymc_jaxdist.kernels.native.hidden_markov_posterior import (
    MAX_UNROLLED_STATES,
    native_factors,
    native_posterior,
)
from pymc_jaxdist.kernels.native.status import EXACT, IMPOSSIBLE, UNDECIDED
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference

LARGEST_RATIO = 1e200
# 11 integers, the largest ratio, 7 addresses of results.
POSTERIOR = ctypes.CFUNCTYPE(
    ctypes.c_int64, *11 * [ctypes.c_int64], ctypes.c_double, *7 * [ctypes.c_int64]
)


MARGIN = 1000


def room(shape):
    """Return room for results in the midst of a longer array."""
    size = int(np.prod(shape))
    return np.full(size + 2 * MARGIN, np.nan)[MARGIN : MARGIN + size].reshape(shape)


def assert_nothing_around(result):
    """Check that nothing was written beside the place of a result."""
    whole = result.base
    assert np.isnan([whole[:MARGIN], whole[MARGIN + result.size :]]).all()


def call(ll, start, matrix, lengths, *, own=False, unrolled=None, padded=True, factors=False):
    """Return log-likelihoods, status, posterior, first states, and transitions or two factors.

    Parameters are those of `tests.reference.hidden_markov`, for each sequence: `ll` (N, T, K),
    `start` (K,) or (N, K), `matrix` ([N,] [T - 1,] K, K).
    """
    N, T, K = ll.shape
    constant = matrix.ndim == 2 + own
    if unrolled is None:
        unrolled = K if K <= MAX_UNROLLED_STATES else 0
    address = address_of_symbol(posterior_function(unrolled, own, constant).symbol)
    matrices = 1 if constant else matrix.shape[-3]
    offsets = K * np.concatenate([[0], np.cumsum(np.full(N, T) if padded else lengths)])
    rows = np.arange(T) < np.reshape(np.full(N, T) if padded else lengths, (-1, 1))
    # Of sequences in a row the last may be followed by anything.
    given = np.concatenate([ll[rows].ravel(), np.full(T * K, np.nan)])
    shapes = [(N,), (N,), (given.size,), (N, K), (N, K, K) if constant else matrix.shape]
    shapes += 2 * [(N, T, K)]
    log_lik, status, posterior, first, pairs, before, evidence = results = list(map(room, shapes))
    order = np.argsort(-lengths, kind="stable")
    arrays = [given, *(np.ascontiguousarray(x) for x in (start, matrix, order, lengths, offsets))]
    POSTERIOR(address)(
        N,
        T,
        K,
        len(start) if start.ndim > 1 else 1,
        matrices,
        *(x.ctypes.data for x in arrays),
        LARGEST_RATIO,
        *(x.ctypes.data for x in results[:5]),
        *((before.ctypes.data, evidence.ctypes.data) if factors else (0, 0)),
    )
    assert np.isnan(posterior[offsets[-1] :]).all()
    for result in results:
        assert_nothing_around(result)
    by_state = np.zeros((N, T, K))
    by_state[rows] = posterior[: offsets[-1]].reshape(-1, K)
    return log_lik, status, by_state, first, *((before, evidence) if factors else (pairs,))


def draw(shape, seed, zeros=0.0, scale=2.0, ragged=False, leading=(), starts=()):
    sequences, times, states = shape
    rng = np.random.default_rng(seed)
    ll = scale * rng.normal(size=shape)
    matrix = rng.dirichlet(np.ones(states), size=(*leading, states))
    matrix = np.where((rng.random(matrix.shape) >= zeros) | np.eye(states, dtype=bool), matrix, 0)
    start = rng.dirichlet(np.ones(states), size=starts)
    least = 0 if ragged else times
    lengths = rng.integers(least, times + 1, size=sequences)
    return ll, start, matrix, lengths


@jax.jit
def handled(chain):
    """Return what XLA is given."""
    factors = native_factors(chain) if chain.shared and not chain.static else None
    return native_posterior(chain), factors


def call_by_xla(ll, start, matrix, lengths, *, own=False, factors=False):
    """Do the same as `call` by the handler for XLA."""
    constant = matrix.ndim == 2 + own
    chain, _ = flatten_batch(ll, start, matrix[:, None] if own and constant else matrix, lengths)
    found, two_factors = handled(chain)
    status = np.select([found.impossible, found.exact], [IMPOSSIBLE, EXACT], UNDECIDED)
    pairs = found.total if found.pairs is None else found.pairs
    pairs = np.reshape(pairs, (len(ll), *matrix.shape[-2:]) if constant else matrix.shape)
    rest = two_factors if factors else (pairs,)
    return tuple(map(np.asarray, (found.log_likelihood, status, found.states, found.first, *rest)))


def check(ll, start, matrix, lengths, *, own=False, call=call, **how):
    """Compare with the reference, sequence by sequence; return the status of each."""
    constant = matrix.ndim == 2 + own
    found = call(ll, start, matrix, lengths, own=own, **how)
    log_lik, status, posterior, first, *rest = found
    factors = len(rest) == 2
    total = np.zeros(matrix.shape)
    rounding = 10 * log_space_rounding(ll)
    for n, length in enumerate(lengths):
        of_one = matrix[n] if own else matrix
        begin = start[n] if start.ndim > 1 else start
        assert not posterior[n, length:].any()
        if length == 0:
            assert (log_lik[n], status[n]) == (0.0, EXACT)
            assert not posterior[n].any()
            continue
        assert status[n] == EXACT
        seen, passed = ll[n, :length], of_one if constant else of_one[: length - 1]
        expected = reference.log_likelihood(seen, begin, passed)
        # What an impossible transition would have brought depends on rounding, and may be too much
        # for any float.
        with np.errstate(over="ignore"):
            by_ll, by_start, by_matrix = reference.gradient(seen, begin, passed)
        by_start, by_matrix = np.where(begin > 0, by_start, 0), np.where(passed > 0, by_matrix, 0)
        assert_close(log_lik[n], expected, rounding)
        assert_close(posterior[n, :length], by_ll, rounding)
        assert_close(begin * first[n], begin * by_start, rounding)
        if constant:
            assert_close(of_one * rest[0][n], of_one * by_matrix, rounding)
        elif factors:
            before, evidence = rest
            products = before[n, : length - 1, :, None] * evidence[n, 1:length, None, :]
            assert_close(passed * products, passed * by_matrix, rounding)
            assert not before[n, length:].any()
            assert not evidence[n, length:].any()
        elif own:
            assert_close(passed * rest[0][n, : length - 1], passed * by_matrix, rounding)
            assert not rest[0][n, length - 1 :].any()
        else:
            total[: length - 1] += by_matrix
    if not (constant or factors or own):
        assert_close(matrix * rest[0], matrix * total, rounding * len(ll))
    return status


seeds = st.integers(0, 10_000)
zeros = st.sampled_from([0.0, 0.5])

# Sequences, times and states; the leading shape of the matrices; which of them are their own.
CONSTANT = {
    "unrolled": ((11, 7, 3), (), False),
    "any number of states": ((5, 6, 6), (), False),
    "one step": ((3, 1, 3), (), False),
    "one state": ((2, 5, 1), (), False),
    "own matrices": ((10, 6, 3), (10,), True),
    "tiled": ((9, 5, 26), (), False),
}
VARYING = {
    "shared": ((9, 6, 3), (5,), False),
    "own": ((10, 6, 2), (10, 5), True),
}


@pytest.mark.parametrize("name", CONSTANT)
@given(seeds, zeros, st.booleans(), st.booleans())
def test_constant_matrices(name, seed, zeros, ragged, own_start):
    shape, leading, own = CONSTANT[name]
    starts = (shape[0],) if own_start else ()
    check(*draw(shape, seed, zeros, ragged=ragged, leading=leading, starts=starts), own=own)


@given(seeds, st.booleans())
def test_sequences_in_a_row(seed, ragged):
    check(*draw((11, 7, 3), seed, ragged=ragged), padded=False)


@given(seeds)
def test_loops_unrolled_or_not(seed):
    check(*draw((5, 6, 3), seed, ragged=True), unrolled=0)


@pytest.mark.parametrize("name", VARYING)
@given(seeds, zeros, st.booleans())
def test_matrices_that_vary_in_time(name, seed, zeros, ragged):
    shape, leading, own = VARYING[name]
    given = draw(shape, seed, zeros, ragged=ragged, leading=leading)
    check(*given, own=own)
    if not own:
        check(*given, factors=True)


@pytest.mark.parametrize("name", ["unrolled", "any number of states", "own matrices", *VARYING])
@given(seeds, st.booleans(), st.booleans())
def test_what_xla_is_given(name, seed, ragged, own_start):
    shape, leading, own = {**CONSTANT, **VARYING}[name]
    starts = (shape[0],) if own_start else ()
    given = draw(shape, seed, ragged=ragged, leading=leading, starts=starts)
    check(*given, own=own, call=call_by_xla)
    if name == "shared":
        check(*given, factors=True, call=call_by_xla)


@pytest.mark.parametrize("states", [3, 6])
@given(seeds, st.integers(256, 300))
def test_a_few_long_sequences_are_cut(states, seed, times):
    check(*draw((2, times, states), seed, zeros=0.3))


@given(seeds, st.integers(256, 300))
def test_a_few_long_sequences_with_matrices_of_their_own(seed, times):
    ll, start, matrix, lengths = draw((2, times, 3), seed, leading=(2,), starts=(2,))
    lengths[seed % 2] -= seed % 7
    check(ll, start, matrix, lengths, own=True)


@pytest.mark.parametrize("shape", [(9, 7, 3), (5, 6, 6), (2, 300, 3)])
@given(seeds)
@example(416)
def test_evidence_that_reverses_itself_by_hundreds_of_nats(shape, seed):
    """Scaling may lose a state that no possible transition brings back."""
    ll, start, matrix, lengths = draw(shape, seed, zeros=0.7, scale=300.0)
    assert np.all(check(ll, start, matrix, lengths) == EXACT)


@given(seeds)
def test_what_may_have_been_lost_with_varying_matrices_is_not_decided(seed):
    ll = np.array([[[0.0, -800.0], [-900.0, 0.0]], [[0.0, -1.0], [0.0, 0.0]]])
    ll += np.random.default_rng(seed).normal(size=ll.shape)
    given = ll, np.full(2, 0.5), np.eye(2)[None], np.array([2, 2])
    log_lik, status, posterior, *_ = call(*given)
    assert status.tolist() == [UNDECIDED, EXACT]
    assert log_lik[0] == 0.0
    assert not posterior[0].any()


@pytest.mark.parametrize("shape", [(9, 5, 3), (2, 300, 3)])
@pytest.mark.parametrize("leading", [(), (9,)])
def test_impossible_and_invalid_sequences_leave_others_alone(shape, leading):
    own = bool(leading)
    ll, start, matrix, lengths = draw(shape, 1, leading=(shape[0],) if own else ())
    spoilt = np.concatenate([ll, ll[:1], ll[:1], ll[:1]])[: len(ll) + 3]
    spoilt[-3, 3], spoilt[-2, 0, 1], spoilt[-1, 2, 0] = -np.inf, np.nan, np.inf
    lengths = np.full(len(spoilt), shape[1])
    if own:
        matrix = np.concatenate([matrix, matrix[:3] if len(matrix) > 2 else matrix[[0, 0, 0]]])
    log_lik, status, posterior, first, pairs = call(spoilt, start, matrix, lengths, own=own)
    bad = slice(len(ll), None)
    assert (status[bad] == IMPOSSIBLE).all()
    assert (log_lik[bad] == -np.inf).all()
    for result in posterior, first, pairs:
        assert not result[bad].any()
    good = slice(len(ll))
    check(ll, start, matrix[good] if own else matrix, lengths[good], own=own)
    assert (status[good] == EXACT).all()
    assert np.isfinite(log_lik[good]).all()


@pytest.mark.parametrize("number", [-0.1, np.nan, np.inf])
def test_invalid_probabilities_make_a_sequence_impossible(number):
    ll, start, matrix, lengths = draw((2, 4, 3), 0, leading=(2,), starts=(2,))
    for spoil in "start", "matrix":
        given = {"start": start.copy(), "matrix": matrix.copy()}
        given[spoil][1][..., -1] = number
        log_lik, status, *_ = call(ll, given["start"], given["matrix"], lengths, own=True)
        assert status.tolist() == [EXACT, IMPOSSIBLE]
        assert log_lik[1] == -np.inf


def test_an_invalid_matrix_counts_only_where_a_sequence_passes():
    ll, start, matrix, lengths = draw((3, 5, 2), 0, leading=(4,))
    matrix[2] = np.nan
    lengths[:] = 5, 3, 4
    status = call(ll, start, matrix, lengths)[1]
    assert status.tolist() == [IMPOSSIBLE, EXACT, IMPOSSIBLE]


def test_a_sequence_of_at_most_one_observation_passes_no_matrix():
    for own, leading in (False, (3,)), (True, (3, 3)):
        ll, start, matrix, lengths = draw((3, 4, 2), 0, leading=leading)
        matrix[:] = np.nan
        lengths[:] = 1, 0, 1
        status = call(ll, start, matrix, lengths, own=own)[1]
        assert status.tolist() == [EXACT] * 3


@pytest.mark.parametrize("times", [4, 300])
def test_observations_that_no_path_explains(times):
    """Each by itself is possible."""
    ll, start, _, lengths = draw((3, times, 3), 0)
    ll[1, 1, 0], ll[1, 3, 1:] = -np.inf, -np.inf
    log_lik, status, posterior, first, pairs = call(ll, start, np.eye(3), lengths)
    assert status.tolist() == [EXACT, IMPOSSIBLE, EXACT]
    assert log_lik[1] == -np.inf
    for result in posterior, first, pairs:
        assert not result[1].any()
    check(ll[::2], start, np.eye(3), lengths[::2])
