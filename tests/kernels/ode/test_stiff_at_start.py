"""How stiff a problem plainly is, against Euler's method in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.problem import Problem
from pymc_jaxdist.kernels.ode.stiff_at_start import stiffness_at_start
from pymc_jaxdist.kernels.ode.tsit5 import STABILITY_LIMIT, Tsit5

MAX_STEPS = 40
T0, T_END = np.array([0.5, -1.0]), np.array([2.5, 3.0])
Y0 = np.array([[1.0, 0.2], [2.0, -0.5]])  # one row for each of the two subjects


def at_start(t):
    return (t == T0[0]) | (t == T0[1])


def found(field):
    problem = Problem(lambda t, segment, y, theta, fixed: field(t, y), max_steps=MAX_STEPS)
    slope = jnp.stack([field(t, y) for t, y in zip(T0, jnp.asarray(Y0), strict=True)], axis=-1)
    nothing = jnp.zeros((0, 2))
    arrays = map(jnp.asarray, (T0, T_END, Y0.T))
    return stiffness_at_start(problem, Tsit5(), *arrays, slope, nothing, ())


@pytest.mark.parametrize("speed", [0.01, 1.0, 300.0])
def test_the_steps_that_stability_takes_are_compared_with_half_of_those_allowed(speed):
    def field(t, y):
        return -speed * jnp.stack([3.0 * y[0] * t**2, y[1] + 0.1 * t * y[0]])

    expected = []
    for t0, t_end, y in zip(T0, T_END, Y0, strict=True):
        early = (t_end - t0) / 1000
        slope = np.asarray(field(t0, y))
        change = np.asarray(field(t0 + early, y + early * slope)) - slope
        assert change @ slope != 0
        rate = np.linalg.norm(change) / np.linalg.norm(early * slope) * (change @ slope < 0)
        expected.append(rate * (t_end - t0) / STABILITY_LIMIT / (MAX_STEPS / 2))
    assert_allclose(found(field), expected, rtol=1e-9)
    assert max(expected) > 0


@pytest.mark.parametrize(
    "field",
    [
        lambda t, y: jnp.zeros(2),
        lambda t, y: y,
        lambda t, y: jnp.stack([1.0, jnp.where(at_start(t), 0.0, 50.0)]),
        lambda t, y: jnp.nan * y,
        lambda t, y: jnp.where(at_start(t), 1.0, -jnp.inf) * y,
    ],
    ids=["nothing moves", "grows", "turns aside", "is not a number", "is infinite"],
)
def test_what_does_not_turn_against_itself_is_not_stiff(field):
    assert found(field).tolist() == [0.0, 0.0]


def test_what_the_field_turns_against_is_where_it_goes():
    """A fast state that turns back counts more than a slow one that goes on."""

    def field(t, y):
        return jnp.where(at_start(t), jnp.array([10.0, 0.1]), jnp.array([9.0, 1.1]))

    assert (found(field) > 0).all()
    assert found(lambda t, y: -field(t, y)).tolist() == found(field).tolist()
