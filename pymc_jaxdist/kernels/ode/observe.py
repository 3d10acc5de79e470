"""The solution at the wanted times that a step has passed, with its derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.ode.rows import each_subject, put_row, take_row
from pymc_jaxdist.kernels.ode.state import State
from pymc_jaxdist.kernels.ode.step import Method, Step

__all__ = ["observe"]


def observe(
    method: Method,
    times: jax.Array,
    d_times: jax.Array | None,
    state: State,
    h: jax.Array,
    d_h: jax.Array | None,
    t1: jax.Array,
    accepted: jax.Array,
    y: jax.Array,
    step: Step,
    tangents: tuple[Any, ...] | None,
) -> tuple[jax.Array, Any, jax.Array]:
    """Write down the solution at the wanted times that an accepted step has passed.

    Parameters
    ----------
    method : Method
    times : (T + 1, N) array
        In increasing order; the last one is never reached.
    d_times : (k, T, N) array or None
        How the directions move the times; None if they do not.
    state : State
        Before the step.
    h, d_h : (N,) array, (k, N) array or None
        Its size, and how the directions change it.
    t1 : (N,) array
        Where it ends.
    accepted : (N,) array of bool
        Whether it counts.
    y, step : (n, N) array, Step
        The step.
    tangents : tuple or None
        Derivatives of ``(y, step)``.

    Returns
    -------
    states, d_states, next_time
        As in `State`, after the step.
    """
    moving = h > 0
    divisor = jnp.where(moving, h, 1.0)

    def at(time: jax.Array, t: jax.Array, h: jax.Array, y: jax.Array, step: Step) -> jax.Array:
        return method.interpolate((time - t) / h, h, y, step)

    def passes(carry: tuple[Any, ...]) -> jax.Array:
        _, _, index = carry
        return accepted & (take_row(times, index) <= t1)

    def write(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        states, d_states, index = carry
        now = passes(carry)
        time = jnp.where(now, take_row(times, index), t1)
        arguments = (time, state.t, divisor, y, step)
        states = put_row(states, index, now, each_subject(at)(*arguments))
        if d_states is not None:
            assert tangents is not None
            d_y, d_step = tangents
            if d_times is not None:
                assert state.tangents is not None
                inside = jnp.minimum(index, d_times.shape[1] - 1)
                d_time = jax.vmap(lambda rows: take_row(rows, inside))(d_times)
                towards = (d_time, state.tangents.t, d_h, d_y, d_step)

                def rates(arguments: tuple[Any, ...], towards: tuple[Any, ...]) -> jax.Array:
                    return jax.vmap(lambda d: jax.jvp(at, arguments, d)[1])(towards)

                d_row = each_subject(rates)(arguments, towards)
            else:
                # The interpolant is linear in the state and the step.
                d_row = jax.vmap(lambda d_y, d_step: each_subject(at)(*arguments[:3], d_y, d_step))(
                    d_y, d_step
                )
            d_states = put_row(d_states, index, now, d_row)
        return states, d_states, index + now

    d_states = None if state.tangents is None else state.tangents.states
    return lax.while_loop(
        lambda carry: jnp.any(passes(carry)), write, (state.states, d_states, state.next_time)
    )
