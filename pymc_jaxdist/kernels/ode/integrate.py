"""The adaptive loop: all subjects side by side, each with its own time and step size.

Subjects are the last axis of every array, so that the processor's vector units work on several
of them at a time. A subject that is done takes steps of size zero until the last one is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from pymc_jaxdist.kernels.ode.observe import observe
from pymc_jaxdist.kernels.ode.one_step import one_step
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution, Status
from pymc_jaxdist.kernels.ode.rows import each_subject, put_row, subjects_last, take_row
from pymc_jaxdist.kernels.ode.state import Record, State, Tangents
from pymc_jaxdist.kernels.ode.step import Method
from pymc_jaxdist.kernels.ode.step_size import error_norm, first_step_size, step_size_factor
from pymc_jaxdist.kernels.ode.stiff_at_start import stiffness_at_start

__all__ = ["Integration", "integrate"]

# Steps are stretched by up to this factor to end where they must, rather than leave a tiny one.
STRETCH = 1.05
# Twice the steps beyond the limit of stability, less those within, that mean a stiff problem.
STIFF_STEPS = 30

RUNNING, SUCCESS = int(Status.RUNNING), int(Status.SUCCESS)


class Integration(NamedTuple):
    """What `integrate` found.

    Attributes
    ----------
    solution : Solution
    tangents : (k, N, T, n) array or None
        Derivatives of the states by the directions asked for.
    record : Record or None
        The accepted steps, if asked for.
    """

    solution: Solution
    tangents: jax.Array | None
    record: Record | None


def integrate(
    problem: Problem,
    method: Method,
    inputs: Inputs,
    fixed: Any,
    *,
    active: jax.Array | None = None,
    directions: Inputs | None = None,
    times_move: bool = False,
    recorded_steps: int = 0,
    record: Record | None = None,
    stop_if_stiff: bool = False,
) -> Integration:
    """Solve for all subjects and, if asked, differentiate what was done.

    Step sizes follow from the solution alone, not from its derivatives, and count as constants;
    the derivatives are exact for the resulting sequence of steps.

    Parameters
    ----------
    problem : Problem
    method : Method
    inputs : Inputs
    fixed : pytree of (N, ...) array
        What else the field depends on.
    active : (N,) array of bool, optional
        Subjects to solve for.
    directions : Inputs of (k, N, ...) array, optional
        Directions by which to differentiate.
    times_move : bool
        Whether the directions move ``t0``, times or knots.
    recorded_steps : int
        How many accepted steps to record; a solve that needs more fails.
    record : Record, optional
        Where to record them, in the place of what stands there of the active subjects.
    stop_if_stiff : bool
        Whether to give up when the method is limited by stability.
    """
    loop = _Loop(problem, method, inputs, fixed, directions, times_move)
    state = loop.start(active, record or loop.blank_record(recorded_steps), stop_if_stiff)

    def keep_going(state: State) -> jax.Array:
        return jnp.any(state.status == RUNNING)

    def turn(state: State) -> State:
        return loop.turn(state, stop_if_stiff)

    state = lax.while_loop(keep_going, turn, state)
    tangents = state.tangents
    return Integration(
        solution=Solution(
            states=jnp.moveaxis(state.states, -1, 0),
            status=state.status,
            accepted=state.accepted,
            rejected=state.rejected,
            stiffness=state.stiffness,
        ),
        tangents=None if tangents is None else jnp.transpose(tangents.states, (1, 3, 0, 2)),
        record=state.record,
    )


class _Loop:
    """The loop over steps, with what does not change while it runs."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        inputs: Inputs,
        fixed: Any,
        directions: Inputs | None,
        times_move: bool,
    ) -> None:
        self.problem, self.method = problem, method
        self.y0, self.theta, self.t0, times, knots = (subjects_last(x) for x in inputs)
        self.fixed = jax.tree.map(subjects_last, fixed)
        self.n_states, self.n_subjects = self.y0.shape
        self.n_times, self.n_knots = times.shape[0], knots.shape[0]
        never = jnp.full((1, self.n_subjects), jnp.inf, dtype=self.y0.dtype)
        self.times = jnp.concatenate([times, never])
        self.knots = jnp.concatenate([knots, never])
        self.t_end = times[-1]
        # In single precision 1e-100 is zero, which is no tolerance for a state that is zero.
        smallest = jnp.finfo(self.y0.dtype).tiny
        atol = jnp.maximum(jnp.asarray(problem.atol, dtype=self.y0.dtype), smallest)
        self.atol = jnp.broadcast_to(atol, (self.n_states,))
        self.times_move = times_move
        if directions is not None:
            # (k, N, ...) to (k, ..., N)
            self.directions = Inputs(*(jnp.moveaxis(x, 1, -1) for x in directions))

    def blank_record(self, steps: int) -> Record | None:
        """Return room for so many steps, or None for none."""
        if not steps:
            return None
        number = jnp.zeros((steps, self.n_subjects), dtype=self.y0.dtype)
        index = jnp.zeros((steps, self.n_subjects), dtype=int)
        knot = index if self.n_knots else index[:0]
        y = jnp.zeros((steps, self.n_states, self.n_subjects), dtype=self.y0.dtype)
        return Record(number, number, y, knot, knot, index)

    def start(self, active: jax.Array | None, record: Record | None, stop_if_stiff: bool) -> State:
        """Return the state before the first step."""
        y0, t0, n = self.y0, self.t0, self.n_subjects

        def first(t: jax.Array, y: jax.Array, theta: jax.Array, fixed: Any) -> jax.Array:
            return self.problem.vector_field(t, theta, fixed)(t, y)

        def first_size(
            t: jax.Array, y: jax.Array, slope: jax.Array, theta: jax.Array, fixed: Any, span: Any
        ) -> jax.Array:
            f = self.problem.vector_field(t, theta, fixed)
            order, rtol = self.method.error_order, self.problem.rtol
            return first_step_size(f, t, y, slope, span, order, rtol, self.atol)

        slope = each_subject(first)(t0, y0, self.theta, self.fixed)
        fixed_size = self.method.fixed_size
        if fixed_size is None:
            span = self.t_end - t0
            h = each_subject(first_size)(t0, y0, slope, self.theta, self.fixed, span)
            h = lax.stop_gradient(h)
        else:
            h = jnp.full_like(t0, fixed_size)

        done = jnp.sum(self.times[:-1] <= t0, axis=0)
        status = jnp.where(done >= self.n_times, SUCCESS, RUNNING)
        status = jnp.where(self.times[0] < t0, int(Status.BEFORE_START), status)
        finite = jnp.all(jnp.isfinite(y0), axis=0) & jnp.all(jnp.isfinite(slope), axis=0)
        finite &= jnp.isfinite(t0) & jnp.isfinite(self.t_end)
        status = jnp.where(finite, status, int(Status.NOT_FINITE))
        stiffness = jnp.zeros_like(t0)
        if stop_if_stiff:
            stiffness = stiffness_at_start(
                self.problem, self.method, t0, self.t_end, y0, slope, self.theta, self.fixed
            )
            plainly = (status == RUNNING) & (stiffness > 1.0)
            status = jnp.where(plainly, int(Status.STIFF), status)
            stiffness = jnp.where(plainly, stiffness, 0.0)
        if active is not None:
            status = jnp.where(active, status, SUCCESS)

        # Before the start there is no solution, not even that at the start.
        reached = self.times[:-1] == t0
        tangents = None
        if hasattr(self, "directions"):
            towards = self.directions
            d_slope = jax.vmap(
                lambda d_t, d_y, d_theta: jax.jvp(
                    lambda t, y, theta: each_subject(first)(t, y, theta, self.fixed),
                    (t0, y0, self.theta),
                    (d_t, d_y, d_theta),
                )[1]
            )(towards.t0, towards.y0, towards.theta)
            d_states = towards.y0
            if self.times_move:
                # Just after the start, since before it there is no solution.
                later = jnp.swapaxes(towards.times - towards.t0[:, None], 0, 1)
                d_states = d_states + slope * later[:, :, None]
            at_start = jnp.where(reached[:, None, None], d_states, 0.0)
            tangents = Tangents(
                towards.t0 if self.times_move else None, towards.y0, d_slope, at_start
            )
        zeros = jnp.zeros(n, dtype=int)
        return State(
            t=t0,
            h=h,
            y=y0,
            slope=slope,
            states=jnp.where(reached[:, None], y0, jnp.nan),
            next_time=done,
            first_knot=zeros,
            next_knot=jnp.sum(self.knots[:-1] <= t0, axis=0),
            last_log_error=jnp.zeros_like(t0),
            status=status,
            accepted=zeros,
            rejected=zeros,
            stiffness=stiffness,
            stiffness_count=zeros,
            tangents=tangents,
            record=record,
        )

    def turn(self, state: State, stop_if_stiff: bool) -> State:
        """Try one step of each subject."""
        running = state.status == RUNNING
        stop, d_stop = self._where_to_stop(state)
        room = stop - state.t
        lands = state.h * STRETCH >= room
        h = jnp.where(running, jnp.where(lands, room, state.h), 0.0)
        h = lax.stop_gradient(h)
        stop = lax.stop_gradient(stop)
        d_h = None
        if d_stop is not None:
            assert state.tangents is not None
            d_h = jnp.where(lands & running, d_stop - state.tangents.t, 0.0)

        ((y, step), tangents), (error, stiffness) = self._step(state, h, d_h)
        norm = error_norm(error, state.y, step.y, self.problem.rtol, self.atol[:, None])
        norm = lax.stop_gradient(jnp.where(jnp.all(jnp.isfinite(step.y), axis=0), norm, jnp.inf))
        if self.method.fixed_size is None:
            accepted, factor, last_log_error = step_size_factor(
                norm, state.last_log_error, self.method.error_order
            )
        else:
            accepted, factor = jnp.isfinite(norm), jnp.ones_like(norm)
            last_log_error = state.last_log_error
        accepted &= running
        t1 = jnp.where(lands, stop, state.t + h)
        proposal = h * factor
        next_h = jnp.where(accepted & lands, jnp.maximum(proposal, state.h), proposal)

        record = self._record(state, h, accepted)
        d_t1 = None
        if d_h is not None:
            assert state.tangents is not None
            d_t1 = jnp.where(accepted, state.tangents.t + d_h, state.tangents.t)
        d_times = self.directions.times if d_h is not None else None
        states, d_states, next_time = observe(
            self.method, self.times, d_times, state, h, d_h, t1, accepted, y, step, tangents
        )

        n_accepted = state.accepted + accepted
        n_rejected = state.rejected + (running & ~accepted)
        is_stiff = accepted & (stiffness > 1.0)
        # Step sizes hover about the limit: a step below it counts less than one beyond it.
        counted = jnp.maximum(state.stiffness_count - 1, 0)
        in_a_row = jnp.where(is_stiff, state.stiffness_count + 2, counted)
        in_a_row = jnp.where(accepted, in_a_row, state.stiffness_count)
        status = self._status(state, next_time, next_h, norm, accepted, n_accepted, n_rejected)
        if stop_if_stiff:
            stiff = (status == RUNNING) & (in_a_row >= STIFF_STEPS)
            status = jnp.where(stiff, int(Status.STIFF), status)
        moved = None
        if state.tangents is not None:
            moved = Tangents(
                t=d_t1,
                y=jnp.where(accepted, tangents[1].y, state.tangents.y),
                slope=jnp.where(accepted, tangents[1].slope, state.tangents.slope),
                states=d_states,
            )
        first_knot, next_knot = state.first_knot, state.next_knot
        if self.n_knots:
            first_knot = jnp.where(accepted, next_knot, first_knot)
            next_knot = jnp.where(accepted, jnp.sum(self.knots <= t1, axis=0), next_knot)
        return State(
            t=jnp.where(accepted, t1, state.t),
            h=jnp.where(running, next_h, state.h),
            y=jnp.where(accepted, step.y, state.y),
            slope=jnp.where(accepted, step.slope, state.slope),
            states=states,
            next_time=next_time,
            first_knot=first_knot,
            next_knot=next_knot,
            last_log_error=last_log_error,
            status=status,
            accepted=n_accepted,
            rejected=n_rejected,
            stiffness=jnp.maximum(state.stiffness, jnp.where(accepted, stiffness, 0.0)),
            stiffness_count=in_a_row,
            tangents=moved,
            record=record,
        )

    def _where_to_stop(self, state: State) -> tuple[jax.Array, jax.Array | None]:
        """Return the next time at which a step must end, and its derivatives."""
        stop = self.t_end
        d_stop = self.directions.times[:, -1] if self.times_move else None
        candidates = []
        if self.n_knots:
            candidates.append((self.knots, "knots", state.next_knot))
        if self.method.lands_on_observations:
            candidates.append((self.times, "times", state.next_time))
        for values, name, index in candidates:
            earlier = take_row(values, index)
            if d_stop is not None:
                moving = getattr(self.directions, name)
                inside = jnp.minimum(index, moving.shape[1] - 1)
                d_earlier = jax.vmap(lambda rows, i=inside: take_row(rows, i))(moving)
                d_stop = jnp.where(earlier < stop, d_earlier, d_stop)
            stop = jnp.minimum(stop, earlier)
        return stop, d_stop

    def _step(self, state: State, h: jax.Array, d_h: jax.Array | None) -> tuple[Any, ...]:
        """Take the step, with its derivatives if there are directions."""

        def step(*arguments: Any) -> tuple[Any, ...]:
            return one_step(self.problem, self.method, self.n_knots > 0, *arguments)

        moving = (state.t, h, state.y, state.slope, self.theta)
        others = (self.fixed, state.first_knot, state.next_knot)
        if state.tangents is None:
            result, aside = each_subject(step)(*moving, *others)
            return (result, None), aside

        tangents = state.tangents
        towards = (tangents.t, d_h, tangents.y, tangents.slope, self.directions.theta)

        def with_tangents(
            moving: tuple[Any, ...], towards: tuple[Any, ...], others: tuple[Any, ...]
        ) -> tuple[Any, ...]:
            axes = tuple(None if x is None else 0 for x in towards)
            filled = tuple(
                jnp.zeros_like(a) if x is None else x for a, x in zip(moving, towards, strict=True)
            )

            def along(*direction: jax.Array) -> tuple[Any, ...]:
                return jax.jvp(lambda *a: step(*a, *others), moving, direction, has_aux=True)

            result, tangent, aside = jax.vmap(along, in_axes=axes, out_axes=(None, 0, None))(
                *filled
            )
            return (result, tangent), aside

        return each_subject(with_tangents)(moving, towards, others)

    def _record(self, state: State, h: jax.Array, accepted: jax.Array) -> Record | None:
        if state.record is None:
            return None
        kept = {"t": state.t, "h": h, "y": state.y, "next_time": state.next_time}
        if self.n_knots:
            kept |= {"first_knot": state.first_knot, "next_knot": state.next_knot}
        rows = state.record._asdict()
        for name, value in kept.items():
            rows[name] = put_row(rows[name], state.accepted, accepted, value)
        return Record(**rows)

    def _status(
        self,
        state: State,
        next_time: jax.Array,
        next_h: jax.Array,
        norm: jax.Array,
        accepted: jax.Array,
        n_accepted: jax.Array,
        n_rejected: jax.Array,
    ) -> jax.Array:
        running = state.status == RUNNING
        failed = running & ~accepted
        if self.method.fixed_size is None:
            failed &= state.t + next_h <= state.t
        why = jnp.where(jnp.isfinite(norm), int(Status.STEP_TOO_SMALL), int(Status.NOT_FINITE))
        too_many = n_accepted + n_rejected >= self.problem.max_steps
        if state.record is not None:
            too_many |= n_accepted >= state.record.t.shape[0]
        status = jnp.where(running & too_many, int(Status.TOO_MANY_STEPS), state.status)
        status = jnp.where(failed, why, status)
        return jnp.where(running & (next_time >= self.n_times), SUCCESS, status)
