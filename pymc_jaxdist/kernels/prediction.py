"""One step ahead: states and observations given the past alone."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.posterior import invalid

__all__ = ["LogFilter", "log_filter", "log_predictive_densities", "predicted_probs"]


def predicted_probs(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Probabilities of the states given the observations before.

    .. math::

        p(z_t = k | y_0 \ldots y_{t-1}) = \sum_i p(z_{t-1} = i | y_0 \ldots y_{t-1}) P_{ik}

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array, shape (..., T, K)
        Rows sum to one; the first is ``initial_probs``. NaN on padding, after an impossible
        observation, and everywhere in a sequence with invalid arguments.

    References
    ----------
    Zucchini, W., MacDonald, I. L. and Langrock, R. (2016). Hidden Markov Models for Time
    Series: An Introduction Using R, 2nd edition. CRC Press, section 5.2.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> probs = predicted_probs(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> print(np.asarray(probs).round(3))
    [[0.5   0.5  ]
     [0.783 0.217]
     [0.651 0.349]]
    """
    steps = log_filter(log_likelihoods, initial_probs, transition_matrix, lengths)
    return jnp.exp(steps.log_predicted)


def log_predictive_densities(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Log-density of each observation given those before it.

    .. math::

        \log p(y_t | y_0 \ldots y_{t-1})
        = \log \sum_k p(z_t = k | y_0 \ldots y_{t-1}) e^{\ell_t(k)}

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array, shape (..., T)
        Their sum over time is the log-likelihood. ``-inf`` at an impossible observation, NaN
        after it and on padding.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> densities = log_predictive_densities(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> print(np.exp(densities).round(3))
    [0.3   0.243]
    """
    steps = log_filter(log_likelihoods, initial_probs, transition_matrix, lengths)
    return steps.log_density


class LogFilter(NamedTuple):
    """The forward recursion in log space, NaN on padding and after an impossible observation.

    Attributes
    ----------
    log_predicted, log_filtered : Array, shape (..., T, K)
        Log-probabilities of the states before and after observation t is seen.
    log_density : Array, shape (..., T)
        Log-density of observation t given those before it.
    """

    log_predicted: jax.Array
    log_filtered: jax.Array
    log_density: jax.Array


def log_filter(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> LogFilter:
    """Filter in log space: slower than the scaled recursion, and never out of range.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    LogFilter

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> steps = log_filter(jnp.array([[-900.0, -1800.0]]), jnp.ones(2) / 2, jnp.eye(2))
    >>> print(steps.log_filtered.round(3))
    [[   0. -900.]]
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    ll = chain.log_likelihoods
    sequences, _, states = ll.shape
    log_matrices = jnp.log(jnp.swapaxes(chain.transition_matrix, 0, 1))
    log_start = jnp.broadcast_to(jnp.log(chain.initial_probs), (sequences, states))

    def step(
        log_predicted: jax.Array, at: tuple[jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        emitted, own = at
        joint = log_predicted + emitted
        log_density = logsumexp(joint, axis=1)
        log_filtered = joint - log_density[:, None]
        matrix = log_matrices[0] if own is None else own
        onward = logsumexp(log_filtered[:, :, None] + matrix, axis=1)
        return onward, (log_predicted, log_filtered, log_density)

    varying = None if chain.static else jnp.pad(log_matrices, ((0, 1), (0, 0), (0, 0), (0, 0)))
    found = lax.scan(step, log_start, (jnp.swapaxes(ll, 0, 1), varying))[1]
    known = ~invalid(chain)[:, None]
    if chain.active is not None:
        known &= chain.active

    def user(series: jax.Array) -> jax.Array:
        own = jnp.swapaxes(series, 0, 1)
        on = known if own.ndim == 2 else known[..., None]
        return jnp.where(on, own, jnp.nan).reshape(*batch_shape, *own.shape[1:])

    return LogFilter(*map(user, found))
