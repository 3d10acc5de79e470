"""Step sizes against the formulas of Hairer, Nørsett and Wanner (II.4) in NumPy."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.step_size import error_norm, first_step_size, step_size_factor

RTOL, ATOL = 1e-3, np.array([1e-4, 1e-2])


def test_errors_are_measured_in_units_of_the_tolerance():
    """Of the larger of the states before and after, whatever their signs; subjects come last."""
    before, after = np.array([[-3.0, 0.5], [1.0, 0.0]]), np.array([[2.0, -4.0], [1.0, 7.0]])
    error = np.array([[0.01, -0.02], [0.03, 0.04]])
    tolerance = ATOL[:, None] + RTOL * np.array([[3.0, 4.0], [1.0, 7.0]])
    found = error_norm(error, before, after, RTOL, ATOL[:, None])
    assert_allclose(found, np.sqrt(((error / tolerance) ** 2).mean(axis=0)), rtol=1e-12)


@pytest.mark.parametrize("order", [3, 5])
@pytest.mark.parametrize("last", [1e-4, 0.3, 1.0])
def test_the_next_step_size_follows_from_the_last_two_errors(order, last):
    """A step may grow tenfold or shrink to a fifth; no error at all counts as a tiny one."""
    error = np.array([0.0, 1e-12, 1e-7, 0.01, 0.5, 1.0, 1.001, 2.0, 1e3, 1e9])
    logs = jnp.full(10, np.log(last))
    accepted, factor, following = step_size_factor(jnp.asarray(error), logs, order)
    assert accepted.tolist() == (error <= 1.0).tolist()
    counted = np.maximum(error, 1e-10)
    expected = 0.85 * np.where(
        error <= 1.0, last ** (0.15 / order) * counted ** (-0.9 / order), counted ** (-1 / order)
    )
    assert_allclose(factor, np.clip(expected, 0.2, 10.0), rtol=1e-12)
    remembered = np.where(error <= 1.0, np.maximum(error, 1e-4), last)
    assert_allclose(np.exp(following), remembered, rtol=1e-12)


@pytest.mark.parametrize("error", [np.inf, np.nan])
def test_a_step_to_where_nothing_is_known_is_tried_again_with_a_tenth(error):
    accepted, factor, last = step_size_factor(jnp.asarray(error), jnp.asarray(-0.5), 5)
    assert not accepted
    assert_allclose([factor, last], [0.1, -0.5])


def size(vector, y):
    return np.sqrt(((vector / (ATOL + RTOL * np.abs(y))) ** 2).mean())


def first(field, y, span, order=5, t=0.5):
    y = jnp.asarray(y)
    return first_step_size(field, t, y, field(t, y), jnp.asarray(span), order, RTOL, ATOL)


def turning(t, y):
    return jnp.stack([-3.0 * y[1] * t, y[0] + t])


@pytest.mark.parametrize(("order", "speed"), [(3, 1.0), (5, 1.0), (5, 1e-4)])
@pytest.mark.parametrize("y", [[1.0, 2.0], [-30.0, 0.1], [1e-4, 2e-3]])
def test_first_step_sizes_of_fields_that_change(order, speed, y):
    """From the sizes of the state, of its slope, and of what becomes of it."""

    def field(t, y):
        return speed * turning(t, y)

    t, y = 0.5, np.array(y)
    slope = np.asarray(field(t, y))
    guess = 0.01 * size(y, y) / size(slope, y)
    change = np.asarray(field(t + guess, y + guess * slope)) - slope
    steepest = max(size(slope, y), size(change, y) / guess)
    expected = min(100 * guess, (0.01 / steepest) ** (1 / order))
    assert_allclose(first(field, y, 1e9, order), expected, rtol=1e-12)
    assert_allclose(first(field, y, expected / 2, order), expected / 2, rtol=1e-12)


def test_a_first_step_is_small_where_the_slope_says_nothing():
    """Or where it says that the state has no size; a constant one has no steepness either."""
    assert_allclose(first(lambda t, y: jnp.ones(2), [0.0, 0.0], 1.0), 1e-4, rtol=1e-12)
    assert_allclose(first(lambda t, y: (t - 0.5) * jnp.ones(2), [1.0, 2.0], 1.0), 1e-4, rtol=1e-12)
    assert_allclose(first(lambda t, y: jnp.zeros(2), [1.0, 2.0], 1.0), 1e-6, rtol=1e-12)
    assert_allclose(first(lambda t, y: jnp.full(2, 1e-9), [1.0, 2.0], 1.0), 1e-4, rtol=1e-12)


def test_of_a_state_that_begins_at_zero_the_largest_tells_what_is_small():
    """Of two compartments, one empty: as if that held a thousandth of the other."""

    def flow(t, y):
        return jnp.stack([-y[0], y[0]])

    y, slope = np.array([2.0, 0.0]), np.array([-2.0, 2.0])
    as_if = np.array([2.0, 2e-3])
    guess = 0.01 * size(y, as_if) / size(slope, as_if)
    change = np.asarray(flow(0.0, y + guess * slope)) - slope
    steepest = max(size(slope, as_if), size(change, as_if) / guess)
    assert_allclose(first(flow, y, 1e9), min(100 * guess, (0.01 / steepest) ** 0.2), rtol=1e-12)


def test_a_first_step_is_never_longer_than_the_interval():
    assert first(turning, [1.0, 2.0], 0.0) == 0.0
    assert first(turning, [1.0, 2.0], 1e-9) == 1e-9
    assert first(lambda t, y: jnp.where(t > 0.5, jnp.nan, 1.0) * y, [1.0, 2.0], 1e-9) == 1e-9


@pytest.mark.parametrize("beyond", [np.nan, np.inf])
def test_a_field_that_is_unknown_beyond_the_start_leaves_the_first_guess(beyond):
    def field(t, y):
        return jnp.where(t > 0.5, beyond, 2.0) * y

    assert_allclose(first(field, [1.0, 2.0], 1.0), 0.01 / 2.0, rtol=1e-12)
