r"""Pairs of successive states of hidden semi-Markov models, and how many of each are expected.

A pair of different states is the end of a stay and the beginning of the next, a pair of equal
ones a stay that goes on. Both are derivatives of the log-likelihood: by the log-probability of a
transition at time t, and by what a stay that goes on at time t is weighted with.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.semi_markov import log_likelihood_of
from pymc_jaxdist.kernels.semi_markov_chain import prepare_semi_markov

__all__ = [
    "semi_markov_expected_times_and_transitions",
    "semi_markov_expected_transitions",
    "semi_markov_pair_probs",
]


def semi_markov_pair_probs(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Probabilities of pairs of successive states of a semi-Markov model.

    .. math::

        \xi_t(i, j) = p(z_{t-1} = i, z_t = j | y_0 \ldots y_{T-1})

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    Array, shape (..., T-1, K, K)
        Each matrix sums to one; on its diagonal are the stays that go on. Zero on padding; NaN in
        an impossible sequence.

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
    >>> pairs = semi_markov_pair_probs(ll, jnp.array([1.0, 0.0]), swap, durations, survival)
    >>> print(np.asarray(pairs.sum(axis=0)).round(3) + 0.0)
    [[0. 1.]
     [1. 0.]]
    """
    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    chain, batch_shape = prepare_semi_markov(*own)
    sequences, steps, states = chain.log_likelihoods.shape
    offsets = jnp.zeros((steps - 1, sequences, states, states), dtype=chain.log_likelihoods.dtype)
    log_lik, transpose = jax.vjp(lambda x: log_likelihood_of(chain, x), offsets)
    pairs = jnp.swapaxes(transpose(jnp.ones_like(log_lik))[0], 0, 1)
    total = jnp.sum(pairs, axis=(2, 3), keepdims=True)
    pairs = pairs / jnp.where(total > 0, total, 1)
    possible = (log_lik > -jnp.inf)[:, None, None, None]
    return jnp.where(possible, pairs, jnp.nan).reshape(*batch_shape, *pairs.shape[1:])


def semi_markov_expected_times_and_transitions(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    log_durations: ArrayLike,
    log_survival: ArrayLike,
    lengths: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Count times in each state and pairs of states in expectation, without those of each time.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths
        As for `semi_markov_log_likelihood`.

    Returns
    -------
    times : Array, shape (..., K)
    transitions : Array, shape (..., K, K)
        From row to column, on the diagonal the stays that go on. Both are NaN in an impossible
        sequence.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> swap = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    >>> durations, survival = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([1.0, 0.5]))
    >>> ll = jnp.log(jnp.array([[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]))
    >>> times, transitions = semi_markov_expected_times_and_transitions(
    ...     ll, jnp.array([1.0, 0.0]), swap, durations, survival
    ... )
    >>> times.round(3).tolist(), abs(transitions).round(3).tolist()
    ([2.0, 1.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    own = (log_likelihoods, initial_probs, transition_matrix, log_durations, log_survival, lengths)
    chain, batch_shape = prepare_semi_markov(*own)
    sequences, _, states = chain.log_likelihoods.shape
    shape = (sequences, states, states)

    def of_each(ll: jax.Array, log_matrix: jax.Array) -> jax.Array:
        return log_likelihood_of(chain._replace(log_likelihoods=ll, log_matrix=log_matrix))

    log_matrix = jnp.broadcast_to(chain.log_matrix, shape)
    log_lik, transpose = jax.vjp(of_each, chain.log_likelihoods, log_matrix)
    probs, changes = transpose(jnp.ones_like(log_lik))
    times = jnp.sum(probs, axis=1)
    # A time in a state is the first of all, the first of a stay, or one of a stay that goes on.
    staying = times - probs[:, 0] - jnp.sum(changes, axis=1)
    transitions = changes + staying[:, :, None] * jnp.eye(states, dtype=times.dtype)[None]
    possible = (log_lik > -jnp.inf)[:, None]
    times = jnp.where(possible, times, jnp.nan)
    transitions = jnp.where(possible[..., None], transitions, jnp.nan)
    return times.reshape(*batch_shape, states), transitions.reshape(*batch_shape, states, states)


def semi_markov_expected_transitions(*arguments: Any) -> jax.Array:
    """Count pairs of successive states ``(..., K, K)`` in expectation; arguments as above."""
    return semi_markov_expected_times_and_transitions(*arguments)[1]
