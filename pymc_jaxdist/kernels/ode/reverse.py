"""Derivatives in reverse through the steps that were recorded."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.ode.one_step import one_step
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem
from pymc_jaxdist.kernels.ode.rows import each_subject, take_row
from pymc_jaxdist.kernels.ode.state import Record
from pymc_jaxdist.kernels.ode.step import Method, Step

__all__ = ["pull_back"]


def pull_back(
    problem: Problem,
    method: Method,
    inputs: Inputs,
    fixed: Any,
    record: Record,
    accepted: jax.Array,
    cotangents: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the cotangents of ``y0`` and ``theta``, but for what was observed before any step.

    Each step is taken again and its derivative pulled back, the last one first. What was observed
    of a step by interpolation is gathered before, so that a step is taken only once.

    Parameters
    ----------
    problem, method, inputs, fixed
        As in `integrate`.
    record : Record
        The steps.
    accepted : (N,) array of int
        How many there are for each subject; 0 for subjects to leave out.
    cotangents : (N, T, n) array
        Those of the states.

    Returns
    -------
    (N, n) array, (N, p) array
    """
    n_subjects = inputs.y0.shape[0]
    has_knots = inputs.knots.shape[1] > 0
    theta, times = jnp.moveaxis(inputs.theta, 0, -1), jnp.moveaxis(inputs.times, 0, -1)
    fixed = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), fixed)
    seen = jnp.moveaxis(jnp.where((accepted > 0)[:, None, None], cotangents, 0.0), 0, -1)
    subjects = jnp.arange(n_subjects)

    def take(rows: jax.Array, index: jax.Array) -> jax.Array:
        if n_subjects == 1:
            return take_row(rows, index)
        return jnp.moveaxis(rows[index, ..., subjects], 0, -1)

    def turn(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        index, remaining, y_bar, theta_bar = carry
        here = jnp.maximum(index, 0)
        t, h, y = take(record.t, here), take(record.h, here), take(record.y, here)
        first_seen = take(record.next_time, here)
        no_knots = jnp.zeros(n_subjects, dtype=int)
        first = take(record.first_knot, here) if has_knots else no_knots
        following = take(record.next_knot, here) if has_knots else no_knots

        def step(y: jax.Array, theta: jax.Array) -> tuple[jax.Array, Step]:
            def of_one(*arguments: Any) -> tuple[jax.Array, Step]:
                t, h, y, theta, *others = arguments
                ends, _ = one_step(problem, method, has_knots, t, h, y, None, theta, *others)
                before, step = ends
                return before, step._replace(slope=None)  # each step computes its own again

            return each_subject(of_one)(t, h, y, theta, fixed, first, following)

        taken, pull = jax.vjp(step, y, theta)
        blank = jax.tree.map(jnp.zeros_like, taken)
        moving = h > 0
        divisor = jnp.where(moving, h, 1.0)

        def is_seen(gathering: tuple[Any, ...]) -> jax.Array:
            return (index >= 0) & (gathering[0] > first_seen)

        def gather(gathering: tuple[Any, ...]) -> tuple[Any, ...]:
            remaining, bar = gathering
            now = is_seen(gathering)
            position = jnp.maximum(remaining - 1, 0)
            time = jnp.where(now, take(times, position), t)
            cotangent = jnp.where(now, take(seen, position), 0.0)

            def one(
                u: jax.Array, h: jax.Array, blank: tuple[Any, ...], cotangent: jax.Array
            ) -> tuple[Any, ...]:
                def at(end: tuple[jax.Array, Step]) -> jax.Array:
                    return method.interpolate(u, h, *end)

                return jax.vjp(at, blank)[1](cotangent)[0]

            found = each_subject(one)((time - t) / divisor, h, blank, cotangent)
            return remaining - now, jax.tree.map(jnp.add, bar, found)

        remaining, bar = lax.while_loop(
            lambda gathering: jnp.any(is_seen(gathering)), gather, (remaining, blank)
        )
        before, end = bar
        bar = (before, end._replace(y=end.y + y_bar))

        y_new, theta_new = pull(bar)
        running = index >= 0
        return (
            index - 1,
            remaining,
            jnp.where(running, y_new, y_bar),
            theta_bar + jnp.where(running, theta_new, 0.0),
        )

    start = (
        accepted - 1,
        jnp.full(n_subjects, times.shape[0], dtype=int),
        jnp.zeros_like(jnp.moveaxis(inputs.y0, 0, -1)),
        jnp.zeros_like(theta),
    )
    _, _, y_bar, theta_bar = lax.while_loop(lambda carry: jnp.any(carry[0] >= 0), turn, start)
    return jnp.moveaxis(y_bar, -1, 0), jnp.moveaxis(theta_bar, -1, 0)
