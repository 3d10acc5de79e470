"""Whether an explicit method is worth a try, from what the vector field does at the start."""

from typing import Any

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.ode.problem import Problem
from pymc_jaxdist.kernels.ode.rows import each_subject
from pymc_jaxdist.kernels.ode.step import Method

__all__ = ["stiffness_at_start"]

# The part of the interval after which a field that is fast anywhere near the start shows it.
EARLY = 1e-3
# The part of the steps allowed that stability alone may take. An explicit method that is limited by
# stability gives up later in any case; this spares it the first steps, and compiling it.
LARGEST_PART = 0.5


def stiffness_at_start(
    problem: Problem,
    method: Method,
    t0: jax.Array,
    t_end: jax.Array,
    y0: jax.Array,
    slope: jax.Array,
    theta: jax.Array,
    fixed: Any,
) -> jax.Array:
    """Return how stiff a problem plainly is: above 1, the method should not be tried.

    The field is evaluated where Euler's method is after a thousandth of the interval. How much it
    has turned against its own direction estimates, from below, the size of the Jacobian's most
    negative eigenvalue, and so the number of steps that stability takes if all goes on as it
    begins. 0 where the field is zero or not finite, or does not turn against itself.

    Parameters
    ----------
    problem : Problem
        Its ``max_steps`` is the number of steps allowed.
    method : Method
    t0, t_end : (N,) array
        The interval.
    y0, slope : (n, N) array
        The states at its beginning, and the field there.
    theta, fixed : array (..., N)
        What the field depends on.
    """

    def fastest_decay(
        t: jax.Array, y: jax.Array, slope: jax.Array, theta: jax.Array, fixed: Any, span: jax.Array
    ) -> jax.Array:
        early = EARLY * span
        field = problem.vector_field(t, theta, fixed)
        change = field(t + early, y + early * slope) - slope
        distance = early * jnp.sqrt(jnp.sum(slope**2))
        rate = jnp.sqrt(jnp.sum(change**2)) / jnp.where(distance > 0, distance, jnp.inf)
        decays = jnp.sum(change * slope) < 0
        return jnp.where(decays & jnp.isfinite(rate), rate, 0.0)

    span = t_end - t0
    rate = each_subject(fastest_decay)(t0, y0, slope, theta, fixed, span)
    steps = rate * span / method.stability_limit
    return jax.lax.stop_gradient(steps / (LARGEST_PART * problem.max_steps))
