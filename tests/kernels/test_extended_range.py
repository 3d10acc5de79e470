"""Numbers of extended range against logarithms, and their derivatives against those of floats."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.extended_range import Extended

#: Logarithms of numbers that floats cannot hold, and zero.
LOGS = np.array([[-3000.0, 10.0, -np.inf], [5000.0, -1.0, -np.inf], [4999.0, -np.inf, -np.inf]])
LARGEST = np.finfo(float).max


def numbers(logs):
    return Extended.from_log(jnp.asarray(logs))


def test_ordinary_numbers():
    x = jnp.array([0.0, 1e-300, 0.5, 3.0, 1e150])
    assert_allclose(Extended.from_value(x).value(), x, rtol=1e-12)
    assert Extended.from_value(x).mantissa.tolist() == [0, 1, 1, 1, 1]
    assert_allclose(Extended.from_value(x)[1], np.log([1.0, 1e-300, 0.5, 3.0, 1e150]), rtol=1e-15)
    assert_allclose(jax.grad(lambda x: Extended.from_value(x).value().sum())(x), np.ones(5))


def test_numbers_given_by_their_logarithms():
    assert_allclose(numbers(LOGS).log(), LOGS)
    logs = jnp.array([-2.0, 1.0, -jnp.inf])
    assert_allclose(numbers(logs).value(), np.exp(logs), rtol=1e-14)
    found = jax.grad(lambda logs: numbers(logs).value().sum())(logs)
    assert_allclose(found, np.exp(logs), rtol=1e-14)


def test_products_and_choices():
    one, other = numbers(LOGS), numbers(LOGS.T)
    assert_allclose(one.times(other).log(), LOGS + LOGS.T)
    first = jnp.eye(3) > 0
    assert_allclose(one.where(first, other).log(), np.where(np.eye(3), LOGS, LOGS.T))
    assert_allclose(one.at((0, slice(None, 2))).log(), LOGS[0, :2])


@pytest.mark.parametrize("axis", [0, 1])
def test_sums(axis):
    with np.errstate(invalid="ignore"):
        expected = np.logaddexp.reduce(LOGS, axis=axis)
    assert_allclose(numbers(LOGS).sum(axis).log(), expected, rtol=1e-12)
    assert_allclose(numbers(LOGS).top(axis), LOGS.max(axis=axis))


def test_zeros_of_any_scale_add_nothing():
    """A product with a zero may have any exponent."""
    terms = Extended(jnp.array([1.0, 0.0, 0.0]), jnp.array([2.0, 9000.0, -9000.0]))
    assert_allclose(terms.sum(0).log(), 2.0)
    assert_allclose(terms.value(), [np.exp(2.0), 0.0, 0.0])
    assert terms.log().tolist() == [2.0, -np.inf, -np.inf]


def of_paths(x, algebra):
    """A sum of products of sums, as in the recursions; times so much that floats overflow."""
    scale = Extended(jnp.ones(()), jnp.asarray(3000.0))
    back = Extended(jnp.ones(()), jnp.asarray(-3000.0))
    if algebra is None:
        return ((x[0][:, None] * x[1:]).sum(axis=0) * x[1]).sum()
    terms = Extended.from_value(x)
    inner = terms.at(0).at((slice(None), None)).times(terms.at(slice(1, None))).sum(0)
    return inner.times(scale).times(terms.at(1)).sum(0).times(back).value()


@pytest.mark.parametrize("zeros", [(), (0,), (5,), (0, 5), (3, 4, 5), (0, 1, 2), range(12)])
def test_first_and_second_derivatives_also_at_zeros(zeros):
    x = np.random.default_rng(0).uniform(0.1, 2.0, size=(4, 3))
    x.flat[list(zeros)] = 0.0
    for derivative in (lambda f: f, jax.grad, jax.hessian):
        found, expected = (
            derivative(lambda x, a=algebra: of_paths(x, a))(jnp.asarray(x))
            for algebra in (Extended, None)
        )
        assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_quotients():
    one, other = numbers(LOGS[:2, :2]), numbers(LOGS[:2, :2] - 2.0)
    assert_allclose(one.over(other, jnp.ones((2, 2), bool)), np.full((2, 2), np.exp(2.0)))
    zero, some = numbers([-np.inf, -np.inf]), numbers([-700.0, 3.0])
    assert zero.over(some, jnp.ones(2, bool)).tolist() == [0.0, 0.0]
    by_numerator = jax.grad(lambda x: Extended.from_value(x).over(some.at(1), jnp.asarray(True)))
    assert_allclose([by_numerator(x) for x in (0.0, 2.0)], np.exp([-3.0, -3.0]), rtol=1e-12)
    by_divisor = jax.grad(lambda x: some.at(1).over(Extended.from_value(x), jnp.asarray(True)))
    assert_allclose(by_divisor(2.0), -np.exp(3.0) / 4.0, rtol=1e-12)


def test_logarithms_have_derivatives_where_they_are_finite():
    by_number = jax.grad(lambda x: Extended.from_value(x).log())
    assert [by_number(x) for x in (0.0, 0.5, 4.0)] == [0.0, 2.0, 0.25]


def test_quotients_that_floats_cannot_hold_saturate():
    """Where a million of them can be summed, or, at zeros, be multiplied by another."""
    found = numbers([4000.0] * 2).over(numbers([-10.0] * 2), jnp.array([True, False]))
    assert_allclose(found, [LARGEST / 1e6, np.sqrt(LARGEST)], rtol=1e-11)
    small = numbers([300.0] * 2).over(numbers([-10.0] * 2), jnp.array([True, False]))
    assert_allclose(small, np.exp([310.0, 310.0]), rtol=1e-12)
