"""Tsitouras' explicit Runge-Kutta method of order 5, for problems that are not stiff."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pymc_jaxdist.kernels.ode.step import Field, Step, computed_once

__all__ = ["Tsit5"]

NODES = (0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0)

MATRIX = (
    (0.161,),
    (-0.008480655492356989, 0.335480655492357),
    (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
    (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
    (
        5.86145544294642,
        -12.92096931784711,
        8.159367898576159,
        -0.071584973281401,
        -0.028269050394068383,
    ),
    (
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ),
)

# The weights of order 5 minus those of the embedded method of order 4.
ERROR = (
    0.001780011052225771,
    0.0008164344596567463,
    -0.007880878010261994,
    0.1447110071732629,
    -0.5823571654525552,
    0.4580821059291869,
    -1 / 66,
)

# What each slope counts at the part u of a step: the coefficients of u, u^2, u^3 and u^4.
DENSE = (
    (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    (
        -2.763706197274826,
        0.1317,
        3.9302962368947516,
        -12.411077166933678,
        37.50931341651104,
        -27.896526289197286,
        1.5,
    ),
    (
        2.9132554618219126,
        -0.2234,
        -5.941033872131506,
        30.33818863028232,
        -88.1789048947664,
        65.09189467479366,
        -4.0,
    ),
    (
        -1.0530884977290216,
        0.1017,
        2.490627285651253,
        -16.548102889244902,
        47.37952196281928,
        -34.87065786149661,
        2.5,
    ),
)

# The step size times an eigenvalue on the negative real axis up to which the method is stable.
# A little less, because the controller keeps steps just within the limit.
STABILITY_LIMIT = 3.0


class _Stages(NamedTuple):
    """The slopes of all stages ``(7, n)``, and the states where the last two were computed."""

    slopes: jax.Array
    previous: jax.Array
    last: jax.Array


@dataclass(frozen=True)
class Tsit5:
    """Tsitouras' method of order 5 with seven stages, the last of which begins the next step.

    Parameters
    ----------
    stages_in_a_loop : bool
        Whether to compile one stage and repeat it, rather than each by itself.

    References
    ----------
    .. [1] Tsitouras, Ch. (2011). Runge-Kutta pairs of order 5(4) satisfying only the first column
       simplifying assumption. Computers & Mathematics with Applications 62(2), 770-775.
    .. [2] Hairer, E., & Wanner, G. (1996). Solving Ordinary Differential Equations II, section
       IV.2, eq. 2.26 (the estimate of stiffness). Springer.
    """

    stages_in_a_loop: bool = False

    error_order = 5
    lands_on_observations = False
    fixed_size = None
    stability_limit = STABILITY_LIMIT
    reuses_slope = True

    def step(self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array) -> Step:
        """Take a step; see `Step`."""
        stages = self._looped_stages if self.stages_in_a_loop else self._stages
        slopes, previous, last = stages(f, t, h, y, slope)
        slope_before, slope = slopes[-2], slopes[-1]
        error = h * _combined(ERROR, slopes)
        distance = jnp.sum((last - previous) ** 2)
        growth = jnp.sum((slope - slope_before) ** 2)
        rate = jnp.sqrt(growth / jnp.where(distance > 0, distance, jnp.inf))
        return Step(last, slope, error, (slopes,), h * rate / STABILITY_LIMIT)

    def _stages(
        self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array
    ) -> _Stages:
        slopes, arguments = [slope], []
        for node, row in zip(NODES, MATRIX, strict=True):
            argument = y + h * sum(a * k for a, k in zip(row, slopes, strict=True))
            arguments.append(computed_once(argument))
            slopes.append(computed_once(f(t + node * h, arguments[-1])))
        return _Stages(jnp.stack(slopes), *arguments[-2:])

    def _looped_stages(
        self, f: Field, t: jax.Array, h: jax.Array, y: jax.Array, slope: jax.Array
    ) -> _Stages:
        def stage(slopes: jax.Array, now: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
            position, node, row = now
            argument = y + h * _combined(row, slopes)
            k = f(t + node * h, argument)
            slopes = lax.dynamic_update_index_in_dim(
                slopes, k, position, 0, allow_negative_indices=False
            )
            return slopes, argument

        matrix = np.zeros((len(MATRIX), len(ERROR)))
        for i, row in enumerate(MATRIX):
            matrix[i, : len(row)] = row
        table = (jnp.arange(1, len(ERROR)), *(jnp.asarray(x, y.dtype) for x in (NODES, matrix)))
        blank = jnp.zeros((len(MATRIX), *y.shape), y.dtype)
        slopes, arguments = lax.scan(stage, jnp.concatenate([slope[None], blank]), table)
        return _Stages(slopes, arguments[-2], arguments[-1])

    def interpolate(self, u: jax.Array, h: jax.Array, y: jax.Array, step: Step) -> jax.Array:
        """Return the solution at ``t + u h`` by the method's own polynomial of order 4."""
        (slopes,) = step.dense
        *coefficients, weights = np.asarray(DENSE, y.dtype)
        for c in reversed(coefficients):  # Horner's rule
            weights = c + u * weights
        return y + h * _combined(u * weights, slopes)


def _combined(weights: Sequence[float] | jax.Array, slopes: jax.Array) -> jax.Array:
    """Return the sum ``(n,)`` of slopes ``(7, n)`` with weights ``(7,)``."""
    return jnp.sum(jnp.asarray(weights, slopes.dtype)[:, None] * slopes, axis=0)
