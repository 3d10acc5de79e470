"""One step of one subject, from what happens at its beginning to the estimate of its error."""

from typing import Any

import jax
from jax import lax

from pymc_jaxdist.kernels.ode.problem import Problem
from pymc_jaxdist.kernels.ode.step import Method, Step

__all__ = ["one_step"]


def one_step(
    problem: Problem,
    method: Method,
    has_knots: bool,
    t: jax.Array,
    h: jax.Array,
    y: jax.Array,
    slope: jax.Array | None,
    theta: jax.Array,
    fixed: Any,
    first_knot: jax.Array,
    next_knot: jax.Array,
) -> tuple[tuple[jax.Array, Step], tuple[Any, Any]]:
    """Take one step of one subject: what happened at a knot, then the method.

    Parameters
    ----------
    problem, method, has_knots
        What is fixed.
    t, h, y : array
        Where the step begins, and its size.
    slope : (n,) array or None
        The field there; computed if None.
    theta, fixed
        Parameters of the field.
    first_knot, next_knot : () array of int
        The knots from the first to before the next one happen before the step.

    Returns
    -------
    (y, step), (error, stiffness)
        The state from which the step was taken, and the step; what is not differentiated.
    """
    f = problem.vector_field(lax.stop_gradient(t), theta, fixed)
    if problem.event is not None:
        y = problem.event(first_knot, next_knot, y, theta, fixed)
    if has_knots or slope is None or not method.reuses_slope:
        slope = f(t, y)
    step = method.step(f, t, h, y, slope)
    return (y, step._replace(error=None, stiffness=None)), (step.error, step.stiffness)
