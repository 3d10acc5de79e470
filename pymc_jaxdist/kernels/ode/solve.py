"""Solutions that JAX can differentiate: the derivatives of the steps that were taken."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from pymc_jaxdist.kernels.ode.integrate import Record, integrate
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution, Status
from pymc_jaxdist.kernels.ode.reverse import pull_back
from pymc_jaxdist.kernels.ode.step import Method

__all__ = ["solve"]

# What an explicit method may take before a stiff one is tried in its place.
EXPLICIT_STEPS = 1000


def solve(
    problem: Problem, methods: Sequence[Method], inputs: Inputs, fixed: Any, reverse: bool
) -> Solution:
    """Solve by the first of several methods that can, with exact derivatives of its steps.

    Forward sensitivities accompany the solution step by step. Only those that are asked for are
    computed, in one pass; being linear in the directions they serve reverse mode too, and the
    pass can be differentiated once more. In reverse, steps are recorded and pulled back; the
    times cannot be differentiated then.

    Parameters
    ----------
    problem, inputs, fixed
        As in `integrate`.
    methods : sequence of Method
        Each is tried for the subjects for which those before it took too many steps.
    reverse : bool
        Whether to differentiate in reverse.
    """
    methods = tuple(methods)
    if reverse:
        return _solve_reverse(problem, methods, inputs, fixed)
    return _solve_forward(problem, methods, inputs, fixed)


class _Attempts(NamedTuple):
    """The merged solution, its derivatives, and who was solved by which method."""

    solution: Solution
    tangents: Any
    records: list[Record | None]
    accepted: list[jax.Array]


def _attempt(
    problem: Problem, methods: tuple[Method, ...], inputs: Inputs, fixed: Any, **options: Any
) -> _Attempts:
    merged: Solution | None = None
    tangents: Any = None
    records: list[Record | None] = []
    accepted: list[jax.Array] = []
    active: jax.Array | None = None
    for position, method in enumerate(methods):
        last = position == len(methods) - 1
        limit = problem.max_steps if last else min(problem.max_steps, EXPLICIT_STEPS)
        found = integrate(
            replace(problem, max_steps=limit),
            method,
            inputs,
            fixed,
            active=active,
            stop_if_stiff=not last,
            **options,
        )
        mine = jnp.ones(inputs.y0.shape[0], dtype=bool) if active is None else active
        if merged is None:
            merged, tangents = found.solution, found.tangents
        else:
            kept = merged
            merged = Solution(
                *(
                    jnp.where(mine.reshape(-1, *[1] * (new.ndim - 1)), new, old)
                    for new, old in zip(found.solution, kept, strict=True)
                )
            )
            merged = merged._replace(stiffness=kept.stiffness)
            if tangents is not None:
                new_tangents: Any = found.tangents
                tangents = jnp.where(mine[:, None, None], new_tangents, tangents)
        solved = mine & (found.solution.status == int(Status.SUCCESS))
        records.append(found.record)
        accepted.append(jnp.where(solved, found.solution.accepted, 0))
        # Another method cannot help where the solution itself ends.
        stiff = merged.status == int(Status.STIFF)
        active = stiff | (merged.status == int(Status.TOO_MANY_STEPS))
    assert merged is not None
    return _Attempts(merged, tangents, records, accepted)


def _solve_forward(
    problem: Problem, methods: tuple[Method, ...], inputs: Inputs, fixed: Any
) -> Solution:
    @jax.custom_jvp
    def run(inputs: Inputs, fixed: Any) -> Solution:
        return _attempt(problem, methods, inputs, fixed).solution

    def rule(primals: tuple, tangents: tuple) -> tuple:
        inputs, fixed = primals
        moves = tuple(not isinstance(d, SymbolicZero) for d in tangents[0])
        _, _, t0_moves, times_move, knots_move = moves
        solution, derivatives, *_ = _attempt(
            problem,
            methods,
            inputs,
            fixed,
            directions=_unit_directions(inputs, moves),
            times_move=t0_moves or times_move or knots_move,
        )
        usable = (solution.status == int(Status.SUCCESS))[:, None, None]
        derivatives = jnp.where(usable & jnp.isfinite(derivatives), derivatives, 0.0)
        change = jnp.zeros_like(solution.states)
        start = 0
        for x, moving, tangent in zip(inputs, moves, tangents[0], strict=True):
            if not moving:
                continue
            flat = tangent.reshape(x.shape[0], -1)
            block = derivatives[start : start + flat.shape[1]]
            start += flat.shape[1]
            change = change + jnp.einsum("kNtn,Nk->Ntn", block, flat)
        unmoved = (_zero_tangent(x) for x in solution[1:])
        return solution, Solution(change, *unmoved)

    run.defjvp(rule, symbolic_zeros=True)
    return run(inputs, fixed)


def _solve_reverse(
    problem: Problem, methods: tuple[Method, ...], inputs: Inputs, fixed: Any
) -> Solution:
    @jax.custom_vjp
    def run(y0: jax.Array, theta: jax.Array, others: tuple) -> Solution:
        t0, times, knots, fixed = others
        return _attempt(problem, methods, Inputs(y0, theta, t0, times, knots), fixed).solution

    def forward(y0: jax.Array, theta: jax.Array, others: tuple) -> tuple:
        t0, times, knots, fixed = others
        inputs = Inputs(y0, theta, t0, times, knots)
        found = _attempt(problem, methods, inputs, fixed, recorded_steps=problem.max_steps)
        return found.solution, (inputs, fixed, found.records, found.accepted)

    def backward(residuals: tuple, cotangent: Solution) -> tuple:
        inputs, fixed, records, accepted = residuals
        y_bar, theta_bar = jnp.zeros_like(inputs.y0), jnp.zeros_like(inputs.theta)
        for method, record, steps in zip(methods, records, accepted, strict=True):
            found = pull_back(problem, method, inputs, fixed, record, steps, cotangent.states)
            y_bar, theta_bar = y_bar + found[0], theta_bar + found[1]
        return y_bar, theta_bar, None

    run.defvjp(forward, backward)
    y0, theta, *others = inputs
    return run(y0, theta, (*others, fixed))


def _zero_tangent(x: jax.Array) -> Any:
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.zeros_like(x)
    return jnp.zeros(x.shape, dtype=jax.dtypes.float0)


def _unit_directions(inputs: Inputs, moves: tuple[bool, ...]) -> Inputs:
    """Return one direction for each number of one subject that moves: ``(k, N, ...)`` arrays."""
    sizes = [x[0].size if moving else 0 for x, moving in zip(inputs, moves, strict=True)]
    total = sum(sizes)
    identity = jnp.eye(total, dtype=inputs.y0.dtype)
    directions = []
    start = 0
    for x, size in zip(inputs, sizes, strict=True):
        shape = (total, *x.shape)
        if size:
            block = identity[:, start : start + size].reshape(total, 1, *x.shape[1:])
            directions.append(jnp.broadcast_to(block, shape))
            start += size
        else:
            directions.append(jnp.zeros(shape, dtype=x.dtype))
    return Inputs(*directions)
