"""Solving several small linear systems with one matrix, and differentiating the solutions."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pymc_jaxdist.kernels.ode.step import computed_once

__all__ = ["UNROLLED_SIZE", "factorized"]

# Up to this size elimination is written out number by number, so that it fuses with what surrounds
# it; up to the next column by column, which compiles and runs faster.
WRITTEN_OUT = 4
UNROLLED_SIZE = 8


def factorized(matrix: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """Return the function that solves ``matrix @ x = b``.

    The matrix is decomposed once, without pivoting if it is small: an integrator whose matrix
    cannot be decomposed finds NaN, rejects the step and tries a smaller one, whose matrix is
    closer to a multiple of the identity. Derivatives reuse the decomposition.

    Parameters
    ----------
    matrix : (n, n) array

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> solve = factorized(jnp.array([[2.0, 1.0], [0.0, 4.0]]))
    >>> print(solve(jnp.array([4.0, 8.0])))
    [1. 2.]
    """
    constant = lax.stop_gradient(matrix)
    n = matrix.shape[0]
    factors: Any
    substitute: Callable[..., Any]
    if n <= WRITTEN_OUT:
        factors, substitute = _eliminate(constant), _substitute
    elif n <= UNROLLED_SIZE:
        factors, substitute = _eliminate_columns(constant), _substitute_columns
    else:
        factors, substitute = lax.linalg.lu(constant), _substitute_pivoted

    @jax.custom_jvp
    def solve(factors: Any, matrix: jax.Array, b: jax.Array) -> jax.Array:
        return substitute(factors, b)

    @solve.defjvp
    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        factors, matrix, b = primals
        _, d_matrix, d_b = tangents
        x = solve(factors, matrix, b)
        return x, solve(factors, matrix, d_b - d_matrix @ x)

    return lambda b: solve(factors, matrix, b)


def _eliminate(matrix: jax.Array) -> tuple[list[Any], list[Any]]:
    """Return the rows of a decomposition into triangles, as numbers, and inverse pivots."""
    n = matrix.shape[0]
    rows = [[matrix[i, j] for j in range(n)] for i in range(n)]
    inverse_pivots = []
    for k in range(n):
        inverse_pivots.append(1.0 / rows[k][k])
        for i in range(k + 1, n):
            rows[i][k] = rows[i][k] * inverse_pivots[k]
            for j in range(k + 1, n):
                rows[i][j] = rows[i][j] - rows[i][k] * rows[k][j]
    return rows, inverse_pivots


def _substitute(factors: tuple[list[Any], list[Any]], b: jax.Array) -> jax.Array:
    rows, inverse_pivots = factors
    n = len(rows)
    x = [b[i] for i in range(n)]
    for i in range(n):
        for j in range(i):
            x[i] = x[i] - rows[i][j] * x[j]
    for i in reversed(range(n)):
        for j in range(i + 1, n):
            x[i] = x[i] - rows[i][j] * x[j]
        x[i] = x[i] * inverse_pivots[i]
    return jnp.stack(x)


def _eliminate_columns(matrix: jax.Array) -> list[tuple[jax.Array, jax.Array, jax.Array]]:
    """Return of each column the part below the diagonal, that above, and the inverse pivot."""
    n = matrix.shape[0]
    columns = []
    for k in range(n):
        inverse_pivot = 1.0 / matrix[k, k]
        below = jnp.where(np.arange(n) > k, matrix[:, k] * inverse_pivot, 0.0)
        above = jnp.where(np.arange(n) < k, matrix[:, k], 0.0)
        columns.append((below, above, inverse_pivot))
        if k < n - 1:
            matrix = computed_once(matrix - below[:, None] * matrix[k])
    return columns


def _substitute_columns(
    columns: list[tuple[jax.Array, jax.Array, jax.Array]], b: jax.Array
) -> jax.Array:
    x, n = b, len(columns)
    for k, (below, _, _) in enumerate(columns[:-1]):
        x = computed_once(x - below * x[k])
    for k, (_, above, inverse_pivot) in reversed(list(enumerate(columns))):
        number = x[k] * inverse_pivot
        x = computed_once(jnp.where(np.arange(n) == k, number, x - above * number))
    return x


def _substitute_pivoted(factors: tuple[Any, ...], b: jax.Array) -> jax.Array:
    lu, _, permutation = factors
    x = b[permutation]
    x = lax.linalg.triangular_solve(lu, x[:, None], left_side=True, lower=True, unit_diagonal=True)
    return lax.linalg.triangular_solve(lu, x, left_side=True)[:, 0]
