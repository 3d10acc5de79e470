"""Transition probabilities of a Markov chain in continuous time."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

__all__ = ["transition_probs_from_rates"]

#: 1 / 19! < 1e-17: terms of the exponential series at 1 that double precision can see.
TERMS = 19
#: Up to q * gap = 2**40 the gap is halved this often; a chain has long forgotten by then.
SQUARINGS = 40


def transition_probs_from_rates(rates: ArrayLike, gaps: ArrayLike) -> jax.Array:
    r"""Transition probabilities over gaps of time, by the matrix exponential.

    .. math::

        P(\Delta) = e^{\Delta Q} = \Bigl( \sum_n e^{-x} \frac{x^n}{n!} R^n \Bigr)^{2^s},
        \qquad R = I + Q / q, \quad q = \max_k |Q_{kk}|, \quad x = q \Delta / 2^s \le 1

    Uniformisation [1]_ with repeated squaring: every term is a probability, nothing cancels, and
    what is impossible has probability exactly 0.

    Parameters
    ----------
    rates : array_like, shape (..., K, K)
        Rates of moving from row to column. The diagonal is not read: each row of :math:`Q` sums
        to zero.
    gaps : array_like, shape (..., S)
        Lengths of time, not negative.

    Returns
    -------
    Array, shape (..., S, K, K)
        Rows sum to one. NaN for a negative rate or gap.

    References
    ----------
    .. [1] Jensen, A. (1953). Markoff chains as an aid in the study of Markoff processes.
       Scandinavian Actuarial Journal 1953, 87-91.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import numpy as np
    >>> rates = jnp.array([[0.0, 1.0], [0.0, 0.0]])
    >>> print(np.asarray(transition_probs_from_rates(rates, jnp.array([0.0, 2.0]))).round(4))
    [[[1.     0.    ]
      [0.     1.    ]]
    <BLANKLINE>
     [[0.1353 0.8647]
      [0.     1.    ]]]
    """
    rates, gaps = jnp.asarray(rates), jnp.asarray(gaps)
    identity = jnp.eye(rates.shape[-1], dtype=rates.dtype)
    leaving = jnp.where(identity == 1, 0, rates)[..., None, :, :]
    gaps = gaps[..., None, None]
    valid = jnp.all(leaving >= 0, axis=(-2, -1), keepdims=True) & (gaps >= 0)
    # An invalid matrix is replaced here, so that NaN stays out of the derivatives.
    leaving, gaps = jnp.where(valid, leaving, 0), jnp.where(valid, gaps, 0)
    generator = leaving - identity * jnp.sum(leaving, axis=-1, keepdims=True)

    # The result does not depend on q and s, so no derivative need flow through them.
    q = lax.stop_gradient(jnp.max(jnp.abs(generator), axis=(-2, -1), keepdims=True))
    q = jnp.where(q > 0, q, 1)
    squarings = jnp.ceil(jnp.log2(jnp.maximum(q * lax.stop_gradient(gaps), 1)))
    x = q * gaps / 2**squarings
    jump = identity + generator / q

    def add_term(carry: tuple[jax.Array, jax.Array], n: jax.Array) -> tuple[Any, ...]:
        term, total = carry
        term = _product(term, jump) * x / n
        return (term, total + term), None

    first = identity * jnp.exp(-x)
    (_, probs), _ = lax.scan(add_term, (first, first), jnp.arange(1.0, TERMS, dtype=x.dtype))

    def square(probs: jax.Array, done: jax.Array) -> tuple[jax.Array, None]:
        squared = _product(probs, probs)
        # Rounding would double with each squaring.
        squared = squared / jnp.sum(squared, axis=-1, keepdims=True)
        return jnp.where(done < squarings, squared, probs), None

    probs, _ = lax.scan(square, probs, jnp.arange(SQUARINGS, dtype=x.dtype))
    probs = probs / jnp.sum(probs, axis=-1, keepdims=True)
    return jnp.where(valid, probs, jnp.nan)


def _product(left: jax.Array, right: jax.Array) -> jax.Array:
    return jnp.matmul(left, right, precision=lax.Precision.HIGHEST)
