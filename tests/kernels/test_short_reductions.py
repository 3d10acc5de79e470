"""Reductions over few numbers are written out, wherever they stand, and give the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from jax.extend.core import jaxpr_as_fun
from numpy.testing import assert_allclose, assert_array_equal

from pymc_jaxdist.kernels.short_reductions import (
    LARGEST,
    LONGEST,
    _call_of_reduction,
    with_short_reductions_written_out,
)

REAL = {"sum": np.sum, "max": np.max, "min": np.min, "prod": np.prod}
LOGICAL = {"all": np.all, "any": np.any}


def written_out(function, *arguments):
    """Return the function, written out anew, and its program as text."""
    _call_of_reduction.cache_clear()
    closed = with_short_reductions_written_out(jax.make_jaxpr(function)(*arguments))
    return jaxpr_as_fun(closed), str(closed)


@given(data=st.data(), shape=array_shapes(max_dims=3, max_side=7), name=st.sampled_from([*REAL]))
def test_real_numbers(data, shape, name):
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    x = np.random.default_rng(len(shape)).normal(size=shape)
    function, program = written_out(lambda x: getattr(jnp, name)(x, axis=axes), x)
    assert_allclose(function(x)[0], REAL[name](x, axis=axes), rtol=1e-13, atol=1e-13)
    assert "reduce_" not in program or np.prod([x.shape[a] for a in axes]) > LONGEST


@given(data=st.data(), shape=array_shapes(max_dims=3, max_side=4), name=st.sampled_from([*LOGICAL]))
def test_truth(data, shape, name):
    axes = tuple(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    x = np.random.default_rng(0).uniform(size=shape) < 0.7
    function, program = written_out(lambda x: getattr(jnp, name)(x, axis=axes), x)
    assert_array_equal(function(x)[0], LOGICAL[name](x, axis=axes))
    assert "reduce_" not in program


@pytest.mark.parametrize("x", [[1.0, np.nan, 2.0], [np.inf, -np.inf, 0.0], [-np.inf, -np.inf]])
@pytest.mark.parametrize("name", REAL)
def test_numbers_that_are_not_finite(x, name):
    x = np.array(x)
    function, _ = written_out(getattr(jnp, name), x)
    assert_array_equal(function(x)[0], getattr(jnp, name)(x))


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "bool"])
def test_other_types(dtype):
    x = np.arange(5).astype(dtype)
    function, _ = written_out(jnp.sum, x)
    (found,) = function(x)
    assert found == jnp.sum(x)
    assert found.dtype == jnp.sum(x).dtype


def test_inside_loops_branches_and_functions():
    def nested(x):
        def step(carry, row):
            carry = jax.lax.cond(jnp.any(row > 0), lambda c: c + jnp.sum(row), jnp.negative, carry)
            return carry, jax.jit(jnp.max)(row)

        total, largest = jax.lax.scan(step, 0.0, x)
        total = jax.lax.while_loop(
            lambda t: jnp.sum(jnp.stack([t, t])) < 50.0, lambda t: t + 1.0, total
        )
        return total, jax.grad(lambda x: jnp.sum(jnp.sum(x, 0) ** 2))(x), largest

    x = np.random.default_rng(1).normal(size=(4, 3))
    function, program = written_out(nested, x)
    assert "reduce_" in str(jax.make_jaxpr(nested)(x))
    assert "reduce_" not in program
    for mine, right in zip(function(x), nested(x), strict=True):
        assert_allclose(mine, right, rtol=1e-13)


@pytest.mark.parametrize("shape", [(LONGEST + 1,), (2, LARGEST), (0,), (0, 3)])
def test_what_is_long_or_large_or_empty_is_left_alone(shape):
    x = np.ones(shape)
    function, program = written_out(lambda x: jnp.sum(x, axis=0), x)
    assert "reduce_sum" in program
    assert_array_equal(function(x)[0], np.sum(x, axis=0))


def test_the_longest_that_is_written_out():
    x = np.arange(float(LONGEST))
    function, program = written_out(jnp.sum, x)
    assert "reduce_sum" not in program
    assert function(x)[0] == LONGEST * (LONGEST - 1) / 2


def test_the_largest_that_is_written_out():
    x = np.ones((2, LARGEST // 2))
    function, program = written_out(lambda x: jnp.sum(x, axis=0), x)
    assert "reduce_sum" not in program
    assert_array_equal(function(x)[0], np.full(LARGEST // 2, 2.0))


def test_what_has_no_reductions_is_the_same_program():
    closed = jax.make_jaxpr(jnp.sin)(1.0)
    assert with_short_reductions_written_out(closed) is closed
