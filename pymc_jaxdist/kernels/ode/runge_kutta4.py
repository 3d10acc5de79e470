"""The classical Runge-Kutta method with steps of fixed size."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.errors import ParameterError, compose_message
from pymc_jaxdist.kernels.ode.step import Field, Step, computed_once

__all__ = ["RK4"]


@dataclass(frozen=True)
class RK4:
    """The classical Runge-Kutta method of order 4, without any control of the error.

    Steps end at observation times; the last before one may be shorter.

    Parameters
    ----------
    step_size : float
        The size of the steps.

    Examples
    --------
    >>> from pymc_jaxdist import RK4
    >>> RK4(step_size=0.1)
    RK4(step_size=0.1)
    """

    step_size: float

    error_order = 4
    lands_on_observations = True
    stability_limit = math.inf
    reuses_slope = True

    def __post_init__(self) -> None:
        size: Any = self.step_size
        if not isinstance(size, int | float | np.number) or size is True or not 0 < size < math.inf:
            raise ParameterError(
                compose_message(
                    "RK4",
                    "step_size must be a positive number.",
                    got=f"{size!r:.60}",
                    expected="the length of a step in the units of times",
                )
            )

    @property
    def fixed_size(self) -> float:
        """The size of the steps."""
        return float(self.step_size)

    def step(self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array) -> Step:
        """Take a step; see `Step`."""
        k2 = computed_once(f(t + h / 2, computed_once(y + h / 2 * slope)))
        k3 = computed_once(f(t + h / 2, computed_once(y + h / 2 * k2)))
        k4 = computed_once(f(t + h, computed_once(y + h * k3)))
        end = computed_once(y + h / 6 * (slope + 2 * k2 + 2 * k3 + k4))
        return Step(end, f(t + h, end), jnp.zeros_like(y), (), jnp.zeros_like(h))

    def interpolate(self, u: jax.Array, h: jax.Array, y: jax.Array, step: Step) -> jax.Array:
        """Return the solution at the beginning (``u = 0``) or the end of the step."""
        return jnp.where(u > 0.5, step.y, y)
