"""An initial value problem as the integrators see it, and how a solve can end."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import jax

__all__ = ["Inputs", "Problem", "Solution", "Status"]


class Status(IntEnum):
    """How a solve ended; a failure is a value, never an exception.

    Examples
    --------
    >>> Status.TOO_MANY_STEPS.reason
    'too many steps'
    """

    RUNNING = -1
    SUCCESS = 0
    TOO_MANY_STEPS = 1
    STEP_TOO_SMALL = 2
    NOT_FINITE = 3
    STIFF = 4
    BEFORE_START = 5
    NO_STEADY_STATE = 6
    IMPOSSIBLE_OBSERVATION = 7

    @property
    def reason(self) -> str:
        """The status in words."""
        return self.name.lower().replace("_", " ")


class Inputs(NamedTuple):
    """What a solution depends on and may be differentiated by; N subjects.

    Attributes
    ----------
    y0 : (N, n) array
        States at ``t0``.
    theta : (N, p) array
        Parameters of the vector field.
    t0 : (N,) array
        Initial times.
    times : (N, T) array
        Times at which the solution is wanted, in increasing order, none before ``t0``.
    knots : (N, M) array
        Times, in increasing order, at which steps must end: events, kinks of the vector field.
    """

    y0: jax.Array
    theta: jax.Array
    t0: jax.Array
    times: jax.Array
    knots: jax.Array


class Solution(NamedTuple):
    """The states at the wanted times, and how the solve went; N subjects.

    Attributes
    ----------
    states : (N, T, n) array
        NaN from where the solve failed.
    status : (N,) array of int
        Values of `Status`.
    accepted, rejected : (N,) array of int
        Numbers of steps.
    stiffness : (N,) array
        The largest stiffness met by an accepted step, as in `Step`.
    """

    states: jax.Array
    status: jax.Array
    accepted: jax.Array
    rejected: jax.Array
    stiffness: jax.Array


@dataclass(frozen=True)
class Problem:
    """What of an initial value problem is fixed while it is traced; hashable by value.

    Parameters
    ----------
    field : callable
        ``field(t, segment, y, theta, fixed)`` returns ``dy/dt`` of one subject. ``segment`` is
        the time at which the step began, which says on which side of a kink ``t`` lies.
    event : callable or None
        ``event(first, last, y, theta, fixed)`` returns the state after what happens at the knots
        ``first <= index < last``.
    rtol, atol : float or tuple of float
        Tolerances of the local error; a tuple has one for each state.
    max_steps : int
        Attempted steps after which a solve fails.
    """

    field: Callable[..., jax.Array]
    event: Callable[..., jax.Array] | None = None
    rtol: float = 1e-6
    atol: float | tuple[float, ...] = 1e-12
    max_steps: int = 4096

    def vector_field(self, segment: jax.Array, theta: jax.Array, fixed: Any) -> Callable[..., Any]:
        """Return the field as a function of ``(t, y)``."""
        return lambda t, y: self.field(t, segment, y, theta, fixed)
