"""The stationary distribution of a Markov chain."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from pymc_jaxdist.kernels.chain import as_float

__all__ = ["stationary_distribution"]

# Up to this many states the elimination is written out, which lets XLA fuse its steps.
UNROLL_MAX_STATES = 6


def stationary_distribution(transition_matrix: ArrayLike) -> jax.Array:
    r"""Solve :math:`\pi P = \pi`, :math:`\sum_k \pi_k = 1`.

    By state reduction (Grassmann, Taksar and Heyman 1985): states are removed one by one,
    each time rerouting the paths through the removed state,

    .. math::

        P_{ij} \leftarrow P_{ij} + \frac{P_{in} P_{nj}}{s_n}, \qquad
        s_n = \sum_{j \ne n} P_{nj},

    and then put back in reverse, :math:`\pi_n = \sum_i \pi_i P_{in} / s_n`. There is no
    subtraction, so every entry has full relative accuracy, however small, none is negative,
    and transient states get exactly 0; a linear solver promises none of this, and a
    probability of -1e-18 would make a likelihood ``-inf``. The state with the largest
    :math:`s_n` is removed first, so that an absorbing state is never divided by.

    Parameters
    ----------
    transition_matrix : array_like, shape (..., K, K)
        Rows sum to one. Only the entries off the diagonal are read.

    Returns
    -------
    Array, shape (..., K)
        NaN, with a zero gradient, if the stationary distribution is not unique (several
        recurrent classes) or if the matrix has NaN, infinite or negative entries.

    Notes
    -----
    Differentiable any number of times, in both modes. As the diagonal is not read, the
    derivative with respect to it is zero; along rows that keep summing to one, the
    derivative is the same whatever formula is chosen.

    References
    ----------
    Grassmann, W. K., Taksar, M. I. and Heyman, D. P. (1985). Regenerative analysis and
    steady state distributions for Markov chains. Operations Research 33, 1107-1116.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> stationary_distribution(jnp.array([[0.9, 0.1], [0.3, 0.7]])).round(4)
    Array([0.75, 0.25], dtype=...)

    The last state absorbs, so the others are transient:

    >>> stationary_distribution(jnp.array([[0.5, 0.5, 0.0], [0.0, 0.9, 0.1], [0.0, 0.0, 1.0]]))
    Array([0., 0., 1.], dtype=...)
    """
    matrix = as_float(transition_matrix)
    states = matrix.shape[-1]
    if matrix.ndim < 2 or matrix.shape[-2] != states:
        raise ValueError(f"transition_matrix must have shape (..., K, K), got {matrix.shape}")
    if matrix.ndim > 2:
        batch_shape = matrix.shape[:-2]
        flat = jax.vmap(_stationary)(matrix.reshape(-1, states, states))
        return flat.reshape(*batch_shape, states)
    return _stationary(matrix)


def _stationary(matrix: jax.Array) -> jax.Array:
    """Do it for one matrix."""
    states = matrix.shape[0]
    valid = jnp.all((matrix >= 0) & (matrix < jnp.inf))
    # Replacing an invalid matrix, not only its result, keeps NaN out of the derivatives.
    ring = jnp.full((states, states), 1.0, dtype=matrix.dtype)
    matrix = jnp.where(valid, matrix, ring)
    diagonal = jnp.eye(states, dtype=bool)

    def remove(
        state: tuple[jax.Array, jax.Array], _: None
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]]:
        # `flow` has zeros in the rows and columns of removed states and on the diagonal.
        flow, present = state
        escape = jnp.sum(flow, axis=1)
        chosen = jnp.argmax(jnp.where(present, escape, -1))
        picked = jnp.arange(states) == chosen
        out = escape[chosen]
        leaves = out > 0
        into = flow[:, chosen] / jnp.where(leaves, out, 1)
        kept = ~(picked[:, None] | picked[None] | diagonal)
        flow = jnp.where(kept, flow + into[:, None] * flow[chosen][None], 0)
        return (flow, present & ~picked), (picked, into, leaves)

    unroll = states <= UNROLL_MAX_STATES
    start = (jnp.where(diagonal, 0, matrix), jnp.ones(states, dtype=bool))
    (_, root), (order, into, leaves) = lax.scan(
        remove, start, None, length=states - 1, unroll=unroll
    )

    def put_back(weights: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        picked, entering = at
        weights = weights + jnp.where(picked, jnp.sum(weights * entering), 0)
        # Relative to the largest, since the first states put back may be very improbable.
        return weights / jnp.max(weights), None

    weights, _ = lax.scan(
        put_back, root.astype(matrix.dtype), (order, into), reverse=True, unroll=unroll
    )
    # A state that is chosen although it leads nowhere means that none leads anywhere.
    unique = valid & jnp.all(leaves)
    return jnp.where(unique, weights / jnp.sum(weights), jnp.nan)
