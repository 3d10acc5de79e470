"""Posterior probabilities of pairs of successive states, and how many of each are expected."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.forward_backward import expected_counts, forward_rule

__all__ = ["expected_times_and_transitions", "expected_transitions", "pair_probs"]


def pair_probs(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Probabilities of pairs of successive states given the whole sequence.

    .. math::

        \xi_t(i, j) = p(z_{t-1} = i, z_t = j | y_0 \ldots y_{T-1})
        = P_{ij} \frac{\partial \log L}{\partial P_{t,ij}}

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array, shape (..., T-1, K, K)
        Each matrix sums to one. Zero on padding; NaN in an impossible sequence. The sum over
        time is the expected number of transitions.

    References
    ----------
    Rabiner, L. R. (1989). A tutorial on hidden Markov models and selected applications in
    speech recognition. Proceedings of the IEEE 77, 257-286, eq. 37.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> pairs = pair_probs(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> print(np.asarray(pairs.sum(axis=0)).round(3))
    [[1.196 0.201]
     [0.099 0.504]]
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    sequences, steps, states = chain.log_likelihoods.shape
    own = (sequences, steps - 1, states, states)
    # One matrix per step and sequence, so that the gradient tells them apart.
    chain = chain._replace(transition_matrix=jnp.broadcast_to(chain.transition_matrix, own))
    if steps == 1:
        return jnp.zeros((*batch_shape, 0, states, states), dtype=chain.log_likelihoods.dtype)
    log_lik, residuals = forward_rule(*chain)
    counts = expected_counts(residuals, jnp.ones_like(log_lik)).transition_matrix
    pairs = counts * chain.transition_matrix
    total = jnp.sum(pairs, axis=(2, 3), keepdims=True)
    pairs = pairs / (jnp.where(total > 0, total, 1) if chain.active is not None else total)
    possible = (log_lik > -jnp.inf)[:, None, None, None]
    return jnp.where(possible, pairs, jnp.nan).reshape(*batch_shape, *own[1:])


def expected_times_and_transitions(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Count times in each state and transitions in expectation, without a matrix for each time.

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    times : Array, shape (..., K)
    transitions : Array, shape (..., K, K)
        From row to column; both are NaN in an impossible sequence.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> log_likelihoods = jnp.log(jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    >>> times, transitions = expected_times_and_transitions(
    ...     log_likelihoods, jnp.ones(2) / 2, jnp.ones((2, 2)) / 2
    ... )
    >>> times.tolist(), transitions.tolist()
    ([2.0, 1.0], [[1.0, 1.0], [0.0, 0.0]])
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    sequences, _, states = chain.log_likelihoods.shape
    own = (sequences, *chain.transition_matrix.shape[1:])
    # One matrix per sequence, so that the gradient tells them apart.
    chain = chain._replace(transition_matrix=jnp.broadcast_to(chain.transition_matrix, own))
    log_lik, residuals = forward_rule(*chain)
    counts = expected_counts(residuals, jnp.ones_like(log_lik))
    transitions = jnp.sum(counts.transition_matrix * chain.transition_matrix, axis=1)
    possible = (log_lik > -jnp.inf)[:, None]
    times = jnp.where(possible, jnp.sum(counts.log_likelihoods, axis=1), jnp.nan)
    transitions = jnp.where(possible[..., None], transitions, jnp.nan)
    return times.reshape(*batch_shape, states), transitions.reshape(*batch_shape, states, states)


def expected_transitions(*arguments: Any) -> jax.Array:
    """Count transitions ``(..., K, K)`` from row to column in expectation; arguments as above."""
    return expected_times_and_transitions(*arguments)[1]
