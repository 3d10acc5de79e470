"""Operations on eight numbers at once, in code that Numba compiles."""

import decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from pymc_jaxdist.kernels.native.addresses import floats, integers
from pymc_jaxdist.kernels.native.exponential import exponential
from pymc_jaxdist.kernels.native.vectors import (
    LANES,
    exponent,
    gather,
    lane,
    lane_sum,
    larger,
    load,
    mantissa,
    select_before,
    splat,
    store,
    times_power_of_two,
    zero_below,
)

finite = st.floats(-1e6, 1e6)
eight = st.lists(finite, min_size=LANES, max_size=LANES).map(np.array)


def of_arrays(operation):
    """Return an operation on three vectors as one on arrays of eight numbers each."""

    @njit
    def call(numbers, out):
        x = floats(numbers.ctypes.data)
        result = floats(out.ctypes.data)
        store(result, 0, operation(load(x, 0), load(x, LANES), load(x, 2 * LANES)))

    def on_arrays(*arrays):
        given = np.concatenate([*arrays, *[np.zeros(LANES)] * (3 - len(arrays))])
        out = np.empty(LANES)
        call(given, out)
        return out

    return on_arrays


@njit(error_model="numpy")
def _exponential(x, y, z):
    return exponential(x)


exponential_of = of_arrays(_exponential)


def test_the_exponential_is_within_two_units_in_the_last_place():
    x = np.concatenate([-np.linspace(0, 1, 400), -np.geomspace(1e-300, 708, 400)])
    found = np.concatenate([exponential_of(part) for part in x.reshape(-1, LANES)])
    with decimal.localcontext(prec=40):
        exact = [decimal.Decimal(t).exp() for t in x.tolist()]
        errors = [
            float(abs(decimal.Decimal(f) - e)) for f, e in zip(found.tolist(), exact, strict=True)
        ]
    units = errors / np.spacing(np.array(exact, dtype=float))
    assert max(units) < 2.0
    # Most are the nearest number.
    assert np.mean(units) < 0.26


def test_the_exponential_of_what_is_beyond_its_range():
    x = np.array([0.0, -0.0, -708.0, -708.1, -1e5, -np.inf, np.nan, -1e308])
    expected = [1.0, 1.0, np.exp(-708.0), 0.0, 0.0, 0.0, np.nan, 0.0]
    np.testing.assert_allclose(exponential_of(x), expected, rtol=1e-15)


OPERATIONS = {
    "add": (njit(lambda x, y, z: x + y), np.add),
    "subtract": (njit(lambda x, y, z: x - y), np.subtract),
    "multiply": (njit(lambda x, y, z: x * y), np.multiply),
    "a number on the left": (njit(lambda x, y, z: 3.0 - x), lambda x, y: 3.0 - x),
    "a number on the right": (njit(lambda x, y, z: x / 7.0), lambda x, y: x / 7.0),
    "larger": (njit(lambda x, y, z: larger(x, y)), np.maximum),
    "splat": (njit(lambda x, y, z: splat(2.5)), lambda x, y: np.full(LANES, 2.5)),
    "zero below": (
        njit(lambda x, y, z: zero_below(splat(0.5), x, y)),
        lambda x, y: np.where(x < 0.5, 0.0, y),
    ),
    "select before": (
        njit(lambda x, y, z: select_before(x, y, splat(1.0), splat(2.0))),
        lambda x, y: np.where(x < y, 1.0, 2.0),
    ),
}

COMPILED = {name: of_arrays(ours) for name, (ours, _) in OPERATIONS.items()}


@pytest.mark.parametrize("name", OPERATIONS)
@given(eight, eight)
def test_operations_are_those_of_each_lane(name, x, y):
    np.testing.assert_array_equal(COMPILED[name](x, y), OPERATIONS[name][1](x, y))


def test_comparisons_of_equal_numbers_and_of_nan():
    one, nan = np.ones(LANES), np.full(LANES, np.nan)
    for name, x, y, expected in (
        ("larger", nan, one, 1.0),
        ("larger", one, nan, np.nan),
        ("zero below", one / 2, 3 * one, 3.0),
        ("zero below", nan, 3 * one, 3.0),
        ("select before", one, one, 2.0),
        ("select before", nan, one, 2.0),
    ):
        np.testing.assert_array_equal(COMPILED[name](x, y), expected)


mantissas = of_arrays(njit(lambda x, y, z: mantissa(x)))
exponents = of_arrays(njit(lambda x, y, z: exponent(x)))


@given(st.lists(st.floats(1e-307, 1e307), min_size=LANES, max_size=LANES).map(np.array))
def test_mantissa_and_exponent_are_the_parts_of_a_number(x):
    fraction, power = np.frexp(x)
    np.testing.assert_array_equal(mantissas(x), 2 * fraction)
    np.testing.assert_array_equal(exponents(x), power - 1)


def test_powers_of_two_come_from_the_last_bits():
    powers = np.array([-1000, -52, -1, 0, 1, 2, 52, 1000])
    scaled = of_arrays(njit(lambda x, y, z: times_power_of_two(x, y)))
    found = scaled(np.full(LANES, 1.5), 3 * 2.0**51 + powers)
    np.testing.assert_array_equal(found, 1.5 * 2.0**powers)


def test_numbers_are_gathered_and_read_from_lanes():
    @njit
    def read(numbers, offsets, out):
        source, result = floats(numbers.ctypes.data), floats(out.ctypes.data)
        vector = gather(source, integers(offsets.ctypes.data), 2)
        store(result, 1, vector)
        result[9] = lane(vector, 5)
        result[10] = lane_sum(vector)

    offsets = np.array([3, 0, 40, 7, 7, 1, 30, 22])
    out = np.zeros(12)
    read(np.arange(50.0), offsets, out)
    expected = [0, *(offsets + 2), 3, np.sum(offsets + 2), 0]
    np.testing.assert_array_equal(out, expected)


def test_a_vector_is_read_and_written_from_any_place():
    @njit
    def copy(numbers, out):
        store(floats(out.ctypes.data), 2, load(floats(numbers.ctypes.data), 3))

    out = np.zeros(12)
    copy(np.arange(20.0), out)
    np.testing.assert_array_equal(out, [0, 0, *range(3, 11), 0, 0])
