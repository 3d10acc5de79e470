"""A vector repeated, and the sum of its repetitions: what NumPy does, in every backend."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.ops.repetition import repeated

LENGTH, TIMES = 3, 4


@pytest.fixture(scope="module", params=["FAST_COMPILE", "NUMBA"])
def value_and_gradient(request):
    x, weights = pt.vector(shape=(LENGTH,)), pt.vector(shape=(TIMES * LENGTH,))
    result = repeated(x, TIMES)
    gradient = pytensor.grad((weights * result).sum(), x)
    return pytensor.function([x, weights], [result, gradient], mode=request.param)


@given(seed=st.integers(0, 2**32 - 1))
def test_repeats_and_sums_as_numpy_does(value_and_gradient, seed):
    rng = np.random.default_rng(seed)
    x, weights = rng.normal(size=LENGTH), rng.normal(size=TIMES * LENGTH)
    value, gradient = value_and_gradient(x, weights)
    assert_array_equal(value, np.tile(x, TIMES))
    assert_allclose(gradient, weights.reshape(TIMES, LENGTH).sum(axis=0), rtol=1e-14, atol=1e-14)
