"""Linear systems, solved by the matrix exponential."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from pymc_jaxdist.kernels.ode.problem import Inputs, Solution, Status

__all__ = ["LinearODE", "solve_linear"]

# The norm of a matrix is halved so often before its exponential is taken: from 5 * 2^24 at most,
# where rounding leaves eight digits. Each takes its time, needed or not.
MAX_SQUARINGS = 24


@dataclass(frozen=True)
class LinearODE:
    r"""A linear system :math:`\dot y = A(p)\, y + b(p)`, to be passed as a vector field.

    It is solved by the matrix exponential: exact whatever the step, stiff or not, while the largest
    rate times the longest step is below 1e7.

    Parameters
    ----------
    matrix : callable
        ``matrix(params)`` returns ``A (n, n)``, in `jax.numpy`, for one subject. States that have
        names are in the order in which ``y0`` names them.
    constant : callable, optional
        ``constant(params)`` returns ``b (n,)``; zero by default.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> import pymc_jaxdist as pmj
    >>> decay = pmj.LinearODE(lambda rate: jnp.array([[-rate]]))
    >>> pmj.ode_solution(decay, params=2.0, y0=[1.0], times=[0.5]).eval().round(4)
    array([[0.3679]])
    """

    matrix: Callable[[Any], jax.Array]
    constant: Callable[[Any], jax.Array] | None = None

    def __call__(self, t: Any, y: Any, params: Any) -> Any:
        """Evaluate the vector field."""
        if isinstance(y, dict):
            slope = self(t, jnp.stack(list(y.values())), params)
            return dict(zip(y, slope, strict=True))
        slope = jnp.asarray(self.matrix(params)) @ y
        return slope if self.constant is None else slope + self.constant(params)


def solve_linear(field: Callable[..., Any], inputs: Inputs, fixed: Any) -> Solution:
    """Solve a linear system at all times.

    Parameters
    ----------
    field : callable
        ``field(theta, fixed)`` returns ``A (n, n)`` and ``b (n,)`` of one subject.
    inputs, fixed
        As in `integrate`.
    """

    def one(y0: jax.Array, theta: jax.Array, t0: jax.Array, times: jax.Array, fixed: Any) -> Any:
        matrix, constant = field(theta, fixed)
        n = y0.shape[0]
        whole = jnp.zeros((n + 1, n + 1), dtype=y0.dtype)
        whole = whole.at[:n, :n].set(matrix).at[:n, n].set(constant)
        steps = jnp.diff(times, prepend=t0)
        propagators = jax.vmap(
            lambda h: jax.scipy.linalg.expm(h * whole, max_squarings=MAX_SQUARINGS)
        )(steps)

        def advance(state: jax.Array, propagator: jax.Array) -> tuple[jax.Array, jax.Array]:
            state = propagator @ state
            return state, state[:n]

        start = jnp.concatenate([y0, jnp.ones(1, dtype=y0.dtype)])
        return jax.lax.scan(advance, start, propagators)[1]

    y0, theta, t0, times, _ = inputs
    states = jax.vmap(one)(y0, theta, t0, times, fixed)
    finite = jnp.all(jnp.isfinite(states), axis=(1, 2))
    status = jnp.where(finite, int(Status.SUCCESS), int(Status.NOT_FINITE))
    status = jnp.where(times[:, 0] < t0, int(Status.BEFORE_START), status)
    states = jnp.where((times < t0[:, None])[..., None], jnp.nan, states)
    nothing = jnp.zeros(y0.shape[0], dtype=int)
    return Solution(states, status, nothing, nothing, jnp.zeros_like(t0))
