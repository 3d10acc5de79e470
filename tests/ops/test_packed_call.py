"""A packed call is the function itself: for arrays of any shape and type, in any order."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pymc_jaxdist.kernels import program_pieces
from pymc_jaxdist.ops import packed_call
from pymc_jaxdist.ops.packed_call import LARGEST_PACKED, PackedCall

ARRAYS = {
    "number": np.array(2.5),
    "vector": np.arange(4.0),
    "matrix": np.arange(6.0).reshape(2, 3),
    "transposed": np.arange(6.0).reshape(3, 2).T,
    "strided": np.arange(8.0)[::2],
    "none": np.zeros((0, 2)),
    "integers": np.arange(3),
    "truth": np.array([True, False]),
    "large": np.arange(LARGEST_PACKED + 1.0),
}


def packed(function, inputs, stay=(), in_one_piece=False, n_counts=0):
    structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs]
    return PackedCall(jax.jit(function), structs, stay, in_one_piece, 3, n_counts)


@pytest.mark.parametrize("in_one_piece", [False, True])
@pytest.mark.parametrize("first", range(len(ARRAYS)))
def test_arrays_come_back_as_they_are(first, in_one_piece):
    names = [*ARRAYS]
    inputs = [ARRAYS[name] for name in names[first:] + names[:first]]
    call = packed(lambda *x: x, inputs, in_one_piece=in_one_piece).bind({})
    for mine, right in zip(call(inputs), inputs, strict=True):
        assert_array_equal(mine, right, strict=True)
        assert type(mine) is np.ndarray
        assert mine.flags.writeable


def test_arrays_are_sent_to_a_device_with_memory_of_its_own(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    inputs = list(ARRAYS.values())
    call = packed(lambda *x: x[::-1], inputs, in_one_piece=True).bind({})
    for _ in range(2):
        for mine, right in zip(call(inputs), inputs[::-1], strict=True):
            assert_array_equal(mine, right, strict=True)
            assert mine.flags.writeable


@pytest.mark.parametrize("stays", ARRAYS)
def test_what_stays_on_the_device_is_not_looked_at(stays):
    inputs = list(ARRAYS.values())
    place = list(ARRAYS).index(stays)
    call = packed(lambda *x: x[::-1], inputs, (place,)).bind({place: jnp.asarray(inputs[place])})
    given = [None if i == place else x for i, x in enumerate(inputs)]
    for mine, right in zip(call(given), inputs[::-1], strict=True):
        assert_array_equal(mine, right, strict=True)


def test_nothing_goes_in():
    call = packed(lambda: (jnp.ones(2), jnp.arange(2)), []).bind({})
    assert_array_equal(call([])[0], [1.0, 1.0])


def test_results_belong_to_the_caller():
    inputs = [np.array([1.0, 2.0]), np.array(3.0)]
    call = packed(lambda x, y: (x * y, x + y), inputs).bind({})
    first = call(inputs)
    first[0][:] = 0.0
    assert_array_equal(first[1], [4.0, 5.0])
    assert_array_equal(call(inputs)[0], [3.0, 6.0])
    assert_array_equal(inputs[0], [1.0, 2.0])


def test_counts_that_are_not_zero_are_attended_to():
    def function(x):
        return x, jnp.sum(x < 0, dtype=float), jnp.sum(x > 10, dtype=float)

    asked = []

    def attend(inputs, results, counts):
        asked.append((inputs, counts))
        return [results[0] + 1.0]

    inputs = [np.array([1.0, 2.0])]
    call = packed(function, inputs, n_counts=2).bind({}, attend)
    assert_array_equal(call(inputs), [[1.0, 2.0]])
    assert not asked
    for x, counts in (([-1.0, -2.0], (2.0, 0.0)), ([11.0, -2.0], (1.0, 1.0))):
        given = [np.array(x)]
        assert_array_equal(call(given), [given[0] + 1.0])
        assert asked.pop() == (given, counts)


def test_arrays_are_exchanged_where_jax_keeps_them(monkeypatch):
    places = []
    original = packed_call.array_in_place

    def counting(whole, begin, end):
        places.append(whole)
        return original(whole, begin, end)

    monkeypatch.setattr(packed_call, "array_in_place", counting)
    inputs = [np.array([1.0, 2.0]), np.array(3.0)]
    call = packed(lambda x, y: (x * y,), inputs).bind({})
    for y in range(20):
        assert_array_equal(call([inputs[0], np.array(float(y))])[0], [y, 2.0 * y])
    assert len(places) <= 2  # the first may be NumPy's memory, to which JAX does not write


@pytest.mark.parametrize("in_one_piece", [False, True])
def test_jax_may_be_told_not_to_compile(in_one_piece):
    inputs = [np.array([1.0, 2.0]), np.array(3.0)]
    call = packed(lambda x, y: (x * y,), inputs, in_one_piece=in_one_piece).bind({})
    for y in range(3):
        assert_array_equal(call([inputs[0], np.array(float(y))])[0], [y, 2.0 * y])
        with jax.disable_jit():
            assert_array_equal(call([inputs[0], np.array(y + 5.0)])[0], [y + 5, 2.0 * y + 10])


def test_a_call_that_failed_leaves_nothing_behind():
    inputs = [np.array([1.0, 2.0]), np.array(3.0)]
    call = packed(lambda x, y: (x * y,), inputs).bind({})
    for _ in range(3):
        assert_array_equal(call(inputs)[0], [3.0, 6.0])
        with pytest.raises(ValueError, match="could not broadcast"):
            call([np.arange(5.0), np.array(7.0)])


def sums_in_two_pieces(x, y):
    """Return ``(cumsum(x) * y,)`` by loops, between which there is something long."""
    long = jnp.outer(jnp.ones(LARGEST_PACKED), jnp.cumsum(x))
    long = jax.lax.fori_loop(0, 1, lambda _, z: z * y, long)
    return (jax.lax.fori_loop(0, 1, lambda _, z: z + jnp.max(long - long), long[-1]),)


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("in_pieces", [False, True])
def test_threads_do_not_share_what_they_pack(monkeypatch, synchronous, in_pieces):
    monkeypatch.setattr(packed_call, "dispatch_is_synchronous", lambda: synchronous)
    monkeypatch.setattr(packed_call, "reductions_are_costly", lambda: True)
    monkeypatch.setattr(program_pieces, "LEAST_WORK", 0 if in_pieces else np.inf)
    inputs = [np.zeros(64), np.array(1.0)]
    whole = packed(sums_in_two_pieces, inputs, in_one_piece=True)
    assert len(whole._scratch) == in_pieces
    call = whole.bind({})
    wrong = []

    def run(seed):
        x = np.random.default_rng(seed).normal(size=64)
        for y in range(200):
            (found,) = call([x, np.array(float(y))])
            if not np.allclose(found, np.cumsum(x) * y):
                wrong.append((seed, y))

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
