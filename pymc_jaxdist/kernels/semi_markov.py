r"""The log-likelihood of a hidden semi-Markov model, states and durations summed out.

A state lasts for a random number of times, then another is entered. With
:math:`\alpha_t(k, d)` the weight of all paths that have been in state k for d times at t,

.. math::

    \alpha_t(k, d) = e^{\ell_t(k)} \alpha_{t-1}(k, d - 1), \qquad
    \alpha_t(k, 1) = e^{\ell_t(k)} \sum_i P_{ik} \sum_d p_i(d) \, \alpha_{t-1}(i, d), \qquad
    L = \sum_{k, d} \alpha_{T-1}(k, d) \, S_k(d),

where :math:`S_k(d)` is the probability that a stay lasts at least d times: the last stay is
cut off by the end of the sequence. In log space, so that nothing underflows: most of a step
is a shift and an addition.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.posterior import invalid

__all__ = [
    "semi_markov_log_likelihood",
    "semi_markov_smoothed_probs",
    "spread_over_sequences",
]


def semi_markov_log_likelihood(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Log-likelihood of hidden semi-Markov sequences.

    Parameters
    ----------
    log_likelihoods : array_like, shape (..., T, K)
        Log density of each observation under each state. ``-inf`` means impossible.
    initial_probs : array_like, broadcasts against (..., K)
        Distribution of the first state, which is entered at the first observation.
    transition_matrix : array_like, broadcasts against (..., 1, K, K) or (K, K)
        Probability of the state that follows. The diagonal should be zero.
    log_durations : array_like, broadcasts against (..., K, D)
        Log-probability that a stay lasts d = 1, ..., D times. Longer stays end never: D should
        be T, or durations beyond D impossible.
    log_survival : array_like, broadcasts against (..., K, D)
        Log-probability that a stay lasts at least d = 1, ..., D times.
    lengths : array_like of int, broadcasts against (...), optional
        Positions ``t >= lengths`` are padding.

    Returns
    -------
    Array, shape (...)
        ``-inf`` where no path is possible or where the arguments are invalid.

    References
    ----------
    Guédon, Y. (2003). Estimating hidden semi-Markov chains from discrete sequences. Journal of
    Computational and Graphical Statistics 12, 604-639.

    Examples
    --------
    Stays last one or two times with equal probability; the third observation excludes state 1:

    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.5]))
    >>> ll = jnp.log(jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
    >>> log_lik = semi_markov_log_likelihood(ll, jnp.array([1.0, 0.0]), swap, durations, survival)
    >>> print(np.exp(log_lik).round(3))
    0.25
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    ll, start, matrix, active = chain
    sequences, steps, states = ll.shape
    durations = spread_over_sequences(log_durations, batch_shape, sequences)
    survival = spread_over_sequences(log_survival, batch_shape, sequences)
    log_matrix = _log(matrix[:, 0])
    if active is None:
        active = jnp.ones((sequences, steps), dtype=bool)

    def step(weights: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        emitted, on = at
        leaving = _logsumexp(weights + durations)
        entering = _logsumexp(jnp.swapaxes(leaving[:, :, None] + log_matrix, 1, 2))
        older = jnp.concatenate([entering[..., None], weights[..., :-1]], axis=-1)
        # A missing state has weight -inf, and -inf + inf must not appear: see invalid().
        return jnp.where(on[:, None, None], older + emitted[..., None], weights), None

    first = jnp.broadcast_to(_log(start), (sequences, states)) + ll[:, 0]
    n_durations = max(durations.shape[-1], survival.shape[-1])
    weights = jnp.full((sequences, states, n_durations), -jnp.inf, dtype=ll.dtype)
    weights = weights.at[..., 0].set(first)
    weights, _ = lax.scan(step, weights, (jnp.swapaxes(ll, 0, 1)[1:], active.T[1:]))
    total = _logsumexp(_logsumexp(weights + survival))
    total = jnp.where(active[:, 0], total, 0.0)
    return jnp.where(invalid(chain), -jnp.inf, total).reshape(batch_shape)


def semi_markov_smoothed_probs(log_likelihoods: ArrayLike, *arguments: ArrayLike) -> jax.Array:
    r"""Probabilities of the states of a hidden semi-Markov model given the whole sequence.

    .. math::

        p(z_t = k | y_0 \ldots y_{T-1}) = \frac{\partial \log L}{\partial \ell_t(k)}

    Parameters
    ----------
    log_likelihoods, *arguments
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    Array, shape (..., T, K)
        Rows sum to one. NaN on padding, and everywhere in an impossible sequence.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.5]))
    >>> ll = jnp.log(jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
    >>> probs = semi_markov_smoothed_probs(ll, jnp.array([1.0, 0.0]), swap, durations, survival)
    >>> print(np.asarray(probs).round(3))
    [[1. 0.]
     [0. 1.]
     [1. 0.]]
    """
    ll = jnp.asarray(log_likelihoods)
    log_lik, transpose = jax.vjp(lambda x: semi_markov_log_likelihood(x, *arguments), ll)
    (probs,) = transpose(jnp.ones_like(log_lik))
    total = jnp.sum(probs, axis=-1, keepdims=True)
    return jnp.where((total > 0.5) & (log_lik > -jnp.inf)[..., None, None], probs / total, jnp.nan)


def spread_over_sequences(x: ArrayLike, batch_shape: tuple[int, ...], sequences: int) -> jax.Array:
    """Bring (..., K, D) to (N, K, D), or (1, K, D) where all sequences share it."""
    array = jnp.asarray(x)
    if array.ndim < 2:
        array = array[None]
    if array.size == array.shape[-1] * array.shape[-2]:
        return array.reshape(1, *array.shape[-2:])
    own = jnp.broadcast_to(array, (*batch_shape, *array.shape[-2:]))
    return own.reshape(sequences, *array.shape[-2:])


def _log(probs: jax.Array) -> jax.Array:
    """Take a logarithm whose derivative at 0 is 0: a structural zero stays one."""
    positive = probs > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, probs, 1)), -jnp.inf)


def _logsumexp(x: jax.Array) -> jax.Array:
    """Sum probabilities over the last axis, with derivative 0 where all of them are 0."""
    top = lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0)
    return _log(jnp.sum(jnp.exp(x - top), axis=-1)) + top[..., 0]
