"""With what stretches of a long sequence begin and end, against the whole of it in log space."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels.native.lanes import Lanes
from pymc_jaxdist.kernels.native.stretches import _begin_stretches
from pymc_jaxdist.kernels.native.vectors import LANES
from tests.kernels.comparisons import assert_close
from tests.kernels.test_native_lanes import laid_out, size_of
from tests.reference import hidden_markov as reference

BEGIN = ctypes.CFUNCTYPE(ctypes.c_double, *9 * [ctypes.c_int64])
#: Numbers of the log-likelihoods of other sequences, before those of this one.
BEFORE = 12


def begin_stretches(unrolled, ll, start, matrix):
    """Return whether the stretches can be trusted, and a function that reads a field of them."""
    steps, states = ll.shape
    room = steps // LANES + LANES
    memory = np.empty(laid_out(0, room, states)[1])
    given = np.concatenate([np.full(BEFORE, np.nan), ll.ravel(), np.full(ll.size, np.nan)])
    products = np.empty(states * states * LANES)
    at_ll, *addresses = (x.ctypes.data for x in (given, start, matrix, products))
    trusted = BEGIN(_begin_stretches(unrolled).address)(
        memory.ctypes.data, room, at_ll, BEFORE, steps, states, *addresses
    )
    places = dict(zip(Lanes._fields, laid_out(memory.ctypes.data, room, states)[0], strict=True))

    def read(field):
        first = (places[field] - memory.ctypes.data) // memory.itemsize
        vectors = size_of(field, room, states)
        return memory[first : first + vectors * LANES].reshape(vectors, LANES).copy()

    return trusted, read


def draw(shape, seed):
    rng = np.random.default_rng(seed)
    states = shape[1]
    matrix = rng.dirichlet(np.ones(states), size=states)
    return 2 * rng.normal(size=shape), rng.dirichlet(np.ones(states)), matrix


@pytest.mark.parametrize(("states", "unrolled"), [(3, 3), (5, 0)])
@given(st.integers(64, 90), st.integers(0, 10_000))
def test_each_stretch_begins_and_ends_as_the_whole_sequence_does(states, unrolled, steps, seed):
    ll, start, matrix = draw((steps, states), seed)
    trusted, read = begin_stretches(unrolled, ll, start, matrix)
    assert trusted == 1.0
    each = steps // LANES
    begins = each * np.arange(LANES)
    ends = np.append(begins[1:], steps)
    (starts,) = read("starts").view(np.int64)
    assert starts.tolist() == (BEFORE + begins * states).tolist()
    assert read("ends")[0].tolist() == (ends - begins).tolist()
    filtered = reference.filtered_probs(ll, start, matrix)
    predicted = np.stack([start, *(filtered[begins[1:] - 1] @ matrix)], axis=-1)
    assert_close(read("predicted"), predicted.astype(float))
    # On any scale.
    beta, ahead = read("beta"), np.exp(reference.log_backward(ll, start, matrix)[ends - 1].T)
    assert_close(beta / beta.sum(axis=0), (ahead / ahead.sum(axis=0)).astype(float))


def test_sequences_may_be_of_any_length():
    trusted, read = begin_stretches(3, *draw((20_000, 3), 0))
    assert trusted == 1.0
    assert np.isfinite(read("predicted")).all()


def test_what_may_have_been_lost_is_not_trusted():
    """States that no path leaves, of which one is far less likely than another."""
    ll, start, _ = draw((80, 3), 0)
    ll[:, 1] -= 100.0
    assert begin_stretches(3, ll, start, np.eye(3))[0] == 0.0
