"""What counts as a probability distribution."""

import jax
import jax.numpy as jnp

__all__ = ["is_stochastic", "row_sum_tolerance"]


def row_sum_tolerance(dtype: jnp.dtype) -> float:
    """Give the distance from one that a sum of probabilities may have.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> row_sum_tolerance(jnp.dtype("float64"))
    1e-06
    """
    return max(1e-6, 8 * float(jnp.finfo(dtype).eps))


def is_stochastic(probs: jax.Array) -> jax.Array:
    """Tell whether rows are probability distributions.

    Parameters
    ----------
    probs : (..., K) array
        Probabilities; of a matrix ``(..., K, K)`` each row is judged by itself.

    Returns
    -------
    (...) array of bool
        Whether the row has no negative entry and sums to one within 1e-6 (in float64).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> is_stochastic(jnp.array([[0.5, 0.5], [0.9, 0.2]])).tolist()
    [True, False]
    """
    tolerance = row_sum_tolerance(probs.dtype)
    sums_to_one = jnp.abs(jnp.sum(probs, axis=-1) - 1) <= tolerance
    return sums_to_one & jnp.all(probs >= 0, axis=-1)
