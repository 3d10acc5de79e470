"""What happens to a solution at known times: doses and jumps."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["DoseEvent", "JumpEvent", "apply_events", "event_knots", "infusion_rates"]


class DoseEvent(NamedTuple):
    """Amounts added to one state, at once or at a constant rate.

    Attributes
    ----------
    state : int
    first_leaf : int
        Position, among the leaves, of the times ``(K,)``; amounts and, for infusions, durations
        follow.
    infusion : bool
    """

    state: int
    first_leaf: int
    infusion: bool


class JumpEvent(NamedTuple):
    """A function applied to the states.

    Attributes
    ----------
    function : callable
        ``function(y, params)`` returns the states after the jump.
    first_leaf : int
        Position, among the leaves, of the times ``(K,)``.
    """

    function: Callable[[Any, Any], Any]
    first_leaf: int


Event = DoseEvent | JumpEvent


def event_knots(
    events: Sequence[Event], kinks: Sequence[int], leaves: Sequence[jax.Array], t0: jax.Array
) -> jax.Array:
    """Return the times ``(N, M)`` at which steps must end, unsorted; +inf for those before t0.

    Parameters
    ----------
    events : sequence of events
        In their order, the knots of each.
    kinks : sequence of int
        Positions of leaves that hold times of kinks of the vector field.
    leaves : sequence of (N, ...) array
        The leaves of all subjects.
    t0 : (N,) array
        Initial times.
    """
    found = []
    for event in events:
        times = leaves[event.first_leaf]
        found.append(times)
        if isinstance(event, DoseEvent) and event.infusion:
            found.append(times + leaves[event.first_leaf + 2])
    found += [leaves[position] for position in kinks]
    if not found:
        return jnp.zeros((t0.shape[0], 0), dtype=t0.dtype)
    knots = jnp.concatenate(found, axis=1)
    return jnp.where(jnp.isnan(knots) | (knots < t0[:, None]), jnp.inf, knots)


def apply_events(
    events: Sequence[Event],
    happens: jax.Array,
    y: jax.Array,
    leaves: Sequence[jax.Array],
    jump: Callable[[Callable[..., Any], jax.Array], jax.Array],
) -> jax.Array:
    """Return the state of one subject after what happens.

    Parameters
    ----------
    events : sequence of events
    happens : (M,) array of bool
        Which of the knots, in the order of `event_knots`.
    y : (n,) array
    leaves : sequence of array
        The leaves of this subject.
    jump : callable
        ``jump(function, y)`` evaluates the function of a `JumpEvent`.
    """
    position = 0
    for event in events:
        n = leaves[event.first_leaf].shape[0]
        now = happens[position : position + n]
        position += n
        if isinstance(event, JumpEvent):
            y = jnp.where(jnp.any(now), jump(event.function, y), y)
        elif event.infusion:
            position += n
        else:
            amount = jnp.sum(jnp.where(now, leaves[event.first_leaf + 1], 0.0))
            y = y.at[event.state].add(amount)
    return y


def infusion_rates(
    events: Sequence[Event], segment: jax.Array, leaves: Sequence[jax.Array], y: jax.Array
) -> jax.Array | float:
    """Return what infusions add to the vector field on the segment that begins at a time."""
    total: jax.Array | float = 0.0
    for event in events:
        if isinstance(event, DoseEvent) and event.infusion:
            times, amounts, durations = leaves[event.first_leaf : event.first_leaf + 3]
            flows = (times <= segment) & (segment < times + durations)
            rate = jnp.sum(jnp.where(flows, amounts / durations, 0.0))
            total = total + jnp.zeros_like(y).at[event.state].set(rate)
    return total
