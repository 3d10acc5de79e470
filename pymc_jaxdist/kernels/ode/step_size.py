"""Step sizes: the first one, and how an error estimate changes them."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

__all__ = ["error_norm", "first_step_size", "step_size_factor"]

# A little less than the usual 0.9: 6 % more steps, for gradients at least as exact as those of
# diffrax at the same tolerance (benchmarks/ode.py).
SAFETY = 0.85
SMALLEST_FACTOR = 0.2
LARGEST_FACTOR = 10.0
FACTOR_IF_UNDEFINED = 0.1
# Weights of the present and of the last error in a PI controller (Hairer & Wanner, II.4, IV.2).
PRESENT, LAST = 0.9, 0.15
SMALLEST_LOG_ERROR = math.log(1e-4)
# For the first step no state counts as smaller than this part of the largest.
OF_THE_LARGEST = 1e-3


def error_norm(
    error: jax.Array, before: jax.Array, after: jax.Array, rtol: float, atol: jax.Array
) -> jax.Array:
    """Return the root mean square error in units of the tolerance, over the leading axis."""
    scale = atol + rtol * jnp.maximum(jnp.abs(before), jnp.abs(after))
    return jnp.sqrt(jnp.mean((error / scale) ** 2, axis=0))


def step_size_factor(
    error: jax.Array, last_log_error: jax.Array, order: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return whether a step is accepted, and by what to multiply its size for the next try.

    Parameters
    ----------
    error : (...) array
        Norm of this step.
    last_log_error : (...) array
        What was returned as such before.
    order : int
        Order of the error estimate.

    Returns
    -------
    accepted : (...) array of bool
    factor : (...) array
    last_log_error : (...) array
        The logarithm of the last accepted error, or of a ten thousandth if that is larger.
    """
    accepted = error <= 1.0
    present = jnp.log(jnp.maximum(error, 1e-10))
    power = jnp.where(accepted, LAST * last_log_error - PRESENT * present, -present)
    factor = SAFETY * jnp.exp(power / order)
    factor = jnp.clip(factor, SMALLEST_FACTOR, jnp.where(accepted, LARGEST_FACTOR, 1.0))
    factor = jnp.where(jnp.isfinite(error), factor, FACTOR_IF_UNDEFINED)
    remembered = jnp.maximum(present, SMALLEST_LOG_ERROR)
    return accepted, factor, jnp.where(accepted, remembered, last_log_error)


def first_step_size(
    f: Callable[[jax.Array, jax.Array], jax.Array],
    t: jax.Array,
    y: jax.Array,
    slope: jax.Array,
    span: jax.Array,
    order: int,
    rtol: float,
    atol: jax.Array,
) -> jax.Array:
    """Choose a first step size from the size and the change of the slope.

    Parameters
    ----------
    f : callable
        The vector field ``f(t, y)`` of one subject.
    t, y, slope : array
        Where the solution begins.
    span : () array
        Length of the interval of integration.
    order, rtol, atol
        Of the method and the controller.

    References
    ----------
    .. [1] Hairer, E., Nørsett, S. P., & Wanner, G. (1993). Solving Ordinary Differential
       Equations I, 2nd ed., section II.4. Springer.
    """

    def size(vector: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.mean((vector / scale) ** 2))

    sizes = jnp.abs(y)
    # What is small for a state that begins at zero, the others tell.
    scale = atol + rtol * jnp.maximum(sizes, OF_THE_LARGEST * jnp.max(sizes))
    d0, d1 = size(y), size(slope)
    h0 = jnp.where((d0 < 1e-5) | (d1 < 1e-5), 1e-6, 0.01 * d0 / jnp.where(d1 > 0, d1, 1.0))
    h0 = jnp.minimum(h0, span)
    d2 = size(f(t + h0, y + h0 * slope) - slope) / jnp.where(h0 > 0, h0, 1.0)
    steepest = jnp.maximum(d1, d2)
    h1 = jnp.where(
        steepest <= 1e-15,
        jnp.maximum(1e-6, h0 * 1e-3),
        jnp.exp(jnp.log(0.01 / jnp.where(steepest > 1e-15, steepest, 1.0)) / order),
    )
    h = jnp.minimum(100 * h0, h1)
    return jnp.minimum(jnp.where(jnp.isfinite(steepest), h, h0), span)
