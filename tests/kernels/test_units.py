"""Functions of one unit over all units, against loops."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.units import UnitLogDensity, UnitMap, map_units

RNG = np.random.default_rng(0)


def quadratic(y, a, b):
    return y @ a @ y + b


@pytest.mark.parametrize(
    ("a_batch", "b_batch"),
    [((), ()), ((4,), ()), ((3, 4), (4,)), ((1, 4), (3, 1)), ((3, 1), (1, 1))],
)
def test_parameters_are_broadcast(a_batch, b_batch):
    y = RNG.normal(size=(3, 4, 2))
    a, b = RNG.normal(size=(*a_batch, 2, 2)), RNG.normal(size=b_batch)
    result = map_units(quadratic, [y, a, b], [1, 2, 0], (3, 4))
    full_a, full_b = np.broadcast_to(a, (3, 4, 2, 2)), np.broadcast_to(b, (3, 4))
    for i in np.ndindex(3, 4):
        assert_allclose(result[i], y[i] @ full_a[i] @ y[i] + full_b[i], rtol=1e-12)
    (mapped,) = UnitMap(quadratic, (1, 2, 0))(jnp.asarray(y), jnp.asarray(a), jnp.asarray(b))
    assert_allclose(mapped, result)


def test_units_of_unknown_values_are_skipped():
    y = np.array([[1.0, 2.0], [np.nan, 1.0], [3.0, 4.0]])
    kernel = UnitLogDensity(lambda y, m: -jnp.sum((y - m) ** 2), (1, 0), "skip")
    assert_allclose(kernel(jnp.asarray(y), jnp.asarray(0.0)), [-5.0, 0.0, -25.0])
    passed = UnitLogDensity(lambda y, m: -jnp.nansum((y - m) ** 2), (1, 0), "pass")
    assert_allclose(passed(jnp.asarray(y), jnp.asarray(0.0)), [-5.0, -1.0, -25.0])
