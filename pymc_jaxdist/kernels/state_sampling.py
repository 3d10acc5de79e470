"""Random state paths from their posterior distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.prediction import log_filter

__all__ = ["sample_paths"]


def sample_paths(
    key: jax.Array,
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    r"""Draw a path of the states given the whole sequence.

    Forward filtering, backward sampling: the last state from the filter, then

    .. math::

        p(z_t = i | z_{t+1} = j, y_0 \ldots y_t) \propto p(z_t = i | y_0 \ldots y_t) P_{ij}

    Parameters
    ----------
    key : Array
        Random key of JAX.
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    Array of int, shape (..., T)
        One path per sequence; -1 on padding and everywhere in an impossible sequence.

    References
    ----------
    Chib, S. (1996). Calculating posterior distributions and modal estimates in Markov mixture
    models. Journal of Econometrics 75, 79-97.

    Examples
    --------
    >>> import jax
    >>> import jax.numpy as jnp
    >>> log_likelihoods = jnp.log(jnp.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]))
    >>> transition_matrix = jnp.array([[0.5, 0.5], [0.0, 1.0]])
    >>> path = sample_paths(jax.random.key(0), log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> path[0].item(), path[2].item()
    (0, 1)
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    sequences, steps, states = chain.log_likelihoods.shape
    filtering = log_filter(log_likelihoods, initial_probs, transition_matrix, lengths)
    log_filtered = filtering.log_filtered.reshape(sequences, steps, states)
    active = chain.active
    if active is None:
        active = jnp.ones((sequences, steps), dtype=bool)
    possible = ~jnp.any(jnp.isnan(log_filtered) & active[..., None], axis=(1, 2))
    log_filtered = jnp.where(active[..., None], log_filtered, 0)
    log_matrices = jnp.log(jnp.swapaxes(chain.transition_matrix, 0, 1))
    varying = None if chain.static else log_matrices
    keys = jax.random.split(key, steps)

    def earlier(
        state: jax.Array, at: tuple[jax.Array, jax.Array, jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array]:
        key, probs, next_is_on, own = at
        matrix = log_matrices[0] if own is None else own
        matrix = jnp.broadcast_to(matrix, (sequences, states, states))
        into = jnp.take_along_axis(matrix, state[:, None, None], axis=2)[..., 0]
        # The last state of a padded sequence knows nothing of what follows it.
        logits = probs + jnp.where(next_is_on[:, None], into, 0)
        drawn = jax.random.categorical(key, logits)
        return drawn, drawn

    last = jax.random.categorical(keys[0], log_filtered[:, -1])
    xs = (keys[1:], jnp.swapaxes(log_filtered, 0, 1)[:-1], active.T[1:], varying)
    _, before = lax.scan(earlier, last, xs, reverse=True)
    path = jnp.concatenate([before, last[None]]).T
    return jnp.where(active & possible[:, None], path, -1).reshape(*batch_shape, steps)
