"""Memory at addresses, read and written by compiled code."""

import numpy as np
import pytest
from numba import njit, types

from pymc_jaxdist.kernels.native.addresses import address, floats, integers, pointer_to, write


@njit
def written(array, out):
    """Let compiled code copy an array to where another is."""
    return write(array, out.ctypes.data)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_an_array_of_finite_numbers_is_copied_and_nothing_beyond_it(shape):
    array = np.random.default_rng(0).normal(size=shape)
    out = np.full(array.size + 1, -7.0)
    assert written(array, out)
    np.testing.assert_array_equal(out, [*array.ravel(), -7.0])


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", range(3))
def test_one_number_that_is_not_finite_is_enough(number, position):
    array = np.arange(3.0)
    array[position] = number
    out = np.empty(3)
    assert not written(array, out)
    np.testing.assert_array_equal(out, array)
    assert not written(np.array(number), out)
    assert written(np.array(1.0), out)


def test_columns_are_written_row_by_row():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    out = np.empty(6)
    assert written(array, out)
    np.testing.assert_array_equal(out, np.arange(6.0))


def test_numbers_are_found_from_any_address():
    @njit
    def third(x, n, small):
        at = address(floats(x.ctypes.data), 2)
        place = address(integers(n.ctypes.data), 2)
        bytes_ = pointer_to_bytes(small.ctypes.data)
        return floats(at)[0], floats(at)[1], integers(place)[0], bytes_[2]

    pointer_to_bytes = pointer_to(types.int8)
    arrays = np.arange(5.0), np.arange(10, 15), np.arange(20, 25, dtype=np.int8)
    assert third(*arrays) == (2.0, 3.0, 12, 22)
