"""One step of the explicit methods, against the order of their errors."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.runge_kutta4 import RK4
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5
from tests.reference import differential_equations as reference

METHODS = {"tsit5": Tsit5(), "in a loop": Tsit5(stages_in_a_loop=True), "rk4": RK4(1.0)}
T, Y = 0.3, np.array([1.2, 0.7])


def pendulum(t, y, xp=jnp):
    return xp.stack([y[1] * xp.cos(t), -xp.sin(y[0]) + 0.5 * y[0] * y[1]])


def exact(h):
    """Return the solution after so long, to rounding."""
    return reference.solve(lambda t, y, p: pendulum(t, y, np), Y, None, T, [T + h])[0]


def one_step(method, h, f=pendulum):
    y = jnp.asarray(Y)
    return method.step(f, jnp.asarray(T), jnp.asarray(h), y, f(T, y))


def order(errors):
    """Return the power of the step size with which an error goes to zero."""
    return np.log2(np.abs(errors[0]).max() / np.abs(errors[1]).max())


SIZES = (0.4, 0.2)


@pytest.mark.parametrize(("name", "expected"), [("tsit5", 6), ("in a loop", 6), ("rk4", 5)])
def test_the_error_of_a_step(name, expected):
    errors = [one_step(METHODS[name], h).y - exact(h) for h in SIZES]
    assert order(errors) > expected - 0.5


@pytest.mark.parametrize("name", METHODS)
def test_the_slope_at_the_end(name):
    step = one_step(METHODS[name], 0.2)
    assert_allclose(step.slope, pendulum(T + 0.2, step.y), rtol=1e-13)


@pytest.mark.parametrize("name", ["tsit5", "in a loop"])
def test_the_estimated_error_is_that_of_a_method_of_order_4(name):
    """Larger than the error itself by one power of the step size."""
    estimates = [one_step(METHODS[name], h).error for h in SIZES]
    assert_allclose(order(estimates), 5, atol=0.5)


@pytest.mark.parametrize("u", [0.1, 0.3, 0.5, 0.77, 0.9])
def test_the_error_between_steps(u):
    """The polynomial is of order 4."""
    method = METHODS["tsit5"]
    errors = [method.interpolate(u, h, Y, one_step(method, h)) - exact(u * h) for h in SIZES]
    assert order(errors) > 4.5


@pytest.mark.parametrize("name", METHODS)
def test_the_solution_is_continuous(name):
    """At the beginning and the end of a step, in fractions of its size."""
    step = one_step(METHODS[name], 0.2)
    assert_allclose(METHODS[name].interpolate(0.0, 0.2, Y, step), Y, rtol=1e-14)
    assert_allclose(METHODS[name].interpolate(1.0, 0.2, Y, step), step.y, rtol=1e-13)


@pytest.mark.parametrize("name", ["tsit5", "in a loop"])
def test_stiffness_is_the_largest_eigenvalue_in_units_of_the_limit(name):
    """Once nothing is left but the fastest decay, or if there is only one."""
    for h in (0.2, 1e-3):
        step = one_step(METHODS[name], h, lambda t, y: -40.0 * y)
        assert_allclose(step.stiffness, h * 40.0 / 3.0, rtol=1e-9)
    # Where nothing moves nothing is stiff.
    assert one_step(METHODS[name], 0.2, lambda t, y: 0.0 * y).stiffness == 0.0


def test_the_classical_method_has_no_estimates():
    step = one_step(METHODS["rk4"], 0.2)
    assert step.error.tolist() == [0.0, 0.0]
    assert step.stiffness == 0.0


def test_step_sizes_of_the_classical_method():
    assert [RK4(size).fixed_size for size in (2, 0.5)] == [2.0, 0.5]
    for size in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="step_size must be a positive"):
            RK4(size)
