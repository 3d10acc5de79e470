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

from pymc_jaxdist.kernels.semi_markov_chain import (
    SemiMarkovChain,
    prepare_semi_markov,
    safe_log,
)

__all__ = ["log_likelihood_of", "semi_markov_log_likelihood", "semi_markov_smoothed_probs"]


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
    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    chain, batch_shape = prepare_semi_markov(*own)
    return log_likelihood_of(chain).reshape(batch_shape)


def log_likelihood_of(chain: SemiMarkovChain, offsets: jax.Array | None = None) -> jax.Array:
    r"""Log-likelihood ``(N,)`` of prepared chains.

    Parameters
    ----------
    chain : SemiMarkovChain
    offsets : Array, shape (T-1, N, K, K), optional
        Added to the log-probability of going from i at time t - 1 to j at time t, on the diagonal
        to that of staying. At zero, the derivative of the result is
        :math:`p(z_{t-1} = i, z_t = j | y_0 \ldots y_{T-1})`.

    Returns
    -------
    Array, shape (N,)
    """

    def step(weights: jax.Array, at: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        emitted, on, *offset = at
        leaving = _logsumexp(weights + chain.log_durations)
        onward = leaving[:, :, None] + chain.log_matrix
        staying = weights[..., :-1]
        if offset:
            onward = onward + offset[0]
            staying = staying + jnp.diagonal(offset[0], axis1=1, axis2=2)[..., None]
        entering = _logsumexp(jnp.swapaxes(onward, 1, 2))
        older = jnp.concatenate([entering[..., None], staying], axis=-1)
        # A missing state has weight -inf, and -inf + inf must not appear: see invalid().
        return jnp.where(on[:, None, None], older + emitted[..., None], weights), None

    weights = chain.first_weights(chain.log_start + chain.log_likelihoods[:, 0])
    extra = () if offsets is None else (offsets,)
    weights, _ = lax.scan(step, weights, (*chain.later_steps(), *extra))
    total = _logsumexp(_logsumexp(weights + chain.log_survival))
    total = jnp.where(chain.active[:, 0], total, 0.0)
    return jnp.where(chain.invalid, -jnp.inf, total)


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


def _logsumexp(x: jax.Array) -> jax.Array:
    """Sum probabilities over the last axis, with derivative 0 where all of them are 0."""
    top = lax.stop_gradient(jnp.max(x, axis=-1, keepdims=True))
    top = jnp.where(jnp.isfinite(top), top, 0)
    return safe_log(jnp.sum(jnp.exp(x - top), axis=-1)) + top[..., 0]
