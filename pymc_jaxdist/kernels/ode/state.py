"""What the adaptive loop carries from one turn to the next."""

from typing import Any, NamedTuple

import jax

__all__ = ["Record", "State", "Tangents"]


class Record(NamedTuple):
    """Where each accepted step began, and its size; arrays ``(steps, ..., N)``."""

    t: jax.Array
    h: jax.Array
    y: jax.Array
    first_knot: jax.Array
    next_knot: jax.Array
    next_time: jax.Array


class Tangents(NamedTuple):
    """Derivatives by k directions; arrays ``(..., k, ..., N)``."""

    t: Any
    y: jax.Array
    slope: jax.Array
    states: jax.Array


class State(NamedTuple):
    """The state of the loop; arrays end with the axis of the subjects."""

    t: jax.Array
    h: jax.Array
    y: jax.Array
    slope: jax.Array
    states: jax.Array
    next_time: jax.Array
    first_knot: jax.Array
    next_knot: jax.Array
    last_log_error: jax.Array
    status: jax.Array
    accepted: jax.Array
    rejected: jax.Array
    stiffness: jax.Array
    stiffness_count: jax.Array
    tangents: Tangents | None
    record: Record | None
