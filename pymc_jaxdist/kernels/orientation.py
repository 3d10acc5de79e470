"""How a batch of chains lies in memory while a recursion walks along it.

Time is always the first dimension. With few states the sequences come last, so that each
step is one elementwise loop along the vector lanes of the processor. With many states the
states come last, so that each step is a matrix product. `orientation` is the one place
where this is decided.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable
from typing import Protocol

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.chain import Chain

__all__ = ["Orientation", "SequencesLast", "StatesLast", "orientation"]

# Measured on CPU: elementwise steps win up to about eight states.
ELEMENTWISE_MAX_STATES = 8


class Orientation(Protocol):
    """The operations a recursion needs, in one memory layout.

    A "column" is what a recursion carries from step to step: a number for each state and
    sequence. A "series" is a column for each time.
    """

    state_axis: int
    """The axis of the states in a column."""

    def series(self, x: jax.Array) -> jax.Array:
        """Lay (N, T, K) out as a series."""

    def user(self, series: jax.Array) -> jax.Array:
        """Bring a series back to (N, T, K)."""

    def column(self, x: jax.Array) -> jax.Array:
        """Lay (N, K) or (1, K) out as a column."""

    def matrices(self, x: jax.Array) -> jax.Array:
        """Lay (N, S, K, K) or (1, S, K, K) out with time first."""

    def propagate(self, column: jax.Array, matrix: jax.Array) -> jax.Array:
        """One step forward in time, ``x_j = sum_i column_i matrix_ij``."""

    def pull_back(self, matrix: jax.Array, column: jax.Array) -> jax.Array:
        """One step backward in time, ``x_i = sum_j matrix_ij column_j``."""

    def sum_states(self, column: jax.Array) -> jax.Array:
        """Sum a column over its states, giving (N,)."""


def orientation(chain: Chain) -> Orientation:
    """Choose the memory layout from the static shapes.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> from pymc_jaxdist.kernels.chain import flatten_batch
    >>> chain, _ = flatten_batch(jnp.zeros((7, 5, 2)), jnp.ones(2) / 2, jnp.eye(2), None)
    >>> orientation(chain).series(chain.log_likelihoods).shape
    (5, 2, 7)
    """
    if chain.log_likelihoods.shape[-1] <= ELEMENTWISE_MAX_STATES:
        return SequencesLast()
    return StatesLast()


class SequencesLast:
    """Columns (K, N), series (T, K, N), matrices (S, K, K, N) or (S, K, K, 1)."""

    state_axis = 0

    def series(self, x: jax.Array) -> jax.Array:
        """Lay (N, T, K) out as (T, K, N)."""
        return jnp.moveaxis(x, 0, -1)

    def user(self, series: jax.Array) -> jax.Array:
        """Bring (T, K, N) back to (N, T, K)."""
        return jnp.moveaxis(series, -1, 0)

    def column(self, x: jax.Array) -> jax.Array:
        """Lay (N, K) out as (K, N)."""
        return x.T

    def matrices(self, x: jax.Array) -> jax.Array:
        """Lay (N, S, K, K) out as (S, K, K, N)."""
        return jnp.moveaxis(x, 0, -1)

    def propagate(self, column: jax.Array, matrix: jax.Array) -> jax.Array:
        """One step forward in time."""
        return _total(column[i][None] * matrix[i] for i in range(len(column)))

    def pull_back(self, matrix: jax.Array, column: jax.Array) -> jax.Array:
        """One step backward in time."""
        return _total(column[j][None] * matrix[:, j] for j in range(len(column)))

    def sum_states(self, column: jax.Array) -> jax.Array:
        """Sum over states, (K, N) -> (N,)."""
        return _total(column[k] for k in range(len(column)))


class StatesLast:
    """Columns (N, K), series (T, N, K), matrices (S, N, K, K) or (S, 1, K, K)."""

    state_axis = 1

    def series(self, x: jax.Array) -> jax.Array:
        """Lay (N, T, K) out as (T, N, K)."""
        return jnp.swapaxes(x, 0, 1)

    def user(self, series: jax.Array) -> jax.Array:
        """Bring (T, N, K) back to (N, T, K)."""
        return jnp.swapaxes(series, 0, 1)

    def column(self, x: jax.Array) -> jax.Array:
        """Keep (N, K)."""
        return x

    def matrices(self, x: jax.Array) -> jax.Array:
        """Lay (N, S, K, K) out as (S, N, K, K)."""
        return jnp.swapaxes(x, 0, 1)

    def propagate(self, column: jax.Array, matrix: jax.Array) -> jax.Array:
        """One step forward in time."""
        if len(matrix) == 1:
            return _contract("ni,ij->nj", column, matrix[0])
        return _contract("ni,nij->nj", column, matrix)

    def pull_back(self, matrix: jax.Array, column: jax.Array) -> jax.Array:
        """One step backward in time."""
        if len(matrix) == 1:
            return _contract("ij,nj->ni", matrix[0], column)
        return _contract("nij,nj->ni", matrix, column)

    def sum_states(self, column: jax.Array) -> jax.Array:
        """Sum over states, (N, K) -> (N,)."""
        return jnp.sum(column, axis=1)


def _total(terms: Iterable[jax.Array]) -> jax.Array:
    # A chain of additions fuses into the surrounding elementwise loop; a reduction over the
    # leading axis would become a loop of its own.
    return functools.reduce(operator.add, terms)


def _contract(subscripts: str, x: jax.Array, y: jax.Array) -> jax.Array:
    # Accelerators round the factors of a product to a few digits unless told not to.
    return jnp.einsum(subscripts, x, y, precision=lax.Precision.HIGHEST)
