"""What every hidden semi-Markov kernel computes on: chains in log space, with their durations."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.posterior import invalid

__all__ = ["SemiMarkovChain", "prepare_semi_markov", "safe_log"]


class SemiMarkovChain(NamedTuple):
    """N hidden semi-Markov chains of T steps, K states and stays of up to D times.

    Parameters that all sequences share keep a first dimension of length 1.

    Attributes
    ----------
    log_likelihoods : Array, shape (N, T, K)
        Log density of observation t under state k.
    log_start : Array, shape (N, K)
        Log-probability of the first state.
    log_matrix : Array, shape (N, K, K) or (1, K, K)
        Log-probability of the state that follows.
    log_durations, log_survival : Array, shape (N, K, D) or (1, K, D)
        Log-probability of a stay of exactly, and of at least, d = 1, ..., D times.
    active : Array of bool, shape (N, T)
        False on padding.
    invalid : Array of bool, shape (N,)
        Whether arguments of the sequence are invalid.
    """

    log_likelihoods: jax.Array
    log_start: jax.Array
    log_matrix: jax.Array
    log_durations: jax.Array
    log_survival: jax.Array
    active: jax.Array
    invalid: jax.Array

    def first_weights(self, log_weights: jax.Array) -> jax.Array:
        """Return weights ``(N, K, D)`` of stays that have just begun, of ``(N, K)`` in all."""
        shape = (*log_weights.shape, self.log_durations.shape[-1])
        weights = jnp.full(shape, -jnp.inf, dtype=log_weights.dtype)
        return weights.at[..., 0].set(log_weights)

    def later_steps(self) -> tuple[jax.Array, jax.Array]:
        """Return evidence ``(T-1, N, K)`` and activity ``(T-1, N)``, ready for a scan."""
        return jnp.swapaxes(self.log_likelihoods, 0, 1)[1:], self.active.T[1:]


def prepare_semi_markov(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> tuple[SemiMarkovChain, tuple[int, ...]]:
    """Bring the arguments of a semi-Markov kernel into the form of `SemiMarkovChain`.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    chain : SemiMarkovChain
    batch_shape : tuple of int
        The broadcast batch shape; ``N`` is its product.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> durations, survival = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.5]))
    >>> chain, batch_shape = prepare_semi_markov(
    ...     jnp.zeros((5, 4, 2)), jnp.ones(2) / 2, 1 - jnp.eye(2), durations, survival
    ... )
    >>> chain.log_start.shape, chain.log_matrix.shape, chain.log_durations.shape, batch_shape
    ((5, 2), (1, 2, 2), (1, 1, 2), (5,))
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    sequences, steps, states = chain.log_likelihoods.shape
    active = chain.active
    prepared = SemiMarkovChain(
        log_likelihoods=chain.log_likelihoods,
        log_start=safe_log(jnp.broadcast_to(chain.initial_probs, (sequences, states))),
        log_matrix=safe_log(chain.transition_matrix[:, 0]),
        log_durations=_spread(log_durations, batch_shape, sequences),
        log_survival=_spread(log_survival, batch_shape, sequences),
        active=jnp.ones((sequences, steps), dtype=bool) if active is None else active,
        invalid=invalid(chain),
    )
    return prepared, batch_shape


def safe_log(probs: jax.Array) -> jax.Array:
    """Take a logarithm whose derivative at 0 is 0: a structural zero stays one."""
    positive = probs > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, probs, 1)), -jnp.inf)


def _spread(x: ArrayLike, batch_shape: tuple[int, ...], sequences: int) -> jax.Array:
    """Bring (..., K, D) to (N, K, D), or (1, K, D) where all sequences share it."""
    array = jnp.asarray(x)
    if array.ndim < 2:
        array = array[None]
    if array.size == array.shape[-1] * array.shape[-2]:
        return array.reshape(1, *array.shape[-2:])
    own = jnp.broadcast_to(array, (*batch_shape, *array.shape[-2:]))
    return own.reshape(sequences, *array.shape[-2:])
