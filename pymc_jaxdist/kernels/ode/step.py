"""What one step of an integration method returns, and what a method must offer."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax

__all__ = ["Field", "Method", "Step", "computed_once"]

Field = Callable[[jax.Array, jax.Array], jax.Array]


class Step(NamedTuple):
    """The result of one step from ``(t, y)`` to ``t + h``.

    Attributes
    ----------
    y : (n,) array
        The solution at the end of the step.
    slope : (n,) array or None
        The vector field there, if the method has computed it; else anything of that shape. None
        where it was left out because nobody reads it.
    error : (n,) array
        Estimated local error.
    dense : tuple of array
        What `Method.interpolate` needs to know of the step.
    stiffness : () array
        Estimate of ``h`` times the largest eigenvalue, in units of the method's stability limit;
        0 for methods without such a limit.
    """

    y: jax.Array
    slope: jax.Array | None
    error: jax.Array | None
    dense: tuple[jax.Array, ...]
    stiffness: jax.Array | None


class Method(Protocol):
    """A one-step method for ``dy/dt = f(t, y)``; hashable by value."""

    @property
    def error_order(self) -> int:
        """Power of the step size with which the estimated error goes to zero."""

    @property
    def lands_on_observations(self) -> bool:
        """Whether steps end at observation times, instead of interpolating between steps."""

    @property
    def fixed_size(self) -> float | None:
        """The step size, for methods that do not choose it."""

    @property
    def stability_limit(self) -> float:
        """The step size times an eigenvalue ``< 0`` up to which steps are stable; may be inf."""

    @property
    def reuses_slope(self) -> bool:
        """Whether the slope at the end of a step is the first of the next."""

    def step(self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array) -> Step:
        """Take a step of size ``h`` from ``(t, y)``, where the field is ``slope``."""

    def interpolate(self, u: jax.Array, h: jax.Array, y: jax.Array, step: Step) -> jax.Array:
        """Return the solution at ``t + u h`` for ``u`` between 0 and 1."""


def computed_once(x: jax.Array) -> jax.Array:
    """Return the same array, which XLA computes where it stands.

    XLA puts the expression for an array into every place that reads it. A stage of a step is read
    by all later ones, often several times, and would be computed again each time: the value for a
    system of 20 states then takes three times as long, its gradient five times. (Some versions of
    XLA do it in spite of this.)

    Examples
    --------
    >>> print(computed_once(jax.numpy.ones(2)))
    [1. 1.]
    """
    return jax.lax.optimization_barrier(x)
