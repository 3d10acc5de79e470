"""The most probable path of the hidden states."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import flatten_batch
from pymc_jaxdist.kernels.posterior import invalid

__all__ = ["MostProbablePath", "viterbi"]


class MostProbablePath(NamedTuple):
    """A state path and how probable it is.

    Attributes
    ----------
    path : Array of int, shape (..., T)
        States; -1 on padding and everywhere in an impossible sequence.
    log_prob : Array, shape (...)
        Joint log-density of the path and the observations; ``-inf`` if no path is possible.
    """

    path: jax.Array
    log_prob: jax.Array


def viterbi(
    log_likelihoods: ArrayLike,
    initial_probs: ArrayLike,
    transition_matrix: ArrayLike,
    lengths: ArrayLike | None = None,
) -> MostProbablePath:
    r"""Most probable path of the states given the whole sequence.

    .. math::

        \hat z = \arg\max_{z_0 \ldots z_{T-1}} \; \log \delta_{z_0} + \ell_0(z_0)
        + \sum_{t=1}^{T-1} \log P_{z_{t-1} z_t} + \ell_t(z_t)

    Parameters
    ----------
    log_likelihoods, initial_probs, transition_matrix, lengths
        As for `marginal_log_likelihood`.

    Returns
    -------
    MostProbablePath
        Among equally probable paths, one; a sequence of length 0 has ``log_prob`` 0.

    References
    ----------
    Viterbi, A. J. (1967). Error bounds for convolutional codes and an asymptotically optimum
    decoding algorithm. IEEE Transactions on Information Theory 13, 260-269.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> log_likelihoods = jnp.log(jnp.array([[0.5, 0.1], [0.2, 0.4], [0.1, 0.9]]))
    >>> transition_matrix = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    >>> best = viterbi(log_likelihoods, jnp.ones(2) / 2, transition_matrix)
    >>> best.path.tolist(), round(float(best.log_prob), 4)
    ([1, 1, 1], -4.4637)
    """
    chain, batch_shape = flatten_batch(log_likelihoods, initial_probs, transition_matrix, lengths)
    ll, start, matrix, active = chain
    sequences, steps, states = ll.shape
    if active is None:
        active = jnp.ones((sequences, steps), dtype=bool)
    log_matrices = jnp.log(jnp.swapaxes(matrix, 0, 1))
    varying = None if chain.static else log_matrices
    here = jnp.arange(states)

    def forward(
        score: jax.Array, at: tuple[jax.Array, jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array]:
        emitted, on, own = at
        arrivals = score[:, :, None] + (log_matrices[0] if own is None else own)
        longer = jnp.max(arrivals, axis=1) + emitted
        on = on[:, None]
        # On padding the path stands still, so that it can be read from the last column.
        return jnp.where(on, longer, score), jnp.where(on, jnp.argmax(arrivals, axis=1), here)

    first = jnp.where(active[:, :1], jnp.log(start) + ll[:, 0], 0)
    xs = (jnp.swapaxes(ll, 0, 1)[1:], active.T[1:], varying)
    last, pointers = lax.scan(forward, first, xs)

    def backward(state: jax.Array, pointer: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jnp.take_along_axis(pointer, state[:, None], axis=1)[:, 0], state

    end = jnp.argmax(last, axis=1)
    beginning, later = lax.scan(backward, end, pointers, reverse=True)
    path = jnp.concatenate([beginning[None], later]).T
    failed = invalid(chain)
    log_prob = jnp.where(failed, -jnp.inf, jnp.max(last, axis=1))
    path = jnp.where(active & (log_prob > -jnp.inf)[:, None], path, -1)
    return MostProbablePath(path.reshape(*batch_shape, steps), log_prob.reshape(batch_shape))
