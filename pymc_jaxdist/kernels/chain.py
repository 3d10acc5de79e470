"""What every hidden Markov kernel computes on: a flat batch of chains with their evidence."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

__all__ = ["Chain", "as_float", "flatten_batch"]


class Chain(NamedTuple):
    """N hidden Markov chains of T steps and K states, with their evidence.

    Parameters that all sequences share keep a first dimension of length 1, so that they are
    never copied N times.

    Attributes
    ----------
    log_likelihoods : Array, shape (N, T, K)
        Log density of observation t under state k.
    initial_probs : Array, shape (N, K) or (1, K)
    transition_matrix : Array, shape (N, S, K, K) or (1, S, K, K)
        ``S = 1`` is constant in time, otherwise ``S = T - 1``.
    active : Array of bool, shape (N, T), or None
        False on padding. None means that no sequence is padded.
    """

    log_likelihoods: jax.Array
    initial_probs: jax.Array
    transition_matrix: jax.Array
    active: jax.Array | None

    @property
    def static(self) -> bool:
        """Whether one transition matrix serves all time steps."""
        return self.transition_matrix.shape[1] == 1

    @property
    def shared(self) -> bool:
        """Whether one transition matrix serves all sequences."""
        return self.transition_matrix.shape[0] == 1


def as_float(x: ArrayLike) -> jax.Array:
    """Give an array of floats: the type of `x`, or the default one for integers.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> as_float(jnp.ones(2, dtype="float16")).dtype.name
    'float16'
    """
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def flatten_batch(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None,
) -> tuple[Chain, tuple[int, ...]]:
    """Bring the arguments of a kernel into the form of `Chain`.

    Parameters
    ----------
    log_likelihoods : array_like, shape (..., T, K)
    initial_probs : array_like, broadcasts against (..., K)
    transition_matrix : array_like, broadcasts against (..., T-1, K, K)
    lengths : array_like of int, broadcasts against (...), or None

    Returns
    -------
    chain : Chain
    batch_shape : tuple of int
        The broadcast batch shape; ``N`` is its product.

    Raises
    ------
    ValueError
        If the shapes do not fit together.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> chain, batch_shape = flatten_batch(
    ...     jnp.zeros((2, 5, 4, 3)), jnp.ones(3) / 3, jnp.eye(3), None
    ... )
    >>> chain.log_likelihoods.shape, chain.transition_matrix.shape, batch_shape
    ((10, 4, 3), (1, 1, 3, 3), (2, 5))
    """
    ll, start, matrix = (as_float(x) for x in (log_likelihoods, initial_probs, transition_matrix))
    dtype = jnp.result_type(ll, start, matrix)
    ll, start, matrix = ll.astype(dtype), start.astype(dtype), matrix.astype(dtype)
    limits = None if lengths is None else jnp.asarray(lengths)
    if matrix.ndim == 2:
        matrix = matrix[None]
    _check_shapes(ll, start, matrix)
    steps, states = ll.shape[-2:]
    batch_shape = jnp.broadcast_shapes(
        ll.shape[:-2],
        start.shape[:-1],
        matrix.shape[:-3],
        () if limits is None else limits.shape,
    )
    sequences = math.prod(batch_shape)

    def flat(x: jax.Array, event_ndim: int) -> jax.Array:
        own, event = x.shape[: x.ndim - event_ndim], x.shape[x.ndim - event_ndim :]
        if math.prod(own) == 1:
            return x.reshape(1, *event)
        return jnp.broadcast_to(x, batch_shape + event).reshape(sequences, *event)

    active = None
    if limits is not None:
        per_sequence = jnp.broadcast_to(limits, batch_shape).reshape(sequences, 1)
        active = jnp.arange(steps, dtype=limits.dtype)[None] < per_sequence
    everyone = jnp.broadcast_to(ll, (*batch_shape, steps, states))
    chain = Chain(
        log_likelihoods=everyone.reshape(sequences, steps, states),
        initial_probs=flat(start, 1),
        transition_matrix=flat(matrix, 3),
        active=active,
    )
    return chain, batch_shape


def _check_shapes(ll: jax.Array, start: jax.Array, matrix: jax.Array) -> None:
    if ll.ndim < 2 or ll.shape[-2] == 0:
        raise ValueError(f"log_likelihoods must have shape (..., T, K), T >= 1, got {ll.shape}")
    steps, states = ll.shape[-2:]
    if start.ndim < 1 or start.shape[-1] != states:
        raise ValueError(f"initial_probs must have shape (..., {states}), got {start.shape}")
    if (
        matrix.ndim < 3
        or matrix.shape[-2:] != (states, states)
        or matrix.shape[-3] not in (1, steps - 1)
    ):
        raise ValueError(
            f"transition_matrix must have shape ({states}, {states}), (..., 1, {states}, "
            f"{states}) or (..., {steps - 1}, {states}, {states}), got {matrix.shape}"
        )
