"""A differential equation as a user writes it, turned into a problem for the integrators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels.ode.diffrax_solve import is_diffrax_solver, solve_with_diffrax
from pymc_jaxdist.kernels.ode.events import (
    DoseEvent,
    JumpEvent,
    apply_events,
    event_knots,
    infusion_rates,
)
from pymc_jaxdist.kernels.ode.interpolation import Interpolated
from pymc_jaxdist.kernels.ode.layout import Argument, Layout, Structure
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE, solve_linear
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution
from pymc_jaxdist.kernels.ode.rodas5p import Rodas5P
from pymc_jaxdist.kernels.ode.solve import first_method_is_vain, solve
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5

__all__ = ["METHODS", "Attempt", "Equation", "Trajectory"]

METHODS = {
    "auto": (Tsit5(), Rodas5P()),
    "tsit5": (Tsit5(),),
    "rodas5p": (Rodas5P(),),
    "explicit": (Tsit5(),),
    "stiff": (Rodas5P(),),
}


# A gradient in reverse takes as long as the solution with forward derivatives by three numbers
# (measured: two to four, for one subject and for fifty, explicit and stiff).
FORWARD_DIRECTIONS = 3
# The room for recorded steps is set to zero at each evaluation; beyond this many numbers (32 MB)
# that takes longer than more forward derivatives.
LARGEST_RECORD, FORWARD_DIRECTIONS_OF_MANY = 4_000_000, 40


# How many states are worth a loop over stages where XLA repeats what is read more than once.
# Measured on JAX 0.10 with Tsit5, as multiples of stages written out. One subject: a call takes
# 1.3 for one state, .8 to 1.1 for 2 to 20, compiling .65 to .85. Fifty subjects: a call in reverse
# takes 1.0 and compiling .7; with forward derivatives 1.6 (2 states) to 4 (4 states), and .85.
STATES_OF_A_LOOP = 2


class Attempt(NamedTuple):
    """A part of the methods, where each is called by itself.

    Attributes
    ----------
    active : (...) array of bool or None
        Subjects for which to try the methods after the first; None to try the first for all.
    """

    active: jax.Array | None


class _Prepared(NamedTuple):
    """An equation's arguments as the integrators take them, for N subjects in a row.

    ``order`` sorts the times of each; None if they are sorted.
    """

    inputs: Inputs
    fixed: tuple[Any, ...]
    layout: Layout
    order: jax.Array | None


@dataclass(frozen=True)
class NamedParts:
    """A function ``g(t, y, params)`` that returns a dictionary of numbers, as one of an array.

    Parameters
    ----------
    function : callable
    names : tuple of str
        The keys of the dictionary, in the order of the array.
    """

    function: Callable[[Any, Any, Any], Any]
    names: tuple[str, ...]

    def __call__(self, t: Any, y: Any, params: Any) -> jax.Array:
        """Return the numbers ``(D,)``."""
        parts = self.function(t, y, params)
        return jnp.stack([jnp.asarray(parts[name]) for name in self.names])


class Trajectory(NamedTuple):
    """A solution for subjects arranged in any number of dimensions.

    Attributes
    ----------
    states : (..., T, n) array
        At the wanted times in the order in which they were given.
    solution : Solution
        How it went, for the N subjects in a row.
    """

    states: jax.Array
    solution: Solution


@dataclass(frozen=True)
class Equation:
    """A system of ordinary differential equations with initial values; hashable by value.

    Its arguments are arrays in this order: ``y0 (..., n)``, ``t0 (...)``, ``times (..., T)``, the
    leaves of the parameters, those of the events. Dimensions in place of the dots are subjects.

    Parameters
    ----------
    vector_field : callable
        ``f(t, y, params)`` returns ``dy/dt``.
    state_names : tuple of str or None
        If given, ``y`` and ``dy/dt`` are dictionaries with these keys; otherwise arrays ``(n,)``.
    structure : Structure
        How the leaves make ``params``.
    arguments : tuple of Argument
        For each of the arrays.
    batch_ndim : int
        Number of dimensions of subjects.
    rtol, atol, max_steps
        As in `Problem`.
    solver : str, RK4 or diffrax.AbstractSolver
        A key of `METHODS`, or a solver. A `LinearODE` needs none.
    sensitivity : {"auto", "forward", "reverse"}
        How derivatives are computed.
    observe : int, tuple of int, callable or None
        What is seen of the states: one of them, several, or ``g(t, y, params)`` of the same
        arguments as the vector field; None for all.
    events : tuple of DoseEvent or JumpEvent
        What happens at known times.
    kinks : tuple of int
        Positions of leaves that hold times of kinks of the vector field.
    run_in : float
        How long before ``t0`` the solution begins, in the state ``y0``.
    times_in_order : bool
        Whether all times are known to be there and to increase, which saves sorting them.
    stages_in_a_loop : bool
        Whether the stages of a step may go into a loop.
    """

    vector_field: Callable[[Any, Any, Any], Any]
    state_names: tuple[str, ...] | None
    structure: Structure
    arguments: tuple[Argument, ...]
    batch_ndim: int
    rtol: float
    atol: float | tuple[float, ...]
    max_steps: int
    solver: Any = "auto"
    sensitivity: str = "auto"
    observe: Callable[[Any, Any, Any], Any] | int | tuple[int, ...] | None = None
    events: tuple[DoseEvent | JumpEvent, ...] = ()
    kinks: tuple[int, ...] = ()
    run_in: float = 0.0
    times_in_order: bool = False
    stages_in_a_loop: bool = False

    @property
    def n_arguments(self) -> int:
        """Number of arrays the equation takes."""
        return len(self.arguments)

    def with_times(self, batched: bool) -> "Equation":
        """Return the same equation for times that are data, per subject or not."""
        y0, t0, _, *rest = self.arguments
        arguments = (y0, t0, Argument(batched, False), *rest)
        return replace(self, arguments=arguments, times_in_order=False)

    @property
    def n_methods(self) -> int:
        """Number of methods that are tried one after another."""
        if isinstance(self.vector_field, LinearODE) or not isinstance(self.solver, str):
            return 1
        return len(METHODS[self.solver])

    def trajectory(self, *arrays: jax.Array, attempt: Attempt | None = None) -> Trajectory:
        """Solve the equation.

        Parameters
        ----------
        *arrays : array
            As described in the class.
        attempt : Attempt, optional
            Which methods to try for which subjects; by default all for all.
        """
        prepared = self._prepare(arrays)
        solution = self._solve(prepared, attempt)
        states = solution.states
        if prepared.order is not None:
            back = jnp.argsort(prepared.order, axis=-1)[..., None]
            states = jnp.take_along_axis(states, back, axis=-2)
        return Trajectory(states.reshape(*self.batch_shape(arrays), *states.shape[1:]), solution)

    def first_method_is_vain(self, *arrays: jax.Array) -> jax.Array:
        """Tell for which subjects ``(...)`` the first of several methods gives up at once."""
        y0, t0, times, *leaves = self._in_a_row(arrays)
        layout = Layout(leaves, self.arguments[3:])
        theta, fixed = layout.pack(leaves, len(y0))
        t_end = jnp.max(jnp.where(jnp.isnan(times), -jnp.inf, times), axis=-1)
        vain = first_method_is_vain(
            self._problem(layout),
            METHODS[self.solver],
            t0 - self.run_in,
            t_end,
            y0,
            theta,
            (None, *fixed),
        )
        return vain.reshape(self.batch_shape(arrays))

    def _prepare(self, arrays: Sequence[jax.Array]) -> _Prepared:
        y0, t0, times, *leaves = self._in_a_row(arrays)
        n_subjects = len(y0)
        t0 = t0 - self.run_in
        layout = Layout(leaves, self.arguments[3:])
        theta, fixed = layout.pack(leaves, n_subjects)
        order = None
        if not self.times_in_order:
            order = jnp.argsort(times, axis=-1)
            times = jnp.take_along_axis(times, order, axis=-1)
            # The last time of a subject stands in for those that it does not have.
            present = jnp.where(jnp.isnan(times), -jnp.inf, times)
            times = jnp.where(jnp.isnan(times), jnp.max(present, axis=-1, keepdims=True), times)
        knots = event_knots(self.events, self.kinks, leaves, t0)
        rank = jnp.zeros(knots.shape, dtype=int)
        if knots.size:
            knot_order = jnp.argsort(knots, axis=-1)
            knots = jnp.take_along_axis(knots, knot_order, axis=-1)
            rank = jnp.argsort(knot_order, axis=-1)
        inputs = Inputs(y0, theta, t0, times, knots)
        return _Prepared(inputs, (rank, *fixed), layout, order)

    def _problem(self, layout: Layout) -> Problem:
        return Problem(
            # A trace goes through a user's function once, not once for every stage of a step.
            field=jax.jit(_Field(self, layout), inline=True),
            event=_Event(self, layout) if self.events else None,
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
        )

    def _methods(self, inputs: Inputs) -> tuple[Any, ...]:
        if not isinstance(self.solver, str):
            return (self.solver,)
        n_subjects, n_states = inputs.y0.shape
        loops = self.stages_in_a_loop and n_states >= STATES_OF_A_LOOP
        loops &= n_subjects == 1 or self._in_reverse(inputs)
        return tuple(
            replace(method, stages_in_a_loop=loops) if isinstance(method, Tsit5) else method
            for method in METHODS[self.solver]
        )

    def _solve(self, prepared: _Prepared, attempt: Attempt | None) -> Solution:
        inputs, fixed, layout, _ = prepared
        if isinstance(self.vector_field, LinearODE):
            return solve_linear(_LinearField(self, layout), inputs, fixed)
        problem, methods = self._problem(layout), self._methods(inputs)
        if is_diffrax_solver(self.solver):
            return solve_with_diffrax(problem, self.solver, inputs, fixed)
        reverse = self._in_reverse(inputs)
        if attempt is None:
            return solve(problem, methods, inputs, fixed, reverse)
        if attempt.active is None:
            return solve(problem, methods[:1], inputs, fixed, reverse, others_follow=True)
        active = attempt.active.reshape(-1)
        return solve(problem, methods[1:], inputs, fixed, reverse, active=active)

    @property
    def times_move(self) -> bool:
        """Whether there are derivatives by times: only forward ones know how steps follow them."""
        _, t0, times, *leaves = self.arguments
        knots_move = any(leaves[event.first_leaf].differentiable for event in self.events)
        knots_move |= any(
            leaves[event.first_leaf + 2].differentiable
            for event in self.events
            if isinstance(event, DoseEvent) and event.infusion
        )
        return t0.differentiable or times.differentiable or knots_move

    def _in_reverse(self, inputs: Inputs) -> bool:
        """Choose between forward and reverse derivatives, from what there is to differentiate."""
        if self.times_move:
            return False
        if self.sensitivity != "auto":
            return self.sensitivity == "reverse"
        n_subjects, n_states = inputs.y0.shape
        n_directions = inputs.theta.shape[1] + n_states * self.arguments[0].differentiable
        if n_directions <= FORWARD_DIRECTIONS:
            return False
        recorded = self.max_steps * n_subjects * n_states
        return not (recorded > LARGEST_RECORD and n_directions <= FORWARD_DIRECTIONS_OF_MANY)

    def observed_trajectory(
        self, *arrays: jax.Array, attempt: Attempt | None = None
    ) -> tuple[jax.Array, Solution]:
        """Solve, and return what is seen of the states; arguments as for `trajectory`.

        Returns
        -------
        seen : (..., T) or (..., T, D) array
        solution : Solution
        """
        states, solution = self.trajectory(*arrays, attempt=attempt)
        if self.observe is None:
            return states, solution
        if not callable(self.observe):
            return states[..., jnp.asarray(self.observe)], solution
        _, _, times, *leaves = self._in_a_row(arrays)
        rows = states.reshape(len(times), *states.shape[-2:])
        seen = jax.vmap(
            lambda times, rows, leaves: jax.vmap(
                lambda t, y: self.evaluate(self.observe, t, y, leaves)
            )(times, rows)
        )(times, rows, leaves)
        return seen.reshape(*self.batch_shape(arrays), *seen.shape[1:]), solution

    def batch_shape(self, arrays: Sequence[jax.Array]) -> tuple[int, ...]:
        """Return the lengths of the dimensions of subjects."""
        leading = [
            np.shape(x)[: self.batch_ndim]
            for x, argument in zip(arrays, self.arguments, strict=True)
            if argument.batched
        ]
        return np.broadcast_shapes((1,) * self.batch_ndim, *leading)

    def _in_a_row(self, arrays: Sequence[jax.Array]) -> list[jax.Array]:
        """Return each argument with one row for each subject."""
        batch_shape = self.batch_shape(arrays)
        n_subjects = int(np.prod(batch_shape))
        rows = []
        for x, argument in zip(map(jnp.asarray, arrays), self.arguments, strict=True):
            core = x.shape[self.batch_ndim :] if argument.batched else x.shape
            rows.append(jnp.broadcast_to(x, (*batch_shape, *core)).reshape(n_subjects, *core))
        return rows

    def evaluate(
        self,
        function: Any,
        t: Any,
        y: jax.Array,
        leaves: Sequence[jax.Array],
        segment: Any = None,
    ) -> jax.Array:
        """Evaluate a function of ``(t, y, params)`` for one subject in a state ``(n,)``."""
        params = self.as_user_params(leaves, segment)
        return self.as_array(function(t, self.as_user_state(y), params), y.dtype)

    def as_user_params(self, leaves: Sequence[jax.Array], segment: Any = None) -> Any:
        """Return the parameters of one subject as the user's functions expect them."""
        params = self.structure.unflatten(leaves[: self.structure.num_leaves])
        if segment is None:
            return params

        def is_input(x: Any) -> bool:
            return isinstance(x, Interpolated)

        return jax.tree.map(
            lambda x: x.on_segment(segment) if is_input(x) else x, params, is_leaf=is_input
        )

    def as_array(self, result: Any, dtype: Any) -> jax.Array:
        """Return what a user's function returned as an array."""
        if isinstance(result, dict):
            if set(result) != set(self.state_names or ()):
                states = ", ".join(self.state_names or ()) or "not named"
                raise TypeError(f"it returns {', '.join(map(str, result))}; states are {states}")
            result = [result[name] for name in self.state_names or ()]
        if isinstance(result, list | tuple):
            result = jnp.stack([jnp.asarray(x) for x in result])
        if jnp.iscomplexobj(result):
            raise TypeError("it returns complex numbers")
        return jnp.asarray(result, dtype=dtype)

    def as_user_state(self, y: jax.Array) -> Any:
        """Return a state ``(n,)`` as the user's functions expect it."""
        if self.state_names is None:
            return y
        return {name: y[i] for i, name in enumerate(self.state_names)}


class _Field:
    """The vector field as the integrators call it."""

    def __init__(self, equation: Equation, layout: Layout) -> None:
        self.equation, self.layout = equation, layout

    def __call__(
        self, t: jax.Array, segment: jax.Array, y: jax.Array, theta: jax.Array, fixed: Any
    ) -> jax.Array:
        equation = self.equation
        leaves = self.layout.unpack(theta, fixed[1:])
        slope = equation.evaluate(equation.vector_field, t, y, leaves, segment)
        return slope + infusion_rates(equation.events, segment, leaves, y)


class _Event:
    """What happens at knots, as the integrators call it."""

    def __init__(self, equation: Equation, layout: Layout) -> None:
        self.equation, self.layout = equation, layout

    def __call__(
        self, first: jax.Array, following: jax.Array, y: jax.Array, theta: jax.Array, fixed: Any
    ) -> jax.Array:
        equation = self.equation
        rank, *rest = fixed
        leaves = self.layout.unpack(theta, rest)
        happens = (rank >= first) & (rank < following)

        def jump(function: Callable[..., Any], y: jax.Array) -> jax.Array:
            result = function(equation.as_user_state(y), equation.as_user_params(leaves))
            return equation.as_array(result, y.dtype)

        return apply_events(equation.events, happens, y, leaves, jump)


class _LinearField:
    """The matrix and the constant of a linear system."""

    def __init__(self, equation: Equation, layout: Layout) -> None:
        self.equation, self.layout = equation, layout

    def __call__(self, theta: jax.Array, fixed: Any) -> tuple[jax.Array, jax.Array]:
        field = self.equation.vector_field
        assert isinstance(field, LinearODE)
        leaves = self.layout.unpack(theta, fixed[1:])
        params = self.equation.as_user_params(leaves)
        matrix = jnp.asarray(field.matrix(params), dtype=theta.dtype)
        if field.constant is None:
            return matrix, jnp.zeros(matrix.shape[0], dtype=theta.dtype)
        return matrix, jnp.asarray(field.constant(params), dtype=theta.dtype)
