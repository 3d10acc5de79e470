"""Rows of arrays whose last axis is that of the subjects, against loops over the subjects."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from pymc_jaxdist.kernels.ode.rows import each_subject, put_row, subjects_last, take_row


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_subject_takes_a_row_of_its_own(n):
    rows = np.arange(4.0 * n).reshape(4, n)
    index = np.array([2, 0, 3])[:n]
    expected = [rows[index[i], i] for i in range(n)]
    assert_array_equal(take_row(jnp.asarray(rows), jnp.asarray(index)), expected)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
@pytest.mark.parametrize("n", [2, 3])
def test_each_subject_puts_a_row_of_its_own_where_asked_to(n, shape):
    rows = np.arange(4.0 * np.prod((*shape, n))).reshape(4, *shape, n)
    values, index = -np.ones((*shape, n)), np.array([0, 2, 3])[:n]
    where = np.array([False, True, True])[:n]
    expected = rows.copy()
    for i in range(1, n):
        expected[index[i], ..., i] = -1
    assert_array_equal(
        put_row(jnp.asarray(rows), *map(jnp.asarray, (index, where, values))), expected
    )


@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_single_subject_puts_its_row(shape):
    rows, values = np.zeros((4, *shape, 1)), np.ones((*shape, 1))
    expected = rows.copy()
    expected[2] = values
    found = put_row(jnp.asarray(rows), jnp.array([2]), jnp.array([True]), jnp.asarray(values))
    assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), (1,), (2,), (2, 1)])
def test_functions_of_one_subject_are_applied_to_all(shape, n):
    x, y = np.arange(float(n * np.prod(shape))).reshape(n, *shape), np.arange(float(n))
    assert_array_equal(subjects_last(x), np.stack(x, axis=-1))
    total, product = each_subject(lambda x, y: (jnp.sum(x), x * y))(subjects_last(x), y)
    for i in range(n):
        assert total[i] == x[i].sum()
        assert_array_equal(product[..., i], x[i] * y[i])
