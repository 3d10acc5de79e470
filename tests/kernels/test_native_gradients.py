"""Log-likelihoods and gradients for compiled code, against the formulas of the textbook."""

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from pymc_jaxdist.kernels.native.gradients import compiled_gradients
from tests.kernels.comparisons import assert_close, log_space_rounding
from tests.reference import hidden_markov as reference

TOLERANCE_OF_SUMS = 1e-6
N, T = 3, 5


class Form(NamedTuple):
    """What each sequence has of its own, and how the sequences are laid out."""

    states: int
    own_start: bool
    own_matrix: bool
    constant: bool
    padded: bool

    @property
    def shapes(self):
        """The shapes of initial probabilities and of transition matrices."""
        K = self.states
        if self.own_matrix:
            matrix = (N, 1 if self.constant else T - 1, K, K)
        else:
            matrix = (K, K) if self.constant else (T - 1, K, K)
        return (N, K) if self.own_start else (K,), matrix


FORMS = {
    "all shared": Form(2, False, False, True, True),
    "in a row": Form(2, False, False, True, False),
    "all their own, in a row": Form(2, True, True, True, False),
    "varying": Form(2, False, False, False, True),
    "their own varying, in a row": Form(2, True, True, False, False),
    "more states": Form(5, False, False, True, True),
}


def callable_from_python(form):
    """Return the compiled function as one that Python can call."""
    compiled = compiled_gradients(*form)

    @njit
    def call(ll, start, matrix, order, lengths):
        return compiled(ll, start, matrix, order, lengths)

    return call


COMPILED = {name: callable_from_python(form) for name, form in FORMS.items()}


def draw(name, seed, *, ragged=False, zeros=0.0):
    """Return log-likelihoods (N, T, K), probabilities and lengths."""
    form = FORMS[name]
    rng = np.random.default_rng(seed)
    start, matrix = (rng.dirichlet(np.ones(x[-1]), size=x[:-1]) for x in form.shapes)
    matrix = np.where(rng.random(matrix.shape) >= zeros, matrix, 0.0) + 1e-3 * np.eye(form.states)
    matrix /= matrix.sum(axis=-1, keepdims=True)
    lengths = rng.integers(0 if ragged else T, T + 1, size=N)
    return rng.normal(size=(N, T, form.states)), start, matrix, lengths


def call(name, ll, start, matrix, lengths):
    """Return log-likelihoods and gradients; by the evidence, those of all (N, T, K)."""
    form = FORMS[name]
    seen = np.arange(T) < lengths[:, None]
    given = ll if form.padded else np.concatenate([ll[seen], np.full_like(ll[0], np.nan)])
    order = np.argsort(-lengths, kind="stable")
    value, by_ll, by_start, by_matrix = COMPILED[name](given, start, matrix, order, lengths)
    if not form.padded:
        rows, by_ll = by_ll, np.zeros(ll.shape)
        by_ll[seen] = rows[: seen.sum()]
        assert not rows[seen.sum() :].any()
    return value, by_ll, by_start, by_matrix


def of_sequence(array, n, own):
    """Return what belongs to a sequence."""
    return array[n] if own else array


def textbook(name, ll, start, matrix, lengths):
    """Return what `call` does, one sequence after the other."""
    form = FORMS[name]
    value, results = np.zeros(N), [np.zeros(x.shape) for x in (ll, start, matrix)]
    by_ll, by_start, by_matrix = results
    for n, length in enumerate(lengths):
        if length == 0:
            continue
        begin = of_sequence(start, n, form.own_start)
        moves = of_sequence(matrix, n, form.own_matrix).reshape(-1, form.states, form.states)
        passed = moves[0] if form.constant else moves[: length - 1]
        value[n] = reference.log_likelihood(ll[n, :length], begin, passed)
        of_ll, of_start, of_moves = reference.gradient(ll[n, :length], begin, passed)
        by_ll[n, :length] = of_ll
        own_start = of_sequence(by_start, n, form.own_start)
        own_start += of_start
        own = of_sequence(by_matrix, n, form.own_matrix).reshape(moves.shape)
        own[: len(moves) if form.constant else length - 1] += of_moves
    return value, *results


@pytest.mark.parametrize("name", FORMS)
@given(st.integers(0, 10_000), st.booleans(), st.sampled_from([0.0, 0.4]))
def test_every_form_has_the_gradients_of_the_textbook(name, seed, ragged, zeros):
    given = draw(name, seed, ragged=ragged, zeros=zeros)
    rounding = 10 * N * log_space_rounding(given[0])
    for found, expected in zip(call(name, *given), textbook(name, *given), strict=True):
        assert_close(found, expected, rounding)


def test_arrays_need_not_be_contiguous():
    ll, start, matrix, lengths = draw("all shared", 0, ragged=True)
    given = ll, start, matrix, np.argsort(-lengths, kind="stable"), lengths
    strided = [np.repeat(x, 2, axis=-1)[..., ::2] for x in given]
    expected = call("all shared", ll, start, matrix, lengths)
    for found, wanted in zip(COMPILED["all shared"](*strided), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["all shared", "varying"])
def test_an_impossible_sequence_leaves_others_alone(name):
    ll, start, matrix, lengths = draw(name, 1)
    ll[1, 2] = -np.inf
    value, *gradients = call(name, ll, start, matrix, lengths)
    assert value[1] == -np.inf
    others = np.array([0, 2])
    expected = textbook(name, np.where(np.isfinite(ll), ll, 0.0), start, matrix, lengths)
    assert_close(value[others], expected[0][others])
    assert not gradients[0][1].any()
    assert_close(gradients[0][others], expected[1][others])


def test_where_scaling_may_have_lost_something_a_varying_matrix_leaves_nothing_computed():
    ll, start, _, lengths = draw("varying", 2)
    ll[1, :2] = [[0.0, -800.0], [-900.0, 0.0]]
    matrix = np.tile(np.eye(2), (T - 1, 1, 1))
    value = call("varying", ll, start, matrix, lengths)[0]
    assert np.isnan(value).tolist() == [False, True, False]
    # A constant matrix is not left to others.
    constant = call("all shared", ll, start, np.eye(2), lengths)[0]
    expected = [reference.log_likelihood(x, start, np.eye(2)) for x in ll]
    assert_close(constant, np.array(expected, dtype=float))


@pytest.mark.parametrize("name", ["all shared", "varying"])
def test_no_sequences_have_gradients_of_zero(name):
    ll, start, matrix, lengths = draw(name, 0)
    none = np.zeros(0, dtype=int)
    value, *gradients = COMPILED[name](ll[:0], start, matrix, none, lengths[:0])
    assert value.shape == (0,)
    for gradient, by in zip(gradients, (ll[:0], start, matrix), strict=True):
        np.testing.assert_array_equal(gradient, np.zeros_like(by))


ROWS = {
    "start": (1, -1),
    "a row of the matrix": (2, -1),
    "an early row of the matrix": (2, 0),
}


@pytest.mark.parametrize("name", ["all shared", "all their own, in a row", "varying"])
@pytest.mark.parametrize("where", ROWS)
def test_nothing_is_computed_of_what_is_no_distribution(name, where):
    argument, row = ROWS[where]

    def values(spoil):
        given = draw(name, 3)
        rows = given[argument].reshape(-1, FORMS[name].states)
        spoil(rows[row])
        return call(name, *given)[0]

    def add(number):
        def spoil(probs):
            probs[0] += number

        return spoil

    def negative(probs):
        probs[:] = [1.1, -0.1]

    def certain(probs):
        probs[:] = [1.0, 0.0]

    def twice(probs):
        probs[:] *= 2

    for spoil in add(2 * TOLERANCE_OF_SUMS), add(-2 * TOLERANCE_OF_SUMS), negative, twice:
        assert np.isnan(values(spoil)).all()
    for spoil in add(TOLERANCE_OF_SUMS / 2), add(-TOLERANCE_OF_SUMS / 2), certain:
        assert np.isfinite(values(spoil)).all()
