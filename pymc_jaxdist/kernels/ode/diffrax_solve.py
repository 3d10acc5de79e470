"""Any diffrax solver behind the interface of this package's own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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
    states, solved, stats = _with_gradients_of_what_is_solved(jax.vmap(one))(
        y0, theta, t0, times, fixed
    )
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


def _with_gradients_of_what_is_solved(run: Callable[..., Any]) -> Callable[..., Any]:
    """Return the same solves of N subjects, of which a failed one has gradient zero.

    The derivatives of a failed solve are NaN, which those of parameters that subjects share would
    be as well, and an implicit solver refuses to solve for them. So they are never computed: going
    back, the arguments of another subject, and an interval of no length, stand in.
    """

    @jax.custom_vjp
    def solves(*arguments: Any) -> Any:
        return run(*arguments)

    def forward(*arguments: Any) -> tuple[Any, Any]:
        states, solved, stats = run(*arguments)
        solved_well = solved & jnp.all(jnp.isfinite(states), axis=(1, 2))
        return (states, solved, stats), (arguments, solved_well)

    def backward(saved: Any, cotangents: Any) -> tuple[Any, ...]:
        (y0, theta, t0, times, fixed), solved = saved
        another = jnp.argmax(solved)

        def instead(x: jax.Array, other: jax.Array) -> jax.Array:
            rows = solved.reshape(-1, *[1] * (x.ndim - 1))
            return jnp.where(rows, x, other)

        fixed_instead = jax.tree.map(lambda x: instead(x, x[another]), fixed)

        def states_of_solved(
            y0: jax.Array, theta: jax.Array, t0: jax.Array, times: jax.Array
        ) -> jax.Array:
            begin = jnp.where(solved, t0, lax.stop_gradient(t0[another]))
            states: jax.Array = run(
                instead(y0, lax.stop_gradient(y0[another])),
                instead(theta, lax.stop_gradient(theta[another])),
                begin,
                instead(times, lax.stop_gradient(begin[:, None])),
                fixed_instead,
            )[0]
            return states

        _, pull = jax.vjp(states_of_solved, y0, theta, t0, times)
        own = instead(cotangents[0], jnp.zeros_like(cotangents[0]))
        return *pull(own), jax.tree.map(_no_derivative, fixed)

    solves.defvjp(forward, backward)
    return solves


def _no_derivative(x: jax.Array) -> Any:
    floating = jnp.issubdtype(x.dtype, jnp.floating)
    return jnp.zeros_like(x) if floating else np.zeros(x.shape, jax.dtypes.float0)
