"""Sums that are taken together are the sums."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pymc_jaxdist.kernels.joint_sums import MANY_TERMS, MOST_SUMS_TO_A_NUMBER, with_joint_sums
from tests.kernels.comparisons import assert_close

# Sums to single numbers, in vectors of rows (some of which are left over), to many numbers.
SHAPES = [(7, 5, 3), (1, 40, 3), (1, 1, 2), (3, 5477, 2), (1, MANY_TERMS + 3, 1), (3, 20, 50)]


def moments(x, y):
    """Return sums of which two depend on others, as gradients of parameters do."""
    total = x.sum(axis=(0, 1))
    spread = ((x * y) ** 2).sum(axis=(0, 1))
    return total, spread / total, (x - y).sum(axis=1), (x / 2).sum(), total.sum()


jointly = jax.jit(with_joint_sums(moments))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@given(st.integers(0, 10_000))
def test_equals_the_sums_one_by_one(shape, seed):
    x, y = np.random.default_rng(seed).uniform(1, 2, size=(2, *shape))
    for ours, expected in zip(jointly(x, y), moments(x, y), strict=True):
        assert ours.shape == np.shape(expected)
        assert_close(ours, expected, 1e-12)


@pytest.mark.parametrize(
    "shape",
    [(MANY_TERMS, 2, 1), (2, MANY_TERMS, 1), (MANY_TERMS, 2, 3)],
    ids=["last", "first", "between"],
)
def test_what_is_kept_may_come_anywhere(shape):
    x = np.random.default_rng(0).normal(size=shape)
    for axes in (0, 1), (0, 2), (0,):
        found = with_joint_sums(lambda x, axes=axes: (x.sum(axes), (x**2).sum(axes)))(x)
        assert_close(found[0], x.sum(axes), 1e-9)
        assert_close(found[1], (x**2).sum(axes), 1e-9)


def primitives(function, *arguments):
    """Name what a function does, in the functions that it calls too."""

    def names(jaxpr):
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            for inner in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "jaxpr")):
                if hasattr(inner, "jaxpr"):
                    yield from names(inner.jaxpr)

    return list(names(jax.make_jaxpr(function)(*arguments).jaxpr))


def test_parameters_of_one_series_are_summed_in_one_pass():
    """One of them keeps the axis of the series, the other does not."""

    def gradients(x):
        return x.sum(axis=1), (x**2).sum(axis=(0, 1))

    found = primitives(with_joint_sums(gradients), jnp.ones((1, 40, 3)))
    assert found.count("reduce") == 1
    assert "reduce_sum" not in found


def test_a_derivative_of_sums_is_a_sum():
    x = np.random.default_rng(0).normal(size=(4, 6, MOST_SUMS_TO_A_NUMBER))
    direction = np.ones_like(x)
    _, slope = jax.jvp(with_joint_sums(lambda x: (x**2).sum(axis=(0, 1))), (x,), (direction,))
    assert_close(slope, (2 * x).sum(axis=(0, 1)), 1e-12)
