"""A differential equation as a user writes it, turned into a problem for the integrators."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pymc_jaxdist.kernels.ode.diffrax_solve import is_diffrax_solver, solve_with_diffrax
from pymc_jaxdist.kernels.ode.matrix_exponential import LinearODE, solve_linear
from pymc_jaxdist.kernels.ode.problem import Inputs, Problem, Solution
from pymc_jaxdist.kernels.ode.rodas5p import Rodas5P
from pymc_jaxdist.kernels.ode.solve import solve
from pymc_jaxdist.kernels.ode.tsit5 import Tsit5

__all__ = ["METHODS", "Argument", "Equation", "Trajectory"]

METHODS = {
    "auto": (Tsit5(), Rodas5P()),
    "tsit5": (Tsit5(),),
    "rodas5p": (Rodas5P(),),
    "explicit": (Tsit5(),),
    "stiff": (Rodas5P(),),
}


class Argument(NamedTuple):
    """How one array among the arguments of an equation is to be read.

    Attributes
    ----------
    batched : bool
        Whether its leading dimensions are those of the subjects.
    differentiable : bool
        Whether the solution is differentiated by it.
    """

    batched: bool
    differentiable: bool


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
    leaves of the parameters. Dimensions in place of the dots are subjects.

    Parameters
    ----------
    vector_field : callable
        ``f(t, y, params)`` returns ``dy/dt``.
    state_names : tuple of str or None
        If given, ``y`` and ``dy/dt`` are dictionaries with these keys; otherwise arrays ``(n,)``.
    structure : PyTreeDef
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
    """

    vector_field: Callable[[Any, Any, Any], Any]
    state_names: tuple[str, ...] | None
    structure: Any
    arguments: tuple[Argument, ...]
    batch_ndim: int
    rtol: float
    atol: float | tuple[float, ...]
    max_steps: int
    solver: Any = "auto"
    sensitivity: str = "auto"
    observe: Callable[[Any, Any, Any], Any] | int | tuple[int, ...] | None = None

    @property
    def n_arguments(self) -> int:
        """Number of arrays the equation takes."""
        return len(self.arguments)

    def trajectory(self, *arrays: jax.Array) -> Trajectory:
        """Solve the equation.

        Parameters
        ----------
        *arrays : array
            As described in the class.
        """
        arrays = tuple(jnp.asarray(x) for x in arrays)
        batch_shape = self.batch_shape(arrays)
        n_subjects = int(np.prod(batch_shape))
        flat = [
            self._one_row_each(x, argument, batch_shape, n_subjects)
            for x, argument in zip(arrays, self.arguments, strict=True)
        ]
        y0, t0, times, *leaves = flat
        layout = _Layout(leaves, self.arguments[3:])
        theta, fixed = layout.pack(leaves)
        order = jnp.argsort(times, axis=-1)
        times = jnp.take_along_axis(times, order, axis=-1)
        knots = jnp.zeros((n_subjects, 0), dtype=y0.dtype)
        inputs = Inputs(y0, theta, t0, times, knots)
        solution = self._solve(inputs, tuple(fixed), layout)
        back = jnp.argsort(order, axis=-1)[..., None]
        states = jnp.take_along_axis(solution.states, back, axis=-2)
        return Trajectory(states.reshape(*batch_shape, *states.shape[1:]), solution)

    def _solve(self, inputs: Inputs, fixed: tuple, layout: "_Layout") -> Solution:
        if isinstance(self.vector_field, LinearODE):
            return solve_linear(_LinearField(self, layout), inputs, fixed)
        problem = Problem(
            field=_Field(self, layout),
            rtol=self.rtol,
            atol=self.atol,
            max_steps=self.max_steps,
        )
        if is_diffrax_solver(self.solver):
            return solve_with_diffrax(problem, self.solver, inputs, fixed)
        methods = METHODS[self.solver] if isinstance(self.solver, str) else (self.solver,)
        return solve(problem, methods, inputs, fixed, self._in_reverse(inputs))

    def _in_reverse(self, inputs: Inputs) -> bool:
        """Choose between forward and reverse derivatives, from what there is to differentiate."""
        y0, t0, times, *_ = self.arguments
        if t0.differentiable or times.differentiable:
            return False  # only forward derivatives know how steps follow the times
        if self.sensitivity != "auto":
            return self.sensitivity == "reverse"
        n_subjects, n_states = inputs.y0.shape
        n_directions = inputs.theta.shape[1] + n_states * y0.differentiable
        few = n_directions <= 5 or (n_states <= 3 and n_directions <= 20)
        return not (few or (n_subjects > 1 and n_directions <= 40))

    def observed_trajectory(self, *arrays: jax.Array) -> tuple[jax.Array, Solution]:
        """Solve, and return what is seen of the states.

        Returns
        -------
        seen : (..., T) or (..., T, D) array
        solution : Solution
        """
        states, solution = self.trajectory(*arrays)
        if self.observe is None:
            return states, solution
        if not callable(self.observe):
            return states[..., jnp.asarray(self.observe)], solution
        arrays = tuple(jnp.asarray(x) for x in arrays)
        batch_shape = self.batch_shape(arrays)
        n_subjects = int(np.prod(batch_shape))
        _, _, times, *leaves = (
            self._one_row_each(x, argument, batch_shape, n_subjects)
            for x, argument in zip(arrays, self.arguments, strict=True)
        )
        rows = states.reshape(n_subjects, *states.shape[-2:])
        seen = jax.vmap(
            lambda times, rows, leaves: jax.vmap(
                lambda t, y: self.evaluate(self.observe, t, y, leaves)
            )(times, rows)
        )(times, rows, leaves)
        return seen.reshape(*batch_shape, *seen.shape[1:]), solution

    def batch_shape(self, arrays: Sequence[jax.Array]) -> tuple[int, ...]:
        """Return the lengths of the dimensions of subjects."""
        leading = [
            x.shape[: self.batch_ndim]
            for x, argument in zip(arrays, self.arguments, strict=True)
            if argument.batched
        ]
        return np.broadcast_shapes((1,) * self.batch_ndim, *leading)

    def _one_row_each(
        self, x: jax.Array, argument: Argument, batch_shape: tuple[int, ...], n_subjects: int
    ) -> jax.Array:
        core = x.shape[self.batch_ndim :] if argument.batched else x.shape
        return jnp.broadcast_to(x, (*batch_shape, *core)).reshape(n_subjects, *core)

    def evaluate(
        self, function: Any, t: jax.Array, y: jax.Array, leaves: Sequence[jax.Array]
    ) -> jax.Array:
        """Evaluate a function of ``(t, y, params)`` for one subject in a state ``(n,)``."""
        params = jax.tree.unflatten(self.structure, leaves)
        result = function(t, self.as_user_state(y), params)
        if isinstance(result, dict) and self.state_names is not None:
            result = jnp.stack([jnp.asarray(result[name]) for name in self.state_names])
        elif isinstance(result, list | tuple):
            result = jnp.stack([jnp.asarray(x) for x in result])
        return jnp.asarray(result, dtype=y.dtype)

    def as_user_state(self, y: jax.Array) -> Any:
        """Return a state ``(n,)`` as the user's functions expect it."""
        if self.state_names is None:
            return y
        return {name: y[i] for i, name in enumerate(self.state_names)}


class _Layout:
    """How the leaves of the parameters lie in ``theta`` and ``fixed``."""

    def __init__(self, leaves: Sequence[jax.Array], arguments: Sequence[Argument]) -> None:
        self.shapes = [leaf.shape[1:] for leaf in leaves]
        self.differentiable = [argument.differentiable for argument in arguments]

    def pack(self, leaves: Sequence[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        """Return ``theta (N, p)`` and the leaves that are not part of it."""
        moving = [
            leaf.reshape(leaf.shape[0], -1)
            for leaf, differentiable in zip(leaves, self.differentiable, strict=True)
            if differentiable
        ]
        fixed = [
            leaf
            for leaf, differentiable in zip(leaves, self.differentiable, strict=True)
            if not differentiable
        ]
        n_subjects = leaves[0].shape[0] if leaves else 1
        theta = jnp.concatenate(moving, axis=1) if moving else jnp.zeros((n_subjects, 0))
        return theta, fixed

    def unpack(self, theta: jax.Array, fixed: Sequence[jax.Array]) -> list[jax.Array]:
        """Return the leaves of one subject."""
        leaves, start, rest = [], 0, iter(fixed)
        for shape, differentiable in zip(self.shapes, self.differentiable, strict=True):
            if differentiable:
                size = int(np.prod(shape))
                leaves.append(theta[start : start + size].reshape(shape))
                start += size
            else:
                leaves.append(next(rest))
        return leaves


class _Field:
    """The vector field as the integrators call it."""

    def __init__(self, equation: Equation, layout: _Layout) -> None:
        self.equation, self.layout = equation, layout

    def __call__(
        self, t: jax.Array, segment: jax.Array, y: jax.Array, theta: jax.Array, fixed: Any
    ) -> jax.Array:
        return self.equation.evaluate(
            self.equation.vector_field, t, y, self.layout.unpack(theta, fixed)
        )


class _LinearField:
    """The matrix and the constant of a linear system."""

    def __init__(self, equation: Equation, layout: _Layout) -> None:
        self.equation, self.layout = equation, layout

    def __call__(self, theta: jax.Array, fixed: Any) -> tuple[jax.Array, jax.Array]:
        field = self.equation.vector_field
        assert isinstance(field, LinearODE)
        leaves = self.layout.unpack(theta, fixed)
        params = jax.tree.unflatten(self.equation.structure, leaves)
        matrix = jnp.asarray(field.matrix(params), dtype=theta.dtype)
        if field.constant is None:
            return matrix, jnp.zeros(matrix.shape[0], dtype=theta.dtype)
        return matrix, jnp.asarray(field.constant(params), dtype=theta.dtype)
