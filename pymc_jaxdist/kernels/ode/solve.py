"""Solutions that JAX can differentiate: the derivatives of the steps that were taken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from pymc_jaxdist.kernels.lazy import run_if_any
from pymc_jaxdist.kernels.ode.batches import batches_as_subjects
from pymc_jaxdist.kernels.ode.integrate import Integration, integrate
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution, Status
from pymc_jaxdist.kernels.ode.reverse import pull_back
from pymc_jaxdist.kernels.ode.rows import each_subject, subjects_last
from pymc_jaxdist.kernels.ode.state import Record
from pymc_jaxdist.kernels.ode.step import Method
from pymc_jaxdist.kernels.ode.stiff_at_start import stiffness_at_start

__all__ = ["first_method_is_vain", "solve", "wants_another_method"]

# What an explicit method may take before a stiff one is tried in its place.
EXPLICIT_STEPS = 1000


def solve(
    problem: Problem,
    methods: Sequence[Method],
    inputs: Inputs,
    fixed: Any,
    reverse: bool,
    *,
    active: jax.Array | None = None,
    others_follow: bool = False,
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
    active : (N,) array of bool, optional
        Subjects to solve for; by default all. The states of the others are NaN.
    others_follow : bool
        Whether the caller will try other methods after the last of these.
    """
    attempts = _Attempts(problem, tuple(methods), others_follow)
    if reverse:
        return _solve_reverse(attempts, inputs, active, fixed)
    return _solve_forward(attempts, inputs, active, fixed)


def first_method_is_vain(
    problem: Problem,
    methods: Sequence[Method],
    t0: jax.Array,
    t_end: jax.Array,
    y0: jax.Array,
    theta: jax.Array,
    fixed: Any,
) -> jax.Array:
    """Tell for which of N subjects the first of several methods gives up without a step.

    Parameters
    ----------
    problem, methods
        As in `solve`.
    t0, t_end : (N,) array
        Initial times, and the last of the times at which the solution is wanted.
    y0, theta, fixed : (N, ...) array
        As in `solve`.
    """
    problem = _Attempts(problem, tuple(methods), others_follow=True).problem_for(0)
    y0, theta = subjects_last(y0), subjects_last(theta)
    fixed = jax.tree.map(subjects_last, fixed)

    def field(t: jax.Array, y: jax.Array, theta: jax.Array, fixed: Any) -> jax.Array:
        return problem.vector_field(t, theta, fixed)(t, y)

    slope = each_subject(field)(t0, y0, theta, fixed)
    return stiffness_at_start(problem, methods[0], t0, t_end, y0, slope, theta, fixed) > 1.0


def wants_another_method(status: jax.Array) -> jax.Array:
    """Tell for which subjects another method may help: not where the solution itself ends."""
    return (status == int(Status.STIFF)) | (status == int(Status.TOO_MANY_STEPS))


class _Found(NamedTuple):
    """The solution, its derivatives, its steps, and how many of them were of which method."""

    solution: Solution
    tangents: Any
    record: Record | None
    accepted: list[jax.Array]


@dataclass(frozen=True)
class _Attempts:
    """Several methods, one after another."""

    problem: Problem
    methods: tuple[Method, ...]
    others_follow: bool

    def _is_last(self, position: int) -> bool:
        return position == len(self.methods) - 1 and not self.others_follow

    def _most_steps(self, position: int) -> int:
        most = self.problem.max_steps
        return most if self._is_last(position) else min(most, EXPLICIT_STEPS)

    def problem_for(self, position: int) -> Problem:
        """Return the problem with the steps that one of the methods may take."""
        return replace(self.problem, max_steps=self._most_steps(position))

    @property
    def most_steps(self) -> int:
        """The largest number of steps any of the methods may take."""
        return max(self._most_steps(position) for position in range(len(self.methods)))

    def __call__(
        self, inputs: Inputs, active: jax.Array | None, fixed: Any, **options: Any
    ) -> _Found:
        """Solve; see `integrate` for the options."""

        def run(
            position: int,
            active: jax.Array | None,
            record: Record | None,
            inputs: Inputs,
            fixed: Any,
        ) -> Integration:
            return integrate(
                self.problem_for(position),
                self.methods[position],
                inputs,
                fixed,
                active=active,
                record=record,
                stop_if_stiff=not self._is_last(position),
                **options,
            )

        def run_next(position: int, before: Integration) -> tuple[Integration, jax.Array]:
            active = wants_another_method(before.solution.status)

            def settled(new: jax.Array, old: jax.Array) -> jax.Array:
                return jnp.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)

            def again(state: tuple[Any, ...]) -> tuple[Any, ...]:
                before, *given = state
                found = run(position, active, before.record, *given)
                solution = Solution(*map(settled, found.solution, before.solution))
                solution = solution._replace(stiffness=before.solution.stiffness)
                tangents = found.tangents
                if tangents is not None:
                    tangents = jnp.where(active[:, None, None], tangents, before.tangents)
                # What is not known to stay the same is not prepared before the loop, in vain.
                given = jax.lax.optimization_barrier(given)
                return Integration(solution, tangents, found.record), *given

            return run_if_any(active, again, (before, inputs, fixed))[0], active

        found = run(0, active, None, inputs, fixed)
        accepted = [_steps_of(found.solution, jnp.ones(len(inputs.y0), dtype=bool))]
        for position in range(1, len(self.methods)):
            found, tried = run_next(position, found)
            accepted.append(_steps_of(found.solution, tried))
        return _Found(*found, accepted)


def _steps_of(solution: Solution, subjects: jax.Array) -> jax.Array:
    """Return how many steps solved each of some subjects, 0 for the others."""
    solved = subjects & (solution.status == int(Status.SUCCESS))
    return jnp.where(solved, solution.accepted, 0)


def _solve_forward(
    attempts: _Attempts, inputs: Inputs, active: jax.Array | None, fixed: Any
) -> Solution:
    @jax.custom_jvp
    def run(inputs: Inputs, active: jax.Array | None, fixed: Any) -> Solution:
        return attempts(inputs, active, fixed).solution

    def rule(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Any, ...]:
        inputs, active, fixed = primals
        moves = tuple(not isinstance(d, SymbolicZero) for d in tangents[0])
        _, _, t0_moves, times_move, knots_move = moves
        solution, derivatives, *_ = attempts(
            inputs,
            active,
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
    return run(inputs, active, fixed)


def _solve_reverse(
    attempts: _Attempts, inputs: Inputs, active: jax.Array | None, fixed: Any
) -> Solution:
    def solve_and_record(inputs: Inputs, active: jax.Array | None, fixed: Any) -> tuple[Any, ...]:
        found = attempts(inputs, active, fixed, recorded_steps=attempts.most_steps)
        return found.solution, found.record, found.accepted

    # Of the steps in a record the subjects are the last axis.
    recorded = batches_as_subjects(solve_and_record, (0, 0, 0), (0, -1, 0))

    @jax.custom_vjp
    def run(y0: jax.Array, theta: jax.Array, others: tuple[Any, ...]) -> Solution:
        t0, times, knots, active, fixed = others
        return attempts(Inputs(y0, theta, t0, times, knots), active, fixed).solution

    def forward(y0: jax.Array, theta: jax.Array, others: tuple[Any, ...]) -> tuple[Any, ...]:
        t0, times, knots, active, fixed = others
        inputs = Inputs(y0, theta, t0, times, knots)
        solution, record, accepted = recorded(inputs, active, fixed)
        solved = solution.status == int(Status.SUCCESS)
        return solution, (inputs, fixed, record, accepted, solved)

    def backward(residuals: tuple[Any, ...], cotangent: Solution) -> tuple[Any, ...]:
        inputs, fixed, record, accepted, solved = residuals
        # The initial state itself may be observed, also of a subject that takes no step.
        at_start = (inputs.times <= inputs.t0[:, None]) & solved[:, None]
        y_bar = jnp.sum(jnp.where(at_start[..., None], cotangent.states, 0.0), axis=1)
        theta_bar = jnp.zeros_like(inputs.theta)
        for method, steps in zip(attempts.methods, accepted, strict=True):

            def add(
                bars: tuple[Any, ...], method: Method = method, steps: jax.Array = steps
            ) -> tuple[Any, ...]:
                def pull(*arguments: Any) -> tuple[jax.Array, jax.Array]:
                    return pull_back(attempts.problem, method, *arguments)

                pull_of_batches = batches_as_subjects(pull, (0, 0, -1, 0, 0), (0, 0))
                found = pull_of_batches(inputs, fixed, record, steps, cotangent.states)
                return bars[0] + found[0], bars[1] + found[1]

            y_bar, theta_bar = run_if_any(steps > 0, add, (y_bar, theta_bar))
        return y_bar, theta_bar, None

    run.defvjp(forward, backward)
    y0, theta, *others = inputs
    return run(y0, theta, (*others, active, fixed))


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
