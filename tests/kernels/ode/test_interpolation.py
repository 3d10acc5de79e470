"""Functions given by their values at some times, against NumPy and SciPy."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.interpolate import CubicHermiteSpline

from pymc_jaxdist.kernels.ode.interpolation import KINDS, interpolated

#: Before the first time, at each, between them, and after the last.
TIMES = np.array([0.5, 1.0, 2.5, 3.0, 7.0])
WANTED = np.sort(np.concatenate([TIMES, [-1.0, 0.7, 1.1, 2.0, 2.9, 3.5, 6.0, 8.0]]))


def last_so_far(t, values):
    return values[np.maximum(np.searchsorted(TIMES, t, side="right") - 1, 0)]


def line(t, values):
    return np.interp(t, TIMES, values)


def cubic(t, values):
    """With the slopes of Catmull and Rom: those between the neighbours of each point."""
    between = (values[2:] - values[:-2]) / (TIMES[2:] - TIMES[:-2])
    ends = np.diff(values)[[0, -1]] / np.diff(TIMES)[[0, -1]]
    spline = CubicHermiteSpline(TIMES, values, [ends[0], *between, ends[1]])
    return spline(np.clip(t, TIMES[0], TIMES[-1]))


REFERENCES = {"linear": line, "previous": last_so_far, "cubic": cubic}


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 1000))
def test_values_between_and_beyond_the_times(kind, seed):
    values = np.random.default_rng(seed).normal(size=5)
    found = jax.vmap(interpolated(TIMES, values, kind))(WANTED)
    assert_allclose(found, REFERENCES[kind](WANTED, values), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_several_functions_at_the_same_times(kind):
    values = np.random.default_rng(0).normal(size=(5, 2))
    both = jax.vmap(interpolated(TIMES, values, kind))(WANTED)
    for j in range(2):
        assert_allclose(both[:, j], REFERENCES[kind](WANTED, values[:, j]), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_time_and_equal_times(kind):
    one = interpolated([2.0], [3.0], kind)
    for t in (1.0, 2.0, 3.0):
        assert one(t) == 3.0
        assert jax.grad(one)(t) == 0.0
    # Of values at the same time the last one counts from there on.
    step = interpolated([0.0, 1.0, 1.0, 2.0], [1.0, 1.0, 4.0, 4.0], kind)
    if kind != "cubic":
        assert [float(step(t)) for t in (0.5, 1.0, 1.5)] == [1.0, 4.0, 4.0]
    assert np.isfinite(jax.vmap(step)(np.linspace(-0.5, 2.5, 13))).all()
    at_the_end = interpolated([0.0, 1.0, 1.0], [1.0, 1.0, 4.0], kind)
    for t in (1.0, 1.5):
        assert at_the_end(t) == 4.0
        assert jax.grad(at_the_end)(t) == 0.0


@pytest.mark.parametrize(("kind", "at_end"), [("linear", 4.0), ("previous", 2.0), ("cubic", 4.0)])
def test_a_step_sees_the_piece_in_which_it_began_up_to_its_end(kind, at_end):
    """Where the next piece begins with a jump, or with a slope of its own."""
    seen = interpolated([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 4.0], kind).on_segment(1.0)
    assert_allclose([seen(1.0), seen(2.0)], [2.0, at_end], rtol=1e-12)
    if kind != "cubic":  # which has no kinks at which steps would have to end
        assert_allclose(seen(2.5), at_end, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("linear", {-1.0: 0.0, 0.0: 2.0, 1.0: 2.0, 1.5: 2.0, 2.0: 3.0, 3.0: 0.0, 4.0: 0.0}),
        ("previous", dict.fromkeys([-1.0, 0.0, 1.5, 3.0, 4.0], 0.0)),
        ("cubic", {-1.0: 0.0, 0.0: 2.0, 1.0: 2.0, 2.0: 2.5, 3.0: 0.0, 4.0: 0.0}),
    ],
)
def test_the_derivative_by_time_is_that_to_the_right(kind, expected):
    """Steps begin at the times; stiff methods differentiate the field where they begin."""
    f = interpolated([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 7.0], kind)
    for t, slope in expected.items():
        assert_allclose(jax.grad(f.on_segment(t))(t), slope, atol=1e-12)
        assert_allclose(jax.grad(f)(t), slope, atol=1e-12)


def test_the_derivative_at_the_end_of_a_step_is_that_to_the_left():
    f = interpolated([0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 7.0])
    assert_allclose(jax.grad(f.on_segment(1.0))(2.0), 2.0, rtol=1e-12)
    assert_allclose(jax.grad(f.on_segment(2.0))(3.0), 3.0, rtol=1e-12)
    assert_allclose(jax.grad(f.on_segment(-1.0))(0.0), 0.0, atol=1e-12)
