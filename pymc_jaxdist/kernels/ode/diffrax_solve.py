"""Any diffrax solver behind the interface of this package's own."""

from typing import Any

import jax
import jax.numpy as jnp

from pymc_jaxdist.errors import JaxDistError, compose_message
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution, Status

__all__ = ["is_adaptive", "is_diffrax_solver", "solve_with_diffrax"]


def is_diffrax_solver(solver: Any) -> bool:
    """Tell whether an object is a diffrax solver, without importing diffrax for it."""
    return any(base.__module__.split(".")[0] == "diffrax" for base in type(solver).__mro__)


def is_adaptive(solver: Any) -> bool:
    """Tell whether a diffrax solver estimates its error, by which the size of steps is chosen."""
    import diffrax

    return isinstance(solver, diffrax.AbstractAdaptiveSolver)


def solve_with_diffrax(problem: Problem, solver: Any, inputs: Inputs, fixed: Any) -> Solution:
    """Solve with diffrax; derivatives are those of the steps, in reverse.

    Parameters
    ----------
    problem, inputs, fixed
        As in `integrate`.
    solver : diffrax.AbstractSolver
        For example ``diffrax.Kvaerno5()``.
    """
    try:
        import diffrax
    except ImportError as error:
        raise JaxDistError(
            compose_message(
                "ODEObserved",
                "a diffrax solver needs diffrax.",
                suggestion='pip install "pymc-jaxdist[ode]"',
            )
        ) from error
    if inputs.knots.shape[1]:
        raise NotImplementedError("events and inputs need a solver of this package, not diffrax")
    atol = jnp.asarray(problem.atol)

    def one(y0: jax.Array, theta: jax.Array, t0: jax.Array, times: jax.Array, fixed: Any) -> Any:
        def field(t: jax.Array, y: jax.Array, args: Any) -> jax.Array:
            theta, fixed = args
            return problem.field(t, t, y, theta, fixed)

        found = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            solver,
            t0=t0,
            t1=jnp.maximum(times[-1], t0),
            dt0=None,
            y0=y0,
            args=(theta, fixed),
            saveat=diffrax.SaveAt(ts=jnp.maximum(times, t0)),
            stepsize_controller=diffrax.PIDController(rtol=problem.rtol, atol=atol),
            max_steps=problem.max_steps,
            throw=False,
        )
        return found.ys, found.result == diffrax.RESULTS.successful, found.stats

    y0, theta, t0, times, _ = inputs
    states, solved, stats = jax.vmap(one)(y0, theta, t0, times, fixed)
    finite = jnp.all(jnp.isfinite(states), axis=(1, 2))
    status = jnp.where(solved, int(Status.SUCCESS), int(Status.TOO_MANY_STEPS))
    status = jnp.where(finite, status, int(Status.NOT_FINITE))
    status = jnp.where(times[:, 0] < t0, int(Status.BEFORE_START), status)
    states = jnp.where((times < t0[:, None])[..., None], jnp.nan, states)
    return Solution(
        states,
        status,
        stats["num_accepted_steps"],
        stats["num_rejected_steps"],
        jnp.zeros_like(t0),
    )
