"""Linear systems with one matrix, for every way in which the matrix is decomposed."""

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

from pymc_jaxdist.kernels.ode.linear_solve import UNROLLED_SIZE, WRITTEN_OUT, factorized


def solve(matrix, b):
    return factorized(matrix)(b)


def near_a_multiple_of_the_identity(n):
    """As the matrices of implicit methods with small steps: no pivoting is needed."""
    rng = np.random.default_rng(n)
    return 5.0 * n * np.eye(n) + rng.normal(size=(n, n)), rng.normal(size=n)


@pytest.mark.parametrize(
    "n", [1, 2, WRITTEN_OUT, WRITTEN_OUT + 1, UNROLLED_SIZE, UNROLLED_SIZE + 1]
)
def test_solution_and_derivatives(n):
    matrix, b = near_a_multiple_of_the_identity(n)
    d_matrix, d_b = np.random.default_rng(0).normal(size=(n, n)), np.ones(n)
    x, d_x = jax.jvp(solve, (matrix, b), (d_matrix, d_b))
    expected = np.linalg.solve(matrix, b)
    assert_allclose(x, expected, rtol=1e-12)
    assert_allclose(d_x, np.linalg.solve(matrix, d_b - d_matrix @ expected), rtol=1e-11)


@pytest.mark.parametrize("n", [2, WRITTEN_OUT + 1, UNROLLED_SIZE + 1])
def test_a_singular_matrix_is_not_silent(n):
    x = jax.jit(solve)(np.ones((n, n)), np.arange(1.0, n + 1))
    assert not np.isfinite(x).all()
